use super::*;
use crate::report::synthetic::{Case, many_keys, one_key, records};

#[test]
fn show() {
    let out = Path::new("target/show");
    for (name, cases) in [
        ("one", vec![Case::paillier("gmp", "buckets", 2048, 30.0)]),
        ("two", vec![Case::clear("float", 1e6), Case::paillier("gmp", "buckets", 2048, 30.0)]),
        ("eight", one_key()),
        ("keys", many_keys()),
        (
            "long",
            one_key()
                .into_iter()
                .flat_map(|c| {
                    [
                        Case {
                            encryption: if c.scheme == "clear" { "" } else { "standard" },
                            features: "gradients",
                            dataset: "digits",
                            accuracy: c.accuracy + 0.04,
                            images: 1797,
                            ..c.clone()
                        },
                        c,
                    ]
                })
                .collect(),
        ),
        (
            "longkeys",
            many_keys()
                .into_iter()
                .filter(|c| c.backend == "gmp" || c.scheme == "clear")
                .flat_map(|c| {
                    [
                        Case {
                            encryption: if c.scheme == "clear" { "" } else { "standard" },
                            features: "gradients",
                            dataset: "digits",
                            speed: c.speed * 0.8,
                            ..c.clone()
                        },
                        c,
                    ]
                })
                .collect(),
        ),
        (
            "twenty",
            many_keys()
                .into_iter()
                .filter(|c| c.key_bits.is_none_or(|k| k == 2048))
                .flat_map(|c| {
                    [Case { encryption: if c.scheme == "clear" { "" } else { "djn" }, features: "pixels", speed: c.speed * 0.8, ..c.clone() }, c]
                })
                .collect(),
        ),
    ] {
        println!("{:?}", draw(&records(&cases), &out.join(name)).unwrap());
    }
}
