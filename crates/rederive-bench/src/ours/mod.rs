//! Our side of the measures.

pub(crate) mod clients;
pub(crate) mod rebuild;
