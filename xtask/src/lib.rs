//! What people do with this repository besides compiling it, as a library for the tests and a program for the shell.

pub mod cargo;
pub mod demo;
pub mod guests;
pub mod monitor;
pub mod start_time;
