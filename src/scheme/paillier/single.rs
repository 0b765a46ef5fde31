//! One image fast: several inputs of the same image in a ciphertext, several rows of the product in a result.
//!
//! Ciphertext g holds x_(g d) .. x_(g d + d-1), and the product is a convolution ([`crate::plan::convolution`]): row i of a result is slot (i + 1) d - 1, the
//! d - 1 slots below each row and above the last one hold other sums of products of this image's inputs and the weights.
//!
//! **Offset.** The server multiplies by W + o, with one power of two o that is at least every |W|, so that nothing is negative and nothing needs an inverse. A last
//! ciphertext with -(x_0 + .. + x_(w-1)) alone, raised to o, takes o (x_0 + .. + x_(w-1)) out of every row again: rows are exact, without o.
//!
//! **Masks.** The other sums would tell the owner 2 d - 2 more numbers on the weights with every row. Such a sum is K + H with K = o times a sum of inputs, which the
//! owner knows, and H a sum of products of inputs and W, which hides in a mask: the server adds to each run of d - 1 other slots, read as one integer, an integer that
//! is uniform between -L and L. This moves the run's distribution by |H| / (2 L + 1) from that of K + mask, which shows no weights. L depends on public numbers only:
//! S bits of a slot, d, w, o and the largest input. Slots are so wide that for any two models with the same public numbers, the answers of an image but for the
//! rows themselves are within statistical distance 2^-[`MASK_BITS`] of each other:
//!
//! - With h the most that |H| can be in any other slot, a run's |H| is below (h + 1) B^(d-2) with B = 2^S, as the slots under its top one stay below one place of that. Likewise
//!   |K + H| < (t + 1) B^(d-2) for t = 2 o w max x: a slot between two rows has at most w products from both. L = B^(d-1) / 2 - 1 - (t + 1) B^(d-2) keeps the run
//!   within its bits as a balanced digit.
//! - All r runs of an image move by 2 r (h + 1) B^(d-2) / (2 L + 1) < 2 r (h + 1) / (B - 2 t - 5) at most between two models, as H is in [-h, h] for both. So
//!   B >= 2^40 2 r (h + 1) + 2 t + 5 is enough.
//!
//! No mask does with slots much narrower: one that hides 2 h places of the slot below a row within e hides one place of the row, B / (2 h) times as much, within
//! e B / (2 h), but the owner has to see every place of a row. So 2^S is at least about 2 h 2^40 for a single run.

use std::ops::Range;

use crate::error::{Error, Result};
use crate::integer::Integer;
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
    input_max: u16,
    /// o, which makes every weight non-negative.
    offset: u32,
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
                    return Err(Error::range("inputs per ciphertext", &inputs, format!("1 to {width}, the values of an image")));
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
        let shape = Shape { inputs_per_ciphertext, rows_per_result: rows_per_result.min(rows.div_ceil(PARTS)).max(1), slot_bits: 0 };
        let offset = map.weights().max_abs().checked_next_power_of_two().unwrap_or(u32::MAX);
        let layout = Self { shape, width, rows, input_max: map.input_max(), offset, result_bits: map.result_bits() };
        let runs: usize = (0..layout.results()).map(|result| layout.runs(result).count()).sum();
        let masked = match layout.hidden_sums(map) {
            _ if runs == 0 => 0,
            hidden => {
                let moved = (hidden + 1).saturating_mul(2 * runs as u128).saturating_mul(1 << MASK_BITS);
                magnitude_bits(moved.saturating_add(2 * layout.largest_sum() + 4))
            }
        };
        let slot_bits = map.result_bits().max(masked);
        let needed_bits = (shape.slots(shape.rows_per_result) as u64).saturating_mul(slot_bits.into());
        let available_bits = key_bits.saturating_sub(2);
        if needed_bits > u64::from(available_bits) {
            let needed_bits = u32::try_from(needed_bits).unwrap_or(u32::MAX);
            return Err(Error::PlaintextOverflow { slots: shape.slots(shape.rows_per_result), slot_bits, needed_bits, available_bits });
        }
        Ok(Self { shape: Shape { slot_bits, ..shape }, ..layout })
    }

    /// About how long an image takes on [`PARTS`] cores, in products of full lanes. An encryption by tables is about bits/40 of them (two half-size ones for every
    /// 10 bits of a prime). A part of the evaluation takes a product for each of its weights and the squares of its chains, but no less than its longest chain,
    /// whose steps follow one another whatever the lanes hold besides. Eight results or fewer decrypt together.
    fn cost(&self, key_bits: u32) -> usize {
        let encryptions = self.ciphertexts().div_ceil(PARTS * LANES) * key_bits.div_ceil(40) as usize;
        let chain = |rows: usize| (rows * self.shape.inputs_per_ciphertext - 1) * self.shape.slot_bits as usize;
        let chains = || (0..self.results()).map(|result| chain(self.rows_of(result).len()));
        let products = (self.rows * self.width + chains().sum::<usize>()) / (PARTS * LANES);
        let decryptions = self.results().div_ceil(LANES) * key_bits.div_ceil(8) as usize;
        encryptions + products.max(chains().max().unwrap_or(0)) + decryptions
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

    /// Ciphertexts of one image, that of the sum included.
    #[must_use]
    pub fn ciphertexts(&self) -> usize {
        self.shape.ciphertexts(self.width) + 1
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

    /// The weights that the server multiplies by: non-negative, with one more column for the sum, the first of a ciphertext of its own.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] when a weight and the offset together leave 31 bits.
    pub(super) fn weights(&self, map: &LinearMap) -> Result<Weights> {
        let weights = map.weights();
        let unused = self.width.next_multiple_of(self.shape.inputs_per_ciphertext) - self.width;
        let raise = |weight: i64| {
            let raised = weight + i64::from(self.offset);
            let out_of_range = || Error::range("weight with the offset", &raised, format!("up to {}", i32::MAX));
            i32::try_from(raised).map_err(|_| out_of_range())
        };
        let mut values = Vec::with_capacity(weights.rows() * (self.width + unused + 1));
        for row in 0..weights.rows() {
            for &weight in weights.row(row) {
                values.push(raise(weight.into())?);
            }
            values.extend(std::iter::repeat_n(0, unused));
            values.push(raise(0)?);
        }
        Weights::new(weights.rows(), self.width + unused + 1, values)
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

    /// h: the most that the weights, without their offset, add to or take from a slot that holds no row.
    fn hidden_sums(&self, map: &LinearMap) -> u128 {
        let (d, weights) = (self.shape.inputs_per_ciphertext, map.weights());
        let mut worst = 0;
        for rows in (0..self.results()).map(|result| self.rows_of(result)) {
            // Sums of the positive and of the negative weights that meet an input in each slot.
            let mut slots = vec![[0u128; 2]; self.shape.slots(rows.len())];
            for row in rows.clone() {
                for group in weights.row(row).chunks(d) {
                    for (place, &weight) in group.iter().enumerate() {
                        for k in 0..group.len() {
                            let slot = (row - rows.start) * d + d - 1 - place + k;
                            slots[slot][usize::from(weight < 0)] += u128::from(weight.unsigned_abs());
                        }
                    }
                }
            }
            let others = slots.iter().enumerate().filter(|(slot, _)| slot % d != d - 1);
            worst = others.flat_map(|(_, sums)| sums).fold(worst, |worst, &sum| worst.max(sum));
        }
        worst * u128::from(self.input_max)
    }

    /// t: more than any slot without a row can hold, whatever the weights are.
    fn largest_sum(&self) -> u128 {
        2 * u128::from(self.offset) * self.width as u128 * u128::from(self.input_max)
    }

    /// L: the largest mask of a run.
    fn mask_limit(&self) -> Integer {
        let top_slot = self.run_bits().saturating_sub(self.shape.slot_bits);
        let run = Integer::from(self.largest_sum() + 1) << top_slot;
        (Integer::from(1) << self.run_bits().saturating_sub(1)) - 1u32 - run
    }

    /// What the server adds to each result of an image.
    pub(super) fn messages(&self, map: &LinearMap) -> Vec<Message> {
        let (slot_bits, limit) = (self.shape.slot_bits, self.mask_limit());
        let message = |result| {
            let rows = self.rows_of(result);
            let first = rows.start;
            let bias =
                rows.fold(Integer::new(), |sum, row| sum + (Integer::from(map.bias()[row]) << (self.shape.slot(row - first) as u32 * slot_bits)));
            Message { bias, masks: self.runs(result).map(|shift| (shift, limit.clone())).collect() }
        };
        (0..self.results()).map(message).collect()
    }

    /// The plaintexts of images, image after image.
    #[must_use]
    pub fn pack(&self, inputs: &Inputs<'_>) -> Vec<Integer> {
        let slot_bits = self.shape.slot_bits;
        let pack = |values: &[u16]| values.iter().rev().fold(Integer::new(), |packed, &x| (packed << slot_bits) + x);
        let pack_image = |image: &[u16]| -> Vec<Integer> {
            let sum: u64 = image.iter().map(|&x| u64::from(x)).sum();
            image.chunks(self.shape.inputs_per_ciphertext).map(pack).chain([-Integer::from(sum)]).collect()
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
            return Err(Error::size("plaintexts of the results", expected, plaintexts.len()));
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
                let end = self.shape.slots(self.rows_of(index % self.results()).len()) as u32 * self.shape.slot_bits;
                let reason = format!("{} bits where the slots end at {end}", plaintext.significant_bits());
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
        let messages = layout.messages(map);
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

    /// All weights from -2 to 2 and all inputs up to 2 of a small map: rows are exact, and what masks have to hide stays within its bound and reaches it.
    #[test]
    fn the_bound_of_hidden_sums_is_exact() {
        let images: Vec<[u16; 3]> = (0..27).map(|i| [i % 3, i / 3 % 3, i / 9]).collect();
        for number in 1..125 {
            let weights = [number % 5 - 2, number / 5 % 5 - 2, number / 25 - 2];
            let map = map(1, 3, &weights, 1, 2);
            let layout = Convolution::new(KEY_BITS, &map, Some(3)).unwrap();
            // The same offset without weights: the part of each slot that the owner knows.
            let known = LinearMap::new(Weights::new(1, 3, vec![0; 3]).unwrap(), vec![1], 2).unwrap();
            let mut most = 0;
            for image in &images {
                check(&layout, &map, image);
                let mut hidden = Integer::from(&apply(&layout, &map, image, None)[0] - &apply(&layout, &known, image, None)[0]);
                for slot in 0..layout.shape().slots(1) {
                    let sum = take_digit(&mut hidden, layout.slot_bits()).to_i64().unwrap();
                    if slot != layout.shape().slot(0) {
                        most = most.max(u128::from(sum.unsigned_abs()));
                    }
                }
                assert_eq!(hidden, 0);
            }
            assert_eq!(most, layout.hidden_sums(&map), "{weights:?}");
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
    fn mnist_takes_158_ciphertexts_and_6_results() {
        let map = map(10, 784, &(0..7840).map(|i| i % 255 - 127).collect::<Vec<_>>(), 0, 255);
        let layout = Convolution::new(KEY_BITS, &map, None).unwrap();
        assert_eq!((layout.inputs_per_ciphertext(), layout.ciphertexts(), layout.results()), (5, 158, 6), "{layout:?}");
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
        let messages = layout.messages(&maps[0]);
        let sum = Integer::from(layout.hidden_sums(&maps[0]));
        let run = Integer::from(&sum << layout.slot_bits()) + &sum;
        let runs: usize = messages.iter().map(|m| m.masks.len()).sum();
        assert_eq!(runs, 2);
        for (_, limit) in messages.iter().flat_map(|m| &m.masks) {
            assert!((Integer::from(&run * 2) * runs as u32) << MASK_BITS <= Integer::from(limit * 2) + 1u32);
            let filled = Integer::from(layout.largest_sum() + 1) << (layout.run_bits() - layout.slot_bits());
            assert!(Integer::from(limit + &filled) < Integer::from(1) << (layout.run_bits() - 1));
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
        let slots = layout.shape().slots(1) as u32 * layout.slot_bits();
        for bit in [slots, KEY_BITS - 2, layout.shape().slot(0) as u32 * layout.slot_bits() + map.result_bits()] {
            let mut forged = results.clone();
            forged[0] += Integer::from(1) << bit;
            assert!(matches!(layout.unpack(&forged, 1), Err(Error::Decryption { .. })), "{bit}");
        }
    }
}
