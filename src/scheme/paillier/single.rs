//! One image fast: several inputs of the same image in a ciphertext, several rows of the product in a result.
//!
//! An image x_0 .. x_(w-1) gets one more input x_w = -(x_0 + .. + x_(w-1)), and the server raises the weights of each row by an offset of its own until none is
//! negative; the offset is also the weight of x_w. The rows are then the same sums as before, without an inversion, and the owner needs not know the offsets.
//! Ciphertext g holds x_(g d) .. x_(g d + d-1), and the product is a convolution ([`crate::plan::convolution`]): row i of a result is slot (i + 1) d - 1, the
//! d - 1 slots below each row and above the last one hold other sums of products of this image's inputs and the weights.
//!
//! Those other sums would tell the owner 2 d - 2 more numbers on the weights with every row. So the server adds to each run of them, read as one integer, a
//! random integer of the run's whole length: for any two models the answers of an image but for the rows themselves are within statistical distance
//! 2^-[`MASK_BITS`] of each other. Slots are wide enough for that, and for the worst case of every slot, before anything is encrypted.

use std::ops::Range;

use rug::Integer;

use crate::error::{Error, Result};
use crate::plan::Weights;
use crate::plan::convolution::Shape;
use crate::randomness::Stream;
use crate::scheme::{Inputs, LinearMap};

/// Statistical distance, as a negative power of two, that the masks of one image's answer keep between models.
pub const MASK_BITS: u32 = 40;

/// Most inputs of a ciphertext that are tried unasked: beyond, the chains of squares cost more than the encryptions that are saved.
const INPUTS_LIMIT: usize = 16;

/// Rows of a result.
const ROWS_PER_RESULT: usize = 2;

/// Parts of the product that share nothing, so that two cores work through one image without waiting for each other. They take about a twentieth more products
/// than one plan of all rows, of which hardly any stage is wide enough for two cores.
const PARTS: usize = 2;

/// Products that run side by side.
const LANES: usize = 8;

/// Where the inputs of an image and the rows of its results stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Convolution {
    shape: Shape,
    width: usize,
    rows: usize,
    result_bits: u32,
}

/// What the server adds to a result besides a fresh randomiser.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Message {
    /// The biases, in their slots.
    bias: Integer,
    /// Random integers between -limit and limit, each shifted up by so many bits.
    masks: Vec<(u32, Integer)>,
}

impl Message {
    /// A bias without masks.
    pub(super) fn plain(bias: Integer) -> Self {
        Self { bias, masks: Vec::new() }
    }

    /// The plaintext to add, with masks from `stream`.
    pub(super) fn draw(&self, stream: &mut Stream) -> Integer {
        self.masks.iter().fold(self.bias.clone(), |sum, (shift, limit)| {
            let mask = stream.below(&(Integer::from(limit * 2) + 1u32)) - limit;
            sum + (mask << *shift)
        })
    }
}

impl Convolution {
    /// Lays out the images of `map` with `inputs_per_ciphertext` inputs in a ciphertext, or with as many as cost least when not given.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] for 0 inputs or more than an image has, [`Error::PlaintextOverflow`] when the slots do not fit the key.
    pub fn new(key_bits: u32, map: &LinearMap, inputs_per_ciphertext: Option<usize>) -> Result<Self> {
        match inputs_per_ciphertext {
            Some(inputs) => {
                let width = map.weights().cols();
                if inputs == 0 || inputs > width {
                    return Err(Error::OutOfRange {
                        what: "inputs per ciphertext",
                        value: inputs.to_string(),
                        allowed: format!("1 to {width}, the values of an image"),
                    });
                }
                Self::with_shape(key_bits, map, inputs, ROWS_PER_RESULT).or_else(|_| Self::with_shape(key_bits, map, inputs, 1))
            }
            None => {
                let tried = (1..=INPUTS_LIMIT.min(map.weights().cols())).map(|inputs| Self::new(key_bits, map, Some(inputs)));
                let fitting = tried.filter_map(Result::ok).min_by_key(|layout| layout.cost(key_bits));
                fitting.map_or_else(|| Self::with_shape(key_bits, map, 1, 1), Ok)
            }
        }
    }

    fn with_shape(key_bits: u32, map: &LinearMap, inputs_per_ciphertext: usize, rows_per_result: usize) -> Result<Self> {
        let (width, rows) = (map.weights().cols(), map.weights().rows());
        let shape = Shape { inputs_per_ciphertext, rows_per_result: rows_per_result.min(rows).max(1), slot_bits: 0 };
        let layout = Self { shape, width, rows, result_bits: map.result_bits() };
        let input_bits = magnitude_bits(width as u128 * u128::from(map.input_max())) + 1;
        let runs: usize = (0..layout.results()).map(|result| layout.runs(result).count()).sum();
        let masked = match layout.other_sums(map)? {
            _ if runs == 0 => 0,
            // A run of sums up to s, masked over all of a slot of S bits at its top, betrays 2 s / 2^S; all runs together must betray at most 2^-MASK_BITS.
            sum => MASK_BITS + magnitude_bits(sum.saturating_mul(2 * runs as u128) + 1),
        };
        let slot_bits = map.result_bits().max(input_bits).max(masked);
        let needed_bits = (shape.slots(shape.rows_per_result) as u64).saturating_mul(slot_bits.into());
        let available_bits = key_bits.saturating_sub(2);
        if needed_bits > u64::from(available_bits) {
            let needed_bits = u32::try_from(needed_bits).unwrap_or(u32::MAX);
            return Err(Error::PlaintextOverflow { slots: shape.slots(shape.rows_per_result), slot_bits, needed_bits, available_bits });
        }
        Ok(Self { shape: Shape { slot_bits, ..shape }, ..layout })
    }

    /// About how long an image takes on [`PARTS`] cores, in products of full lanes, apart from the decryption, which is the same for every layout with at most
    /// eight results. An encryption by tables is about bits/32 products (two half-size ones for every 8 bits of a prime). A part of the evaluation takes a product
    /// for each of its weights, and the chains, whose steps follow one another whatever the lanes hold besides.
    fn cost(&self, key_bits: u32) -> usize {
        let encryptions = self.ciphertexts().div_ceil(PARTS * LANES) * key_bits.div_ceil(32) as usize;
        let chain = |rows: usize| (rows * self.shape.inputs_per_ciphertext - 1) * self.shape.slot_bits as usize;
        let longest = (0..self.results()).map(|result| chain(self.rows_of(result).len())).max().unwrap_or(0);
        let squares: usize = (0..self.results()).map(|result| chain(self.rows_of(result).len())).sum();
        let results = self.results().div_ceil(LANES) * key_bits.div_ceil(8) as usize;
        encryptions + longest.max((self.rows * self.width + squares) / (PARTS * LANES)) + results
    }

    /// Inputs of one ciphertext.
    #[must_use]
    pub fn inputs_per_ciphertext(&self) -> usize {
        self.shape.inputs_per_ciphertext
    }

    /// Bits from one slot to the next.
    #[must_use]
    pub fn slot_bits(&self) -> u32 {
        self.shape.slot_bits
    }

    /// Bits that hold every row and every input, sign included.
    #[must_use]
    pub fn result_bits(&self) -> u32 {
        self.result_bits
    }

    /// Ciphertexts of one image.
    #[must_use]
    pub fn ciphertexts(&self) -> usize {
        self.shape.ciphertexts(self.width + 1)
    }

    /// Result ciphertexts of one image.
    #[must_use]
    pub fn results(&self) -> usize {
        self.blocks().map(|block| self.shape.results(block.len())).sum()
    }

    /// Inputs and rows as the planner takes them.
    #[must_use]
    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// The rows of each part. Results do not reach over the end of a part.
    fn blocks(&self) -> impl Iterator<Item = Range<usize>> + use<> {
        let rows = self.rows;
        let size = rows.div_ceil(PARTS).max(1);
        (0..rows).step_by(size).map(move |first| first..rows.min(first + size))
    }

    /// Rows of one result.
    fn rows_of(&self, result: usize) -> Range<usize> {
        let per_result = self.shape.rows_per_result;
        let mut groups = self.blocks().flat_map(|block| block.clone().step_by(per_result).map(move |first| first..block.end.min(first + per_result)));
        groups.nth(result).unwrap_or(0..0)
    }

    /// The runs of slots of one result that hold no row, as the first bit of each. Each has d - 1 slots.
    fn runs(&self, result: usize) -> impl Iterator<Item = u32> {
        let d = self.shape.inputs_per_ciphertext;
        let runs = if d > 1 { self.rows_of(result).len() + 1 } else { 0 };
        let slot_bits = self.shape.slot_bits;
        (0..runs).map(move |run| (run * d) as u32 * slot_bits)
    }

    fn run_bits(&self) -> u32 {
        (self.shape.inputs_per_ciphertext - 1) as u32 * self.shape.slot_bits
    }

    /// The weights that the server multiplies by: non-negative, one more column for the offset of each row.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] when a weight and its offset together leave 31 bits.
    pub(super) fn weights(&self, map: &LinearMap) -> Result<Weights> {
        let weights = map.weights();
        let mut values = Vec::with_capacity(weights.rows() * (weights.cols() + 1));
        for row in (0..weights.rows()).map(|row| weights.row(row)) {
            let offset = i64::from(row.iter().copied().min().unwrap_or(0).min(0));
            for weight in row.iter().map(|&w| i64::from(w)).chain([0]) {
                let weight = weight - offset;
                values.push(i32::try_from(weight).map_err(|_| Error::OutOfRange {
                    what: "weight with its offset",
                    value: weight.to_string(),
                    allowed: format!("up to {}", i32::MAX),
                })?);
            }
        }
        Weights::new(weights.rows(), weights.cols() + 1, values)
    }

    /// [`Convolution::weights`] part by part.
    ///
    /// # Errors
    /// As [`Convolution::weights`].
    pub(super) fn parts(&self, map: &LinearMap) -> Result<Vec<Weights>> {
        let weights = self.weights(map)?;
        let part = |block: Range<usize>| Weights::new(block.len(), weights.cols(), block.flat_map(|row| weights.row(row)).copied().collect());
        self.blocks().map(part).collect()
    }

    /// Largest absolute value of a slot that holds no row, over all inputs in range and all results.
    fn other_sums(&self, map: &LinearMap) -> Result<u128> {
        let d = self.shape.inputs_per_ciphertext;
        let weights = self.weights(map)?;
        let most = i128::from(map.input_max());
        // Bounds of the inputs: 0 to the largest, and for the last one minus their sum.
        let range = |at: usize| if at < self.width { (0, most) } else { (-most * self.width as i128, 0) };
        let mut worst = 0u128;
        for result in 0..self.results() {
            let rows = self.rows_of(result);
            let mut slots = vec![(0i128, 0i128); self.shape.slots(rows.len())];
            for row in rows.clone() {
                for (group, group_weights) in weights.row(row).chunks(d).enumerate() {
                    for k in 0..group_weights.len() {
                        let (low, high) = range(group * d + k);
                        for (place, &weight) in group_weights.iter().enumerate() {
                            let slot = &mut slots[(row - rows.start) * d + d - 1 - place + k];
                            slot.0 += low * i128::from(weight);
                            slot.1 += high * i128::from(weight);
                        }
                    }
                }
            }
            let others = slots.iter().enumerate().filter(|(slot, _)| slot % d != d - 1);
            worst = others.map(|(_, &(low, high))| low.unsigned_abs().max(high.unsigned_abs())).fold(worst, u128::max);
        }
        Ok(worst)
    }

    /// What the server adds to each result of an image.
    ///
    /// # Errors
    /// As [`Convolution::weights`].
    pub(super) fn messages(&self, map: &LinearMap) -> Result<Vec<Message>> {
        let slot_bits = self.shape.slot_bits;
        let sum = Integer::from(self.other_sums(map)?);
        let run = (1..self.shape.inputs_per_ciphertext).fold(Integer::new(), |run, _| (run << slot_bits) + &sum);
        // The masked run stays in its bits as a balanced digit.
        let limit = (Integer::from(1) << self.run_bits().saturating_sub(1)) - 1u32 - run;
        Ok((0..self.results())
            .map(|result| {
                let rows = self.rows_of(result);
                let first = rows.start;
                let bias =
                    rows.fold(Integer::new(), |sum, row| sum + (Integer::from(map.bias()[row]) << (self.shape.slot(row - first) as u32 * slot_bits)));
                Message { bias, masks: self.runs(result).map(|shift| (shift, limit.clone())).collect() }
            })
            .collect())
    }

    /// The plaintexts of images, image after image.
    #[must_use]
    pub fn pack(&self, inputs: &Inputs<'_>) -> Vec<Integer> {
        let pack_image = |image: &[u16]| -> Vec<Integer> {
            let sum: i64 = image.iter().map(|&x| i64::from(x)).sum();
            let values: Vec<i64> = image.iter().map(|&x| i64::from(x)).chain([-sum]).collect();
            let pack = |values: &[i64]| values.iter().rev().fold(Integer::new(), |packed, &x| (packed << self.shape.slot_bits) + x);
            values.chunks(self.shape.inputs_per_ciphertext).map(pack).collect()
        };
        (0..inputs.images()).flat_map(|image| pack_image(inputs.image(image))).collect()
    }

    /// The rows of `images` images, image after image, from the plaintexts of their results.
    ///
    /// # Errors
    /// [`Error::Size`] unless there is one plaintext for every image and result, [`Error::Decryption`] when a row leaves its worst case or something is left
    /// above the top slot: a wrong key, a fault or a forged result.
    pub fn unpack(&self, plaintexts: &[Integer], images: usize) -> Result<Vec<i64>> {
        let expected = images * self.results();
        if plaintexts.len() != expected {
            return Err(Error::Size { what: "plaintexts of the results", expected, actual: plaintexts.len() });
        }
        let mut results = Vec::with_capacity(images * self.rows);
        for (index, plaintext) in plaintexts.iter().enumerate() {
            let mut rest = plaintext.clone();
            for _ in self.rows_of(index % self.results()) {
                take_digit(&mut rest, self.run_bits());
                let row = take_digit(&mut rest, self.shape.slot_bits);
                let half = 1i64 << (self.result_bits - 1);
                let row = row.to_i64().filter(|row| (-half..half).contains(row));
                results.push(row.ok_or_else(|| Error::Decryption { index, reason: format!("a row of more than {} bits", self.result_bits) })?);
            }
            take_digit(&mut rest, self.run_bits());
            if rest != 0 {
                let reason = format!("{} bits where the slots end at {}", plaintext.significant_bits(), self.shape.slots(self.rows) as u32);
                return Err(Error::Decryption { index, reason });
            }
        }
        Ok(results)
    }
}

/// Bits of the magnitude.
fn magnitude_bits(value: u128) -> u32 {
    u128::BITS - value.leading_zeros()
}

/// Takes the lowest balanced digit, in [-2^(bits-1), 2^(bits-1)), off `rest`. 0 bits are the digit 0.
fn take_digit(rest: &mut Integer, bits: u32) -> Integer {
    let mut digit = rest.clone().keep_bits(bits);
    if bits > 0 && digit.get_bit(bits - 1) {
        digit -= Integer::from(1) << bits;
    }
    *rest -= &digit;
    *rest >>= bits;
    digit
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Op;
    use crate::randomness::{Purpose, Tape};
    use proptest::prelude::*;

    const KEY_BITS: u32 = 2048;

    fn map(rows: usize, cols: usize, weights: &[i32], bias: i64, input_max: u16) -> LinearMap {
        LinearMap::new(Weights::new(rows, cols, weights[..rows * cols].to_vec()).unwrap(), vec![bias; rows], input_max).unwrap()
    }

    /// What the server computes, on numbers in place of ciphertexts; masks from stream `index` where wanted.
    fn apply(layout: &Convolution, map: &LinearMap, image: &[u16], masks: Option<u64>) -> Vec<Integer> {
        let packed = layout.pack(&Inputs::new(image, image.len()).unwrap());
        assert_eq!(packed.len(), layout.ciphertexts());
        let limit = Integer::from(1) << (KEY_BITS - 2);
        assert!(packed.iter().all(|v| v.clone().abs() < limit));
        let mut products = Vec::new();
        for part in layout.parts(map).unwrap() {
            let plan = crate::plan::convolution::plan(&part, layout.shape(), None).unwrap();
            let mut values = packed.clone();
            values.resize(plan.program.inputs() + plan.program.slots(), Integer::new());
            for &op in plan.program.ops() {
                values[op.dst() as usize] = match op {
                    Op::Mul { a, b, .. } => Integer::from(&values[a as usize] + &values[b as usize]),
                    Op::Sqr { a, .. } => Integer::from(&values[a as usize] * 2),
                    Op::MulTable { .. } => unreachable!(),
                };
            }
            let outputs = plan.program.outputs();
            products.extend(plan.rows.iter().map(|row| row.positive.map_or_else(Integer::new, |o| values[outputs[o] as usize].clone())));
        }
        let messages = layout.messages(map).unwrap();
        assert_eq!((products.len(), messages.len()), (layout.results(), layout.results()));
        let results: Vec<Integer> = products
            .into_iter()
            .zip(&messages)
            .enumerate()
            .map(|(i, (product, message))| {
                product
                    + match masks {
                        Some(index) => message.draw(&mut Tape::replayable(index).stream(Purpose::Masking, i as u64)),
                        None => message.bias.clone(),
                    }
            })
            .collect();
        assert!(results.iter().all(|v| v.clone().abs() < limit));
        results
    }

    fn check(layout: &Convolution, map: &LinearMap, image: &[u16]) {
        for masks in [None, Some(1), Some(2)] {
            let results = apply(layout, map, image, masks);
            assert_eq!(layout.unpack(&results, 1).unwrap(), map.apply(image), "{layout:?} {masks:?}");
        }
    }

    proptest! {
        #[test]
        fn rows_equal_the_integers(
            rows in 1usize..6, cols in 1usize..30, at in 0usize..6, bias in -100_000i64..100_000,
            seed in proptest::collection::vec((-128i32..=127, 0u16..=255), 150),
        ) {
            let weights: Vec<i32> = seed.iter().map(|&(w, _)| w).collect();
            let image: Vec<u16> = seed[..cols].iter().map(|&(_, x)| x).collect();
            let map = map(rows, cols, &weights, bias, 255);
            let layout = Convolution::new(KEY_BITS, &map, Some([1, 2, 3, 4, 6, 8][at].min(cols))).unwrap();
            check(&layout, &map, &image);
        }
    }

    #[test]
    fn extremes_stay_in_their_slots() {
        for d in [1, 2, 3, 4, 6, 8] {
            for (low, high) in [(-127, 127), (127, 127), (-127, -127), (-128, 0), (0, 0), (1, 1)] {
                let weights: Vec<i32> = (0..3 * 100).map(|i| if i % 2 == 0 { low } else { high }).collect();
                let map = map(3, 100, &weights, -77, 255);
                let layout = Convolution::new(KEY_BITS, &map, Some(d)).unwrap();
                for image in [[255; 100], [0; 100], std::array::from_fn(|i| if i % 2 == 0 { 255 } else { 0 })] {
                    check(&layout, &map, &image);
                }
            }
        }
    }

    #[test]
    fn slots_fit_the_key_or_are_refused() {
        let map = map(3, 40, &(0..120).map(|i| i % 255 - 127).collect::<Vec<_>>(), 5, 255);
        let slot_bits = Convolution::new(KEY_BITS, &map, Some(4)).unwrap().slot_bits();
        // Two rows need 3 d - 1 slots, one row 2 d - 1 of them, a little narrower as there are more results to mask.
        let two = Convolution::new(11 * slot_bits + 2, &map, Some(4)).unwrap();
        assert_eq!((two.results(), two.slot_bits()), (2, slot_bits));
        assert_eq!(Convolution::new(11 * slot_bits + 1, &map, Some(4)).unwrap().results(), 3);
        let one_bits = Convolution::with_shape(KEY_BITS, &map, 4, 1).unwrap().slot_bits();
        assert!(Convolution::new(7 * one_bits + 2, &map, Some(4)).is_ok());
        let refused = Convolution::new(7 * one_bits + 1, &map, Some(4));
        assert!(matches!(refused, Err(Error::PlaintextOverflow { slots: 7, .. })), "{refused:?}");
        assert!(Convolution::new(20, &map, None).is_err());
        assert!(Convolution::new(KEY_BITS, &map, Some(0)).is_err() && Convolution::new(KEY_BITS, &map, Some(41)).is_err());
    }

    #[test]
    fn mnist_takes_99_ciphertexts_and_5_results() {
        let map = map(10, 784, &(0..7840).map(|i| i % 255 - 127).collect::<Vec<_>>(), 0, 255);
        let layout = Convolution::new(KEY_BITS, &map, None).unwrap();
        assert_eq!((layout.inputs_per_ciphertext(), layout.ciphertexts(), layout.results()), (8, 99, 5), "{layout:?}");
    }

    #[test]
    fn masks_hide_the_other_sums() {
        // Two models with the same rows on this image.
        let image = [255, 255, 7, 9, 255, 255];
        let maps = [[1, 2, 3, -4, 5, 6], [2, 1, 3, -4, 6, 5]].map(|weights| map(1, 6, &weights, 3, 255));
        let layouts = maps.clone().map(|map| Convolution::new(KEY_BITS, &map, Some(3)).unwrap());
        assert_eq!(layouts[0], layouts[1]);
        let layout = layouts[0];
        assert_eq!(maps[0].apply(&image), maps[1].apply(&image));
        let [first, second] = [0, 1].map(|i| apply(&layout, &maps[i], &image, None));
        assert_ne!(first, second, "without masks the other sums tell the models apart");
        // Every run of other sums moves by at most 2 s of 2 limit + 1 places, and all together by at most 2^-MASK_BITS.
        let messages = layout.messages(&maps[0]).unwrap();
        let sum = Integer::from(layout.other_sums(&maps[0]).unwrap());
        let run = Integer::from(&sum << layout.slot_bits()) + &sum;
        let runs: usize = messages.iter().map(|m| m.masks.len()).sum();
        assert_eq!(runs, 2);
        for (_, limit) in messages.iter().flat_map(|m| &m.masks) {
            assert!((Integer::from(&run * 2) * runs as u32) << MASK_BITS <= Integer::from(limit * 2) + 1u32);
            assert!(Integer::from(limit + &run) < Integer::from(1) << (layout.run_bits() - 1));
        }
        // Drawn masks reach over the whole run: in 2,000 draws the top four bits of each run take all 16 values.
        for shift in layout.runs(0) {
            let mut seen = [0u32; 16];
            for index in 0..2000 {
                let result = apply_masks_only(&messages[0], index) >> shift;
                let top = (result >> (layout.run_bits() - 4)).keep_bits(4);
                seen[top.to_usize().unwrap()] += 1;
            }
            assert!(seen.iter().all(|&count| (60..200).contains(&count)), "{seen:?}");
        }
    }

    fn apply_masks_only(message: &Message, index: u64) -> Integer {
        message.draw(&mut Tape::replayable(3).stream(Purpose::Masking, index))
    }

    #[test]
    fn forged_results_are_refused() {
        let map = map(2, 6, &[1; 12], 0, 255);
        let layout = Convolution::new(KEY_BITS, &map, Some(2)).unwrap();
        let results = apply(&layout, &map, &[9; 6], Some(1));
        assert!(layout.unpack(&results, 1).is_ok());
        assert!(matches!(layout.unpack(&results, 2), Err(Error::Size { .. })));
        let slots = layout.shape().slots(2) as u32 * layout.slot_bits();
        for bit in [slots, KEY_BITS - 2, layout.shape().slot(0) as u32 * layout.slot_bits() + map.result_bits()] {
            let forged = vec![&results[0] + (Integer::from(1) << bit)];
            assert!(matches!(layout.unpack(&forged, 1), Err(Error::Decryption { .. })), "{bit}");
        }
    }
}
