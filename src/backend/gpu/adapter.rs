//! The backend: which adapter and which kernels.

use std::collections::{HashMap, hash_map};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::bytecode::{Code, Kind, Place, Step};
use super::device::{Adapter, Context, adapters, choose};
use super::engine::{Check, Engine, Job, Picks, Rows};
use super::generate::GROUP;
use super::montgomery_form::MontgomeryForm;
use super::multipliers::Multipliers;
use super::residues::GpuResidues;
use super::shape::{Arithmetic, Communication, Shape, Variant};
use super::steady_rate::{Rate, steady_rate};
use super::{fma_selftest, limb_rate};
use crate::backend::{Backend, BackendId, Device, DeviceKind, KernelRate, SquareResidues};
use crate::control::Control;
use crate::error::{Error, Result};
use crate::integer::Integer;
use crate::limbs::Limbs;
use crate::modulus::Modulus;
use crate::stopwatch::Stopwatch;

/// Set to anything but `0` or nothing, this environment variable makes the backend unavailable, as on a machine without adapters.
const DISABLE: &str = "CIPHERLANE_DISABLE_GPU";
/// A part of the name of the adapter to use.
const ADAPTER: &str = "CIPHERLANE_GPU_ADAPTER";
/// The name of the kernel variant to use.
const VARIANT: &str = "CIPHERLANE_GPU_VARIANT";

/// What is open in this process: opening takes a while, and compiled kernels are worth keeping.
static OPEN: Mutex<Option<Arc<Gpu>>> = Mutex::new(None);

/// Opens the adapter that the environment names, or the best one; a device that was lost is opened again.
pub(super) fn open(control: &Control) -> Result<Box<dyn Backend>> {
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    if variable(DISABLE).is_some_and(|value| value != "0") {
        return Err(unavailable(format!("{DISABLE} is set")));
    }
    let mut open: MutexGuard<'_, _> = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
    let gpu = match open.as_ref() {
        Some(gpu) if gpu.context.lost().is_none() => Arc::clone(gpu),
        _ => {
            let gpu = Arc::new(Gpu::open(variable(ADAPTER).as_deref(), variable(VARIANT).as_deref(), control)?);
            *open = Some(Arc::clone(&gpu));
            gpu
        }
    };
    Ok(Box::new(Handle { gpu, control: control.clone() }))
}

/// An open adapter and the kernels that may be used on it.
pub(super) struct Gpu {
    pub(super) context: Arc<Context>,
    /// The variants to choose from, the one to prefer first.
    variants: Vec<Variant>,
    /// Whether kernels in doubles failed the self-test.
    refused: bool,
    /// Shapes that were chosen, by bits of the modulus and number of halves.
    chosen: Mutex<HashMap<(u32, u32), Shape>>,
}

impl Gpu {
    /// Opens an adapter by a part of its name, with all its variants or a named one.
    pub(super) fn open(adapter: Option<&str>, variant: Option<&str>, control: &Control) -> Result<Self> {
        let found = adapters();
        let facts: Vec<Adapter> = found.iter().map(Adapter::of).collect();
        let index = choose(&facts, adapter).map_err(unavailable)?;
        let allowed = variants(&facts[index], variant)?;
        Self::with(Context::open(&found[index]).map_err(unavailable)?, allowed, variant.is_some(), control)
    }

    /// A device with some variants; kernels in doubles need the self-test. One that was asked for by name and fails it is an error.
    pub(super) fn with(context: Context, mut variants: Vec<Variant>, named: bool, control: &Control) -> Result<Self> {
        let doubles = variants.iter().any(|v| v.arithmetic == Arithmetic::F64);
        let refused = doubles && !fma_selftest::is_fused(&context, control)?;
        if refused {
            variants.retain(|v| v.arithmetic != Arithmetic::F64);
        }
        if variants.is_empty() {
            let needs = if named { "the self-test of fused multiply-adds failed, which kernels in doubles need" } else { "no kernel can run" };
            return Err(unavailable(format!("{}: {needs}", context.adapter.name)));
        }
        Ok(Self { context: Arc::new(context), variants, refused, chosen: Mutex::default() })
    }

    /// The shapes to choose from for a modulus, the one to prefer first. In software a branch runs both ways, so there is no second body.
    fn candidates(&self, modulus: &Modulus) -> Vec<Shape> {
        let bodies = |shape: Shape| if self.context.adapter.is_software() { shape } else { shape.with_squares() };
        self.variants.iter().flat_map(|&variant| Shape::candidates(variant, modulus, self.team(variant))).map(bodies).collect()
    }

    /// Most lanes of a team.
    fn team(&self, variant: Variant) -> u32 {
        match variant.communication {
            Communication::Subgroup => self.context.limits.team,
            Communication::Workgroup => GROUP,
        }
    }

    /// The shape for a modulus: on a GPU the one that measures fastest among those of the first two kinds of kernels, once for each size; in software, where
    /// compiling takes longer than it saves, the first.
    fn shape(&self, modulus: &Modulus, control: &Control) -> Result<Shape> {
        let candidates = self.candidates(modulus);
        let first = candidates
            .first()
            .copied()
            .ok_or_else(|| Error::unsupported(format!("gpu on {}", self.context.adapter.name), format!("a modulus of {} bits", modulus.bits())))?;
        if self.context.adapter.is_software() || candidates.len() == 1 {
            return Ok(first);
        }
        let size = (modulus.bits(), first.halves);
        let chosen = || self.chosen.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(&shape) = chosen().get(&size) {
            return Ok(shape);
        }
        // 64-bit products are two to three times as fast as 32-bit ones wherever both are there, and shuffles faster than memory: only what is open is measured.
        let family = |variant: Variant| (variant.arithmetic == Arithmetic::U32, variant.communication);
        let candidates: Vec<Shape> = candidates.into_iter().filter(|shape| family(shape.variant) == family(first.variant)).collect();
        let rates = self.rates(modulus, &candidates, control)?;
        let best = candidates.into_iter().zip(rates).max_by(|(_, a), (_, b)| a.wall.total_cmp(&b.wall)).map_or(first, |(shape, _)| shape);
        chosen().insert(size, best);
        Ok(best)
    }

    /// Products per second of shapes, in chains that fill the device, each compiled and checked before anything is timed.
    pub(super) fn rates(&self, modulus: &Modulus, shapes: &[Shape], control: &Control) -> Result<Vec<Rate>> {
        let runs = shapes.iter().map(|&shape| Timed::new(&self.context, modulus, shape, control)).collect::<Result<Vec<_>>>()?;
        steady_rate(self.context.adapter.is_software(), || runs.iter().map(|run| run.rate(&self.context)).collect())
    }

    /// Adapter, driver, what it can do and which kernels it gets.
    fn detail(&self) -> String {
        let Adapter { name, driver, subgroup: (narrow, wide), .. } = &self.context.adapter;
        let variants = self.variants.iter().map(|v| v.name()).collect::<Vec<_>>().join(", ");
        let subgroups = if narrow == wide { narrow.to_string() } else { format!("{narrow} to {wide}") };
        let refused = if self.refused { "; f64-subgroup refused, fma is not fused" } else { "" };
        format!("{name}, {driver}; subgroups of {subgroups}; kernels {variants}{refused}")
    }

    /// An engine for moduli that are all squares of known roots, or none is: they take the shape of the largest.
    pub(super) fn engine(&self, moduli: Vec<Modulus>, control: &Control) -> Result<Engine> {
        let digit_bits = |modulus: &Modulus| modulus.root().unwrap_or_else(|| modulus.value()).significant_bits();
        let largest = moduli.iter().max_by_key(|modulus| digit_bits(modulus)).ok_or(Error::size("moduli", 1, 0))?;
        if moduli.iter().any(|modulus| modulus.root().is_some() != largest.root().is_some()) {
            return Err(Error::unsupported(BackendId::Gpu.name(), "squares together with other moduli"));
        }
        let shape = self.shape(largest, control)?;
        let forms = moduli.into_iter().map(|modulus| MontgomeryForm::new(modulus, shape)).collect();
        Ok(Engine::new(Arc::clone(&self.context), forms, control.clone())?)
    }

    /// Measures every kernel; see [`Backend::kernel_rates`].
    fn kernel_rates(&self, key_bits: &[u32], control: &Control, report: &mut dyn FnMut(&KernelRate) -> Result<()>) -> Result<String> {
        let adapter = &self.context.adapter;
        let multipliers = Multipliers::of(&adapter.name).filter(|_| !adapter.is_software());
        let mut issue: HashMap<Arithmetic, f64> = HashMap::new();
        for &variant in &self.variants {
            if let hash_map::Entry::Vacant(unknown) = issue.entry(variant.arithmetic) {
                unknown.insert(limb_rate::limb_products_per_second(&self.context, variant, control)?);
            }
        }
        for &bits in key_bits {
            let modulus = Modulus::square((Integer::from(1) << bits) - 1u32)?;
            let gmp_per_second = gmp_rate(&modulus);
            let chosen = self.shape(&modulus, control)?;
            let shapes = self.candidates(&modulus);
            for (shape, rate) in shapes.iter().zip(self.rates(&modulus, &shapes, control)?) {
                let bound = multipliers.and_then(|multipliers| multipliers.limb_products_per_second(shape.variant));
                report(&KernelRate {
                    key_bits: bits,
                    kernel: shape.to_string(),
                    products_per_second: rate.wall,
                    device_per_second: rate.device,
                    issue_per_second: issue.get(&shape.variant.arithmetic).copied().unwrap_or_default() / shape.limb_products() as f64,
                    bound_per_second: bound.map(|rate| rate / shape.limb_products() as f64),
                    gmp_per_second,
                    chosen: *shape == chosen,
                })?;
            }
        }
        let lacking = |&variant: &Variant| (variant, adapter.lacks(variant));
        let missing = Variant::ALL.iter().map(lacking).filter(|(_, lacking)| !lacking.is_empty());
        let missing: String = missing.map(|(variant, lacking)| format!("\n{variant}: the adapter lacks {}", lacking.join(" and "))).collect();
        let bound = match multipliers {
            Some(multipliers) => format!("\nbound: {multipliers}, by published figures"),
            None if adapter.is_software() => "\nbound: none, the processor computes".into(),
            None => format!("\nbound: not known for {}", adapter.name),
        };
        Ok(self.detail() + &missing + &bound)
    }
}

/// A kernel that is ready to be timed.
struct Timed {
    engine: Engine,
    inputs: Rows,
    code: Code,
    items: usize,
}

impl Timed {
    fn new(context: &Arc<Context>, modulus: &Modulus, shape: Shape, control: &Control) -> Result<Self> {
        let engine = Engine::new(Arc::clone(context), vec![MontgomeryForm::new(modulus.clone(), shape)], control.clone())?;
        let items = 2 * context.limits.lanes.div_ceil(shape.lanes as usize);
        let values = Limbs::from_integers(&vec![modulus.value() - Integer::from(3); items], modulus.width())?;
        let inputs = engine.enter(&[values])?;
        let mut timed = Self { code: Self::chain(4), engine, inputs, items };
        // The first run compiles the kernel.
        timed.engine.run(&timed.job(Check::Code))?;
        while timed.code.steps.len() < 1 << 20 {
            let (rows, elapsed) = Stopwatch::time(|| timed.engine.run(&timed.job(Check::Left)));
            rows?;
            if elapsed.wall_ns > 50_000_000 {
                break;
            }
            timed.code = Self::chain(2 * timed.code.steps.len());
        }
        // What is timed is checked at its own length, too.
        timed.engine.run(&timed.job(Check::Code))?;
        Ok(timed)
    }

    /// Products that each follow from the one before.
    fn chain(steps: usize) -> Code {
        let first = Step { kind: Kind::Product, a: Place::Input(0), b: Place::Input(0), to: 0 };
        Code::chain((0..steps).map(|step| if step == 0 { first } else { Step { a: Place::Slot(0), ..first } }).collect(), 1)
    }

    fn job<'a>(&'a self, check: Check<'a>) -> Job<'a> {
        Job { code: &self.code, inputs: &self.inputs, items: self.items, table: None, digits: Picks::None, check, modulus: None }
    }

    fn rate(&self, context: &Context) -> Result<Rate> {
        let before = context.device_ns();
        let (rows, elapsed) = Stopwatch::time(|| self.engine.run(&self.job(Check::Left)));
        rows?;
        let device_ns = context.device_ns().zip(before).map(|(after, before)| after - before);
        let per_second = |ns: u64| (self.items * self.code.steps.len()) as f64 / (ns as f64 / 1e9);
        Ok(Rate { wall: per_second(elapsed.wall_ns), device: device_ns.filter(|&ns| ns > 0).map(per_second) })
    }
}

fn unavailable(reason: String) -> Error {
    Error::BackendUnavailable { backend: BackendId::Gpu.name(), reason }
}

/// The variants that an adapter can run by its features, or the one that is asked for.
pub(super) fn variants(adapter: &Adapter, wanted: Option<&str>) -> Result<Vec<Variant>> {
    let Some(wanted) = wanted else {
        return Ok(adapter.variants());
    };
    let variant: Variant = wanted.parse()?;
    let lacking = adapter.lacks(variant);
    if lacking.is_empty() {
        Ok(vec![variant])
    } else {
        Err(unavailable(format!("{} lacks {}, which {variant} needs", adapter.name, lacking.join(" and "))))
    }
}

/// Products per second of GMP's multiplication and remainder, one thread.
pub(super) fn gmp_rate(modulus: &Modulus) -> f64 {
    let other = modulus.value() - Integer::from(3);
    let mut value = other.clone();
    let mut count = 64;
    loop {
        let ((), elapsed) = Stopwatch::time(|| {
            for _ in 0..count {
                value *= &other;
                value %= modulus.value();
            }
        });
        if elapsed.wall_ns > 50_000_000 {
            return f64::from(count) / (elapsed.wall_ns as f64 / 1e9);
        }
        count *= 2;
    }
}

/// The backend as callers hold it.
struct Handle {
    gpu: Arc<Gpu>,
    control: Control,
}

impl Backend for Handle {
    fn id(&self) -> BackendId {
        BackendId::Gpu
    }

    fn device(&self) -> Device {
        let adapter = &self.gpu.context.adapter;
        Device {
            name: adapter.name.clone(),
            kind: if adapter.is_software() { DeviceKind::Software } else { DeviceKind::Gpu },
            detail: self.gpu.detail(),
        }
    }

    fn prepare(&self, moduli: Vec<Modulus>) -> Result<Arc<dyn SquareResidues>> {
        Ok(Arc::new(GpuResidues::new(self.gpu.engine(moduli, &self.control)?)))
    }

    fn device_ns(&self) -> Option<u64> {
        self.gpu.context.device_ns()
    }

    fn kernel_rates(&self, key_bits: &[u32], report: &mut dyn FnMut(&KernelRate) -> Result<()>) -> Result<String> {
        self.gpu.kernel_rates(key_bits, &self.control, report)
    }
}
