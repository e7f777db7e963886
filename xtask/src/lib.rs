//! What people do with this repository besides compiling it, as a library for the tests and a program for the shell.

pub mod bench;
pub mod cargo;
pub mod demo;
pub mod guests;
pub mod hvt_guests;
pub mod image;
pub mod manual;
pub mod monitor;
