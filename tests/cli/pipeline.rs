//! The pipeline through files: what belongs together, and what is refused.

use std::fs;

use sha2::{Digest, Sha256};

use super::Place;

#[test]
fn the_pipeline_classifies_with_a_real_key() {
    let place = Place::new();
    place.does("keygen --out k");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(fs::metadata(place.path("k.secret.json")).unwrap().permissions().mode() & 0o777, 0o600);
    }
    place.does("encrypt --secret k.secret.json --dataset digits --features gradients --images 5 --out q");
    place.does("evaluate --public k.public.json --query q --out a");
    let done = place.does("decrypt --secret k.secret.json --answer a --verify --dataset digits");
    let lines: Vec<&str> = done.out.lines().collect();
    assert!(lines.len() == 6 && lines[0].starts_with("image,class,logit_0,") && lines[0].ends_with(",logit_9"), "{}", done.out);
    assert!(lines[5].starts_with("4,"), "{}", done.out);
    assert!(done.err.contains("5 of 5 images as labelled"), "{}", done.err);
}

#[test]
fn the_pipeline_gives_one_result_by_every_way() {
    let place = Place::new();
    place.pipeline();
    let expected = place.does("decrypt --toy --secret k.secret.json --answer a").out;
    for (number, (encrypt, evaluate)) in [
        ("--public k.public.json", "--method naive"),
        ("--public k.public.json --encryption standard", "--method straus --backend reference"),
        ("--secret k.secret.json --encryption djn --packing off", "--method buckets"),
        ("--secret k.secret.json --slot-bits 30 --packing 2 --backend reference", ""),
    ]
    .into_iter()
    .enumerate()
    {
        let query = place.json(&format!("encrypt --toy {encrypt} --dataset digits --images 5 --out q{number}"));
        assert_eq!(query["images"], 5);
        let answer = place.json(&format!("evaluate --toy --public k.public.json {evaluate} --query q{number} --out a{number}"));
        assert_eq!(answer["images"], 5);
        assert_eq!(place.does(&format!("decrypt --toy --secret k.secret.json --answer a{number}")).out, expected);
    }
    let json = place.json("decrypt --toy --secret k.secret.json --answer a --out classes.csv");
    assert_eq!(json["classes"].as_array().map(Vec::len), Some(5));
    assert_eq!(fs::read_to_string(place.path("classes.csv")).unwrap(), expected);
    // The last images of the test set.
    place.does("encrypt --toy --secret k.secret.json --dataset digits --features gradients --first 597 --out q");
    place.does("evaluate --toy --public k.public.json --query q --out a");
    let last = place.does("decrypt --toy --secret k.secret.json --answer a --dataset digits --first 597");
    assert!(last.out.lines().count() == 3 && last.out.contains("\n598,") && last.err.contains(" of 2 images"), "{}{}", last.out, last.err);
}

#[test]
fn the_pipeline_refuses_what_does_not_belong_together() {
    let place = Place::new();
    place.pipeline();
    place.does("keygen --bits 512 --toy --out other");
    let key = |name: &str| {
        let key: serde_json::Value = serde_json::from_slice(&fs::read(place.path(name)).unwrap()).unwrap();
        key["kid"].as_str().unwrap().trim_start_matches("cipherlane ").to_owned()
    };
    let (right, wrong) = (key("k.public.json"), key("other.public.json"));
    let wrong_key = ["wrong key", &right[..16], &wrong[..16]];
    place.refuses("evaluate --toy --public other.public.json --query q --out x", &wrong_key);
    place.refuses("decrypt --toy --secret other.secret.json --answer a", &wrong_key);
    place.refuses("evaluate --toy --public k.public.json --query a --out x", &["expected kind query, found answer"]);
    place.refuses("decrypt --toy --secret k.secret.json --answer q", &["expected kind answer, found query"]);
    place.refuses("encrypt --toy --secret k.public.json --dataset digits --out x", &["k.public.json", "a secret Paillier key"]);
    place.refuses("encrypt --toy --public k.secret.json --dataset digits --out x", &["k.secret.json", "a public Paillier key"]);
    place.refuses("decrypt --toy --secret k.public.json --answer a", &["k.public.json"]);

    // Keys under 2048 bits without consent, and keys that are there.
    let toy = ["a 512-bit key is a toy", "2048", "--toy"];
    place.refuses("keygen --bits 512 --out x", &toy);
    place.refuses("encrypt --secret k.secret.json --dataset digits --out x", &toy);
    place.refuses("evaluate --public k.public.json --query q --out x", &toy);
    place.refuses("decrypt --secret k.secret.json --answer a", &toy);
    place.refuses("keygen --bits 512 --toy --out k", &["k.secret.json", "--replace"]);
    for bits in ["0", "254", "513", "8194", "4294967295"] {
        place.refuses(&format!("keygen --toy --bits {bits} --out x"), &[bits, "256 to 8192"]);
    }

    // Images, widths and slots.
    let encrypt = "encrypt --toy --secret k.secret.json --dataset digits --out x";
    place.refuses(&format!("{encrypt} --images 0"), &["599"]);
    place.refuses(&format!("{encrypt} --images 600"), &["600", "599"]);
    place.refuses(&format!("{encrypt} --first 599"), &["--first is 599, allowed is 0 to 598"]);
    place.refuses(
        &format!("{encrypt} --first 590 --images 20"),
        &["--images is 20, allowed is 1 to 9, the images of the test set from --first 590 on"],
    );
    place.refuses(&format!("{encrypt} --first {0} --images {0}", usize::MAX), &[&usize::MAX.to_string(), "0 to 598"]);
    place.refuses(&format!("{encrypt} --slot-bits 5"), &["9 bits", "a slot has 5"]);
    place.refuses(&format!("{encrypt} --slot-bits 0"), &["0 bits", "2 to 62"]);
    place.refuses(&format!("{encrypt} --packing 500"), &["500 slots of 19 bits", "510"]);
    place.refuses(&format!("{encrypt} --feature-bits 13"), &["13", "1 to 12"]);
    place.refuses("encrypt --toy --public k.public.json --encryption owner --dataset digits --out x", &["owner", "--secret"]);
    place.does("encrypt --toy --secret k.secret.json --dataset digits --images 2 --slot-bits 12 --out narrow");
    place.refuses("evaluate --toy --public k.public.json --query narrow --out x", &["19 bits", "a slot has 12"]);
    place.refuses("evaluate --toy --public k.public.json --query q --weight-bits 16 --out x", &["27 bits", "a slot has 19"]);
    place.does("encrypt --toy --secret k.secret.json --dataset digits --images 2 --features gradients --out gradients");
    place.does("train --dataset digits --epochs 1 --hidden none --out pixels.model");
    place.refuses("evaluate --toy --public k.public.json --query gradients --model pixels.model --out x", &["pixels", "gradients"]);
    place.refuses("run --dataset digits --features gradients --model pixels.model --out x", &["pixels", "gradients"]);
    place.refuses("decrypt --toy --secret k.secret.json --answer a --dataset digits --first 597", &["first image", "expected 597, got 0"]);
    place.refuses(&format!("decrypt --toy --secret k.secret.json --answer a --first {}", usize::MAX), &["first image", &usize::MAX.to_string()]);

    // A query that lies about its features with a root that is right; its one leaf stays.
    let honest = fs::read(place.path("q")).unwrap();
    let at = honest.windows(8).position(|w| w == b"\"pixels\"").unwrap();
    let mut forged = [&honest[..at], b"\"gradients\"", &honest[at + 8..]].concat();
    let head = forged.iter().enumerate().filter(|(_, byte)| **byte == b'\n').nth(1).unwrap().0;
    let root = head + 1 + 4 + 8 + 32;
    let digest = Sha256::digest([b"cipherlane root 1\n", &forged[..root]].concat());
    forged[root..root + 32].copy_from_slice(&digest);
    place.with("q", &honest, &forged, || place.refuses("evaluate --toy --public k.public.json --query q --out x", &["expected 200", "got 64"]));
}

#[test]
fn damaged_files_are_refused() {
    let place = Place::new();
    place.pipeline();
    let evaluate = "evaluate --toy --public k.public.json --query q --out x";
    let decrypt = "decrypt --toy --secret k.secret.json --answer a --out x";
    for (name, line) in [("q", evaluate), ("a", decrypt), ("k.public.json", evaluate), ("k.secret.json", decrypt)] {
        let size = fs::metadata(place.path(name)).unwrap().len() as usize;
        for at in [0, 5, size / 3, size / 2, size - 20] {
            place.tampered(name, at, || place.refuses(line, &[]));
        }
        for length in [0, 1, 10, size / 2, size - 2] {
            place.cut(name, length, || place.refuses(line, &[name]));
        }
        fs::rename(place.path(name), place.path("away")).unwrap();
        place.refuses(line, &[name]);
        fs::create_dir(place.path(name)).unwrap();
        place.refuses(line, &[name]);
        fs::remove_dir(place.path(name)).unwrap();
        fs::rename(place.path("away"), place.path(name)).unwrap();
    }
    let longer = [fs::read(place.path("q")).unwrap(), vec![0]].concat();
    place.with("q", &longer[..longer.len() - 1], &longer, || place.refuses(evaluate, &["q: "]));
    place.does(evaluate);
}
