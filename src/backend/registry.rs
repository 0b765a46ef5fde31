//! The backends of the program.

use crate::text::named;

/// One line for each backend, the oracle first: its identifier, name, summary and module. Where
/// builds leave it out: when they have it, and the reason to give otherwise.
macro_rules! backends {
    ($made:ident $($arguments:expr),*) => {
        $made! { $($arguments),*;
            Reference = "reference", "textbook arithmetic in plain Rust, one thread: the oracle", reference;
            Gmp = "gmp", "GMP through rug, parallel with rayon", gmp
        if feature = "gmp" else "this build has no GMP; build with the Cargo feature `gmp`";
            Ifma = "ifma", "AVX-512 IFMA, eight numbers at a time, parallel with rayon", ifma
                if target_arch = "x86_64" else format!("AVX-512 IFMA exists on x86_64 only, this is {}", std::env::consts::ARCH);
            Gpu = "gpu", "compute shaders through Vulkan, Metal or DirectX 12", gpu
                if feature = "gpu" else "this build has no GPU support; build with the Cargo feature `gpu`";
        }
    };
}
pub(super) use backends;

macro_rules! names {
    (; $($id:ident = $name:literal, $summary:literal, $module:ident $(if $built:meta else $why:expr)?;)+) => {
        named! {
            /// The backends by name.
            pub enum BackendId: "backend" {
                $(#[doc = concat!("`", $name, "`: ", $summary, ".")] $id => $name: $summary,)+
            }
        }
    };
}

backends!(names);
