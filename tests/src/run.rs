//! A monitor with a guest as a child process, and what came out of it.

use crate::artifacts::{artifacts, guest, hosted, hvt_guest};
use crate::files::program;
use crate::suite::patience;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::ffi::{OsStr, OsString};
use std::io::{Read, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How long a test waits for what should happen at once.
pub const SOON: Duration = Duration::from_secs(20);

/// A monitor that is to be started.
#[derive(Debug)]
pub struct Run {
    monitor: PathBuf,
    program: Option<PathBuf>,
    options: Vec<OsString>,
    arguments: Vec<OsString>,
    input: Input,
    output: Option<Stdio>,
    user: Option<u32>,
    directory: Option<PathBuf>,
    environment: Vec<(OsString, OsString)>,
    deadline: Duration,
}

#[derive(Debug)]
enum Input {
    /// These bytes, then the end of input.
    Bytes(Vec<u8>),
    /// A pipe that the test writes to.
    Pipe,
    Other(Stdio),
}

impl Run {
    /// `ukvm-run` with the guest `name` of the test suite or of the examples, and with no input.
    #[must_use]
    pub fn guest(name: &str) -> Self {
        Self::elf(guest(name))
    }

    /// `ukvm-run` with the hvt guest `name` of the test suite, and with no input.
    #[must_use]
    pub fn hvt(name: &str) -> Self {
        Self::elf(hvt_guest(name))
    }

    /// The example `name` as a process of this system, watched by valgrind, which makes an error of memory the status 99.
    #[must_use]
    pub fn hosted(name: &str) -> Self {
        let valgrind = program("valgrind").unwrap_or_else(|| panic!("valgrind is not installed"));
        let mut options: Vec<OsString> = vec!["--quiet".into(), "--error-exitcode=99".into()];
        if name == "https" {
            // It takes what ring's assembly code keeps beside its stack for values that nobody has written.
            options.push("--undef-value-errors=no".into());
        }
        options.push(hosted(name).into());
        Self::bare().monitor(&valgrind).options(options)
    }

    /// `ukvm-run` with any file as its program.
    #[must_use]
    pub fn elf(program: impl Into<PathBuf>) -> Self {
        Self { program: Some(program.into()), ..Self::bare() }
    }

    /// `ukvm-run` without a program.
    #[must_use]
    pub fn bare() -> Self {
        Self {
            monitor: artifacts().monitor.clone(),
            program: None,
            options: Vec::new(),
            arguments: Vec::new(),
            input: Input::Bytes(Vec::new()),
            output: None,
            user: None,
            directory: None,
            environment: Vec::new(),
            deadline: SOON,
        }
    }

    /// With another monitor.
    #[must_use]
    pub fn monitor(self, monitor: &Path) -> Self {
        Self { monitor: monitor.into(), ..self }
    }

    /// `ukvm-runner` in place of the monitor, which it starts.
    #[must_use]
    pub fn runner(self) -> Self {
        let monitor = artifacts().monitor.clone();
        self.monitor(&artifacts().runner).option("--monitor", monitor)
    }

    /// With the monitor in odd surroundings: see `odd-run`.
    #[must_use]
    pub fn odd(self, oddity: &str) -> Self {
        let run = self.monitor(&artifacts().odd_monitor);
        Self { options: [vec![oddity.into()], run.options].concat(), ..run }
    }

    /// With these options, before the program.
    #[must_use]
    pub fn options<S: AsRef<OsStr>>(mut self, options: impl IntoIterator<Item = S>) -> Self {
        self.options.extend(options.into_iter().map(|option| option.as_ref().to_owned()));
        self
    }

    /// With the option `name` and its value.
    #[must_use]
    pub fn option(self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.options([OsStr::new(name), value.as_ref()])
    }

    /// With these arguments for the program, after `--`.
    #[must_use]
    pub fn args<S: AsRef<OsStr>>(mut self, arguments: impl IntoIterator<Item = S>) -> Self {
        self.arguments.extend(arguments.into_iter().map(|argument| argument.as_ref().to_owned()));
        self
    }

    /// With `bytes` as its whole input.
    #[must_use]
    pub fn input(self, bytes: impl Into<Vec<u8>>) -> Self {
        Self { input: Input::Bytes(bytes.into()), ..self }
    }

    /// With a pipe as its input, written to by [`Running::send`].
    #[must_use]
    pub fn input_pipe(self) -> Self {
        Self { input: Input::Pipe, ..self }
    }

    /// With `stdin` as its input.
    #[must_use]
    pub fn stdin(self, stdin: impl Into<Stdio>) -> Self {
        Self { input: Input::Other(stdin.into()), ..self }
    }

    /// With `stdout` as its output, which is then not captured.
    #[must_use]
    pub fn stdout(self, stdout: impl Into<Stdio>) -> Self {
        Self { output: Some(stdout.into()), ..self }
    }

    /// As the user and group with this number, without supplementary groups.
    #[must_use]
    pub fn user(self, user: u32) -> Self {
        Self { user: Some(user), ..self }
    }

    /// In this directory.
    #[must_use]
    pub fn current_directory(self, directory: &Path) -> Self {
        Self { directory: Some(directory.into()), ..self }
    }

    /// With this variable in its environment.
    #[must_use]
    pub fn variable(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.environment.push((name.into(), value.as_ref().to_owned()));
        self
    }

    /// Fails the test if it runs for longer than `deadline` instead of [`SOON`].
    #[must_use]
    pub fn deadline(self, deadline: Duration) -> Self {
        Self { deadline, ..self }
    }

    /// Starts it.
    ///
    /// # Panics
    ///
    /// Where that is not possible.
    #[must_use]
    pub fn start(self) -> Running {
        let mut command = Command::new(&self.monitor);
        command.args(&self.options).args(&self.program);
        if !self.arguments.is_empty() {
            command.arg("--").args(&self.arguments);
        }
        command.envs(self.environment);
        let (stdin, bytes) = match self.input {
            Input::Bytes(bytes) if bytes.is_empty() => (Stdio::null(), None),
            Input::Bytes(bytes) => (Stdio::piped(), Some(bytes)),
            Input::Pipe => (Stdio::piped(), None),
            Input::Other(stdin) => (stdin, None),
        };
        command.stdin(stdin).stdout(self.output.unwrap_or_else(Stdio::piped)).stderr(Stdio::piped());
        if let Some(directory) = &self.directory {
            command.current_dir(directory);
        }
        if let Some(user) = self.user {
            command.uid(user).gid(user);
        }
        let line = format!("{command:?}");
        let started = Instant::now();
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{line}: {error}"));
        // The command holds the descriptors that it was given, among them perhaps the only writing end of a pipe.
        drop(command);
        let stdout = child.stdout.take().map_or_else(Captured::none, Captured::from);
        let stderr = child.stderr.take().map_or_else(Captured::none, Captured::from);
        let mut stdin = child.stdin.take();
        if let Some(bytes) = bytes
            && let Some(mut pipe) = stdin.take()
        {
            // A guest that ends before it read everything is none of the writer's business.
            std::thread::spawn(move || drop(pipe.write_all(&bytes)));
        }
        Running { child, line, stdin, stdout, stderr, started, deadline: patience(self.deadline) }
    }

    /// Starts it and waits for its end.
    #[must_use]
    pub fn finish(self) -> Finished {
        self.start().wait()
    }
}

/// A monitor that runs. Killed when it is dropped.
#[derive(Debug)]
pub struct Running {
    child: Child,
    line: String,
    stdin: Option<ChildStdin>,
    stdout: Captured,
    stderr: Captured,
    started: Instant,
    deadline: Duration,
}

impl Running {
    /// Its process.
    #[must_use]
    pub fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id().cast_signed())
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        kill(self.pid(), signal).expect("it has not been waited for");
    }

    /// Writes to its input, which must be a pipe.
    pub fn send(&mut self, bytes: &[u8]) {
        let pipe = self.stdin.as_mut().expect("its input is a pipe that is still open");
        pipe.write_all(bytes).unwrap_or_else(|error| panic!("{}: its input: {error}", self.line));
    }

    /// Ends its input.
    pub fn end_input(&mut self) {
        self.stdin = None;
    }

    /// Waits until `text` is in its output.
    pub fn wait_for(&self, text: &str) {
        self.wait_until(text, &self.stdout);
    }

    /// Waits until `text` is in its error output.
    pub fn wait_for_error(&self, text: &str) {
        self.wait_until(text, &self.stderr);
    }

    fn wait_until(&self, text: &str, stream: &Captured) {
        let deadline = Instant::now() + self.deadline;
        assert!(
            stream.wait(deadline, |bytes| contains(bytes, text.as_bytes())),
            "{}: no {text:?} in its output {:?}; its errors: {}",
            self.line,
            String::from_utf8_lossy(&self.stdout.bytes()),
            String::from_utf8_lossy(&self.stderr.bytes()),
        );
    }

    /// What it has put out so far.
    #[must_use]
    pub fn output_so_far(&self) -> Vec<u8> {
        self.stdout.bytes()
    }

    /// What it has put out on its standard error so far.
    #[must_use]
    pub fn errors_so_far(&self) -> String {
        String::from_utf8_lossy(&self.stderr.bytes()).into_owned()
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("it is our child").is_none()
    }

    /// Waits for its end.
    ///
    /// # Panics
    ///
    /// If it runs for longer than its deadline.
    #[must_use]
    pub fn wait(mut self) -> Finished {
        self.stdin = None;
        let end = self.started + self.deadline;
        let mut pause = Duration::from_micros(200);
        let status = loop {
            if let Some(status) = self.child.try_wait().expect("it is our child") {
                break status;
            }
            if Instant::now() > end {
                let before = threads(self.child.id());
                std::thread::sleep(Duration::from_secs(1));
                let after = threads(self.child.id());
                let _ = self.child.kill();
                let _ = self.child.wait();
                panic!(
                    "{}: still running after {:?}; its output: {:?}; its errors: {}; its threads: {before}\n\
                     a second later: {after}",
                    self.line,
                    self.deadline,
                    String::from_utf8_lossy(&self.stdout.bytes()),
                    String::from_utf8_lossy(&self.stderr.bytes()),
                );
            }
            std::thread::sleep(pause);
            pause = (pause * 2).min(Duration::from_millis(5));
        };
        let took = self.started.elapsed();
        Finished {
            line: self.line.clone(),
            status,
            output: self.stdout.rest(),
            errors: String::from_utf8_lossy(&self.stderr.rest()).into_owned(),
            took,
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // After `wait` both fail, as the child is no longer there.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A monitor that has ended.
#[derive(Debug)]
pub struct Finished {
    line: String,
    status: ExitStatus,
    /// What came out of its standard output.
    pub output: Vec<u8>,
    /// What came out of its standard error.
    pub errors: String,
    /// How long it ran.
    pub took: Duration,
}

impl Finished {
    /// Asserts that its exit status is `code`.
    #[track_caller]
    pub fn status(self, code: i32) -> Self {
        assert!(
            self.status.code() == Some(code),
            "{}: {} (signal {:?}) instead of {code}; its output: {:?}; its errors: {}",
            self.line,
            self.status,
            self.status.signal(),
            self.text(),
            self.errors,
        );
        self
    }

    /// Its exit status, where it was not killed.
    #[must_use]
    pub fn code(&self) -> Option<i32> {
        self.status.code()
    }

    /// Asserts that its output is exactly `text`.
    #[track_caller]
    pub fn prints(self, text: &str) -> Self {
        assert!(
            self.output == text.as_bytes(),
            "{}: {:?} instead of {text:?}; its errors: {}",
            self.line,
            self.text(),
            self.errors
        );
        self
    }

    /// Asserts that it put out nothing on its standard error.
    #[track_caller]
    pub fn quietly(self) -> Self {
        assert!(self.errors.is_empty(), "{}: its errors: {}", self.line, self.errors);
        self
    }

    /// Asserts that its error output has each of `words`.
    #[track_caller]
    pub fn says(self, words: &[&str]) -> Self {
        for word in words {
            assert!(self.errors.contains(word), "{}: no {word:?} in its errors: {}", self.line, self.errors);
        }
        self
    }

    /// Asserts that its error output is one clear sentence, that each of `words` is in it, and that its status is `code`.
    #[track_caller]
    pub fn refuses(self, code: i32, words: &[&str]) -> Self {
        let this = self.status(code).says(words);
        let line = this.errors.trim_end_matches('\n');
        let sentence = line.strip_prefix("ukvm-run: ").unwrap_or_default();
        let one_line = this.errors.ends_with('\n') && !line.contains('\n');
        assert!(
            one_line && sentence.len() > 20 && !sentence.ends_with('.'),
            "{}: not one clear sentence: {}",
            this.line,
            this.errors
        );
        assert!(this.output.is_empty(), "{}: its output: {:?}", this.line, this.text());
        this
    }

    /// Its output as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.output).into_owned()
    }
}

/// What a thread reads from a pipe.
#[derive(Debug)]
struct Captured {
    shared: Arc<(Mutex<Vec<u8>>, Condvar)>,
    reader: Option<JoinHandle<()>>,
}

impl Captured {
    fn none() -> Self {
        Self { shared: Arc::default(), reader: None }
    }

    fn from(mut pipe: impl Read + Send + 'static) -> Self {
        let shared = Arc::new((Mutex::new(Vec::new()), Condvar::new()));
        let writer = Arc::clone(&shared);
        let reader = std::thread::spawn(move || {
            let mut buffer = vec![0; 1 << 16];
            while let Ok(length @ 1..) = pipe.read(&mut buffer) {
                let (bytes, grown) = &*writer;
                bytes.lock().expect("no reader panics").extend_from_slice(&buffer[..length]);
                grown.notify_all();
            }
        });
        Self { shared, reader: Some(reader) }
    }

    fn bytes(&self) -> Vec<u8> {
        self.shared.0.lock().expect("no reader panics").clone()
    }

    /// Waits until `enough` or the deadline; whether it was enough.
    fn wait(&self, deadline: Instant, enough: impl Fn(&[u8]) -> bool) -> bool {
        let (bytes, grown) = &*self.shared;
        let mut bytes = bytes.lock().expect("no reader panics");
        while !enough(&bytes) {
            let left = deadline.saturating_duration_since(Instant::now());
            // In steps, so that a reader that has ended is found out.
            let step = left.min(Duration::from_millis(100));
            if left.is_zero() || self.reader.as_ref().is_none_or(JoinHandle::is_finished) {
                return enough(&bytes);
            }
            bytes = grown.wait_timeout(bytes, step).expect("no reader panics").0;
        }
        true
    }

    /// Everything, once the other end is closed.
    fn rest(&mut self) -> Vec<u8> {
        if let Some(reader) = self.reader.take() {
            reader.join().expect("no reader panics");
        }
        self.bytes()
    }
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    part.is_empty() || bytes.windows(part.len()).any(|window| window == part)
}

/// What the threads of a process are doing, as far as the kernel tells (Linux, `filesystems/proc.rst`): whether one that hangs
/// computes or waits, and for what.
fn threads(process: u32) -> String {
    let Ok(tasks) = std::fs::read_dir(format!("/proc/{process}/task")) else { return String::new() };
    let mut text = String::new();
    for task in tasks.flatten() {
        for file in ["stat", "syscall", "stack"] {
            let content = std::fs::read_to_string(task.path().join(file)).unwrap_or_default();
            text += &format!("\n{file}: {}", content.trim_end());
        }
    }
    text
}
