//! What a test is, what it needs of the host, and how all of them are run and counted.
//!
//! | variable | meaning |
//! |---|---|
//! | `UKVM_TEST_REQUIRE=all` | a test that cannot run here fails instead of being ignored |
//! | `UKVM_TEST_ARTIFACTS=DIR` | monitor and guests are in DIR; nothing is built |
//! | `UKVM_TEST_BULK=N` | tests of much data send N MiB each way; a large site has as many, up to 1024 |
//! | `UKVM_TEST_SLOW=N` | this host is N times slower than most: every deadline is N times longer |
//! | `UKVM_TEST_IN_RIG=COMMAND` | run in another machine, see [`rig`](crate::rig) |
//! | `UKVM_TEST_RIG=1` | this is the emulated machine: leave out what cannot run there, and say so |
//! | `UKVM_TEST_JOURNAL=FILE` | write down there how tests end, and leave out those of which it is known, see [`journal`](crate::journal) |

use crate::files;
use crate::journal::{Entry, Journal};
use libtest_mimic::{Arguments, Conclusion, Failed, Trial};
use std::fs::OpenOptions;
use std::sync::{OnceLock, RwLock};
use std::time::Duration;

/// A test.
#[derive(Clone, Copy, Debug)]
pub struct Test {
    module: &'static str,
    name: &'static str,
    body: fn(),
    needs: &'static [Need],
    alone: bool,
    not_in_rig: Option<&'static str>,
}

impl Test {
    /// The test `name` in `module` (as `module_path!` gives it), which passes if `body` does not panic.
    pub const fn new(module: &'static str, name: &'static str, body: fn()) -> Self {
        Self { module, name, body, needs: &[], alone: false, not_in_rig: None }
    }

    /// It is ignored on hosts that lack one of these.
    #[must_use]
    pub const fn needs(self, needs: &'static [Need]) -> Self {
        Self { needs, ..self }
    }

    /// No other test runs at the same time.
    #[must_use]
    pub const fn alone(self) -> Self {
        Self { alone: true, ..self }
    }

    /// It is left out in the emulated machine, for the reason given.
    #[must_use]
    pub const fn not_in_rig(self, why: &'static str) -> Self {
        Self { not_in_rig: Some(why), ..self }
    }

    fn full_name(&self) -> String {
        let topic = self.module.rsplit("::").next().unwrap_or_default();
        format!("{topic}::{}", self.name)
    }
}

/// Makes the constant `TESTS` of a module out of the names of its functions, each with the methods of
/// [`Test`] that it wants behind it: `name .alone() .not_in_rig("reason");`.
#[macro_export]
macro_rules! tests {
    ($($name:ident $(.$method:ident($($argument:expr),*))*;)+) => {
        pub(crate) const TESTS: &[$crate::suite::Test] = &[$(
            $crate::suite::Test::new(module_path!(), stringify!($name), $name)$(.$method($($argument),*))*
        ),+];
    };
}

/// What a test may need that not every host has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// A `/dev/kvm` that this user may open.
    Kvm,
    /// Network namespaces, and a `/dev/net/tun` that this user may open.
    Network,
    /// The powers of the real root user: device nodes, other users, mounts.
    Root,
    /// Loop devices.
    Loop,
    /// A program in `PATH` or in `/sbin` and `/usr/sbin`.
    Program(&'static str),
}

impl Need {
    /// Why it cannot be had here, or `None` if it can.
    fn missing(self) -> Option<String> {
        match self {
            Self::Kvm => writable("/dev/kvm"),
            Self::Network if !namespaces() => Some("needs root or user namespaces".into()),
            Self::Network => writable("/dev/net/tun"),
            Self::Root => (!real_root()).then(|| "needs root".into()),
            Self::Loop => writable("/dev/loop-control"),
            Self::Program(name) => files::program(name).is_none().then(|| format!("{name} is not installed")),
        }
    }
}

fn writable(path: &str) -> Option<String> {
    let error = OpenOptions::new().read(true).write(true).open(path).err()?;
    Some(format!("{path}: {error}"))
}

static STARTED_AS_ROOT: OnceLock<bool> = OnceLock::new();

fn real_root() -> bool {
    *STARTED_AS_ROOT.get_or_init(|| nix::unistd::geteuid().is_root())
}

fn namespaces() -> bool {
    static POSSIBLE: OnceLock<bool> = OnceLock::new();
    *POSSIBLE.get_or_init(|| {
        std::thread::spawn(|| nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET).is_ok())
            .join()
            .unwrap_or(false)
    })
}

/// Gives an ordinary user a user namespace in which it may make network namespaces. To be called while the process has one thread.
pub fn enter_user_namespace() {
    use nix::sched::{CloneFlags, unshare};
    let (user, group) = (nix::unistd::geteuid(), nix::unistd::getegid());
    if real_root() || unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNET).is_err() {
        return;
    }
    // Where one of these fails, so do the tests that need it, by name.
    let _ = std::fs::write("/proc/self/setgroups", "deny");
    let _ = std::fs::write("/proc/self/uid_map", format!("0 {user} 1"));
    let _ = std::fs::write("/proc/self/gid_map", format!("0 {group} 1"));
}

/// `duration`, or more of it on a slow host: for deadlines, not for what is measured.
#[must_use]
pub fn patience(duration: Duration) -> Duration {
    duration * slowness()
}

/// How many times slower than most this host is.
#[must_use]
pub fn slowness() -> u32 {
    static FACTOR: OnceLock<u32> = OnceLock::new();
    *FACTOR.get_or_init(|| {
        std::env::var("UKVM_TEST_SLOW").ok().and_then(|text| text.parse().ok()).unwrap_or(1).max(1)
    })
}

/// Whether this is the emulated machine.
#[must_use]
pub fn in_rig() -> bool {
    std::env::var_os("UKVM_TEST_RIG").is_some()
}

/// Runs the tests that `arguments` select, all of which need `needs`, and says at the end what was not run.
pub fn run(
    arguments: &Arguments,
    needs: &[Need],
    tests: impl IntoIterator<Item = &'static Test>,
) -> Conclusion {
    let must = std::env::var("UKVM_TEST_REQUIRE").is_ok_and(|what| what == "all");
    let (mut trials, mut left_out) = (Vec::new(), Vec::new());
    for test in tests.into_iter().filter(|test| !Journal::so_far().has_ended(&test.full_name())) {
        match test.not_in_rig {
            Some(why) if in_rig() => left_out.push((test.full_name(), why)),
            _ => trials.push(trial(test, needs, must)),
        }
    }
    let conclusion = libtest_mimic::run(arguments, trials);
    if !left_out.is_empty() && !arguments.list {
        let ran = conclusion.num_passed + conclusion.num_failed;
        println!("{ran} tests ran in this machine; {} did not:", left_out.len());
        for (name, why) in left_out {
            println!("  {name}: {why}");
        }
    }
    conclusion
}

fn trial(test: &'static Test, needs: &[Need], must: bool) -> Trial {
    let missing: Vec<String> = needs.iter().chain(test.needs).filter_map(|need| need.missing()).collect();
    if missing.is_empty() {
        return Trial::test(test.full_name(), || {
            execute(test);
            Ok(())
        });
    }
    let why = missing.join(", ");
    if must {
        Trial::test(test.full_name(), move || Err(Failed::from(format!("cannot run here: {why}"))))
    } else {
        Trial::test(format!("{} [{why}]", test.full_name()), || Ok(())).with_ignored_flag(true)
    }
}

/// Tests that measure or fill the host take the lock for themselves.
static TURN: RwLock<()> = RwLock::new(());

fn execute(test: &Test) {
    let name = test.full_name();
    // A failed test poisons the lock, which protects no data.
    if test.alone {
        let _turn = TURN.write().unwrap_or_else(std::sync::PoisonError::into_inner);
        let _entry = Entry::begin(&name);
        (test.body)();
    } else {
        let _turn = TURN.read().unwrap_or_else(std::sync::PoisonError::into_inner);
        let _entry = Entry::begin(&name);
        (test.body)();
    }
}
