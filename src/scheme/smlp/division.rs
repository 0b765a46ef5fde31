//! Division by a public number.
//!
//! | | |
//! |---|---|
//! | source | Veugen, *Encrypted integer division* (WIFS 2010), the approximate protocol; *Encrypted integer division and secure comparison* (IJACT 2014) |
//! | computes | floor((x + rho) / d), rho uniform in [0, d): one of the two neighbours of x / d, up with probability (x mod d) / d. **Unbiased stochastic rounding** |
//! | ranges | \|x\| < 2^a, 1 <= d <= 2^40 |
//! | rounds | 1 |
//! | bytes | up: the matrix dense; down: the matrix |
//! | P1 learns | nothing: ciphertexts |
//! | P2 learns | x + mask, within 2^-80 of independent of x; d; sizes |
//!
//! P1 sends x + M with M = 2^a + U >= |x|. P2 returns floor((x + M) / d), P1 subtracts floor(M / d). With M = d u + rho this is floor((x + rho) / d), for negative
//! x, too. The published protocol takes what comes as one of floor(x / d) and floor(x / d) + 1; seen as rounding it is exact in expectation, because M mod d is
//! uniform. Here rho is drawn first, from the [`super::Rounding`] tape, and u after it, so that the simulator rounds alike.

use super::encrypted::{Encrypted, EncryptedMatrix};
use super::server::{KeyServer, Operation, Request};
use super::slots::KAPPA;
use crate::channel::Channel;
use crate::error::Result;
use crate::integer::Integer;
use crate::randomness::Purpose;
use crate::scheme::private_training::{Shape, check_division};

impl<C: Channel> Encrypted<C> {
    /// See the module's documentation.
    pub(super) fn quotient(&mut self, m: &EncryptedMatrix, divisor: u64, bits: u32) -> Result<EncryptedMatrix> {
        check_division(m.shape.bits, divisor)?;
        let shape = Shape { bits, ..m.shape }.check()?;
        let rho = self.rounding.draw(shape.entries(), divisor);
        // U = d u + ((rho - 2^a) mod d), so that M = 2^a + U is rho modulo d.
        let (offset, d) = (1u128 << m.shape.bits, u128::from(divisor));
        let steps = Integer::from((1u128 << (m.shape.bits + 1 + KAPPA)).div_ceil(d));
        let mut stream = self.stream(Purpose::Masking);
        let mask = |&rho: &u64| stream.below(&steps).to_u128_wrapping() * d + (u128::from(rho) + d - offset % d) % d;
        let masks: Vec<u128> = rho.iter().map(mask).collect();
        let request = self.header(m.shape)?.u64(divisor).ciphertexts(&self.masked(m, &masks)?);
        let quotients = self.ask_ciphertexts(Operation::Division, request, m.rows.len())?;
        let corrections: Vec<i128> = masks.iter().map(|u| -(((u + offset) / d) as i128)).collect();
        Ok(EncryptedMatrix::new(shape, self.plus(&quotients, &self.slots.pack_rows(&corrections, shape.cols))?))
    }
}

pub(super) fn respond(server: &mut KeyServer, request: &mut Request<'_>) -> Result<Vec<u8>> {
    let header = server.header(&mut request.reader)?;
    let divisor = request.reader.u64()?;
    check_division(header.bits, divisor)?;
    let masked = server.masked(&mut request.reader, header)?;
    request.complete(header.rows * header.slots.groups(header.cols))?;
    let mut values = server.open(masked)?;
    values.iter_mut().for_each(|v| *v /= u128::from(divisor));
    server.encrypted(&header.slots.pack_rows(&values, header.cols))
}
