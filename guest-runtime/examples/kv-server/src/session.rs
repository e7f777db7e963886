//! A connection.

use crate::command::{Action, Command, interpret};
use crate::device::Device;
use crate::reply::Reply;
use crate::request::{self, Parsed};
use crate::store::Store;
use crate::writer::Writer;
use alloc::format;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::Cell;
use core::time::Duration;
use embassy_futures::yield_now;
use embedded_io_async::{Read, Write};

/// Bytes of requests that a connection may have in memory at any time: requests and replies that are longer draw on the [`Budget`].
pub const SHORT: usize = 16 << 10;

/// The most requests that are looked at together.
const PIPELINE: usize = 128;

/// Bytes that a request and its answer take beside their contents, about.
const OVERHEAD: usize = 128;

/// After so many reads from the disk no further request is looked at for now, as the whole guest waits for them.
const MOST_READS: u64 = 16;

/// Bytes that are read, or written, at once.
const PIECE: usize = 16 << 10;

/// Time, for those who have a clock.
pub trait Timer {
    /// What `future` gives, if it ends within `limit`.
    fn within<F: Future>(&self, limit: Duration, future: F) -> impl Future<Output = Option<F::Output>>;
}

/// Memory that all connections share, for what is long.
#[derive(Debug)]
pub struct Budget(Cell<usize>);

impl Budget {
    /// So many bytes.
    #[must_use]
    pub const fn new(bytes: usize) -> Self {
        Self(Cell::new(bytes))
    }
}

/// A part of the budget, given back when it is dropped.
#[derive(Debug)]
struct Grant<'a> {
    budget: &'a Budget,
    bytes: usize,
}

impl Grant<'_> {
    /// Makes it at least so many bytes, if these are there.
    fn raise(&mut self, bytes: usize) -> bool {
        let more = bytes.saturating_sub(self.bytes);
        let Some(left) = self.budget.0.get().checked_sub(more) else { return false };
        self.budget.0.set(left);
        self.bytes += more;
        true
    }

    /// Makes it enough for a reply, as it is and as it is sent, if that is possible.
    fn covers(&mut self, reply: &Reply) -> bool {
        reply.size() <= SHORT || self.raise(2 * reply.size())
    }
}

impl Drop for Grant<'_> {
    fn drop(&mut self) {
        self.budget.0.set(self.budget.0.get() + self.bytes);
    }
}

/// What all connections have in common.
#[derive(Debug)]
pub struct Service<D, T> {
    /// Where the values are.
    pub store: Rc<Store<D>>,
    /// Who writes them.
    pub writer: Rc<Writer>,
    /// Memory for what is long.
    pub budget: Budget,
    /// The clock.
    pub timer: T,
    /// How long a client may take for the rest of a request, and for taking more of a reply.
    pub patience: Duration,
}

impl<D: Device, T: Timer> Service<D, T> {
    /// Serves a connection until the client ends it, breaks the rules or takes too long.
    pub async fn serve(&self, stream: &mut (impl Read + Write)) {
        let mut input = Vec::new();
        while self.turn(stream, &mut input).await.is_some() {}
    }

    /// Answers the requests that have come, at least one. Nothing if the connection is to end.
    async fn turn(&self, stream: &mut (impl Read + Write), input: &mut Vec<u8>) -> Option<()> {
        if input.is_empty() {
            self.read(stream, input, 1).await?;
        }
        let mut memory = Grant { budget: &self.budget, bytes: 0 };
        let mut run = Run::default();
        let mut used = 0;
        match self.timer.within(self.patience, self.complete(stream, input, &mut memory)).await? {
            Ok(()) => {
                let reads = self.store.reads();
                used = self.take(input, &mut run, &mut memory);
                if self.store.reads() != reads {
                    // All others have waited for that.
                    yield_now().await;
                }
            }
            Err(End::Gone) => return None,
            Err(End::Refused(reply)) => run.end_with(reply),
        }
        // What a long request took, it no longer takes.
        input.drain(..used);
        input.shrink_to(SHORT);
        let quits = run.quits;
        let mut out = Vec::new();
        for reply in self.finish(run).await {
            let reply = if memory.covers(&reply) { reply } else { busy() };
            reply.encode(&mut out);
            if out.len() > SHORT {
                self.write(stream, &out).await?;
                out = Vec::new();
            }
        }
        self.write(stream, &out).await?;
        if quits { None } else { Some(()) }
    }

    /// Reads until there is a whole request, or something that is none.
    async fn complete(
        &self,
        stream: &mut impl Read,
        input: &mut Vec<u8>,
        memory: &mut Grant<'_>,
    ) -> Result<(), End> {
        while let Ok(Parsed::Part(least)) = request::parse(input) {
            // Once as it came, and once as the command that is made of it.
            if least > SHORT && !memory.raise(2 * least) {
                return Err(End::Refused(busy()));
            }
            self.read(stream, input, least).await.ok_or(End::Gone)?;
        }
        Ok(())
    }

    /// Takes requests into the run, as far as they can be answered together. How many bytes they have.
    fn take(&self, input: &[u8], run: &mut Run, memory: &mut Grant<'_>) -> usize {
        let mut at = 0;
        let reads = self.store.reads();
        let goes_on = |run: &Run| !run.quits && run.steps.len() < PIPELINE && run.size <= SHORT;
        while goes_on(run) && at <= SHORT && self.store.reads() < reads + MOST_READS {
            match request::parse(&input[at..]) {
                Ok(Parsed::Request { arguments, length }) => {
                    if !arguments.is_empty() && !self.add(interpret(arguments), run, memory) {
                        break;
                    }
                    at += length;
                }
                Ok(Parsed::Part(_)) => break,
                Err(bad) => run.end_with(Reply::error(format!("{bad}"))),
            }
        }
        at
    }

    /// Takes a request into the run, if it may be in it.
    fn add(&self, action: Action, run: &mut Run, memory: &mut Grant<'_>) -> bool {
        match action {
            Action::Answer(reply) => run.steps.push(Step::Done(reply)),
            Action::Quit(reply) => run.end_with(reply),
            Action::Close => run.quits = true,
            Action::Ask(command) if command.writes() => run.ask(command),
            // It must see what was written before it.
            Action::Ask(_) if !run.commands.is_empty() => return false,
            Action::Ask(command) => match self.store.query(&command) {
                Some(reply) => {
                    run.size += reply.size() + OVERHEAD;
                    run.steps.push(Step::Done(if memory.covers(&reply) { reply } else { busy() }));
                }
                None => run.ask(command),
            },
        }
        true
    }

    /// The answers to all of a run, in their order.
    async fn finish(&self, run: Run) -> Vec<Reply> {
        let mut written = if run.commands.is_empty() {
            Vec::new().into_iter()
        } else {
            self.writer.submit(run.commands).await.into_iter()
        };
        let answer = |step| match step {
            Step::Done(reply) => reply,
            Step::Asked => written.next().unwrap_or(Reply::Nil),
        };
        run.steps.into_iter().map(answer).collect()
    }

    /// Reads some bytes more, where `least` are wanted in all. Nothing at the end of the connection.
    async fn read(&self, stream: &mut impl Read, input: &mut Vec<u8>, least: usize) -> Option<()> {
        let start = input.len();
        let most = least.max(SHORT);
        input.reserve_exact(most - start);
        input.resize(most.min(start + PIECE), 0);
        let count = stream.read(&mut input[start..]).await.unwrap_or(0);
        input.truncate(start + count);
        (count > 0).then_some(())
    }

    /// Writes all of `bytes`. Nothing where the client does not take them.
    async fn write(&self, stream: &mut impl Write, bytes: &[u8]) -> Option<()> {
        for piece in bytes.chunks(PIECE) {
            self.timer.within(self.patience, stream.write_all(piece)).await?.ok()?;
        }
        self.timer.within(self.patience, stream.flush()).await?.ok()
    }
}

/// Why there will be no whole request.
enum End {
    /// The client has gone.
    Gone,
    /// It is to be told why.
    Refused(Reply),
}

/// Requests that are answered together.
#[derive(Debug, Default)]
struct Run {
    steps: Vec<Step>,
    commands: Vec<Command>,
    /// Bytes of what is asked for and answered.
    size: usize,
    /// Whether the connection is to end behind them.
    quits: bool,
}

#[derive(Debug)]
enum Step {
    Done(Reply),
    /// The next of the commands has the answer.
    Asked,
}

impl Run {
    fn end_with(&mut self, reply: Reply) {
        self.steps.push(Step::Done(reply));
        self.quits = true;
    }

    fn ask(&mut self, command: Command) {
        self.size += command.size() + OVERHEAD;
        self.steps.push(Step::Asked);
        self.commands.push(command);
    }
}

/// The answer where there is no memory for something long.
fn busy() -> Reply {
    Reply::Error("OOM too many long values are on their way: try again, or give the guest more memory".into())
}
