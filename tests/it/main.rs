//! Integration tests.

mod fixture;
mod layers;
mod waiting;
