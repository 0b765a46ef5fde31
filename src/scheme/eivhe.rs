//! Integer-vector encryption after Zhou and Wornell (2014), as EIVHE (Xie and Li, ICONIP 2018) takes it for learning on ciphertexts. **Over the integers, as in all
//! public programs, it is broken**: the public matrix gives the key away by least squares ([`crate::attack::eivhe`]), and a ciphertext is a noisy linear image of
//! the plaintext. Modulo q, with A uniform and fresh for every message, it is learning with errors.
//!
//! A ciphertext of an integer vector x is a vector c with S c = w x + e, where w is a large power of two and the noise |e| < w/2. S = \[I, T\] with m x k secret
//! entries T; c has m + k entries. The *key switch* from S to S' takes the signed digits c* of c (so that S* c* = S c for S* = S, 2 S, 4 S, ...) to c' = M c* with
//! M = \[S* + E - T' A; A\], where A and E are random, so S' c' = S c + E c*. Everything is a key switch: encryption is one from the key I and the ciphertext w x
//! ([`PublicMatrix`]), a linear map G one from G S ([`KeySwitch::linear`]), a weighted inner product x^T H x' one from the products of entries of two ciphertexts
//! ([`InnerProduct`]), and so polynomials.
//!
//! **A reconstruction.** The bodies of the papers were not at hand, only abstracts and openings; the algorithms are those of three public programs that agree
//! ([`Published`]). Theirs: the relation, bits, key switch, bounds. Ours: the checked worst case of every sum ([`Range`]), so that arithmetic in i64 is exact and nothing that
//! could fail to decrypt is made; digits in other bases than 2; the setting modulo q ([`Parameters::lwe`]); linear maps without a key switch ([`Direct`]).
//!
//! **Protected**, modulo q with [`Encryption::Fresh`]: messages and results from a semi-honest server, by learning with errors. **Not protected**: anything over the
//! integers; anything under a fixed public matrix, which is deterministic (modulo q, too: equal messages give equal ciphertexts, and any candidate can be tried);
//! a linear map from the owner of the key, who makes its matrix; anything against a server that does not follow the protocol; anything against timing of encryption.

mod inference;
mod key;
pub mod linear;
mod parameters;
mod product;
mod public;
mod sums;
mod switch;
#[cfg(test)]
mod tests;

pub use inference::{Eivhe, Route, Setting};
pub use key::{Encryptor, Secret};
pub use parameters::{
    Draw, Encryption, LWE_DIMENSION, LWE_MODULUS_BITS, LWE_NOISE, LWE_SECURITY_BITS, MAX_MODULUS_BITS, Parameters, Published, Range,
};
pub use product::{fold_product, product};
pub use public::PublicMatrix;
pub use switch::{Direct, InnerProduct, KeySwitch, add};
