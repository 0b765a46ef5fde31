//! Private training: the arithmetic of protected matrices that a training algorithm is written
//! over, whatever protects them, with the shapes and magnitudes that are public.

use crate::error::{Error, Result};

/// Most bits of a magnitude that a matrix may declare.
pub const MAXIMUM_BITS: u32 = 40;
/// Most bits of the sums before a division.
pub const MAXIMUM_SUM_BITS: u32 = 62;

/// What is public of a protected matrix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Rows.
    pub rows: usize,
    /// Columns.
    pub cols: usize,
    /// Declared magnitude: every entry v has |v| < 2^bits.
    pub bits: u32,
}

impl Shape {
    /// Entries.
    #[must_use]
    pub fn entries(self) -> usize {
        self.rows * self.cols
    }

    /// A shape that can be: with entries, and of a magnitude that products can take.
    pub(crate) fn check(self) -> Result<Self> {
        if self.rows == 0 || self.cols == 0 {
            return Err(Error::size("entries of a matrix", 1, 0));
        }
        if self.bits == 0 || self.bits > MAXIMUM_BITS {
            return Err(Error::range("declared magnitude", &format!("{} bits", self.bits), format!("1 to {MAXIMUM_BITS} bits")));
        }
        Ok(self)
    }

    pub(crate) fn transposed(self, really: bool) -> Self {
        if really { Self { rows: self.cols, cols: self.rows, ..self } } else { self }
    }

    /// The shape with other bits, for another of the same size.
    pub(crate) fn same_size(self, other: Self, bits: u32) -> Result<Self> {
        if self.rows != other.rows {
            return Err(Error::size("rows of the second matrix", self.rows, other.rows));
        }
        if self.cols != other.cols {
            return Err(Error::size("columns of the second matrix", self.cols, other.cols));
        }
        Self { bits, ..self }.check()
    }

    /// The shape of a mini-batch.
    pub(crate) fn of_rows(self, indices: &[usize]) -> Result<Self> {
        if let Some(bad) = indices.iter().find(|&&i| i >= self.rows) {
            return Err(Error::range("row", &bad, format!("0 to {}", self.rows.saturating_sub(1))));
        }
        Self { rows: indices.len(), ..self }.check()
    }
}

/// div(scale op(left) op(right) + factor addend, divisor), where op transposes or not and div rounds to one of the two neighbours, up with the probability of the
/// fraction, so that its expectation is exact.
#[derive(Clone, Copy, Debug)]
pub struct Product<'a, M> {
    /// The factors as they are stored.
    pub(crate) left: &'a M,
    pub(crate) right: &'a M,
    /// Whether each factor is taken transposed.
    pub(crate) transposed: [bool; 2],
    /// How often the product of the factors is taken.
    pub(crate) scale: u32,
    /// A matrix added before the division, and how often.
    pub(crate) addend: Option<(&'a M, u32)>,
    /// The divisor of the sum.
    pub(crate) divisor: u64,
    /// Declared magnitude of the result.
    pub(crate) bits: u32,
}

impl<'a, M> Product<'a, M> {
    /// left right / divisor. The result's entries must stay below 2^bits.
    #[must_use]
    pub fn new(left: &'a M, right: &'a M, divisor: u64, bits: u32) -> Self {
        Self { left, right, transposed: [false; 2], scale: 1, addend: None, divisor, bits }
    }

    /// With the left factor transposed.
    #[must_use]
    pub fn transpose_left(self) -> Self {
        Self { transposed: [true, self.transposed[1]], ..self }
    }

    /// With the right factor transposed.
    #[must_use]
    pub fn transpose_right(self) -> Self {
        Self { transposed: [self.transposed[0], true], ..self }
    }

    /// With the product of the factors taken `scale` times.
    #[must_use]
    pub fn scaled(self, scale: u32) -> Self {
        Self { scale, ..self }
    }

    /// With `factor` times `addend` added before the division.
    #[must_use]
    pub fn plus(self, addend: &'a M, factor: u32) -> Self {
        Self { addend: Some((addend, factor)), ..self }
    }

    /// Checks sizes and ranges. Output: inner length, the shape of the result and bits of the sum before the division: |sum| < 2^bits.
    pub(crate) fn check(&self, shape: impl Fn(&M) -> Shape) -> Result<(usize, Shape, u32)> {
        let (left, right) = (shape(self.left).transposed(self.transposed[0]), shape(self.right).transposed(self.transposed[1]));
        if left.cols != right.rows {
            return Err(Error::size("rows of the right factor", left.cols, right.rows));
        }
        let result = Shape { rows: left.rows, cols: right.cols, bits: self.bits }.check()?;
        let mut sum_bits = left.bits + right.bits + ceil_log2(left.cols as u64) + ceil_log2(u64::from(self.scale));
        if let Some((addend, factor)) = self.addend {
            result.same_size(shape(addend), self.bits)?;
            sum_bits = sum_bits.max(shape(addend).bits + ceil_log2(u64::from(factor))) + 1;
        }
        check_division(sum_bits, self.divisor)?;
        if self.scale == 0 {
            return Err(Error::range("scale of a product", &"0", "1 and above"));
        }
        Ok((left.cols, result, sum_bits))
    }
}

/// Refuses sums that 62 bits do not hold and divisors that they do not need.
pub(crate) fn check_division(sum_bits: u32, divisor: u64) -> Result<()> {
    if sum_bits > MAXIMUM_SUM_BITS {
        return Err(Error::range("sum before a division", &format!("{sum_bits} bits"), format!("{MAXIMUM_SUM_BITS} bits and below")));
    }
    if divisor == 0 || divisor > 1 << MAXIMUM_BITS {
        return Err(Error::range("divisor", &divisor, format!("1 to 2^{MAXIMUM_BITS}")));
    }
    Ok(())
}

/// The least b with value <= 2^b.
pub(crate) const fn ceil_log2(value: u64) -> u32 {
    u64::BITS - value.saturating_sub(1).leading_zeros()
}

/// Matrices of signed integers under some protection, and what training does with them. Shapes and declared magnitudes are public, values are not.
///
/// A training algorithm written over this trait runs under encryption and in the integer simulator
/// ([`Simulated`](crate::scheme::smlp::Simulated)); for equal tapes of roundings both give the same integers.
/// Every result carries the magnitude that the caller declares for it. The simulator sees a value that leaves it and stops; under encryption nobody sees it.
pub trait Arithmetic {
    /// A protected matrix. Cheap to clone.
    type Matrix: Clone;
    /// A protected matrix of bits.
    type Bits;
    /// What travels to the user, who alone can read it.
    type Answer;

    /// The user's data, or initial parameters: `rows * cols` values row by row, each of magnitude below 2^bits.
    ///
    /// # Errors
    /// [`Error::Size`], [`Error::OutOfRange`] for a value that leaves the bits; when the backend fails.
    fn upload(&mut self, values: &[i64], rows: usize, cols: usize, bits: u32) -> Result<Self::Matrix>;

    /// What is public of a matrix.
    fn shape(&self, m: &Self::Matrix) -> Shape;

    /// Some rows, in the order given: a mini-batch. No message.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] for a row that is not there.
    fn rows(&mut self, m: &Self::Matrix, indices: &[usize]) -> Result<Self::Matrix>;

    /// a + b, declared to stay below 2^bits. No message.
    ///
    /// # Errors
    /// [`Error::Size`] for different shapes.
    fn add(&mut self, a: &Self::Matrix, b: &Self::Matrix, bits: u32) -> Result<Self::Matrix>;

    /// a - b, declared to stay below 2^bits. No message.
    ///
    /// # Errors
    /// As [`Self::add`].
    fn subtract(&mut self, a: &Self::Matrix, b: &Self::Matrix, bits: u32) -> Result<Self::Matrix>;

    /// The matrix with one more column of a public constant, for biases kept as a last row of weights. No message.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] for a value that leaves the matrix' bits.
    fn with_constant_column(&mut self, m: &Self::Matrix, value: i64) -> Result<Self::Matrix>;

    /// The matrix without its last row: weights without biases. No message.
    ///
    /// # Errors
    /// [`Error::Size`] when nothing would be left.
    fn without_last_row(&mut self, m: &Self::Matrix) -> Result<Self::Matrix>;

    /// A matrix product with division.
    ///
    /// # Errors
    /// [`Error::Size`] for factors that do not fit each other, [`Error::OutOfRange`] for sums of more than 62 bits, [`Error::Magnitude`] in the simulator; when
    /// the other party or the backend fails.
    fn product(&mut self, product: &Product<'_, Self::Matrix>) -> Result<Self::Matrix>;

    /// m / divisor, rounded as products are.
    ///
    /// # Errors
    /// As [`Self::product`].
    fn divide(&mut self, m: &Self::Matrix, divisor: u64, bits: u32) -> Result<Self::Matrix>;

    /// max(x, 0) for every entry, and whether x >= 0.
    ///
    /// # Errors
    /// When the other party or the backend fails.
    fn relu(&mut self, m: &Self::Matrix) -> Result<(Self::Matrix, Self::Bits)>;

    /// The entries whose bit is 1, and 0 for the others.
    ///
    /// # Errors
    /// [`Error::Size`] for different shapes; when the other party or the backend fails.
    fn select(&mut self, bits: &Self::Bits, m: &Self::Matrix) -> Result<Self::Matrix>;

    /// For every row the number of the column with the largest entry, the lowest where several are equal. The user alone reads it.
    ///
    /// # Errors
    /// When the other party or the backend fails.
    fn argmax(&mut self, m: &Self::Matrix) -> Result<Self::Answer>;

    /// The entries, row by row. The user alone reads them.
    ///
    /// # Errors
    /// When the other party or the backend fails.
    fn answer(&mut self, m: &Self::Matrix) -> Result<Self::Answer>;

    /// The user's part: reads an answer.
    ///
    /// # Errors
    /// [`Error::Unsupported`] where the user's secret is not at hand.
    fn open(&mut self, answer: &Self::Answer) -> Result<Vec<i64>>;
}
