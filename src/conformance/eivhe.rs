//! Laws of integer-vector encryption: what decrypts is what exact integers give, for random messages and for those at the edges, and what could decrypt wrongly is
//! refused.

use super::{Check, Effort};
use crate::error::{Error, Result};
use crate::randomness::{Purpose, Stream, Tape};
use crate::scheme::eivhe::{Direct, Draw, Encryption, Encryptor, InnerProduct, KeySwitch, Parameters, PublicMatrix, Published, Range, Secret, add};

/// Changes ciphertexts before they are decrypted: nothing, or a planted fault.
pub type Tamper<'a> = &'a dyn Fn(&mut [i64]);

/// Checks every law. `report` hears of each and may end the checks by an error.
///
/// # Errors
/// [`Error::Disagreement`] at the first difference.
pub fn laws(effort: Effort, tamper: Tamper<'_>, report: &mut dyn FnMut(&Check) -> Result<()>) -> Result<()> {
    for (number, (name, parameters)) in sets()?.into_iter().enumerate() {
        let mut law = Law {
            name,
            parameters,
            secret: Secret::generate(parameters, &Tape::replayable(7), number as u64)?,
            tamper,
            tape: Tape::replayable(8),
            uses: 0,
        };
        // Messages of a law: its random ones and the edges.
        let messages = |short: usize, long: usize| if effort == Effort::Long { long } else { short };
        report(&law.encryption(Encryption::Fixed, messages(100, 2000))?)?;
        report(&law.encryption(Encryption::Fresh, messages(100, 2000))?)?;
        report(&law.addition(messages(100, 2000))?)?;
        for direct in [false, true] {
            report(&law.linear(direct, messages(60, 4500))?)?;
        }
        if parameters.modulus_bits.is_none() {
            report(&law.inner(messages(30, 9000))?)?;
        }
        report(&law.refusals()?)?;
    }
    Ok(())
}

/// Sizes at which every operation fits, over the integers with published bounds and modulo q.
fn sets() -> Result<Vec<(&'static str, Parameters)>> {
    let modulo = Parameters::lwe(12, 255, 1 << 19)?;
    Ok(vec![
        ("payor", Published::Payor.parameters(12, 4, 255)),
        ("secureldata", Published::Secureldata.parameters(12, 3, 63)),
        ("trask", Parameters { scale_bits: 34, ..Published::Trask.parameters(12, 1, 255) }),
        ("modulo 2^54, 64 columns (a toy)", Parameters { key_columns: 64, ..modulo }),
        ("modulo 2^54, small key (a toy)", Parameters { key_columns: 9, key: Draw::Below(1000), ..modulo }),
    ])
}

struct Law<'a> {
    name: &'static str,
    parameters: Parameters,
    secret: Secret,
    tamper: Tamper<'a>,
    tape: Tape,
    uses: u64,
}

impl Law<'_> {
    fn stream(&mut self) -> Stream {
        self.uses += 1;
        self.tape.stream(Purpose::Sample, self.uses)
    }

    /// All at the bound, all zero, all at the other bound, alternating, single ones, then random: message after message.
    fn messages(&mut self, count: usize) -> Vec<i64> {
        let (m, bound) = (self.parameters.dimension, self.parameters.message_bound as i64);
        let mut stream = self.stream();
        let mut entry = |message: usize, i: usize| match message {
            0 => bound,
            1 => 0,
            2 => -bound,
            3 => bound * (1 - 2 * (i as i64 % 2)),
            4 => i64::from(i == 0),
            5 => -i64::from(i + 1 == m),
            _ => stream.word_below(2 * bound as u64 + 1) as i64 - bound,
        };
        (0..count.max(6) * m).map(|at| entry(at / m, at % m)).collect()
    }

    /// Encrypts, one half with the fixed matrix and one half fresh, which all operations take alike.
    fn encrypted(&mut self, messages: &[i64]) -> Result<(Vec<i64>, Range)> {
        let half = messages.len() / self.parameters.dimension / 2 * self.parameters.dimension;
        let mut ciphertexts = PublicMatrix::generate(&self.secret, &self.tape, None)?.encrypt(&messages[..half])?;
        self.uses += 1;
        ciphertexts.append(&mut Encryptor::new(&self.secret)?.encrypt(&messages[half..], &self.tape, self.uses << 32)?);
        // That of the fixed matrix is the larger one.
        Ok((ciphertexts, self.parameters.check()?))
    }

    fn equal(&self, law: &str, secret: &Secret, mut ciphertexts: Vec<i64>, expected: &[i128]) -> Result<Check> {
        (self.tamper)(&mut ciphertexts);
        let name = format!("{law}, {}", self.name);
        compare(&name, expected, &secret.decrypt(&ciphertexts)?)?;
        Ok(Check { name, cases: expected.len() })
    }

    fn encryption(&mut self, encryption: Encryption, count: usize) -> Result<Check> {
        let messages = self.messages(count);
        let ciphertexts = match encryption {
            Encryption::Fixed => PublicMatrix::generate(&self.secret, &self.tape, None)?.encrypt(&messages)?,
            Encryption::Fresh => Encryptor::new(&self.secret)?.encrypt(&messages, &self.tape, 0)?,
        };
        let expected: Vec<i128> = messages.iter().map(|&x| i128::from(x)).collect();
        self.equal(&format!("{} encryption", encryption.name()), &self.secret, ciphertexts, &expected)
    }

    fn addition(&mut self, count: usize) -> Result<Check> {
        let (a, b) = (self.messages(count), self.messages(count));
        let ((left, range), (right, other)) = (self.encrypted(&a)?, self.encrypted(&b)?);
        self.parameters.sum(range, other)?;
        let expected: Vec<i128> = a.iter().zip(&b).map(|(&a, &b)| i128::from(a) + i128::from(b)).collect();
        self.equal("addition", &self.secret, add(&self.parameters, &left, &right)?, &expected)
    }

    fn linear(&mut self, direct: bool, count: usize) -> Result<Check> {
        let (m, rows) = (self.parameters.dimension, 5);
        let mut stream = self.stream();
        // Rows of zeros, of extremes, and random ones.
        let map: Vec<i64> = (0..rows * m)
            .map(|at| match at / m {
                0 => 0,
                1 => 127,
                2 => -128,
                _ => stream.word_below(256) as i64 - 128,
            })
            .collect();
        let messages = self.messages(count);
        let (ciphertexts, range) = self.encrypted(&messages)?;
        let expected: Vec<i128> = messages
            .chunks(m)
            .flat_map(|x| map.chunks(m).map(move |row| row.iter().zip(x).map(|(&g, &x)| i128::from(g) * i128::from(x)).sum()))
            .collect();
        if direct {
            let (direct, key) = Direct::new(&self.secret, map, rows, range, None)?;
            return self.equal("direct linear map", &key, direct.apply(&ciphertexts)?, &expected);
        }
        let key = Secret::generate(Parameters { dimension: rows, ..self.parameters }, &self.tape, 100)?;
        let digit_bits = self.parameters.modulus_bits.is_none().then_some(1);
        let switch = KeySwitch::linear(&self.secret, &key, &map, range, None, digit_bits, &self.tape, 1)?;
        self.equal("linear map by key switch", &key, switch.apply(&ciphertexts)?, &expected)
    }

    fn inner(&mut self, count: usize) -> Result<Check> {
        // A polynomial of degree 2 in 3 entries: forms of zeros, of the square of the length, and random ones.
        let small = Parameters { dimension: 3, key_columns: self.parameters.key_columns.min(2), message_bound: 15, ..self.parameters };
        let from = Secret::generate(small, &self.tape, 101)?;
        let to = Secret::generate(Parameters { dimension: 4, ..small }, &self.tape, 102)?;
        let mut law = Law { name: self.name, parameters: small, secret: from, tamper: self.tamper, tape: Tape::replayable(9), uses: self.uses << 8 };
        let mut stream = law.stream();
        let forms: Vec<i64> = (0..4 * 9)
            .map(|at| match at / 9 {
                0 => 0,
                1 => i64::from(at % 9 % 4 == 0),
                2 => 7 * (1 - 2 * (at as i64 % 2)),
                _ => stream.word_below(15) as i64 - 7,
            })
            .collect();
        let (a, b) = (law.messages(count), law.messages(count));
        let ((left, range), (right, other)) = (law.encrypted(&a)?, law.encrypted(&b)?);
        let product = InnerProduct::new(&law.secret, &to, &forms, [range, other], None, Some(1), &law.tape, 2)?;
        let form =
            |h: &[i64], x: &[i64], y: &[i64]| -> i128 { (0..9).map(|at| i128::from(h[at]) * i128::from(x[at / 3]) * i128::from(y[at % 3])).sum() };
        let expected: Vec<i128> = a.chunks(3).zip(b.chunks(3)).flat_map(|(x, y)| forms.chunks(9).map(move |h| form(h, x, y))).collect();
        law.equal("inner products", &to, product.apply(&left, &right)?, &expected)
    }

    /// One step past the bound is refused, at the bound it is not: by w for encryption, by the noise for sums, by G for maps.
    fn refusals(&mut self) -> Result<Check> {
        let range = self.parameters.check()?;
        let needed = 128 - range.noise.leading_zeros() + 1;
        let at = |scale_bits| Parameters { scale_bits, ..self.parameters }.check();
        let half = 1u128 << (self.parameters.scale_bits - 1);
        let noisy = |noise| self.parameters.sum(Range { noise, ..range }, Range { message: 0, noise: 0, upper: 0, lower: 0 });
        let most = i64::try_from((half - 1) / range.noise).unwrap_or(i64::MAX);
        let map = |g: i64| {
            let mut map = vec![0; self.parameters.dimension];
            map[0] = g;
            Direct::new(&self.secret, map, 1, range, Some(1)).map(|_| range)
        };
        let cases = [
            ("the least w", at(needed), true),
            ("half of it", at(needed - 1), false),
            ("noise of w/2 - 1", noisy(half - 1), true),
            ("noise of w/2", noisy(half), false),
            ("the largest map", map(most), true),
            ("one more", map(most + 1), false),
        ];
        for (what, result, allowed) in &cases {
            // Integers that do not fit i64 are another matter than noise.
            let refused = matches!(result, Err(Error::Noise { .. }));
            if refused == *allowed {
                let (expected, actual) = if *allowed { ("no error", "too much noise") } else { ("too much noise", "something else") };
                return Err(Error::Disagreement { what: format!("{what}, {}", self.name), expected: expected.into(), actual: actual.into() });
            }
        }
        Ok(Check { name: format!("noise bounds, {}", self.name), cases: cases.len() })
    }
}

/// Compares results with exact integers.
fn compare(what: &str, expected: &[i128], actual: &[i64]) -> Result<()> {
    let disagreement = |at: String, expected: String, actual: String| Err(Error::Disagreement { what: format!("{what}{at}"), expected, actual });
    if expected.len() != actual.len() {
        return disagreement(", results".into(), expected.len().to_string(), actual.len().to_string());
    }
    match expected.iter().zip(actual).position(|(&e, &a)| e != i128::from(a)) {
        None => Ok(()),
        Some(i) => disagreement(format!(", result {i}"), expected[i].to_string(), actual[i].to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cases(effort: Effort) -> std::collections::BTreeMap<String, usize> {
        let mut cases = std::collections::BTreeMap::new();
        laws(effort, &|_| (), &mut |check| {
            *cases.entry(check.name.split(", ").next().unwrap_or_default().to_owned()).or_default() += check.cases;
            Ok(())
        })
        .unwrap();
        cases
    }

    #[test]
    fn every_law_holds() {
        let cases = cases(Effort::Quick);
        println!("{cases:?}");
        assert!(cases.len() == 7 && cases.iter().all(|(law, &count)| count >= if law == "noise bounds" { 30 } else { 300 }), "{cases:?}");
    }

    /// 10^5 results and more of every operation.
    #[test]
    #[ignore = "seconds: cargo test --lib conformance::eivhe -- --ignored --nocapture"]
    fn every_law_holds_at_length() {
        let cases = cases(Effort::Long);
        println!("{cases:?}");
        assert!(cases.iter().all(|(law, &count)| count >= if law == "noise bounds" { 30 } else { 100_000 }), "{cases:?}");
    }

    #[test]
    fn a_planted_fault_is_caught_by_every_law() {
        // One entry of one ciphertext off by w: the law that sees it must fail, and no other.
        for skip in 0..6 {
            let seen = std::cell::Cell::new(0);
            let fault = |ciphertexts: &mut [i64]| {
                if seen.replace(seen.get() + 1) == skip {
                    ciphertexts[0] += 1 << 40;
                }
            };
            let mut heard = 0;
            let result = laws(Effort::Quick, &fault, &mut |_| {
                heard += 1;
                Ok(())
            });
            assert!(matches!(result, Err(Error::Disagreement { .. })) && heard == skip, "{skip}: {heard}");
        }
        assert!(compare("lengths", &[1, 2], &[1]).is_err());
        assert!(compare("equal", &[1, 2], &[1, 2]).is_ok());
        assert!(compare("other", &[1, 2], &[1, 3]).is_err());
    }
}
