//! A network of degree 2 on integer-vector ciphertexts: what the scheme can do beyond linear maps, on small images.
//!
//! Every output is a weighted inner product x^T H_j x of the encrypted vector with itself, which is what a hidden layer with squares as activation and a linear layer
//! after it come to. The vector is public sums of 2 x 2 pixels, and a constant. Weights come from ridge regression of the classes on all products of two entries, in
//! the clear. Over the integers with published bounds, so **it protects nothing** ([`crate::attack::eivhe`]); modulo q the scheme has no inner product here
//! ([`crate::scheme::eivhe::InnerProduct`]).

use crate::attack::eivhe::least_squares;
use crate::dataset::Images;
use crate::error::{Error, Result};
use crate::model::argmax;
use crate::randomness::Tape;
use crate::scheme::eivhe::{Encryption, Encryptor, InnerProduct, Parameters, Published, Secret};

/// Classes.
const CLASSES: usize = 10;
/// Largest magnitude of a weight.
const MAX_WEIGHT: f64 = 127.0;
/// Weight of the squares of coefficients beside that of errors.
const RIDGE: f64 = 1e5;

/// H_1 to H_10, upper triangular, and the size of what they apply to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Network {
    inputs: usize,
    unit: i64,
    forms: Vec<i64>,
}

/// What came of an encrypted evaluation of which every output was compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Images.
    pub images: usize,
    /// Images whose largest output is at their label.
    pub correct: usize,
    /// Images of which every output equals that of the integers in the clear.
    pub agreeing: usize,
    /// Entries of the encrypted vector.
    pub inputs: usize,
    /// Columns of the key-switching matrix.
    pub columns: usize,
    /// Bytes of it.
    pub matrix_bytes: u64,
}

impl Network {
    /// Fits the classes of some images with an even number of rows and columns.
    ///
    /// # Errors
    /// [`Error::Size`] for odd sizes; [`Error::OutOfRange`] for fewer images than weights.
    pub fn fit(training: &Images) -> Result<Self> {
        let unit = i64::from(training.max_pixel);
        let vectors = vectors(training)?;
        let inputs = vectors.len() / training.len().max(1);
        let pairs: Vec<(usize, usize)> = (0..inputs).flat_map(|i| (i..inputs).map(move |j| (i, j))).collect();
        // The square of the constant is the intercept.
        let (regressors, equations) = (pairs.len() - 1, training.len());
        if equations < regressors + 2 {
            return Err(Error::OutOfRange { what: "training images", value: equations.to_string(), allowed: format!("{} and more", regressors + 2) });
        }
        let products: Vec<i64> = pairs[..regressors].iter().flat_map(|&(i, j)| vectors.chunks_exact(inputs).map(move |x| x[i] * x[j])).collect();
        let targets: Vec<i64> =
            (0..CLASSES).flat_map(|class| training.labels.iter().map(move |&label| 1000 * i64::from(usize::from(label) == class))).collect();
        let coefficients = least_squares(&products, regressors, equations, &targets, RIDGE)?;
        let mean = |row: &[i64]| row.iter().sum::<i64>() as f64 / equations as f64;
        let means: Vec<f64> = products.chunks_exact(equations).map(mean).collect();
        let mut weights = Vec::with_capacity(CLASSES * pairs.len());
        for (row, target) in coefficients.chunks_exact(regressors).zip(targets.chunks_exact(equations)) {
            weights.extend_from_slice(row);
            weights.push((mean(target) - row.iter().zip(&means).map(|(w, m)| w * m).sum::<f64>()) / (unit * unit) as f64);
        }
        let scale = MAX_WEIGHT / weights.iter().fold(f64::MIN_POSITIVE, |most, w| most.max(w.abs()));
        let mut forms = vec![0; CLASSES * inputs * inputs];
        for (form, weights) in forms.chunks_exact_mut(inputs * inputs).zip(weights.chunks_exact(pairs.len())) {
            for (&(i, j), w) in pairs.iter().zip(weights) {
                form[i * inputs + j] = (w * scale).round() as i64;
            }
        }
        Ok(Self { inputs, unit, forms })
    }

    /// Outputs for one vector, in the clear.
    #[must_use]
    pub fn apply(&self, x: &[i64]) -> Vec<i64> {
        let row = |row: &[i64]| row.iter().zip(x).map(|(h, x)| h * x).sum::<i64>();
        let form = |form: &[i64]| form.chunks_exact(self.inputs).zip(x).map(|(h, x)| x * row(h)).sum();
        self.forms.chunks_exact(self.inputs * self.inputs).map(form).collect()
    }

    /// Encrypts some images, evaluates the network on the ciphertexts, decrypts and compares every output.
    ///
    /// # Errors
    /// [`Error::Disagreement`] for an output that differs; as [`InnerProduct::new`] when results would not decrypt.
    pub fn run(&self, images: &Images, seed: u64) -> Result<Outcome> {
        let vectors = vectors(images)?;
        let tape = Tape::replayable(seed);
        let parameters = Published::Payor.parameters(self.inputs, 1, self.unit as u64);
        let from = Secret::generate(parameters, &tape, 0)?;
        let to = Secret::generate(Parameters { dimension: CLASSES, ..parameters }, &tape, 1)?;
        let range = parameters.encrypted(Encryption::Fresh)?;
        let product = InnerProduct::new(&from, &to, &self.forms, [range; 2], None, Some(1), &tape, 0)?;
        let query = Encryptor::new(&from)?.encrypt(&vectors, &tape, 0)?;
        let outputs = to.decrypt(&product.apply(&query, &query)?)?;
        let (switch, mut correct) = (product.switch(), 0);
        for (number, (outputs, x)) in outputs.chunks_exact(CLASSES).zip(vectors.chunks_exact(self.inputs)).enumerate() {
            let expected = self.apply(x);
            if outputs != expected {
                let what = format!("outputs of image {number}");
                return Err(Error::Disagreement { what, expected: format!("{expected:?}"), actual: format!("{outputs:?}") });
            }
            correct += usize::from(argmax(outputs) == images.labels[number]);
        }
        let (inputs, columns, matrix_bytes) = (self.inputs, switch.columns(), switch.bytes());
        Ok(Outcome { images: images.len(), correct, agreeing: images.len(), inputs, columns, matrix_bytes })
    }
}

/// Means of 2 x 2 pixels, rounded down, and the largest pixel as the constant: vector after vector.
fn vectors(images: &Images) -> Result<Vec<i64>> {
    let (rows, cols) = (images.rows, images.cols);
    if rows % 2 != 0 || cols % 2 != 0 {
        let odd = if rows % 2 != 0 { rows } else { cols };
        return Err(Error::Size { what: "pixels of a row or column", expected: odd.next_multiple_of(2), actual: odd });
    }
    let vector = |image: &[u8]| {
        let pixel = |r: usize, c: usize| i64::from(image[r * cols + c]);
        let mean = |r: usize, c: usize| (pixel(r, c) + pixel(r, c + 1) + pixel(r + 1, c) + pixel(r + 1, c + 1)) / 4;
        let mut entries: Vec<i64> = (0..rows).step_by(2).flat_map(|r| (0..cols).step_by(2).map(move |c| (r, c))).map(|(r, c)| mean(r, c)).collect();
        entries.push(i64::from(images.max_pixel));
        entries
    };
    Ok((0..images.len()).flat_map(|i| vector(images.image(i))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataset::digits;

    #[test]
    fn the_network_on_ciphertexts_gives_the_integers_of_the_network_in_the_clear() {
        let network = Network::fit(&digits::training().unwrap()).unwrap();
        let test = digits::test().unwrap();
        // A part of them here; all of them take a few seconds.
        let few = Images { pixels: test.pixels[..100 * 64].to_vec(), labels: test.labels[..100].to_vec(), ..test };
        let outcome = network.run(&few, 1).unwrap();
        println!("{outcome:?}");
        assert_eq!((outcome.images, outcome.agreeing, outcome.inputs), (100, 100, 17));
        assert!(outcome.correct >= 85, "{outcome:?}");
        // Planted: other weights give other outputs.
        let x = vectors(&few).unwrap();
        let mut other = network.clone();
        other.forms[0] += 1;
        let outputs = |network: &Network| x.chunks(17).map(|x| network.apply(x)).collect::<Vec<_>>();
        assert_eq!(outputs(&network) == outputs(&other), x.chunks(17).all(|x| x[0] == 0));
    }

    #[test]
    #[ignore = "seconds: cargo test --lib workload::quadratic -- --ignored --nocapture"]
    fn all_test_images() {
        let outcome = Network::fit(&digits::training().unwrap()).unwrap().run(&digits::test().unwrap(), 1).unwrap();
        println!("{outcome:?}, {:.2} % correct", 100.0 * outcome.correct as f64 / outcome.images as f64);
        assert_eq!(outcome.agreeing, 599);
    }
}
