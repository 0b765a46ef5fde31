//! The matrix product with division in one round; a product of scalars is that of 1 x 1 matrices. Products with bits, entry by entry, are in [`super::relu`].
//!
//! | | |
//! |---|---|
//! | source | secure multiplication by additive blinding (the textbook's, as in SMLP's references); matrix form, packing and the fused division are ours |
//! | computes | floor((s A B + f D + rho) / d), rho uniform in [0, d): see [`super::division`] |
//! | ranges | \|A\| < 2^a, \|B\| < 2^b, K inner terms; slots of a + b + log K + log s + 2 kappa + 5 bits |
//! | rounds | 1, and 1 for the packing along columns of A where P1 does not have it yet |
//! | bytes | up: A, B dense, `cols * ceil(rows / slots)` and `rows * ceil(cols / slots)` corrections; down: the result |
//! | P1 learns | nothing: ciphertexts |
//! | P2 learns | A - R, B - S, the masked corrections: each within 2^-80 of independent of everything; s, d and sizes |
//!
//! **Derivation.** P1 draws R and S afresh for every entry. With A' = A - R and B' = B - S known to P2,
//!
//! s A B = s A' B' + s A S + s R B - s R S.
//!
//! P1 has A packed along its rows, so s A S is a power of its ciphertexts by S, packed along rows; B packed along its columns gives s R B + f D packed along
//! columns. P1 adds masks M1 and M2 and sends both. P2 decrypts T1 = s A S + M1, T2 = s R B + f D + M2 and computes V = s A' B' + T1 + T2 = (s A B + f D) + mu
//! with mu = s R S + M1 + M2, which P1 knows. P2 returns floor(V / d), P1 subtracts floor(mu / d). M2 is drawn so that mu = rho (mod d).
//!
//! **Ranges.** R < 2^(a+1+kappa), S < 2^(b+1+kappa), so s A S and s R B stay below 2^(t-1), and with f D (62 bits) below 2^t, t = a + b + log K + log s + kappa + 2. M1 and M2
//! are 2^t plus something uniform of t + 1 + kappa bits. Then 0 <= T < 2^(t+2+kappa) and 0 <= V < 2^(t+3+kappa), which is what a slot has.
//!
//! **Distance.** What P2 sees can be made from sizes alone: A', B', T1, T2 uniform and independent, each value at distance 2^-kappa. V is computed from these. M2 is
//! d u + e with e = rho minus what P1 knows, modulo d: rho is uniform and used nowhere else, so e is uniform whatever R, S and M1 are.

use zeroize::Zeroizing;

use super::encrypted::{Encrypted, EncryptedMatrix, matrix_product, transposed};
use super::server::{Header, KeyServer, Operation, Request};
use super::slots::{KAPPA, Slots};
use crate::backend::{Exponents, Secrecy};
use crate::channel::Channel;
use crate::error::{Error, Result};
use crate::integer::Integer;
use crate::modulus::wipe;
use crate::randomness::Purpose;
use crate::scheme::private_training::{MAXIMUM_BITS, Product, ceil_log2, check_division};

/// Bits that hold the corrections, and what is added to them to make them positive; checks that V fits a slot.
fn correction_bits(slots: Slots, a: u32, b: u32, inner: usize, scale: u32) -> Result<u32> {
    let bits = a + b + ceil_log2(inner as u64) + ceil_log2(u64::from(scale)) + KAPPA + 2;
    slots.check(bits + 3 + KAPPA)?;
    Ok(bits)
}

impl<C: Channel> Encrypted<C> {
    /// See the module's documentation.
    pub(super) fn multiply(&mut self, product: &Product<'_, EncryptedMatrix>) -> Result<EncryptedMatrix> {
        let (inner, shape, _) = product.check(|m| m.shape)?;
        let (left, right, scale) = (product.left, product.right, product.scale);
        let (a, b, d) = (left.shape.bits, right.shape.bits, product.divisor);
        let t = correction_bits(self.slots, a, b, inner, scale)?;

        let left_packed = if product.transposed[0] { left.rows.clone() } else { self.columns(left)? };
        let right_packed = if product.transposed[1] { self.columns(right)? } else { right.rows.clone() };

        // U as it is sent, R = 2^(a+1+kappa) - 1 - U as it is used.
        let sent = [self.masks(left.shape.entries(), a), self.masks(right.shape.entries(), b)];
        let used = |which: usize, bits: u32| Zeroizing::new(sent[which].iter().map(|u| (1u128 << (bits + 1 + KAPPA)) - 1 - u).collect::<Vec<_>>());
        let (mut r, mut s) = (used(0, a), used(1, b));
        if product.transposed[0] {
            r = Zeroizing::new(transposed(&r, left.shape.cols));
        }
        // S column by column.
        if !product.transposed[1] {
            s = Zeroizing::new(transposed(&s, right.shape.cols));
        }
        let mut along_rows = self.powers.shared(&left_packed, self.slots.groups(shape.rows), &s, inner, b + 1 + KAPPA)?;
        let mut along_cols = self.powers.shared(&right_packed, self.slots.groups(shape.cols), &r, inner, a + 1 + KAPPA)?;
        if scale > 1 {
            let squares = &self.powers.squares;
            let scale = Integer::from(scale);
            along_rows = squares.pow(&along_rows, Exponents::Shared(&scale), Secrecy::Public)?;
            along_cols = squares.pow(&along_cols, Exponents::Shared(&scale), Secrecy::Public)?;
        }
        if let Some((addend, factor)) = product.addend {
            let scaled = self.powers.squares.pow(&addend.rows, Exponents::Shared(&Integer::from(factor)), Secrecy::Public)?;
            along_cols = self.powers.multiply(&along_cols, &scaled)?;
        }

        let integers = |values: &[u128]| values.iter().map(|&v| Integer::from(v)).collect::<Vec<_>>();
        let mut mu = matrix_product(&integers(&r), &integers(&s), inner);
        mu.iter_mut().for_each(|mu| *mu *= scale);
        let (first, second) = self.corrections(&mut mu, d, t);
        let columns = transposed(&first, shape.cols);
        let (first_packed, second_packed) = (self.slots.pack_rows(&columns, shape.rows), self.slots.pack_rows(&second, shape.cols));

        let request = self
            .header(left.shape)?
            .size(right.shape.rows)?
            .size(right.shape.cols)?
            .u32(b)
            .u32(u32::from(product.transposed[0]) + 2 * u32::from(product.transposed[1]))
            .u32(scale)
            .u64(d)
            .ciphertexts(&self.masked(left, &sent[0])?)
            .ciphertexts(&self.masked(right, &sent[1])?)
            .ciphertexts(&self.fresh(&along_rows, &first_packed)?)
            .ciphertexts(&self.fresh(&along_cols, &second_packed)?);
        let quotients = self.ask_ciphertexts(Operation::Product, request, shape.rows * self.slots.groups(shape.cols))?;
        mu.iter_mut().for_each(|mu| *mu = -mu.clone().div_rem_floor(Integer::from(d)).0);
        let result = self.plus(&quotients, &self.slots.pack_rows(&mu, shape.cols))?;
        [mu, first, second, columns].iter_mut().flatten().for_each(wipe);
        Ok(EncryptedMatrix::new(shape, result))
    }

    /// M1 and M2 for each entry, both added to `mu`, which they make rho modulo the divisor `d`: M1
    /// goes down the columns, M2 along the rows.
    fn corrections(&mut self, mu: &mut [Integer], d: u64, t: u32) -> (Vec<Integer>, Vec<Integer>) {
        let rho = self.rounding.draw(mu.len(), d);
        let mut stream = self.stream(Purpose::Masking);
        let (offset, divisor) = (Integer::from(1) << t, Integer::from(d));
        let steps = ((Integer::from(1) << (t + 1 + KAPPA)) + &divisor - 1u32) / &divisor;
        let (mut first, mut second) = (Vec::with_capacity(mu.len()), Vec::with_capacity(mu.len()));
        for (mu, rho) in mu.iter_mut().zip(rho) {
            let m1 = &offset + stream.bits(t + 1 + KAPPA);
            let u = stream.below(&steps) * &divisor + &offset;
            *mu += &m1;
            *mu += &u;
            let e = (Integer::from(rho) - &*mu).modulo(&divisor);
            *mu += &e;
            first.push(m1);
            second.push(u + e);
        }
        (first, second)
    }
}

pub(super) fn respond(server: &mut KeyServer, request: &mut Request<'_>) -> Result<Vec<u8>> {
    let reader = &mut request.reader;
    let left = server.header(reader)?;
    let slots = left.slots;
    let (rows, cols) = reader.size()?;
    let right = Header { slots, rows, cols, bits: reader.within("magnitude", MAXIMUM_BITS)? };
    let flags = reader.u32()?;
    let scale = reader.within("scale", u32::MAX)?;
    let divisor = reader.u64()?;
    check_division(1, divisor)?;
    if flags > 3 {
        return Err(Error::range("flags of a product", &flags, "0 to 3"));
    }
    let flip = |header: Header, flip: bool| if flip { (header.cols, header.rows) } else { (header.rows, header.cols) };
    let ((rows, inner), (right_inner, cols)) = (flip(left, flags & 1 != 0), flip(right, flags & 2 != 0));
    if inner != right_inner {
        return Err(Error::size("rows of the right factor", inner, right_inner));
    }
    let t = correction_bits(slots, left.bits, right.bits, inner, scale)?;

    let masked = [server.masked(reader, left)?, server.masked(reader, right)?];
    let sent = [server.ciphertexts(reader, cols * slots.groups(rows))?, server.ciphertexts(reader, rows * slots.groups(cols))?];
    request.complete(rows * slots.groups(cols))?;

    let integers = |header: Header, values: &[u128]| values.iter().map(|&v| Integer::from(header.unshift(v))).collect::<Vec<_>>();
    let [a, b] = masked.map(|matrix| server.open(matrix));
    let (mut a, mut b) = (a?, b?);
    if flags & 1 != 0 {
        a = transposed(&a, left.cols);
    }
    if flags & 2 == 0 {
        b = transposed(&b, right.cols);
    }
    let mut v = matrix_product(&integers(left, &a), &integers(right, &b), inner);
    v.iter_mut().for_each(|v| *v *= scale);
    for (which, sent) in sent.into_iter().enumerate() {
        let plaintexts = server.decrypt(sent)?;
        // The first corrections go down the columns, the second along the rows.
        let length = if which == 0 { rows } else { cols };
        let groups = slots.groups(length);
        for (index, plaintext) in plaintexts.into_iter().enumerate() {
            let (line, start) = (index / groups, index % groups * slots.count);
            for (at, value) in slots.unpack(plaintext, slots.count.min(length - start), t + 2 + KAPPA, index)?.into_iter().enumerate() {
                let (row, col) = if which == 0 { (start + at, line) } else { (line, start + at) };
                v[row * cols + col] += value;
            }
        }
    }
    let divisor = Integer::from(divisor);
    for (index, v) in v.iter_mut().enumerate() {
        if v.is_negative() || v.significant_bits() > t + 3 + KAPPA {
            return Err(Error::Decryption {
                index,
                reason: format!("a sum of {} bits, masked sums are positive and have {}", v.significant_bits(), t + 3 + KAPPA),
            });
        }
        *v = std::mem::take(v).div_rem_floor(divisor.clone()).0;
    }
    let packed = slots.pack_rows(&v, cols);
    v.iter_mut().for_each(wipe);
    server.encrypted(&packed)
}
