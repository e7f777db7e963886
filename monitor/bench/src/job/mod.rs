//! `ukvm-bench job`: how long a job lives that fetches a file, from before its process is made until it has been reaped.
//!
//! The example `cron-job` fetches a file from nginx onto its disk: with all that a network has (an address from dnsmasq, the name by
//! DNS), the same with the address in use at once, and with neither. Beside it a shell of the host does the same with curl, sync and
//! mv: without a machine to be started and an address to be got. In a round each has its turn.

mod world;

use crate::error::Error;
use crate::io::network;
use crate::life;
use crate::program::Program;
use crate::rounds::Rounds;
use crate::session::Session;
use crate::stats::{Interval, Summary};
use crate::table;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::time::Duration;
use world::{FILE, NAME, SIZE, World};

/// Who fetches, in the order of their figures.
const SUBJECTS: [&str; 4] = [
    "cron-job, DHCP and DNS",
    "cron-job, DHCP at once and DNS",
    "cron-job, nothing to ask for",
    "curl, sync and mv in a shell",
];
const CURL: usize = 3;
/// What a job does beside its own stages.
const AROUND: &str = "start and end";

/// Where the programs are.
#[derive(Clone, Debug)]
pub struct Programs {
    /// The monitor.
    pub monitor: PathBuf,
    /// The guest.
    pub elf: PathBuf,
    /// nginx.
    pub nginx: PathBuf,
    /// dnsmasq.
    pub dnsmasq: PathBuf,
    /// curl.
    pub curl: PathBuf,
    /// mkfs.vfat.
    pub mkfs: PathBuf,
}

/// What is measured, and how often.
#[derive(Debug)]
pub struct Plan {
    subjects: [Program; SUBJECTS.len()],
    world: World,
    runs: usize,
}

impl Plan {
    /// Measures these programs in `runs` rounds. Makes files and disk in `directory`, which go with the plan.
    ///
    /// # Errors
    ///
    /// Where these cannot be made.
    pub fn new(programs: &Programs, directory: &Path, runs: usize) -> Result<Self, Error> {
        let Programs { monitor, elf, nginx, dnsmasq, curl, mkfs } = programs;
        let world = World::create(directory, nginx, dnsmasq, mkfs)?;
        let disk = ["--disk".to_owned(), format!("data={}", world.disk().display())];
        let options: Vec<_> = network::option("outside").into_iter().chain(disk).map(Into::into).collect();
        let job = |address: &str, host: &str| {
            let words = ["--ip", address, &format!("http://{host}/{FILE}")].map(Into::into);
            Program::unikernel(monitor, &options, elf, &words)
        };
        let host = network::HOST.to_string();
        // The URL, and the file. It prints something, as all that is measured does.
        let script = "\"$0\" --silent --show-error --fail --output \"$2.new\" \"$1\" && sync \"$2.new\" \
                      && mv \"$2.new\" \"$2\" && sync \"$2\" && echo done";
        let words = [
            "-c".into(),
            script.into(),
            curl.into(),
            format!("http://{host}/{FILE}").into(),
            world.copy().into_os_string(),
        ];
        let curl = Program { arguments: words.into(), ..Program::at(Path::new("/bin/sh")) };
        let given = format!("{}/24", network::GUEST);
        let programs = [job("dhcp", NAME), job("dhcp-at-once", NAME), job(&given, &host), curl];
        let mut names = SUBJECTS.into_iter();
        Ok(Self {
            subjects: programs.map(|program| program.named(names.next().unwrap_or_default())),
            world,
            runs,
        })
    }
}

/// How long jobs live.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Job {
    /// Rounds in which all were measured.
    pub rounds: usize,
    /// Rounds that were wanted.
    pub wanted: usize,
    /// The size of the file that is fetched.
    pub file_bytes: usize,
    /// Who fetches.
    pub subjects: Vec<Lived>,
}

/// A program that fetches.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Lived {
    /// Its name.
    pub name: String,
    /// From before the process is made until it has been reaped, in nanoseconds.
    pub life_ns: Summary,
    /// Its life by curl's, round by round; not of curl itself.
    pub by_curl: Option<Interval>,
    /// What the life is made of, in its order; nothing of curl.
    pub stages: Vec<Stage>,
}

/// A part of a job's life.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Stage {
    /// Its name.
    pub name: String,
    /// How long it took, in nanoseconds: as the job itself says, whose clock has steps of 0.1 ms there. What is left of the life is
    /// the last one.
    pub took_ns: Summary,
}

/// One life, seen from outside and as the job tells it.
#[derive(Debug)]
struct Fetch {
    life: Duration,
    /// The job's stages, in milliseconds.
    stages: Vec<(String, f64)>,
}

/// Measures, and says why it stopped early if it did.
pub fn measure(plan: &Plan, session: &Session) -> (Option<Job>, Option<Error>) {
    let servers = match network::enter_with_loopback().and_then(|()| plan.world.serve(session)) {
        Ok(servers) => servers,
        Err(error) => return (None, Some(error)),
    };
    let rounds = Rounds::run("job", SUBJECTS.len(), plan.runs, session, |which| {
        let Some(program) = plan.subjects.get(which) else {
            return Err(Error::host("there is no such program; start again"));
        };
        let life = life::follow(program, session)?;
        let stages = if which == CURL { Some(Vec::new()) } else { stages(&life.output) };
        let stages = stages.ok_or_else(|| {
            Error::program(format!(
                "{} told nothing of its stages; try it alone: {}",
                program.name,
                program.words()
            ))
        })?;
        Ok(Fetch { life: life.reaped, stages })
    });
    drop(servers);
    let subjects = SUBJECTS.iter().enumerate().map(|(subject, name)| {
        let turns = rounds.values(subject);
        let nanoseconds = |turn: &Fetch| turn.life.as_secs_f64() * 1e9;
        let pairs = turns.iter().zip(rounds.values(CURL));
        let by_curl = Interval::of(pairs.map(|(one, other)| nanoseconds(one) / nanoseconds(other)));
        Some(Lived {
            name: (*name).to_owned(),
            life_ns: Summary::of(turns.iter().map(nanoseconds))?,
            by_curl: by_curl.filter(|_| subject != CURL),
            stages: summaries(turns)?,
        })
    });
    let job = subjects.collect::<Option<_>>().map(|subjects| Job {
        rounds: rounds.count(),
        wanted: plan.runs,
        file_bytes: SIZE,
        subjects,
    });
    (job, rounds.stopped)
}

/// What a job says of its stages, in milliseconds: `… ms: disk 1.2, address 104.0`.
fn stages(output: &[u8]) -> Option<Vec<(String, f64)>> {
    let text = String::from_utf8_lossy(output);
    let (_, list) = text.lines().last()?.split_once("; ms: ")?;
    list.split(", ")
        .map(|stage| {
            let (name, took) = stage.split_once(' ')?;
            Some((name.to_owned(), took.parse().ok().filter(|took: &f64| took.is_finite())?))
        })
        .collect()
}

/// The stages of all lives, and what is left of these.
fn summaries(turns: &[Fetch]) -> Option<Vec<Stage>> {
    let [first, ..] = turns else { return None };
    if first.stages.is_empty() {
        return Some(Vec::new());
    }
    let names = first.stages.iter().enumerate().map(|(number, (name, _))| {
        let took = turns.iter().filter_map(|turn| Some(turn.stages.get(number)?.1 * 1e6));
        Some(Stage { name: name.clone(), took_ns: Summary::of(took)? })
    });
    let rest = turns.iter().map(|turn| {
        let told: f64 = turn.stages.iter().map(|(_, took)| took * 1e6).sum();
        turn.life.as_secs_f64() * 1e9 - told
    });
    names.chain([Some(Stage { name: AROUND.to_owned(), took_ns: Summary::of(rest)? })]).collect()
}

/// Jobs as text, for a terminal.
#[must_use]
pub fn table(job: &Job) -> String {
    let head = format!("job, {}", table::rounds(job.rounds, job.wanted));
    let mut text = table::line(&head, ["median", "least", "p90"]);
    for Lived { name, life_ns, by_curl, stages } in &job.subjects {
        let row = |name: &str, summary: &Summary| {
            let figures = [summary.median, summary.minimum, summary.p90].map(table::time);
            table::line(name, figures.iter().map(String::as_str))
        };
        text += &row(&format!("  {name}"), life_ns);
        for Stage { name, took_ns } in stages {
            text += &row(&format!("    {name}"), took_ns);
        }
        if let Some(by) = by_curl {
            text += &table::ratio_line("    by curl", *by);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_job_says_is_understood() {
        let said =
            b"INFO a lease\ncron-job: 5 bytes of http://h/a; ms: 1 are in a; ms: disk 1.2, address 104.0\n";
        assert_eq!(stages(said), None);
        let said = b"INFO a lease\ncron-job: 5 bytes of http://h/a are in a; ms: disk 1.2, address 104.0\n";
        assert_eq!(stages(said), Some(vec![("disk".into(), 1.2), ("address".into(), 104.0)]));
        for said in ["", "done\n", "x; ms: ", "x; ms: disk", "x; ms: disk a", "x; ms: disk inf"] {
            assert_eq!(stages(said.as_bytes()), None, "{said}");
        }
    }

    #[test]
    fn what_is_left_of_a_life_is_start_and_end() {
        let fetch =
            |life, disk| Fetch { life: Duration::from_millis(life), stages: vec![("disk".into(), disk)] };
        let stages = summaries(&[fetch(10, 1.0), fetch(20, 2.0)]).unwrap();
        assert_eq!(stages.iter().map(|stage| &*stage.name).collect::<Vec<_>>(), ["disk", AROUND]);
        assert_eq!((stages[0].took_ns.median, stages[1].took_ns.median), (1.5e6, 13.5e6));
        assert!(summaries(&[Fetch { life: Duration::ZERO, stages: vec![] }]).unwrap().is_empty());
    }
}
