//! max(x, 0) and products with bits, entry by entry.
//!
//! | | |
//! |---|---|
//! | source | ours, from a comparison whose bit is shared by xor; the kept bit as ReLU' is SMLP's by its abstract ("without approximation") |
//! | computes | b x for a bit b, exactly |
//! | ranges | \|x\| < 2^a, masks of a + 1 + kappa bits |
//! | rounds | ReLU: none beyond those of the comparison. Select: 1 |
//! | bytes | ReLU: see [`super::comparison`]. Select: up x dense and the bits, hundreds in a ciphertext; down two ciphertexts for each entry |
//! | P1 learns | nothing: ciphertexts |
//! | P2 learns | x - R, within 2^-80 of independent of x; b xor t with a fresh coin t: nothing |
//!
//! P2 has x - R and beta = b xor t, and returns beta (x - R) and (1 - beta)(x - R), each entry alone at its slot. P1 picks by its coin: b (x - R). It adds R b, a power of
//! the encrypted bit, and multiplies what belongs into one ciphertext.

use super::comparison::Compared;
use super::encrypted::{Encrypted, EncryptedBits, EncryptedMatrix};
use super::server::{Header, KeyServer, Operation, Request};
use super::slots::KAPPA;
use crate::backend::Resident;
use crate::channel::Channel;
use crate::error::Result;
use crate::integer::Integer;
use crate::scheme::private_training::Shape;

impl<C: Channel> Encrypted<C> {
    /// max(x, 0) and [x >= 0].
    pub(super) fn rectified(&mut self, m: &EncryptedMatrix) -> Result<(EncryptedMatrix, EncryptedBits)> {
        let Compared { coins, masks, answer } = self.compare(m)?;
        let (shape, entries) = (m.shape, m.shape.entries());
        // b = beta, or 1 - beta where the coin is 1.
        let flipped: Vec<usize> = (0..entries).filter(|&e| coins[e]).collect();
        let picks: Vec<(usize, usize)> = flipped.iter().map(|&e| (0, 2 * entries + e)).collect();
        let ones = self.placed(&vec![1u32; entries], shape.cols);
        let ones: Vec<Integer> = flipped.iter().map(|&e| ones[e].clone()).collect();
        let negated = self.plus(&self.negated(&self.powers.squares.gather(&[&answer], &picks)?)?, &ones)?;
        let mut picks: Vec<(usize, usize)> = (0..entries).map(|e| (0, 2 * entries + e)).collect();
        flipped.iter().enumerate().for_each(|(index, &e)| picks[e] = (1, index));
        let bits = EncryptedBits { rows: shape.rows, cols: shape.cols, scattered: self.powers.squares.gather(&[&answer, &negated], &picks)? };
        Ok((self.chosen(shape, &bits, &coins, &masks, &answer)?, bits))
    }

    /// b x.
    pub(super) fn selected(&mut self, bits: &EncryptedBits, m: &EncryptedMatrix) -> Result<EncryptedMatrix> {
        let shape = m.shape.same_size(Shape { rows: bits.rows, cols: bits.cols, bits: m.shape.bits }, m.shape.bits)?;
        let coins = self.coins(shape.entries());
        let members = self.members(shape.rows, shape.cols);
        // b xor t is b, or 1 - b where the coin is 1.
        let of = |coin: bool| members.iter().map(|group| group.iter().copied().filter(|&e| coins[e] == coin).collect()).collect::<Vec<Vec<usize>>>();
        let kept = self.powers.products(&bits.scattered, &of(false))?;
        let flipped = self.negated(&self.powers.products(&bits.scattered, &of(true))?)?;
        let ones: Vec<u32> = coins.iter().map(|&c| u32::from(c)).collect();
        let shared = self.dense(&self.powers.multiply(&kept, &flipped)?, &self.slots.pack_rows(&ones, shape.cols), 1)?;
        let masks = self.masks(shape.entries(), shape.bits);
        let request = self.header(shape)?.ciphertexts(&shared).ciphertexts(&self.masked(m, &masks)?);
        let answer = self.ask_ciphertexts(Operation::Select, request, 2 * shape.entries())?;
        self.chosen(shape, bits, &coins, &masks, &answer)
    }

    /// b (x - R) + R b, packed.
    fn chosen(&self, shape: Shape, bits: &EncryptedBits, coins: &[bool], masks: &[u128], answer: &Resident) -> Result<EncryptedMatrix> {
        let members = self.members(shape.rows, shape.cols);
        let pick = |e: usize| if coins[e] { shape.entries() + e } else { e };
        let masked = self.powers.products(answer, &members.iter().map(|group| group.iter().map(|&e| pick(e)).collect()).collect::<Vec<_>>())?;
        let top = (1u128 << (shape.bits + 1 + KAPPA)) - 1;
        let with_masks: Vec<Vec<(usize, u128)>> = members.iter().map(|group| group.iter().map(|&e| (e, top - masks[e])).collect()).collect();
        let unmasked = self.powers.grouped(&bits.scattered, &with_masks, shape.bits + 1 + KAPPA)?;
        Ok(EncryptedMatrix::new(shape, self.powers.multiply(&masked, &unmasked)?))
    }
}

impl KeyServer {
    /// beta (x - R) for every entry, then (1 - beta)(x - R), then beta where that is asked for.
    pub(super) fn respond_chosen(&mut self, header: Header, masked: &[u128], beta: &[bool], with_bits: bool) -> Result<Vec<u8>> {
        let place = |e: usize, value: i128| header.slots.place(Integer::from(value), e % header.cols % header.slots.count);
        let side =
            |wanted: bool| (0..masked.len()).map(move |e| if beta[e] == wanted { place(e, header.unshift(masked[e])) } else { Integer::new() });
        let mut messages: Vec<Integer> = side(true).chain(side(false)).collect();
        if with_bits {
            messages.extend((0..masked.len()).map(|e| place(e, i128::from(beta[e]))));
        }
        self.encrypted(&messages)
    }
}

pub(super) fn respond(server: &mut KeyServer, request: &mut Request<'_>) -> Result<Vec<u8>> {
    let header = server.header(&mut request.reader)?;
    let bits = server.dense(&mut request.reader, header, 1)?;
    let masked = server.masked(&mut request.reader, header)?;
    request.complete(2 * header.rows * header.cols)?;
    let beta: Vec<bool> = server.open(bits)?.iter().map(|&b| b == 1).collect();
    let values = server.open(masked)?;
    server.respond_chosen(header, &values, &beta, false)
}
