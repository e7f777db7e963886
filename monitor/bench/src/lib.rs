//! Measures the monitor against floors: programs that make the same calls of the host with nothing around them.
//!
//! Absolute times drift with the machine's other work, by as much as four times. So every figure is a ratio: the monitor
//! and its floor run in turn, each pair gives a ratio, and what is claimed is the median of the ratios, or rather the
//! unfavourable end of its 95 % interval.
//!
//! | module | what is measured |
//! |---|---|
//! | [`boot`] | a start: to the first byte of output, and a whole life; where the time goes |
//! | [`churn`] | lives a second on all processors |
//! | [`memory`] | what a guest costs, and each further one |
//! | [`compute`] | the guest's speed at computing, and at reading the clock |
//! | [`io`] | packets and blocks in and out of a guest |
//! | [`site`] | a web site in a guest, with TLS or without, beside nginx and beside the same program in a process |
//! | [`job`] | a job from its start to its end, beside curl |
//! | [`kv`] | a key/value service in a guest, beside Redis |
//!
//! Each gives a result that can be written as JSON ([`results`]), drawn ([`chart`]) and read ([`table`], [`html`], [`markdown`]), and
//! the [`promise`]s that it bears on. What is measured before a failure or an interruption is kept and marked.
#![forbid(unsafe_code)]

pub mod boot;
pub mod chart;
pub mod churn;
pub mod cli;
pub mod compute;
mod directory;
pub mod error;
pub mod html;
pub mod io;
pub mod job;
pub mod kv;
pub mod life;
pub mod load;
pub mod machine;
pub mod markdown;
pub mod memory;
mod nginx;
pub mod output;
pub mod program;
pub mod progress;
pub mod promise;
pub mod results;
pub mod rounds;
pub mod run;
pub mod session;
mod setting;
pub mod site;
pub mod stats;
pub mod table;
mod turn;
