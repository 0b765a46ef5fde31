//! The backends of the program: one line for each, in the order of their names in lists, the oracle first.

use super::Backend;
use crate::control::Control;
use crate::error::Result;
use crate::text::named;

/// From one line for each backend: its identifier, name, summary and how it is opened, and where builds leave it out, when they have it and what they say
/// otherwise.
macro_rules! backends {
    ($($id:ident = $name:literal, $summary:literal, $module:ident $(if $built:meta else $why:expr)?;)+) => {
        named! {
            /// The backends by name.
            pub enum BackendId: "backend" {
                $(#[doc = concat!("`", $name, "`: ", $summary, ".")] $id => $name: $summary,)+
            }
        }

        impl BackendId {
            /// Opens it; its work can be stopped by `control`.
            pub(super) fn open(self, control: &Control) -> Result<Box<dyn Backend>> {
                match self {
                    $(Self::$id => backends!(@open $module, self, control $(, $built, $why)?),)+
                }
            }
        }
    };
    (@open $module:ident, $id:expr, $control:expr) => {
        super::$module::open($control)
    };
    (@open $module:ident, $id:expr, $control:expr, $built:meta, $why:expr) => {{
        #[cfg($built)]
        let opened = super::$module::open($control);
        #[cfg(not($built))]
        let opened = Err(crate::error::Error::BackendUnavailable { backend: $id.name(), reason: $why.into() });
        opened
    }};
}

backends! {
    Reference = "reference", "textbook arithmetic in plain Rust, one thread: the oracle", reference;
    Gmp = "gmp", "GMP through rug, parallel with rayon", gmp;
    Ifma = "ifma", "AVX-512 IFMA, eight numbers at a time, parallel with rayon", ifma
        if target_arch = "x86_64" else format!("AVX-512 IFMA exists on x86_64 only, this is {}", std::env::consts::ARCH);
    Gpu = "gpu", "compute shaders through Vulkan, Metal or DirectX 12", gpu
        if feature = "gpu" else "this build has no GPU support; build with the Cargo feature `gpu`";
}
