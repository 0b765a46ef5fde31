//! `smlp`: training and classification on two servers, with toy keys.

use std::fs;

use super::Place;

const TOY: &str = "--toy --key-bits 512 --backend gmp";

#[test]
fn a_training_leaves_its_course_and_its_costs() {
    let place = Place::new();
    let train = format!("smlp train --steps 2 --batch 4 {TOY} --out r");
    let done = place.does(&train);
    for word in [
        "float (clear)",
        "simulated (clear)",
        "encrypted 512 toy gmp blinded",
        "yes, every parameter",
        "comparison",
        "a whole epoch of 250",
        "protects nothing",
    ] {
        assert!(done.out.contains(word), "{word}: {}", done.out);
    }
    let rows = place.outcomes("r");
    let names: Vec<(&str, &str)> = rows.iter().map(|r| (r["scheme"].as_str(), r["backend"].as_str())).collect();
    assert_eq!(names, [("clear", "native"), ("smlp", "simulated"), ("smlp", "gmp")]);
    assert!(rows.iter().all(|r| r["workload"] == "training" && r["verified"] == "true") && rows[2]["publishable"] == "false");
    assert!(rows[0]["digest"].is_empty() && rows[1]["digest"].len() == 16 && rows[1]["digest"] == rows[2]["digest"]);
    let curve = fs::read_to_string(place.path("r/curve.csv")).unwrap();
    assert!(curve.starts_with("spec,epoch,step,loss,train_accuracy,test_accuracy,run_id,revision\n"));
    assert_eq!(curve.lines().count(), 1 + 3 * 3);
    let operations = fs::read_to_string(place.path("r/operations.csv")).unwrap();
    for (operation, party) in [("forward product", "p1"), ("comparison", "p2"), ("gradient product", "p1"), ("division", "p2"), ("selection", "p1")] {
        assert!(operations.contains(&format!(",{operation},{party},")), "{operation} {party}: {operations}");
    }
    // Three points of a course are no course.
    for (figure, is_drawn) in [("convergence", false), ("loss", false), ("operations", true)] {
        assert_eq!(place.path(&format!("r/figures/{figure}.png")).is_file(), is_drawn, "{figure}");
    }
    assert!(place.does("report r").out.contains("simulated"));
    place.refuses(&train, &["samples.csv of another run"]);
    let json = place.json(&format!("smlp train --run simulated --steps 3 {TOY} --out s"));
    assert_eq!((json["rows"][0]["simulated"].as_bool(), json["rows"][0]["mini_batches"].as_u64()), (Some(true), Some(3)));
}

#[test]
fn classes_under_encryption_are_the_simulator_s() {
    let place = Place::new();
    let done = place.does(&format!("smlp classify --data xor --images 4 --group 3 {TOY} --comparison blinded,exact --out r"));
    assert_eq!(done.out.matches("100.00 % as labelled, every class the simulator's").count(), 2, "{}", done.out);
    let rows = place.outcomes("r");
    assert!(rows.iter().all(|r| r["workload"] == "inference" && r["scheme"] == "smlp" && r["agreement"] == "1.0"), "{rows:?}");
    place.refuses(&format!("smlp classify --data xor --images 5 {TOY} --out s"), &["--images is 5", "1 to 4"]);
    place.refuses(&format!("smlp classify --data xor --group 0 {TOY} --out s"), &["--group is 0"]);
}

#[test]
fn odd_trainings_are_refused() {
    let place = Place::new();
    let train = "smlp train --out r";
    place.refuses(&format!("{train} --key-bits 1024"), &["1024-bit key is a toy", "--toy"]);
    place.refuses(&format!("{train} --network 3-10-2"), &["inputs of the network: expected 2, got 3"]);
    place.refuses(&format!("{train} --batch 1001"), &["batch size is 1001", "1 to 1000"]);
    for option in ["--records", "--epochs", "--steps"] {
        place.misuses(&format!("{train} {option} 0"), &[option, "`0`"]);
    }
    place.refuses(&format!("{train} --batch 10,20"), &["several values of `batch`", "a sweep"]);
    place.refuses(&format!("{train} --recipe q30-step1:8"), &["30", "4 to 20"]);
    place.refuses("smlp train --data mnist --run float --out r", &["MNIST", "cipherlane fetch"]);
    place.misuses("smlp train --data xnor", &["xnor", "parity-K"]);
    place.misuses("smlp train --network 2", &["two to eight widths"]);
    place.misuses("smlp train --recipe q10", &["recipe", "qBITS"]);
    place.misuses("smlp train --run plain", &["float", "simulated", "encrypted"]);
    place.misuses("smlp train --comparison none", &["blinded", "exact"]);
    place.misuses("smlp train --backend fastest", &["all", "gmp"]);
    let help = place.ends("smlp", 2).err;
    assert!(["train", "classify", "leaks"].iter().all(|name| help.contains(name)), "{help}");
    // A run that would overflow ends with an error row and status 1.
    let done = place.ends("smlp train --run simulated --recipe q10-step4:1 --out o", 1);
    assert!(done.out.contains("the run would overflow, so it stops"), "{}", done.out);
    assert!(place.outcomes("o")[0]["error"].contains("overflow"));
    assert!(place.does("smlp leaks").out.contains("blinded"));
    place.json("smlp leaks");
}

#[test]
fn trainings_of_a_sweep_resume() {
    let place = Place::new();
    let text = "toy = true\n[[training]]\ndata = [\"xor\"]\nsteps = [1]\nbatch = [2, 4]\nkey_bits = [512]\n";
    fs::write(place.path("s.toml"), text).unwrap();
    let plan = place.json("sweep s.toml --dry-run");
    assert_eq!(plan["rows"].as_array().map(Vec::len), Some(6), "{plan}");
    place.does("sweep s.toml --out r --shard 1/2");
    let done = place.does("sweep s.toml --out r --shard 2/2");
    assert!(done.out.contains("6 rows"), "{}", done.out);
    let rows = place.outcomes("r");
    assert!(rows.len() == 6 && rows.iter().all(|r| r["verified"] == "true"));
    assert!(place.does("sweep s.toml --out r").err.contains("6 of 6 rows are done"));
    assert!(place.path("r/curve.csv").is_file() && place.path("r/operations.csv").is_file());
}
