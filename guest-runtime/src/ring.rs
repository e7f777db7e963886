//! The ring of requests to the monitor, as the rest of the runtime uses it.
//!
//! - An [`Operation`] is one request as a future: submitted at its first poll, done with its completion.
//! - A [`Queue`] is for drivers that keep many requests under way, with buffers of their own: its completions wait in
//!   it under the numbers that the driver gave them, and one waker is told.
//!
//! Requests reach the monitor together, at the next `enter`: when no task can go on, or after a bounded number of
//! polls. More requests than the rings hold wait here in their order. At most half of the completion ring's entries are
//! ever under way as operations, so that a stalled disk leaves room for the network.
//!
//! # Buffers
//!
//! Until its completion a buffer belongs to the monitor. Dropping an [`Operation`] that is under way therefore waits for the
//! completion, and the whole guest with it. *Leaking* one (`mem::forget`) and using its buffer afterwards is the one thing that
//! the borrow checker cannot stop: don't. Who wants to abandon a slow request puts it, with its buffer, into a
//! [task](crate::task) and abandons that.

use crate::local::Local;
use crate::shared::SharedArea;
use crate::{console, doorbell, shutdown};
use alloc::collections::VecDeque;
use alloc::rc::Rc;
use core::cell::RefCell;
use core::marker::PhantomData;
use core::pin::Pin;
use core::task::{Context, Poll, Waker};
use slab::Slab;
use ukvm_abi::boot_info::BootInfo;
use ukvm_abi::doorbell::Function;
use ukvm_abi::request::{Completion, Opcode, Request, SYSTEM, Status};
use ukvm_abi::ring::{GuestRing, Shape};

/// The upper half of the user data: an operation, whose index in the slab is the lower half.
const OPERATIONS: u32 = 0;
/// The upper half of the user data: the console's output.
const CONSOLE_OUTPUT: u32 = 1;
/// The upper half of the user data: the console's input.
const CONSOLE_INPUT: u32 = 2;
/// The upper half of the user data: the shutdown notice.
const SHUTDOWN_NOTICE: u32 = 3;
/// The upper half of the user data: a queue, whose index in the slab is this much less. The lower half is the driver's.
const QUEUES: u32 = 4;

static STATE: Local<State> = Local::new(State {
    ring: None,
    first: VecDeque::new(),
    held: VecDeque::new(),
    operations: Slab::new(),
    operations_limit: 0,
    operations_under_way: 0,
    queues: Slab::new(),
    under_way: 0,
    unannounced: false,
});

struct State {
    ring: Option<GuestRing<SharedArea>>,
    /// What found no room in the submission ring: requests of queues and the console.
    first: VecDeque<Request>,
    /// What found no room, or would be one operation too many.
    held: VecDeque<Request>,
    operations: Slab<Slot>,
    operations_limit: usize,
    operations_under_way: usize,
    queues: Slab<Rc<RefCell<Inbox>>>,
    /// Requests in the submission ring or with the monitor.
    under_way: usize,
    /// Whether something was submitted since the doorbell was last rung.
    unannounced: bool,
}

enum Slot {
    Waiting(Option<Waker>),
    Done(Completion),
}

impl State {
    #[inline]
    fn ring(&mut self) -> &mut GuestRing<SharedArea> {
        self.ring.as_mut().expect("the entry installs the ring before all else")
    }

    /// Puts `request` into the submission ring, if there is room.
    #[unsafe(link_section = ".text.startup.ukvm")]
    fn submit(&mut self, request: &Request) -> bool {
        let ring = self.ring();
        let submitted = ring.submit(request).expect("the monitor keeps its indices in order");
        if submitted {
            self.under_way += 1;
            self.unannounced = true;
        }
        submitted
    }

    #[unsafe(link_section = ".text.startup.ukvm")]
    fn submit_first(&mut self, request: Request) {
        if !self.first.is_empty() || !self.submit(&request) {
            self.keep(request);
        }
    }

    #[cold]
    fn keep(&mut self, request: Request) {
        self.first.push_back(request);
    }

    fn submit_operation(&mut self, request: Request) {
        let may = self.held.is_empty()
            && self.first.is_empty()
            && self.operations_under_way < self.operations_limit
            && self.submit(&request);
        if may {
            self.operations_under_way += 1;
        } else {
            self.held.push_back(request);
        }
    }

    /// Moves what waits here into the submission ring, as far as there is room.
    fn pump(&mut self) {
        while let Some(request) = self.first.pop_front() {
            if !self.submit(&request) {
                self.first.push_front(request);
                return;
            }
        }
        while self.operations_under_way < self.operations_limit {
            let Some(request) = self.held.pop_front() else { return };
            if !self.submit(&request) {
                self.held.push_front(request);
                return;
            }
            self.operations_under_way += 1;
        }
    }

    /// Whether requests wait here.
    fn has_queue(&self) -> bool {
        !self.first.is_empty() || !self.held.is_empty()
    }

    /// Whether requests wait for room in the submission ring, rather than for operations to complete.
    fn is_blocked(&self) -> bool {
        !self.first.is_empty() || (!self.held.is_empty() && self.operations_under_way < self.operations_limit)
    }

    fn take(&mut self) -> Option<Completion> {
        let ring = self.ring();
        let completion = ring.take().expect("the monitor keeps its indices in order")?;
        self.under_way -= 1;
        Some(completion)
    }
}

/// Takes the rings into use, and tells the monitor when the guest began.
///
/// # Safety
///
/// `boot_info` is the monitor's, and this is the only call.
#[unsafe(link_section = ".text.startup.ukvm")]
pub(crate) unsafe fn install(boot_info: &BootInfo, entry_time: u64) {
    let shape = Shape::new(boot_info.submission_entries, boot_info.completion_entries)
        .expect("the monitor's rings have a size that is a power of two");
    assert!(shape.area_size() as u64 <= boot_info.rings.length, "the monitor's rings fit their area");
    // SAFETY: the boot information says that the rings are there, mapped writable, for the monitor and this guest.
    let area = unsafe { SharedArea::new(boot_info.rings.start, shape.area_size()) };
    STATE.with(|state| {
        let ring = GuestRing::new(area, shape);
        ring.set_entry_time(entry_time);
        state.ring = Some(ring);
        state.operations_limit = shape.completion_entries() as usize / 2;
    });
}

/// Tells the monitor that the program begins at `time`.
#[unsafe(link_section = ".text.startup.ukvm")]
pub(crate) fn set_main_time(time: u64) {
    STATE.with(|state| state.ring().set_main_time(time));
}

/// Submits the one request of the console's output.
pub(crate) fn submit_console_output(bytes: &'static [u8]) {
    submit_system(Opcode::ConsoleWrite, CONSOLE_OUTPUT, bytes.as_ptr() as u64, bytes.len());
}

/// Submits the one request of the console's input.
///
/// # Safety
///
/// `length` bytes at `address` are the monitor's to write until the completion.
pub(crate) unsafe fn submit_console_input(address: *mut u8, length: usize) {
    submit_system(Opcode::ConsoleRead, CONSOLE_INPUT, address as u64, length);
}

/// Submits the one request for the shutdown notice.
pub(crate) fn submit_shutdown_notice() {
    submit_system(Opcode::ShutdownNotice, SHUTDOWN_NOTICE, 0, 0);
}

fn submit_system(opcode: Opcode, who: u32, address: u64, length: usize) {
    let request = Request {
        opcode: opcode as u16,
        device: SYSTEM,
        user_data: u64::from(who) << 32,
        address,
        length: length as u64,
        ..Request::default()
    };
    STATE.with(|state| state.submit_first(request));
}

/// Rings the doorbell: submits all there is, and returns on a completion or when the monotonic clock has reached
/// `deadline` nanoseconds (0: at once; `u64::MAX`: never). Takes no completions.
#[unsafe(link_section = ".text.startup.ukvm")]
pub(crate) fn enter(deadline: u64) {
    if STATE.with(|state| state.has_queue()) {
        submit_queue();
    }
    ring_doorbell(deadline);
}

/// Submits what waits here, as far as there is room.
// Not inlined into what every start runs, which is one page.
#[inline(never)]
fn submit_queue() {
    let mut blocked = STATE.with(|state| {
        state.pump();
        state.is_blocked()
    });
    while blocked {
        // More than the submission ring holds: have the monitor empty it first. What it leaves, it leaves for want of room
        // for completions; then there are some to take, or to wait for.
        ring_doorbell(0);
        let (progress, still_blocked) = STATE.with(|state| {
            let before = state.first.len() + state.held.len();
            state.pump();
            (state.first.len() + state.held.len() < before, state.is_blocked())
        });
        blocked = progress && still_blocked;
    }
}

#[unsafe(link_section = ".text.startup.ukvm")]
fn ring_doorbell(deadline: u64) {
    STATE.with(|state| {
        state.unannounced = false;
        state.ring().set_deadline(deadline);
    });
    doorbell::ring(Function::Enter, 0);
}

/// Takes all completions that are there and wakes who waits for them. Whether there were any.
#[unsafe(link_section = ".text.startup.ukvm")]
pub(crate) fn reap() -> bool {
    let mut any = false;
    while let Some(completion) = STATE.with(State::take) {
        any = true;
        let number = completion.user_data as u32;
        match (completion.user_data >> 32) as u32 {
            OPERATIONS => complete_operation(number as usize, completion),
            CONSOLE_OUTPUT => console::output_done(),
            CONSOLE_INPUT => console::input_done(result(&completion)),
            SHUTDOWN_NOTICE => shutdown::done(),
            queue => complete_queue(queue, number, &completion),
        }
    }
    any
}

// Not inlined into what every start runs, which is one page.
#[inline(never)]
fn complete_operation(index: usize, completion: Completion) {
    let waker = STATE.with(|state| {
        state.operations_under_way -= 1;
        let slot = state.operations.get_mut(index).expect("the monitor completes what was submitted");
        match core::mem::replace(slot, Slot::Done(completion)) {
            Slot::Waiting(waker) => waker,
            Slot::Done(_) => panic!("the monitor completed a request twice"),
        }
    });
    if let Some(waker) = waker {
        waker.wake();
    }
}

// Not inlined into what every start runs, which is one page.
#[inline(never)]
fn complete_queue(queue: u32, token: u32, completion: &Completion) {
    let index = queue.checked_sub(QUEUES).expect("the monitor returns user data untouched");
    let inbox = STATE.with(|state| state.queues.get(index as usize).cloned());
    let inbox = inbox.expect("a queue lives as long as its requests");
    let mut inbox = RefCell::borrow_mut(&inbox);
    inbox.under_way -= 1;
    inbox.completions.push_back((token, result(completion)));
    let waker = inbox.waker.take();
    drop(inbox);
    if let Some(waker) = waker {
        waker.wake();
    }
}

fn result(completion: &Completion) -> Result<u64, Status> {
    match Status::from_number(completion.status) {
        Status::Ok => Ok(completion.value),
        status => Err(status),
    }
}

/// Whether requests are in the submission ring of which the monitor does not know, and whether any are under way at all.
pub(crate) fn pending() -> Pending {
    STATE.with(|state| Pending {
        unannounced: state.unannounced || !state.first.is_empty(),
        under_way: state.under_way > 0,
    })
}

/// See [`pending`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pending {
    pub(crate) unannounced: bool,
    pub(crate) under_way: bool,
}

/// Whether the state is at rest, so that a panic may still use the ring.
pub(crate) fn is_at_rest() -> bool {
    STATE.try_with(|_| ()).is_some()
}

/// Names the message of a panic to the monitor; where the ring is in use further up the stack, says nothing.
pub(crate) fn state_panic(address: u64, length: u64) {
    STATE.try_with(|state| {
        if let Some(ring) = &state.ring {
            ring.set_panic(address, length);
        }
    });
}

/// A request as a future that ends with the completion's value or its error.
///
/// It is submitted when it is first polled. Dropped before that, it does nothing; dropped later, it waits for the
/// completion: see the [module](self).
#[derive(Debug)]
#[must_use = "a request is submitted when its future is polled"]
pub struct Operation<'buffer> {
    request: Request,
    stage: Stage,
    buffer: PhantomData<&'buffer mut [u8]>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    New,
    Submitted(usize),
    Ended,
}

impl<'buffer> Operation<'buffer> {
    /// A request that brings data into `buffer`.
    pub fn fill(opcode: Opcode, device: u32, buffer: &'buffer mut [u8], offset: u64) -> Self {
        let (address, length) = (buffer.as_mut_ptr() as u64, buffer.len() as u64);
        Self::new(Request { opcode: opcode as u16, device, address, length, offset, ..Request::default() })
    }

    /// A request that takes the data in `buffer`. `opcode` must not be one that writes to its buffer.
    ///
    /// # Panics
    ///
    /// If `opcode` brings data.
    pub fn give(opcode: Opcode, device: u32, buffer: &'buffer [u8], offset: u64) -> Self {
        assert!(
            matches!(opcode, Opcode::ConsoleWrite | Opcode::NetSend | Opcode::BlockWrite),
            "the opcode writes to its buffer"
        );
        let (address, length) = (buffer.as_ptr() as u64, buffer.len() as u64);
        Self::new(Request { opcode: opcode as u16, device, address, length, offset, ..Request::default() })
    }

    /// A request without a buffer.
    pub fn plain(opcode: Opcode, device: u32, length: u64, offset: u64) -> Self {
        Self::new(Request { opcode: opcode as u16, device, length, offset, ..Request::default() })
    }

    /// Any request at all; its user data is set by the ring.
    ///
    /// # Safety
    ///
    /// If the monitor knows the opcode, then the buffer is memory that the request may use until its completion.
    pub unsafe fn raw(request: Request) -> Self {
        Self::new(request)
    }

    const fn new(request: Request) -> Self {
        Self { request, stage: Stage::New, buffer: PhantomData }
    }

    /// Submits it and waits for its completion without giving way to any task. Completions of others that come meanwhile are kept, and wake
    /// who waits for them.
    ///
    /// # Errors
    ///
    /// The error of the completion.
    pub fn wait(mut self) -> Result<u64, Status> {
        let mut context = Context::from_waker(Waker::noop());
        loop {
            if let Poll::Ready(result) = Pin::new(&mut self).poll(&mut context) {
                return result;
            }
            // It may have come since it was submitted: to enter then would wait for another one.
            if !reap() {
                enter(u64::MAX);
            }
        }
    }
}

impl Future for Operation<'_> {
    type Output = Result<u64, Status>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        let waker = context.waker();
        match this.stage {
            Stage::New => {
                let waker = Some(waker.clone());
                let index = STATE.with(|state| {
                    let index = state.operations.insert(Slot::Waiting(waker));
                    this.request.user_data = u64::from(OPERATIONS) << 32 | index as u64;
                    state.submit_operation(this.request);
                    index
                });
                this.stage = Stage::Submitted(index);
                Poll::Pending
            }
            Stage::Submitted(index) => match take_done(index) {
                Some(completion) => {
                    this.stage = Stage::Ended;
                    Poll::Ready(result(&completion))
                }
                None => {
                    let waker = waker.clone();
                    // The old waker must not be dropped inside: it may be the last owner of a task.
                    drop(STATE.with(|state| {
                        core::mem::replace(&mut state.operations[index], Slot::Waiting(Some(waker)))
                    }));
                    Poll::Pending
                }
            },
            Stage::Ended => panic!("an operation was polled after its end"),
        }
    }
}

/// Removes the operation and returns its completion, if it is done.
fn take_done(index: usize) -> Option<Completion> {
    STATE.with(|state| match state.operations.get(index) {
        Some(Slot::Done(completion)) => {
            let completion = *completion;
            state.operations.remove(index);
            Some(completion)
        }
        _ => None,
    })
}

impl Drop for Operation<'_> {
    fn drop(&mut self) {
        let Stage::Submitted(index) = self.stage else { return };
        // Still here, unseen by the monitor: nothing to wait for.
        let recalled = STATE.with(|state| {
            let place = state.held.iter().position(|held| held.user_data == self.request.user_data)?;
            state.held.remove(place);
            Some(state.operations.remove(index))
        });
        if recalled.is_some() {
            return;
        }
        reap();
        while take_done(index).is_none() {
            enter(u64::MAX);
            reap();
        }
    }
}

#[derive(Debug, Default)]
struct Inbox {
    completions: VecDeque<(u32, Result<u64, Status>)>,
    waker: Option<Waker>,
    under_way: usize,
}

/// Where the completions of a driver's requests arrive.
///
/// Its requests pass by the [limit](self) of operations. Those that may take for ever (receives) should stay well below
/// [`completion_entries`], all drivers together.
#[derive(Debug)]
pub struct Queue {
    index: usize,
    inbox: Rc<RefCell<Inbox>>,
}

impl Queue {
    /// A queue with room for `capacity` completions before it allocates.
    pub fn new(capacity: usize) -> Self {
        let inbox = Rc::new(RefCell::new(Inbox {
            completions: VecDeque::with_capacity(capacity),
            ..Inbox::default()
        }));
        let index = STATE.with(|state| state.queues.insert(inbox.clone()));
        Self { index, inbox }
    }

    /// Submits `request`; its completion will be found under `token`. The request's user data is set by the ring.
    ///
    /// # Safety
    ///
    /// The request's buffer is memory that the request may use until its completion was taken from this queue.
    pub unsafe fn submit(&self, mut request: Request, token: u32) {
        request.user_data = u64::from(QUEUES + self.index as u32) << 32 | u64::from(token);
        self.inbox.borrow_mut().under_way += 1;
        STATE.with(|state| state.submit_first(request));
    }

    /// The oldest completion that was not yet taken: its token, and its value or error.
    pub fn take(&self) -> Option<(u32, Result<u64, Status>)> {
        self.inbox.borrow_mut().completions.pop_front()
    }

    /// Whether there is nothing to take.
    pub fn is_empty(&self) -> bool {
        self.inbox.borrow().completions.is_empty()
    }

    /// Ready once there is something to take. One task may wait; another one's poll takes its place.
    pub fn poll_ready(&self, context: &Context<'_>) -> Poll<()> {
        let mut inbox = self.inbox.borrow_mut();
        if !inbox.completions.is_empty() {
            return Poll::Ready(());
        }
        let registered = inbox.waker.as_ref().is_some_and(|waker| waker.will_wake(context.waker()));
        if !registered {
            let old = inbox.waker.replace(context.waker().clone());
            drop(inbox);
            drop(old);
        }
        Poll::Pending
    }

    /// Requests that were submitted and are not yet completed.
    pub fn under_way(&self) -> usize {
        self.inbox.borrow().under_way
    }
}

impl Drop for Queue {
    /// Leaves the queue registered for ever while requests are under way: their completions still come.
    fn drop(&mut self) {
        if self.under_way() == 0 {
            drop(STATE.with(|state| state.queues.try_remove(self.index)));
        }
    }
}

/// Entries of the completion ring: the bound of all requests under way, one less for the shutdown notice.
pub fn completion_entries() -> usize {
    crate::boot_info().completion_entries as usize
}
