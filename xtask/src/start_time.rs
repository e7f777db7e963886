//! `cargo xtask start-time`: how long a start takes, beside the least that any monitor must ask of KVM.
//!
//! The guest `hello` and the floor program (tests/floors) are started in turn, so that both meet the same noise; each pair
//! gives a ratio, and the ratios' median is what is claimed. Its 95 % interval comes from the ranks of the ratios, which
//! assumes nothing of how they are spread.

use crate::cargo;
use anyhow::{Context, Result, bail, ensure};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Pairs where the user says nothing.
pub const DEFAULT_PAIRS: usize = 200;
/// Pairs that are run first and not counted.
const WARM_UP: usize = 5;

/// One life of a program.
#[derive(Clone, Copy)]
struct Life {
    /// From the start to the first byte of output.
    first_byte: Duration,
    /// From the start to the end of the process.
    whole: Duration,
}

/// Builds what is needed, runs `pairs` pairs, and prints the figures.
///
/// # Errors
///
/// Where something cannot be built, or a program does not do what it should.
pub fn run(pairs: usize) -> Result<()> {
    ensure!(pairs >= 10, "at least 10 pairs are needed for an interval");
    let monitor = crate::monitor::build()?;
    let guests = crate::guests::build()?;
    let hello = guests.iter().find(|path| path.ends_with("hello.elf")).context("there is no hello.elf")?;
    let floor = floor()?;
    let mut lives = Vec::with_capacity(pairs);
    for pair in 0..pairs + WARM_UP {
        let guest = live(Command::new(&monitor).arg(hello))?;
        let least = live(&mut Command::new(&floor))?;
        if pair >= WARM_UP {
            lives.push((guest, least));
        }
    }
    println!("{pairs} pairs of `ukvm-run hello.elf` and the bare program, in turn; times in ms");
    println!("{:<28}{:>10}{:>10}{:>10}{:>10}", "", "minimum", "median", "p90", "p99");
    let row = |name: &str, pick: &dyn Fn(&(Life, Life)) -> Duration| {
        let mut times: Vec<f64> = lives.iter().map(|pair| pick(pair).as_secs_f64() * 1e3).collect();
        times.sort_by(f64::total_cmp);
        let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize];
        println!("{name:<28}{:>10.3}{:>10.3}{:>10.3}{:>10.3}", times[0], at(0.5), at(0.9), at(0.99));
    };
    row("first byte, ukvm-run", &|pair| pair.0.first_byte);
    row("first byte, bare program", &|pair| pair.1.first_byte);
    row("whole life, ukvm-run", &|pair| pair.0.whole);
    row("whole life, bare program", &|pair| pair.1.whole);
    let ratio = |name: &str, pick: &dyn Fn(&Life) -> Duration| {
        let ratios = lives.iter().map(|pair| pick(&pair.0).as_secs_f64() / pick(&pair.1).as_secs_f64());
        let (low, median, high) = interval(ratios.collect());
        println!("{name:<28}{median:>10.2}  (95 % interval {low:.2} to {high:.2})");
    };
    ratio("ratio, first byte", &|life| life.first_byte);
    ratio("ratio, whole life", &|life| life.whole);
    Ok(())
}

/// The bare program, built.
fn floor() -> Result<PathBuf> {
    let directory = cargo::root().join("tests/floors");
    let built = cargo::build(&directory, &["--release"])?;
    let floor = built.into_iter().find(|built| built.name == "start-floor");
    Ok(floor.context("the bare program was not built")?.path)
}

/// Starts a program, and follows it to its first byte and to its end.
fn live(command: &mut Command) -> Result<Life> {
    let start = Instant::now();
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
    let mut output = child.stdout.take().context("the output is piped")?;
    let mut byte = [0];
    let got = output.read(&mut byte)?;
    let first_byte = start.elapsed();
    // What else it prints fits into the pipe.
    let status = child.wait()?;
    let whole = start.elapsed();
    if got == 0 || !status.success() {
        bail!("{} ended with {status} and {got} bytes", Path::new(command.get_program()).display());
    }
    Ok(Life { first_byte, whole })
}

/// The median and its 95 % interval, by the ranks that a binomial distribution gives (the sign test's interval).
fn interval(mut values: Vec<f64>) -> (f64, f64, f64) {
    values.sort_by(f64::total_cmp);
    let count = values.len() as f64;
    // 0.98 is half of 1.96, the normal distribution's quantile for 95 %.
    let margin = 0.98 * count.sqrt();
    let low = (count / 2.0 - margin).floor().max(0.0) as usize;
    let high = ((count / 2.0 + margin).ceil() as usize).min(values.len() - 1);
    (values[low], values[values.len() / 2], values[high])
}

#[cfg(test)]
mod tests {
    use super::interval;

    #[test]
    fn the_interval_holds_the_median_and_narrows() {
        let spread = |count: usize| {
            let (low, median, high) = interval((0..count).map(|value| value as f64 / count as f64).collect());
            assert!(low <= median && median <= high);
            high - low
        };
        assert!(spread(1000) < spread(100));
        assert!((interval(vec![1.0; 50]).0 - 1.0).abs() < f64::EPSILON);
    }
}
