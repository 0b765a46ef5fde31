//! P2's answers: each operation of a request goes to the protocol that it belongs to.

use super::server::{KeyServer, Operation, Request};
use super::{answer, comparison, division, product, relu, repack};
use crate::channel::Responder;
use crate::error::Result;

impl Responder for KeyServer {
    fn respond(&mut self, operation: u16, bytes: &[u8], longest: usize) -> Result<Vec<u8>> {
        let request = &mut Request::new(bytes, self, longest);
        match Operation::from_number(operation)? {
            Operation::Repack => repack::respond(self, request),
            Operation::Product => product::respond(self, request),
            Operation::Division => division::respond(self, request),
            Operation::Scatter => repack::respond_scattered(self, request),
            Operation::Signs => comparison::respond_signs(self, request),
            Operation::Bits => comparison::respond_bits(self, request),
            Operation::Tests => comparison::respond_tests(self, request),
            Operation::Select => relu::respond(self, request),
            Operation::Answer => answer::respond(self, request, bytes),
        }
    }
}
