//! The largest of each row, by a tournament whose order nobody but P1 knows.
//!
//! | | |
//! |---|---|
//! | source | tournaments of comparisons with fresh encryptions, as Bost, Popa, Tu and Goldwasser (NDSS 2015) do one after the other |
//! | computes | the lowest column with the largest entry of each row |
//! | ranges | \|x\| < 2^a with a + ceil(log2 columns) + 1 bits for the comparisons |
//! | rounds | 1 for packing, and for each of ceil(log2 columns) levels those of a ReLU and a select |
//! | bytes | those of columns - 1 comparisons and selects for each row |
//! | P1 learns | nothing: ciphertexts |
//! | P2 learns | `exact`: nothing. `blinded`: magnitudes of differences of entries, **without knowing of which columns**: the order is drawn anew for each group of rows that share ciphertexts |
//!
//! Entries are made different by x C + (C - 1 - column) with C the power of two above, so the winner does not depend on the order. The tournament goes over pairs (value, column):
//! x = second - first gives max(x, 0) and the bit \[x >= 0\]; the winner is first + max(x, 0), its column first + bit (second - first).

use super::comparison::shuffled;
use super::encrypted::{Encrypted, EncryptedMatrix};
use crate::backend::{Exponents, Secrecy};
use crate::channel::Channel;
use crate::error::Result;
use crate::integer::Integer;
use crate::randomness::Purpose;
use crate::scheme::private_training::{Arithmetic, Shape, ceil_log2};

impl<C: Channel> Encrypted<C> {
    /// The columns of the largest entries, as a matrix of one row.
    pub(super) fn largest(&mut self, m: &EncryptedMatrix) -> Result<EncryptedMatrix> {
        let (classes, items) = (m.shape.cols, m.shape.rows);
        let tie_bits = ceil_log2(classes as u64);
        let groups = self.slots.groups(items);
        // Rows are classes from here on. One more bit is for differences.
        let bits = m.shape.bits + tie_bits;
        let packed = self.columns(m)?;
        let scaled = self.powers.squares.pow(&packed, Exponents::Shared(&(Integer::from(1) << tie_bits)), Secrecy::Public)?;
        let slots = self.slots;
        let constant = |value: usize| -> Vec<Integer> { slots.pack_rows(&vec![value; items], items) };
        let tie = |class: usize| (1usize << tie_bits) - 1 - class;
        let values = self.plus(&scaled, &(0..classes).flat_map(|class| constant(tie(class))).collect::<Vec<_>>())?;
        let columns = self.constants(&(0..classes).flat_map(constant).collect::<Vec<_>>())?;

        let mut stream = self.stream(Purpose::Shuffle);
        let orders: Vec<Vec<usize>> = (0..groups).map(|_| shuffled(classes, &mut stream)).collect();
        let picks: Vec<(usize, usize)> =
            (0..classes).flat_map(|place| orders.iter().enumerate().map(move |(g, order)| (0, order[place] * groups + g))).collect();
        let shape = Shape { rows: classes, cols: items, bits }.check()?;
        let mut values = EncryptedMatrix::new(shape, self.powers.squares.gather(&[&values], &picks)?);
        let mut columns = EncryptedMatrix::new(Shape { bits: tie_bits.max(1), ..shape }, self.powers.squares.gather(&[&columns], &picks)?);
        while values.shape.rows > 1 {
            let rows = values.shape.rows;
            let half = rows / 2;
            let [first, second, rest] = [0..half, half..2 * half, 2 * half..rows].map(Iterator::collect::<Vec<_>>);
            let mut round = |m: &EncryptedMatrix| -> Result<(EncryptedMatrix, EncryptedMatrix)> {
                let (first, second) = (self.rows(m, &first)?, self.rows(m, &second)?);
                let difference = self.subtract(&second, &first, m.shape.bits + 1)?;
                Ok((first, difference))
            };
            let (first_values, difference) = round(&values)?;
            let (first_columns, column_difference) = round(&columns)?;
            let (gain, bit) = self.relu(&difference)?;
            let step = self.select(&bit, &column_difference)?;
            let winner = self.add(&first_values, &gain, values.shape.bits)?;
            let column = self.add(&first_columns, &step, columns.shape.bits)?;
            // Who has no partner goes on.
            let mut join = |winner: EncryptedMatrix, from: &EncryptedMatrix| -> Result<EncryptedMatrix> {
                if rest.is_empty() {
                    return Ok(winner);
                }
                let rest = self.rows(from, &rest)?;
                let shape = Shape { rows: winner.shape.rows + rest.shape.rows, ..winner.shape };
                let picks: Vec<(usize, usize)> = (0..winner.rows.len()).map(|i| (0, i)).chain((0..rest.rows.len()).map(|i| (1, i))).collect();
                Ok(EncryptedMatrix::new(shape, self.powers.squares.gather(&[&winner.rows, &rest.rows], &picks)?))
            };
            (values, columns) = (join(winner, &values)?, join(column, &columns)?);
        }
        Ok(columns)
    }
}
