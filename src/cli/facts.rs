//! `verify`, `doctor`, `list`.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::claims::claim_results;
use super::progress::Meter;
use super::run::{RunArgs, run_in};
use super::stop::{check_stop, control};
use super::terminal::{note, out, out_json, shown};
use crate::backend::{self, BackendId, DeviceKind, KernelRate};
use crate::conformance::{self, Check, Effort, suite};
use crate::dataset::{self, Dataset};
use crate::durable::write_whole;
use crate::error::{Error, Result};
use crate::features::FeatureMap;
use crate::measure::{REVISION, busy_warning};
use crate::model;
use crate::plan::matvec::Method;
use crate::quantise::{IntegerModel, Precision};
use crate::record::KERNELS;
use crate::scheme::eivhe::Setting;
use crate::scheme::paillier::Encryption;
use crate::scheme::registry::all as all_schemes;
use crate::scheme::smlp::Comparison;
use crate::workload::inference::linear_map;
use crate::workload::leakage::Learner;
use crate::workload::leakage::eivhe::{Setting as LeakSetting, Sweep as LeakSweep};
use crate::{machine, stopwatch::Stopwatch};

/// Options of `verify`.
#[derive(Args, Clone, Debug)]
pub(super) struct VerifyArgs {
    /// The backend to check [default: every one of this machine]
    #[arg(long)]
    backend: Option<BackendId>,
    /// Larger moduli and many more operands: minutes in place of seconds
    #[arg(long)]
    long: bool,
}

/// Compares backends with the oracle, and schemes with exact integers where no backend is named.
pub(super) fn verify(args: &VerifyArgs, json: bool) -> Result<bool> {
    let effort = if args.long { Effort::Long } else { Effort::Quick };
    let mut results = Vec::new();
    let mut all_equal = true;
    for id in BackendId::ALL.into_iter().filter(|id| args.backend.map_or(*id != BackendId::Reference, |b| b == *id)) {
        let backend = match backend::open_under(id, control()) {
            Ok(backend) => backend,
            Err(error @ Error::BackendUnavailable { .. }) if args.backend.is_none() => {
                note(&format!("{id}: {error}"));
                continue;
            }
            Err(error) => return Err(error),
        };
        if args.backend.is_none() && backend.device().kind == DeviceKind::Software {
            note(&format!("{id}: left out, {} is a GPU in software; name it with --backend {id}", backend.device().name));
            continue;
        }
        let meter = Meter::start(&format!("verify {id}"), 0, "results");
        let watch = Stopwatch::start();
        let (mut checks, mut cases) = (0usize, 0usize);
        let result = suite(backend.as_ref(), effort, control(), &mut |check| {
            checks += 1;
            cases += check.cases;
            meter.set(&format!("{} equal results; {}", cases, check.name), 0);
            check_stop()
        });
        drop(meter);
        let seconds = watch.elapsed().wall_ns as f64 / 1e9;
        let error = match result {
            Ok(()) => None,
            Err(Error::Interrupted) => return Err(Error::Interrupted),
            Err(error) => Some(error.to_string()),
        };
        all_equal &= error.is_none();
        if !json {
            match &error {
                None => out(&format!("{id}: equal to the oracle in {cases} results of {checks} checks ({seconds:.1} s)")),
                Some(error) => out(&format!("{id}: FAILED after {cases} equal results: {error}")),
            }
        }
        results.push(json!({ "backend": id.name(), "checks": checks, "results": cases, "equal": error.is_none(), "error": error }));
    }
    if args.backend.is_none() {
        let (mut checks, mut cases) = (0usize, 0usize);
        let watch = Stopwatch::start();
        let result = conformance::eivhe::laws(effort, &|_| (), &mut |check: &Check| {
            checks += 1;
            cases += check.cases;
            check_stop()
        });
        let seconds = watch.elapsed().wall_ns as f64 / 1e9;
        let error = match result {
            Ok(()) => None,
            Err(Error::Interrupted) => return Err(Error::Interrupted),
            Err(error) => Some(error.to_string()),
        };
        all_equal &= error.is_none();
        if !json {
            match &error {
                None => out(&format!("eivhe: equal to exact integers in {cases} results of {checks} checks ({seconds:.1} s)")),
                Some(error) => out(&format!("eivhe: FAILED after {cases} equal results: {error}")),
            }
        }
        results.push(json!({ "scheme": "eivhe", "checks": checks, "results": cases, "equal": error.is_none(), "error": error }));
    }
    if json {
        out_json(&json!(results));
    }
    Ok(all_equal)
}

/// Options of `doctor`.
#[derive(Args, Clone, Debug)]
pub(super) struct DoctorArgs {
    /// Measure every kernel of the GPU (in software, too) beside one thread of GMP
    #[arg(long)]
    rates: bool,
    /// Sizes of n to measure
    #[arg(long, value_delimiter = ',', default_value = "1024,2048,3072,4096", value_name = "BITS", requires = "rates")]
    key_bits: Vec<u32>,
    /// Then run the main job on the GPU and write rates and results into this folder
    #[arg(long, value_name = "DIR", requires = "rates")]
    out: Option<PathBuf>,
}

/// Facts about this machine and build, or the rates of its GPU.
pub(super) fn doctor(args: &DoctorArgs, json: bool) -> Result<bool> {
    if args.rates { rates(args, json) } else { facts(json) }
}

/// Rates of all kernels, and the main job where a folder is named.
fn rates(args: &DoctorArgs, json: bool) -> Result<bool> {
    let claim = args.out.as_deref().map(|dir| claim_results(Some(dir), "")).transpose()?;
    let gpu = backend::open_under(BackendId::Gpu, control())?;
    let device = gpu.device();
    let mut rates: Vec<KernelRate> = Vec::new();
    let meter = Meter::start("measuring", 0, "kernels");
    let facts = gpu.kernel_rates(&args.key_bits, &mut |rate| {
        rates.push(rate.clone());
        meter.set(&format!("{} bits, {}", rate.key_bits, rate.kernel), rates.len() as u64);
        check_stop()
    })?;
    drop(meter);
    let percent = |rate: &KernelRate| rate.bound_per_second.map(|bound| 100.0 * rate.products_per_second / bound);
    let software = device.kind == DeviceKind::Software;
    if json && args.out.is_some() {
        // The run prints its own; the rates stand in the folder.
    } else if json {
        out_json(&json!({
            "device": device.name, "kind": device.kind.name(), "facts": facts.lines().collect::<Vec<_>>(),
            "kernels": rates.iter().map(|r| json!({
                "key_bits": r.key_bits, "kernel": r.kernel, "products_per_second": r.products_per_second, "device_per_second": r.device_per_second, "bound_per_second": r.bound_per_second,
                "issue_per_second": r.issue_per_second, "gmp_per_second": r.gmp_per_second, "chosen": r.chosen,
            })).collect::<Vec<_>>(),
        }));
    } else {
        let mut text = format!("{}{facts}\n", if software { "software adapter, not a GPU: " } else { "" });
        text += &format!(
            "products modulo n^2 per second, by wall clock and by the device's own\n{:>8}  {:<22} {:>12} {:>12} {:>9} {:>9} {:>12} {:>8}\n",
            "key", "kernel", "wall", "device", "of bound", "of loop", "GMP, thread", "ratio"
        );
        for rate in &rates {
            text += &format!(
                "{:>8}  {:<22} {:>12.0} {:>12} {:>9} {:>7.0} % {:>12.0} {:>7.2}x{}\n",
                rate.key_bits,
                rate.kernel,
                rate.products_per_second,
                rate.device_per_second.map_or_else(|| "unknown".into(), |r| format!("{r:.0}")),
                percent(rate).map_or_else(|| if software { "-" } else { "unknown" }.into(), |p| format!("{p:.0} %")),
                100.0 * rate.products_per_second / rate.issue_per_second,
                rate.gmp_per_second,
                rate.products_per_second / rate.gmp_per_second,
                if rate.chosen { "  chosen" } else { "" }
            );
        }
        text += "of bound: of what the known figures of the adapter's multipliers allow. of loop: of what a loop of products of limbs and nothing else gave here.\n";
        if let Some(warning) = busy_warning(machine::load_average()) {
            text += &format!("note: {warning}\n");
        }
        out(&text);
    }
    let Some(claim) = claim else { return Ok(true) };
    let done = run_in(&claim, &RunArgs::on_gpu(software), json)?;
    let mut table = String::from(
        "adapter,adapter_type,key_bits,kernel,products_per_second,device_per_second,bound_per_second,issue_per_second,gmp_per_second,chosen\n",
    );
    for rate in &rates {
        let or_nothing = |rate: Option<f64>| rate.map_or_else(String::new, |r| format!("{r:.0}"));
        let (clock, bound) = (or_nothing(rate.device_per_second), or_nothing(rate.bound_per_second));
        let name = device.name.replace('"', "'");
        table += &format!(
            "\"{name}\",{},{},{},{:.0},{clock},{bound},{:.0},{:.0},{}\n",
            device.kind.name(),
            rate.key_bits,
            rate.kernel,
            rate.products_per_second,
            rate.issue_per_second,
            rate.gmp_per_second,
            rate.chosen
        );
    }
    write_whole(&claim.path().join(KERNELS), table.as_bytes())?;
    Ok(done)
}

/// Facts about this machine and build.
fn facts(json: bool) -> Result<bool> {
    let backends: Vec<_> = BackendId::ALL.into_iter().map(|id| (id, backend::open(id).map(|b| b.device()))).collect();
    let data: Vec<_> = dataset::places().into_iter().map(|place| (place.clone(), Dataset::read(&place).map(|d| d.origin))).collect();
    let gib = |bytes: Option<u64>| bytes.map_or_else(|| "unknown".into(), |b| format!("{:.1} GiB", b as f64 / f64::from(1u32 << 30)));
    if json {
        out_json(&json!({
            "version": env!("CARGO_PKG_VERSION"), "revision": REVISION, "compiler": env!("CIPHERLANE_RUSTC"), "profile": env!("CIPHERLANE_PROFILE"),
            "cpu": machine::processor(), "cpu_features": machine::processor_features(), "hardware_threads": machine::hardware_threads(),
            "threads": rayon::current_num_threads(), "memory_bytes": machine::memory_bytes(),
            "memory_limit_bytes": machine::memory_limit_bytes(), "load": machine::load_average(),
            "backends": backends.iter().map(|(id, device)| match device {
                Ok(device) => json!({ "name": id.name(), "device": device.name, "kind": device.kind.name(), "detail": device.detail }),
                Err(error) => json!({ "name": id.name(), "error": error.to_string() }),
            }).collect::<Vec<_>>(),
            "mnist": data.iter().map(|(place, origin)| json!({ "place": shown(place), "found": origin.is_ok() })).collect::<Vec<_>>(),
        }));
        return Ok(true);
    }
    let mut text = format!("cipherlane {} ({REVISION}), {}, {}\n", env!("CARGO_PKG_VERSION"), env!("CIPHERLANE_RUSTC"), env!("CIPHERLANE_PROFILE"));
    text += &format!("processor: {}\n", machine::processor());
    text += &format!("  instruction sets: {}\n", machine::processor_features().join(", "));
    text += &format!(
        "  {} threads, {} in the pool; memory {}{}; load {}\n",
        machine::hardware_threads(),
        rayon::current_num_threads(),
        gib(machine::memory_bytes()),
        machine::memory_limit_bytes().map_or_else(String::new, |limit| format!(", of which this process may use {}", gib(Some(limit)))),
        machine::load_average().map_or_else(|| "unknown".into(), |l| format!("{l:.2}"))
    );
    text += "backends:\n";
    for (id, device) in &backends {
        match device {
            Ok(device) => {
                let software = if device.kind == DeviceKind::Software { "software adapter, not a GPU: " } else { "" };
                text += &format!("  {:<10} {software}{}\n", id.name(), device.detail);
            }
            Err(Error::BackendUnavailable { reason, .. }) => text += &format!("  {:<10} not here: {reason}\n", id.name()),
            Err(error) => text += &format!("  {:<10} not here: {error}\n", id.name()),
        }
    }
    text += "MNIST:\n";
    for (place, origin) in &data {
        match origin {
            Ok(origin) => text += &format!("  {origin}\n"),
            Err(Error::DatasetMissing { searched, .. }) => text += &format!("  {searched}\n"),
            Err(error) => text += &format!("  {}: {error}\n", place.display()),
        }
    }
    if data.iter().all(|(_, origin)| origin.is_err()) {
        text += "  not here: `cipherlane fetch` downloads it; until then the embedded digits are used\n";
    }
    if cfg!(debug_assertions) {
        text += "note: this is a debug build; times mean nothing. Use `cargo run --release`.\n";
    }
    if let Some(warning) = busy_warning(machine::load_average()) {
        text += &format!("note: {warning}\n");
    }
    out(&text);
    Ok(true)
}

/// The names that options take.
pub(super) fn list(json: bool) -> Result<bool> {
    let models: Vec<_> = ["mnist", "digits"]
        .into_iter()
        .flat_map(|dataset| FeatureMap::ALL.map(|features| (dataset, features)))
        .map(|(dataset, features)| model::embedded(dataset, features).map(|m| (dataset, features, m)))
        .collect::<Result<_>>()?;
    if json {
        out_json(&json!({
            "backends": BackendId::ALL.map(BackendId::name), "schemes": all_schemes().into_iter().map(|(name, _)| name).collect::<Vec<_>>(), "methods": Method::ALL.map(Method::name),
            "comparisons": Comparison::ALL.map(Comparison::name), "encryptions": Encryption::ALL.map(Encryption::name),
            "eivhe": Setting::ALL.map(Setting::name), "features": FeatureMap::ALL.map(FeatureMap::name),
            "leakage_settings": LeakSetting::ALL.map(LeakSetting::name), "leakage_networks": Learner::ALL.map(Learner::name),
            "leakage_sweeps": LeakSweep::ALL.map(LeakSweep::name),
            "models": models.iter().map(|(d, f, m)| json!({ "dataset": d, "features": f.name(), "test_accuracy": m.test_accuracy(), "sha256": m.sha256 })).collect::<Vec<_>>(),
        }));
        return Ok(true);
    }
    let mut text = String::new();
    let mut section = |title: &str, rows: &[(&str, String)]| {
        text += &format!("{title}:\n");
        let width = rows.iter().map(|(name, _)| name.len()).max().unwrap_or_default();
        rows.iter().for_each(|(name, summary)| text += &format!("  {name:<width$}  {summary}\n"));
    };
    // A GPU takes a while to open, and its driver may have something to say: `doctor` looks for it.
    let available = |id: BackendId| match id {
        BackendId::Gpu => "; `cipherlane doctor` says whether there is one".into(),
        id => backend::open(id).err().map_or_else(String::new, |e| format!(" ({e})")),
    };
    section("backends", &BackendId::ALL.map(|id| (id.name(), format!("{}{}", id.summary(), available(id)))));
    section("schemes", &all_schemes().into_iter().map(|(name, summary)| (name, summary.into())).collect::<Vec<_>>());
    section("methods", &Method::ALL.map(|m| (m.name(), m.summary().into())));
    section("comparisons", &Comparison::ALL.map(|c| (c.name(), c.summary().into())));
    section("encryptions", &Encryption::ALL.map(|e| (e.name(), e.summary().into())));
    let soundness = |s: Setting| match s.warning() {
        None => format!("{}; about {} bits of security with fresh randomness", s.summary(), s.security_bits()),
        Some(_) => format!("{}; over the integers, so broken: protects nothing", s.summary()),
    };
    section("integer-vector settings (run --eivhe)", &Setting::ALL.map(|s| (s.name(), soundness(s))));
    section("features", &FeatureMap::ALL.map(|f| (f.name(), f.summary().into())));
    section("leakage settings (eivhe train, attack)", &LeakSetting::ALL.map(|s| (s.name(), s.summary().into())));
    section("leakage networks", &Learner::ALL.map(|l| (l.name(), l.summary().into())));
    section("leakage sweeps (eivhe leakage)", &LeakSweep::ALL.map(|s| (s.name(), s.summary().into())));
    let rows: Vec<(&str, String)> = models
        .iter()
        .map(|(dataset, features, m)| {
            let precision = Precision::default_for(*features);
            let map = linear_map(&IntegerModel::new(&m.network.collapse(), precision, precision.default_clip(*features))?)?;
            let summary = format!(
                "{:<10} {:.2} % of the test images in f32; {}-bit features, {}-bit weights, slots of {} bits",
                features.name(),
                100.0 * m.test_accuracy(),
                precision.feature_bits,
                precision.weight_bits,
                map.result_bits()
            );
            Ok((*dataset, summary))
        })
        .collect::<Result<_>>()?;
    section("embedded models", &rows);
    out(&text);
    Ok(true)
}
