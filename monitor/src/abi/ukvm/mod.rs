//! The ABI of this project (docs/abi.md; the crate `ukvm_abi`).

pub mod boot;
pub mod dispatch;
pub mod setup;
