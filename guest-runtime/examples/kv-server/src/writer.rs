//! Group commit: what all connections want done at one time becomes one transaction.

use crate::backend::Failure;
use crate::command::Command;
use crate::device::Device;
use crate::reply::Reply;
use crate::store::Store;
use alloc::collections::VecDeque;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::RefCell;
use core::future::poll_fn;
use core::task::{Poll, Waker};

/// The most bytes of keys, values and answers in a transaction, if more than one connection has a part in it.
pub const LARGEST_TRANSACTION: usize = 1 << 20;

/// The most keys that a transaction changes, if more than one connection has a part in it.
pub const MOST_CHANGES: usize = 512;

/// What waits to be done.
#[derive(Debug, Default)]
pub struct Writer {
    state: RefCell<State>,
}

#[derive(Debug, Default)]
struct State {
    jobs: VecDeque<Rc<Job>>,
    writer: Option<Waker>,
    closing: bool,
}

/// What one connection wants done, and later the answers.
#[derive(Debug)]
struct Job {
    commands: Vec<Command>,
    outcome: RefCell<Outcome>,
}

#[derive(Debug)]
enum Outcome {
    Waiting(Option<Waker>),
    Done(Vec<Reply>),
}

impl Writer {
    /// Has the commands done in their order, with nothing of others between them, and gives an answer to each: an error, once it is
    /// [closed](Self::close). They are done even if this is dropped after its first poll.
    pub async fn submit(&self, commands: Vec<Command>) -> Vec<Reply> {
        if self.state.borrow().closing {
            return commands.iter().map(|_| Reply::Error("ERR the server is shutting down".into())).collect();
        }
        let job = Rc::new(Job { commands, outcome: RefCell::new(Outcome::Waiting(None)) });
        let waker = {
            let mut state = self.state.borrow_mut();
            state.jobs.push_back(job.clone());
            state.writer.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
        poll_fn(|context| match &mut *job.outcome.borrow_mut() {
            Outcome::Done(replies) => Poll::Ready(core::mem::take(replies)),
            Outcome::Waiting(waker) => {
                *waker = Some(context.waker().clone());
                Poll::Pending
            }
        })
        .await
    }

    /// Does what is submitted, until [`close`](Self::close) is called and all that came before is done.
    ///
    /// `report` is told of what goes wrong; the clients are as well.
    pub async fn run<D: Device>(&self, store: &Store<D>, report: impl Fn(Failure)) {
        while let Some(jobs) = self.next().await {
            let commands: Vec<&Command> = jobs.iter().flat_map(|job| &job.commands).collect();
            let mut replies = store.transact(&commands).await.into_iter();
            if let Some(failure) = store.take_failure() {
                report(failure);
            }
            for job in &jobs {
                let part = replies.by_ref().take(job.commands.len()).collect();
                let before = job.outcome.replace(Outcome::Done(part));
                if let Outcome::Waiting(Some(waker)) = before {
                    waker.wake();
                }
            }
        }
    }

    /// Has [`run`](Self::run) end. What is submitted from now on is refused.
    pub fn close(&self) {
        let mut state = self.state.borrow_mut();
        state.closing = true;
        let waker = state.writer.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// The jobs of the next transaction, at least one. Nothing once it is closed.
    async fn next(&self) -> Option<Vec<Rc<Job>>> {
        poll_fn(|context| {
            let mut state = self.state.borrow_mut();
            let jobs = state.take();
            if !jobs.is_empty() {
                return Poll::Ready(Some(jobs));
            }
            if state.closing {
                return Poll::Ready(None);
            }
            state.writer = Some(context.waker().clone());
            Poll::Pending
        })
        .await
    }
}

impl State {
    fn take(&mut self) -> Vec<Rc<Job>> {
        let mut jobs = Vec::new();
        let (mut size, mut changes) = (0, 0);
        while let Some(job) = self.jobs.front() {
            size += job.commands.iter().map(Command::size).sum::<usize>();
            changes += job.commands.iter().map(Command::changes).sum::<usize>();
            if !jobs.is_empty() && (size > LARGEST_TRANSACTION || changes > MOST_CHANGES) {
                break;
            }
            jobs.extend(self.jobs.pop_front());
        }
        jobs
    }
}
