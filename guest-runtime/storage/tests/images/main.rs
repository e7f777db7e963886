//! The crate as programs use it, on images that real programs made, and on such that nobody should have made.

mod blocks;
mod broken_fat;
mod broken_tar;
mod fat;
mod tar;
mod volume;
mod world;
