//! The GPU from outside: chosen by name only, recorded as what it is, and refused in one line. Without an adapter only the refusals are tested.

use super::{Done, Place};

impl Place {
    /// The program with variables of the environment.
    #[track_caller]
    fn with_env(&self, line: &str, variables: &[(&str, &str)], code: i32) -> Done {
        Done::from(line, &self.command(line).envs(variables.iter().copied()).output().unwrap(), code)
    }

    /// Whether there is an adapter, which `REQUIRE_GPU=1` insists on.
    fn has_gpu(&self) -> bool {
        let doctor: serde_json::Value = self.json("doctor");
        let gpu = doctor["backends"].as_array().unwrap().iter().find(|b| b["name"] == "gpu").unwrap().clone();
        let here = gpu["error"].is_null();
        assert!(here || std::env::var_os("REQUIRE_GPU").is_none(), "REQUIRE_GPU is set, but {gpu}");
        if !here {
            eprintln!("skipped: {gpu}");
        }
        here
    }
}

#[test]
fn without_an_adapter_it_is_refused_in_one_line() {
    let place = Place::new();
    for (variables, word) in [
        (&[("CIPHERLANE_DISABLE_GPU", "1")][..], "backend gpu is not available: "),
        (&[("VK_DRIVER_FILES", "/nonexistent.json"), ("VK_ICD_FILENAMES", "/nonexistent.json")], "backend gpu is not available: "),
        (&[("CIPHERLANE_GPU_ADAPTER", "a card of tomorrow")], "backend gpu is not available: "),
    ] {
        for line in ["run --backend gpu --dataset digits --out r", "verify --backend gpu", "doctor --rates"] {
            let done = place.with_env(line, variables, 1);
            assert!(done.err.lines().last().unwrap().contains(word) && done.out.is_empty(), "{line}\n{}", done.err);
            assert!(!place.path("r").exists());
        }
        // What does not ask for it does not mind.
        assert!(place.with_env("list", variables, 0).out.contains("gpu"));
    }
}

/// Drivers may speak, and take a while: who asks for no GPU opens none, as what the loader says of
/// itself shows.
#[test]
fn without_need_no_adapter_is_opened() {
    let place = Place::new();
    let loud = [("VK_LOADER_DEBUG", "all"), ("CIPHERLANE_GPU_ADAPTER", "a card of tomorrow")];
    let done = place.with_env("list", &loud, 0);
    assert!(done.err.is_empty() && !done.out.contains("tomorrow"), "{}{}", done.err, done.out);
    let done = place.with_env("run --dataset nowhere --out r", &loud, 1);
    assert_eq!(done.err.lines().count(), 1, "{}", done.err);
}

/// Mesa looks for a desktop, and calls it an error that there is none.
#[test]
fn a_machine_without_a_desktop_is_no_error() {
    let place = Place::new();
    for runtime in [None, Some("")] {
        let mut command = place.command("doctor");
        command.env_remove("NODEVICE_SELECT").env_remove("XDG_RUNTIME_DIR").envs(runtime.map(|dir| ("XDG_RUNTIME_DIR", dir)));
        let done = Done::from("doctor", &command.output().unwrap(), 0);
        assert!(!done.err.contains("XDG_RUNTIME_DIR"), "{}", done.err);
    }
}

#[test]
fn a_variant_must_have_a_known_name() {
    let place = Place::new();
    if place.has_gpu() {
        let done = place.with_env("verify --backend gpu", &[("CIPHERLANE_GPU_VARIANT", "u65")], 1);
        assert!(done.err.contains("`u65` is unknown, known: u64-subgroup"), "{}", done.err);
    }
}

#[test]
fn encrypted_digits_agree_and_software_is_recorded_as_such() {
    let place = Place::new();
    if !place.has_gpu() {
        return;
    }
    let run = place.does("run --backend gmp,gpu --dataset digits --toy --key-bits 512 --images 20 --features gradients --out r");
    let rows = place.outcomes("r");
    let [gpu, gmp] = ["gpu", "gmp"].map(|name| rows.iter().find(|row| row["backend"] == name).unwrap().clone());
    assert_eq!((&*gpu["verified"], &*gpu["agreement"], &*gpu["error"]), ("true", "1.0", ""), "{gpu:?}");
    assert_eq!(gpu["digest"], gmp["digest"], "the ciphertexts must be the same bits");
    assert_eq!(gmp["adapter_type"], "cpu");
    let software = gpu["adapter_type"] == "software";
    assert!(software || gpu["adapter_type"] == "gpu");
    assert_eq!(run.out.contains("software adapter, not a GPU"), software, "{}", run.out);
    // Time by the device's own clock where it did something, and nowhere else.
    let samples = place.rows("r/samples.csv");
    for row in &samples {
        let on_device = row["backend"] == "gpu" && ["prepare", "encrypt", "upload", "evaluate", "download", "decrypt"].contains(&&*row["stage"]);
        assert_eq!(row["device_ns"].is_empty(), !on_device, "{row:?}");
    }
    // A run over all backends takes a GPU, but no imitation.
    place.does("run --dataset digits --toy --key-bits 256 --images 1 --features gradients --out all");
    assert_eq!(place.outcomes("all").iter().any(|row| row["backend"] == "gpu"), !software);
}
