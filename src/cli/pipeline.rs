//! `keygen`, `encrypt`, `evaluate`, `decrypt`: the same pipeline through files, one party at a time.
use crate::error::Result;
use clap::Args;
/// x
#[derive(Args, Clone, Debug)]
pub(super) struct KeygenArgs {}
/// x
#[derive(Args, Clone, Debug)]
pub(super) struct EncryptArgs {}
/// x
#[derive(Args, Clone, Debug)]
pub(super) struct EvaluateArgs {}
/// x
#[derive(Args, Clone, Debug)]
pub(super) struct DecryptArgs {}
pub(super) fn keygen(_: &KeygenArgs, _: bool) -> Result<bool> {
    Ok(true)
}
pub(super) fn encrypt(_: &EncryptArgs, _: bool) -> Result<bool> {
    Ok(true)
}
pub(super) fn evaluate(_: &EvaluateArgs, _: bool) -> Result<bool> {
    Ok(true)
}
pub(super) fn decrypt(_: &DecryptArgs, _: bool) -> Result<bool> {
    Ok(true)
}
