//! What people do with this repository besides compiling it, as a library for the tests and a program for the shell.

pub mod bench;
pub mod c;
pub mod cargo;
pub mod demo;
pub mod guests;
pub mod hosted;
pub mod hvt_guests;
pub mod image;
pub mod manual;
pub mod monitor;
pub mod project;
pub mod run;

use std::fmt;

/// Arguments that make no sense: what is wrong with them.
#[derive(Debug)]
pub struct UsageError(String);

impl fmt::Display for UsageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for UsageError {}
