//! Solo5's hvt ABI, version 2: programs that expect to be a kernel, run without a kernel's privileges.
//!
//! 1. [`note`] and [`image`] check the program, [`layout`] says where everything goes, [`boot`] tells the guest of it; [`setup`] puts
//!    these together.
//! 2. [`calls`] serves hypercalls, [`devices`] what they are for, [`ring`] frames by the ring of later versions.
//! 3. [`cpu`] carries out what only a kernel may do, on a copy of the processor's state: [`decode`], [`descriptor`], [`access`].

pub mod access;
pub mod boot;
pub mod calls;
pub mod cpu;
pub mod decode;
pub mod descriptor;
pub mod devices;
pub mod image;
pub mod layout;
pub mod note;
mod reflection;
pub mod ring;
mod segments;
pub mod setup;

#[cfg(test)]
mod builder;
#[cfg(test)]
mod mutation_tests;
#[cfg(test)]
mod testing;
