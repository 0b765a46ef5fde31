use super::synthetic::{Case, many_keys, one_key, records};
use super::*;

#[test]
fn show() {
    println!("{}", table(&records(&one_key()), Format::Text));
    println!("{}", details(&records(&one_key()), Format::Text));
    println!("{}", table(&records(&many_keys()), Format::Text));
    let mut r = records(&[
        Case::paillier("gmp", "naive", 1024, 3.0),
        Case { encryption: "standard", features: "gradients", ..Case::paillier("reference", "straus", 2048, 3e-3) },
        Case::clear("float", 1e6),
    ]);
    r.outcomes[0].error = Some("a_b\n & c".into());
    r.outcomes[1].adapter_type = "software".into();
    r.outcomes[1].agreement = Some(0.99999);
    r.outcomes[1].images = 100;
    for f in [Format::Text, Format::Markdown, Format::Latex, Format::Csv] {
        println!("{}", table(&r, f));
    }
    println!("{}", legend(Format::Text));
}
