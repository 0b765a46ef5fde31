//! IFMA
pub(super) mod form;
mod kernel;
mod transpose;

#[cfg(test)]
mod tests;
