//! Ciphertexts with other slots: packed along columns, or each entry alone.
//!
//! | | |
//! |---|---|
//! | source | ours; additive masking as everywhere |
//! | ranges | \|x\| < 2^a, masks of a + 1 + kappa bits |
//! | rounds | 1 |
//! | bytes | up: the matrix dense; down: `cols * ceil(rows / slots)` ciphertexts packed, `rows * cols` scattered |
//! | P1 learns | nothing: ciphertexts |
//! | P2 learns | x + mask, within 2^-80 of independent of x; sizes |

use super::encrypted::{Encrypted, EncryptedMatrix, transposed};
use super::server::{KeyServer, Operation, Request};
use crate::backend::Resident;
use crate::channel::Channel;
use crate::error::Result;

impl<C: Channel> Encrypted<C> {
    /// Column after column, with slots along the rows.
    pub(super) fn repack(&mut self, m: &EncryptedMatrix) -> Result<Resident> {
        let masks = self.masks(m.shape.entries(), m.shape.bits);
        let request = self.header(m.shape)?.ciphertexts(&self.masked(m, &masks)?);
        let count = m.shape.cols * self.slots.groups(m.shape.rows);
        let masked = self.ask_ciphertexts(Operation::Repack, request, count)?;
        let shift = 1i128 << m.shape.bits;
        let offsets: Vec<i128> = masks.iter().map(|&u| -(u as i128) - shift).collect();
        let packed = self.slots.pack_rows(&transposed(&offsets, m.shape.cols), m.shape.rows);
        self.plus(&masked, &packed)
    }

    /// Every entry in a ciphertext of its own, at its slot.
    pub(super) fn scatter(&mut self, m: &EncryptedMatrix) -> Result<Resident> {
        let masks = self.masks(m.shape.entries(), m.shape.bits);
        let request = self.header(m.shape)?.ciphertexts(&self.masked(m, &masks)?);
        let masked = self.ask_ciphertexts(Operation::Scatter, request, m.shape.entries())?;
        let shift = 1i128 << m.shape.bits;
        let offsets: Vec<i128> = masks.iter().map(|&u| -(u as i128) - shift).collect();
        self.plus(&masked, &self.placed(&offsets, m.shape.cols))
    }
}

pub(super) fn respond(server: &mut KeyServer, request: &mut Request<'_>) -> Result<Vec<u8>> {
    let header = server.header(&mut request.reader)?;
    let masked = server.masked(&mut request.reader, header)?;
    request.complete(header.cols * header.slots.groups(header.rows))?;
    let values = server.open(masked)?;
    server.encrypted(&header.slots.pack_rows(&transposed(&values, header.cols), header.rows))
}

pub(super) fn respond_scattered(server: &mut KeyServer, request: &mut Request<'_>) -> Result<Vec<u8>> {
    let header = server.header(&mut request.reader)?;
    let masked = server.masked(&mut request.reader, header)?;
    request.complete(header.rows * header.cols)?;
    let values = server.open(masked)?;
    let place = |(e, &v): (usize, &u128)| header.slots.place(v.into(), e % header.cols % header.slots.count);
    server.encrypted(&values.iter().enumerate().map(place).collect::<Vec<_>>())
}
