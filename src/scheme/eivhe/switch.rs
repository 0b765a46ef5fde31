//! Operations on ciphertexts: sums, and the key switches that everything else is made of.

use rayon::prelude::*;
use zeroize::Zeroizing;

use super::key::Secret;
use super::parameters::{Parameters, Range, digit_count, digit_sum};
use super::product::product;
use crate::error::{Error, Result};
use crate::randomness::{Purpose, Tape};

/// Ciphertexts that share the reading of a matrix.
const TILE: usize = 8;
/// Most bits of a digit.
const MAX_DIGIT_BITS: u32 = 16;
/// Most bytes of a key-switching matrix.
const MAX_BYTES: u128 = 4 << 30;

/// Sums of ciphertexts, entry by entry, modulo q where there is one. Whether they decrypt, [`Parameters::sum`] says.
///
/// # Errors
/// [`Error::Size`] for batches of two sizes.
pub fn add(parameters: &Parameters, a: &[i64], b: &[i64]) -> Result<Vec<i64>> {
    if a.len() != b.len() {
        return Err(Error::size("entries of ciphertexts", a.len(), b.len()));
    }
    Ok(a.iter().zip(b).map(|(&a, &b)| parameters.reduce(a.wrapping_add(b))).collect())
}

/// The matrix M of a switch from some key, given only as the integers that its rows become, to S'. Made by the owner of both keys, applied by the server.
pub struct KeySwitch {
    parameters: Parameters,
    digit_bits: u32,
    /// Digits of each entry of a ciphertext.
    digits: Vec<u32>,
    /// Column after column of M, each of m' + k' entries.
    matrix: Vec<i64>,
    range: Range,
}

/// What goes into a switch: bounds of the entries of ciphertexts, one after the other, and message and noise before the switch.
struct Source<'a> {
    what: &'static str,
    bounds: &'a [u128],
    message: u128,
    noise: u128,
}

impl Source<'_> {
    /// The range of results of a switch with digits of some bits.
    fn range(&self, to: &Parameters, digit_bits: u32) -> Result<Range> {
        let digits: u128 = self.bounds.iter().map(|&bound| digit_sum(bound, digit_bits)).fold(0, u128::saturating_add);
        to.range(self.what, self.message, self.noise.saturating_add(digits.saturating_mul(to.noise.most())), digits)
    }
}

impl KeySwitch {
    /// The switch from G S to S', which is the linear map G on messages: `map` has m' rows of m, and `to` messages of m' entries. `range` is that of the
    /// ciphertexts that will come; `message` the largest magnitude of a result, where that is known to be less than the rows of G allow. `digit_bits` is 1 in the
    /// public programs; none takes the largest digits that still decrypt, which makes the smallest matrix. `number` tells matrices of one tape apart.
    ///
    /// # Errors
    /// [`Error::Size`]; [`Error::Noise`] and [`Error::OutOfRange`] when results would not decrypt for every ciphertext of the range, or the matrix is larger than 4 GiB.
    #[allow(clippy::too_many_arguments, reason = "two keys, a map and its bounds")]
    pub fn linear(
        from: &Secret,
        to: &Secret,
        map: &[i64],
        range: Range,
        message: Option<u128>,
        digit_bits: Option<u32>,
        tape: &Tape,
        number: u64,
    ) -> Result<Self> {
        let (source, target) = (from.parameters(), to.parameters());
        let (m, k, rows) = (source.dimension, source.key_columns, target.dimension);
        same_scale(source, target)?;
        if map.len() != rows * m {
            return Err(Error::size("entries of the map", rows * m, map.len()));
        }
        let (message, noise) = mapped(map, m, range, message);
        let bounds: Vec<u128> = (0..m + k).map(|i| if i < m { range.upper } else { range.lower }).collect();
        let keyed = Zeroizing::new(product(map, m, &from.rows(), k));
        let mut key = Zeroizing::new(Vec::with_capacity(rows * (m + k)));
        for row in 0..rows {
            key.extend_from_slice(&map[row * m..(row + 1) * m]);
            key.extend_from_slice(&keyed[row * k..(row + 1) * k]);
        }
        Self::new(to, &key, &Source { what: "a linear map", bounds: &bounds, message, noise }, digit_bits, tape, number)
    }

    /// The switch from a key of m' rows, row after row.
    fn new(to: &Secret, key: &[i64], source: &Source<'_>, digit_bits: Option<u32>, tape: &Tape, number: u64) -> Result<Self> {
        let parameters = *to.parameters();
        let candidates = match digit_bits {
            Some(bits) => bits..=bits,
            None => 1..=MAX_DIGIT_BITS,
        };
        let mut last = Err(Error::range("bits of a digit", &format!("{digit_bits:?}"), format!("1 to {MAX_DIGIT_BITS}")));
        for bits in candidates.rev().filter(|bits| (1..=MAX_DIGIT_BITS).contains(bits)) {
            last = source.range(&parameters, bits).map(|range| (bits, range));
            if last.is_ok() {
                break;
            }
        }
        let (digit_bits, range) = last?;
        let digits: Vec<u32> = source.bounds.iter().map(|&bound| digit_count(bound, digit_bits)).collect();
        let (m, k, width, entries) = (parameters.dimension, parameters.key_columns, parameters.width(), source.bounds.len());
        let columns: usize = digits.iter().map(|&d| d as usize).sum();
        let bytes = columns as u128 * width as u128 * 8;
        if bytes > MAX_BYTES {
            return Err(Error::range("bytes of the key-switching matrix", &bytes, format!("{MAX_BYTES} and fewer")));
        }
        let places: Vec<(usize, u32)> =
            digits.iter().enumerate().flat_map(|(entry, &count)| (0..count).map(move |d| (entry, d * digit_bits))).collect();
        let t = to.rows();
        let mut matrix = vec![0; columns * width];
        matrix.par_chunks_exact_mut(width).zip(&places).enumerate().for_each(|(at, (column, &(entry, shift)))| {
            let mut stream = tape.stream(Purpose::KeySwitch, (number + 1) << 33 | at as u64);
            let (upper, lower) = column.split_at_mut(m);
            lower.iter_mut().for_each(|a| *a = parameters.mask.sample(parameters.modulus_bits, &mut stream));
            for (row, (upper, t)) in upper.iter_mut().zip(t.chunks_exact(k)).enumerate() {
                let masked = t.iter().zip(&*lower).fold(0i64, |sum, (t, a)| sum.wrapping_add(t.wrapping_mul(*a)));
                // Modulo 2^64, which q divides; over the integers the product with digits that are 0 from some place on is in range all the same.
                let power = key[row * entries + entry].wrapping_shl(shift) * i64::from(shift < 64);
                *upper = parameters.reduce(power.wrapping_add(parameters.noise.sample(None, &mut stream)).wrapping_sub(masked));
            }
        });
        Ok(Self { parameters, digit_bits, digits, matrix, range })
    }

    /// The range of its results.
    #[must_use]
    pub fn range(&self) -> Range {
        self.range
    }

    /// Columns of M, one per digit of a ciphertext.
    #[must_use]
    pub fn columns(&self) -> usize {
        self.matrix.len() / self.parameters.width()
    }

    /// Bytes of M, entries rounded up to whole bytes.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.matrix.len() as u64 * u64::from(self.parameters.modulus_bits.unwrap_or(64).div_ceil(8))
    }

    /// c' = M c* of some ciphertexts, one after the other. Input: ciphertexts within the range that the switch was made for. Running time depends on the
    /// digits of ciphertexts, which are public.
    ///
    /// # Errors
    /// [`Error::Size`]; [`Error::InvalidCiphertext`] for an entry with more digits than the range allows.
    pub fn apply(&self, ciphertexts: &[i64]) -> Result<Vec<i64>> {
        let (entries, width) = (self.digits.len(), self.parameters.width());
        let count = Parameters::count("entries of ciphertexts", ciphertexts, entries)?;
        let fits = |c: &i64, digits: u32| digit_count(u128::from(c.unsigned_abs()), self.digit_bits) <= digits;
        if let Some(at) = ciphertexts.par_iter().enumerate().find_map_first(|(at, c)| (!fits(c, self.digits[at % entries])).then_some(at)) {
            let reason = format!("entry {} is {}, which has more than {} digits", at % entries, ciphertexts[at], self.digits[at % entries]);
            return Err(Error::InvalidCiphertext { index: at / entries, reason });
        }
        // As many tiles as keep all threads busy.
        let tile = count.div_ceil(rayon::current_num_threads()).clamp(1, TILE);
        let mut results = vec![0i64; count * width];
        results.par_chunks_mut(tile * width).zip(ciphertexts.par_chunks(tile * entries)).for_each(|(results, ciphertexts)| {
            let mut columns = self.matrix.chunks_exact(width);
            for (entry, &digits) in self.digits.iter().enumerate() {
                for (place, column) in (0..digits).zip(&mut columns) {
                    for (result, ciphertext) in results.chunks_exact_mut(width).zip(ciphertexts.chunks_exact(entries)) {
                        let value = ciphertext[entry];
                        let digit = (value.unsigned_abs() >> (place * self.digit_bits) & ((1 << self.digit_bits) - 1)) as i64 * value.signum();
                        match digit {
                            0 => {}
                            1 => result.iter_mut().zip(column).for_each(|(r, &m)| *r = r.wrapping_add(m)),
                            -1 => result.iter_mut().zip(column).for_each(|(r, &m)| *r = r.wrapping_sub(m)),
                            _ => result.iter_mut().zip(column).for_each(|(r, &m)| *r = r.wrapping_add(m.wrapping_mul(digit))),
                        }
                    }
                }
            }
            results.iter_mut().for_each(|r| *r = self.parameters.reduce(*r));
        });
        Ok(results)
    }
}

/// Message and noise after a linear map: rows of G by their sums of magnitudes.
fn mapped(map: &[i64], inputs: usize, range: Range, message: Option<u128>) -> (u128, u128) {
    let norm = map.chunks_exact(inputs).map(|row| row.iter().map(|w| u128::from(w.unsigned_abs())).sum::<u128>()).max().unwrap_or(0);
    let most = norm.saturating_mul(range.message);
    (message.map_or(most, |known| known.min(most)), norm.saturating_mul(range.noise))
}

fn same_scale(a: &Parameters, b: &Parameters) -> Result<()> {
    let of = |p: &Parameters| (p.scale_bits, p.modulus_bits);
    if of(a) == of(b) {
        return Ok(());
    }
    Err(Error::InvalidKey { reason: format!("bits of w and q are {:?} before the switch and {:?} after it", of(a), of(b)) })
}

/// A linear map without a key switch: for S = \[I, T\], G times the first m entries of c, beside the last k, is a ciphertext of G x under \[I, G T\], which its owner
/// knows. It adds no noise, needs no matrix and is ours; G must be known to whoever decrypts, as it must be to make a [`KeySwitch`].
pub struct Direct {
    from: Parameters,
    map: Vec<i64>,
    rows: usize,
    range: Range,
}

impl Direct {
    /// The map, with `rows` rows of m, and the key of its results. Arguments as for [`KeySwitch::linear`].
    ///
    /// # Errors
    /// [`Error::Size`]; [`Error::Noise`] and [`Error::OutOfRange`] when results would not decrypt for every ciphertext of the range.
    pub fn new(from: &Secret, map: Vec<i64>, rows: usize, range: Range, message: Option<u128>) -> Result<(Self, Secret)> {
        let source = *from.parameters();
        if map.len() != rows * source.dimension || rows == 0 {
            return Err(Error::size("entries of the map", rows.max(1) * source.dimension, map.len()));
        }
        let norm = map.chunks_exact(source.dimension).map(|row| row.iter().map(|w| u128::from(w.unsigned_abs())).sum::<u128>()).max().unwrap_or(0);
        let (message, noise) = mapped(&map, source.dimension, range, message);
        let upper = if source.modulus_bits.is_some() { range.upper } else { range.upper.saturating_mul(norm) };
        let range = source.checked("a linear map", Range { message, noise, upper, lower: range.lower })?;
        let secret = from.mapped(&map, rows);
        Ok((Self { from: source, map, rows, range }, secret))
    }

    /// The range of its results.
    #[must_use]
    pub fn range(&self) -> Range {
        self.range
    }

    /// Results of some ciphertexts, one after the other: m' + k entries each.
    ///
    /// # Errors
    /// [`Error::Size`].
    pub fn apply(&self, ciphertexts: &[i64]) -> Result<Vec<i64>> {
        let (m, width) = (self.from.dimension, self.from.width());
        let count = Parameters::count("entries of ciphertexts", ciphertexts, width)?;
        let out = self.rows + self.from.key_columns;
        let mut results = vec![0i64; count * out];
        results.par_chunks_exact_mut(out).zip(ciphertexts.par_chunks_exact(width)).for_each(|(result, ciphertext)| {
            let (upper, lower) = ciphertext.split_at(m);
            for (result, row) in result.iter_mut().zip(self.map.chunks_exact(m)) {
                *result = self.from.reduce(row.iter().zip(upper).fold(0i64, |sum, (g, c)| sum.wrapping_add(g.wrapping_mul(*c))));
            }
            result[self.rows..].copy_from_slice(lower);
        });
        Ok(results)
    }
}

/// Weighted inner products x^T H_j x' of two encrypted vectors: the server rounds all products of an entry of c by one of c' divided by w, and switches from
/// vec(S^T H_j S) to S''. Over the integers only.
pub struct InnerProduct {
    source: Parameters,
    switch: KeySwitch,
}

impl InnerProduct {
    /// `forms` are m'' matrices H_j of m x m, row by row; `to` has messages of m'' entries. `ranges` are those of both factors. Other arguments as for
    /// [`KeySwitch::linear`].
    ///
    /// # Errors
    /// As [`KeySwitch::linear`]; [`Error::Unsupported`] modulo q, where rounding would have to know the multiple of q in S c, and (m + k)^2 entries of a key with thousands
    /// of columns would need a matrix of terabytes.
    #[allow(clippy::too_many_arguments, reason = "two keys, forms and their bounds")]
    pub fn new(
        from: &Secret,
        to: &Secret,
        forms: &[i64],
        ranges: [Range; 2],
        message: Option<u128>,
        digit_bits: Option<u32>,
        tape: &Tape,
        number: u64,
    ) -> Result<Self> {
        let (source, target) = (*from.parameters(), to.parameters());
        same_scale(&source, target)?;
        if source.modulus_bits.is_some() {
            return Err(Error::unsupported("integer-vector encryption modulo q", "inner products"));
        }
        let (m, k, width) = (source.dimension, source.key_columns, source.width());
        if forms.len() != target.dimension * m * m {
            return Err(Error::size("entries of the forms", target.dimension * m * m, forms.len()));
        }
        let [a, b] = ranges;
        let norm = forms.chunks_exact(m * m).map(|form| form.iter().map(|h| u128::from(h.unsigned_abs())).sum::<u128>()).max().unwrap_or(0);
        let most = norm.saturating_mul(a.message.saturating_mul(b.message));
        let cross = a.message.saturating_mul(b.noise).saturating_add(b.message.saturating_mul(a.noise));
        let noises = a.noise.saturating_mul(b.noise).div_ceil(1 << source.scale_bits);
        // Each rounding is off by half a unit, and a row of S has magnitudes of at most 1 + k t in sum.
        let row = source.key.most().saturating_mul(k as u128).saturating_add(1);
        let rounding = row.saturating_mul(row).saturating_add(1) / 2;
        let noise = norm.saturating_mul(cross.saturating_add(noises).saturating_add(rounding));
        let bound = |range: Range, i: usize| if i < m { range.upper } else { range.lower };
        let pair = |i: usize, j: usize| (bound(a, i).saturating_mul(bound(b, j)) >> source.scale_bits).saturating_add(1);
        let bounds: Vec<u128> = (0..width * width).map(|at| pair(at / width, at % width)).collect();
        if let Some(bits) = bounds.iter().max().map(|bound| 128 - bound.leading_zeros()).filter(|&bits| bits > 63) {
            let allowed = "63 and fewer, those of i64";
            return Err(Error::range("bits of a product of entries divided by w", &bits, allowed));
        }
        let t = from.rows();
        let s = Zeroizing::new(
            (0..m * width)
                .map(|at| match at % width {
                    j if j < m => i64::from(j == at / width),
                    j => t[at / width * k + j - m],
                })
                .collect::<Vec<i64>>(),
        );
        let transposed = Zeroizing::new((0..m * width).map(|at| s[at % m * width + at / m]).collect::<Vec<i64>>());
        let mut key = Zeroizing::new(Vec::with_capacity(target.dimension * width * width));
        for form in forms.chunks_exact(m * m) {
            let half = Zeroizing::new(product(&transposed, m, form, m));
            key.extend_from_slice(&product(&half, m, &s, width));
        }
        let message = message.map_or(most, |known| known.min(most));
        let switch = KeySwitch::new(to, &key, &Source { what: "an inner product", bounds: &bounds, message, noise }, digit_bits, tape, number)?;
        Ok(Self { source, switch })
    }

    /// Results for pairs of ciphertexts, the first of both batches and so on.
    ///
    /// # Errors
    /// [`Error::Size`]; as [`KeySwitch::apply`].
    pub fn apply(&self, a: &[i64], b: &[i64]) -> Result<Vec<i64>> {
        let width = self.source.width();
        Parameters::count("entries of ciphertexts", a, width)?;
        if a.len() != b.len() {
            return Err(Error::size("entries of ciphertexts", a.len(), b.len()));
        }
        let half = 1i128 << (self.source.scale_bits - 1);
        let products = |(a, b): (&[i64], &[i64])| {
            let round = |a: i64, b: i64| (i128::from(a) * i128::from(b) + half) >> self.source.scale_bits;
            a.iter().flat_map(|&a| b.iter().map(move |&b| round(a, b) as i64)).collect::<Vec<_>>()
        };
        let mut results = Vec::new();
        // A few at a time, as each has (m + k)^2 entries.
        for (a, b) in a.chunks(64 * width).zip(b.chunks(64 * width)) {
            let pairs: Vec<i64> = a.par_chunks_exact(width).zip(b.par_chunks_exact(width)).flat_map_iter(products).collect();
            results.append(&mut self.switch.apply(&pairs)?);
        }
        Ok(results)
    }
}
