//! Two stacks with a cable between them, a clock that stands still unless nobody has anything to do, and tasks.

#![allow(dead_code, reason = "each test file is a crate of its own and uses its part")]

pub(crate) mod icmpv6;

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Wake, Waker};
use std::time::Duration;
use ukvm_net_stack::{Config, HEADER_SIZE, IpEndpoint, Link, Offloads, Stack, Wire};

/// The MTU of the cable, in bytes.
pub(crate) const MTU: u16 = 1500;
/// Buffers that each stack may send from.
const BUFFERS: usize = 64;
/// How long a frame is on the cable.
const LATENCY: Duration = Duration::from_micros(50);

thread_local! {
    static NOW: Cell<Duration> = const { Cell::new(Duration::from_secs(1)) };
    static TASKS: RefCell<Vec<Task>> = const { RefCell::new(Vec::new()) };
    static SLEEPERS: RefCell<Vec<(Duration, Waker)>> = const { RefCell::new(Vec::new()) };
}

pub(crate) fn now() -> Duration {
    NOW.get()
}

struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

type Boxed = Pin<Box<dyn Future<Output = ()>>>;

struct Task(Boxed, Arc<Flag>);

/// Runs `future` beside the others.
pub(crate) fn spawn(future: impl Future<Output = ()> + 'static) {
    let task = Task(Box::pin(future), Arc::new(Flag(AtomicBool::new(true))));
    TASKS.with_borrow_mut(|tasks| tasks.push(task));
}

/// Ends when `duration` has passed.
pub(crate) async fn sleep(duration: Duration) {
    let until = now() + duration;
    std::future::poll_fn(|context| {
        if now() >= until {
            return std::task::Poll::Ready(());
        }
        SLEEPERS.with_borrow_mut(|sleepers| sleepers.push((until, context.waker().clone())));
        std::task::Poll::Pending
    })
    .await;
}

/// What happens to a frame on its way.
pub(crate) type Tap = Box<dyn FnMut(usize, Vec<u8>) -> Vec<Vec<u8>>>;

/// Frames that were seen.
pub(crate) type Frames = Rc<RefCell<Vec<Vec<u8>>>>;

pub(crate) struct World {
    pub(crate) stacks: [Stack; 2],
    pub(crate) wires: [Wire; 2],
    flags: [Arc<Flag>; 2],
    /// Packets, each a header and a frame, on the way to each side, and when they arrive.
    cable: [VecDeque<(Duration, Vec<u8>)>; 2],
    /// Sees each frame with its sender, and says what arrives instead.
    pub(crate) tap: Tap,
}

impl World {
    /// Stack 0 has 10.0.0.1/24 and fd00::1/64, stack 1 has 10.0.0.2/24 and fd00::2/64.
    pub(crate) fn new() -> Self {
        Self::with(|_, _| ())
    }

    pub(crate) fn with(change: impl Fn(usize, &mut Config)) -> Self {
        Self::with_offloads(Offloads::default(), change)
    }

    /// With a cable that leaves to the receiver what the sender has left to it.
    pub(crate) fn with_offloads(offloads: Offloads, change: impl Fn(usize, &mut Config)) -> Self {
        let ends = [0, 1].map(|side| stack(side, offloads, &change));
        let [(stack_0, wire_0), (stack_1, wire_1)] = ends;
        Self {
            stacks: [stack_0, stack_1],
            wires: [wire_0, wire_1],
            flags: [(); 2].map(|()| Arc::new(Flag(AtomicBool::new(true)))),
            cable: [VecDeque::new(), VecDeque::new()],
            tap: Box::new(|_, frame| vec![frame]),
        }
    }

    /// Puts a new stack in the place of that of `side`.
    pub(crate) fn restart(&mut self, side: usize, change: impl Fn(usize, &mut Config)) {
        (self.stacks[side], self.wires[side]) = stack(side, Offloads::default(), &change);
        self.flags[side].0.store(true, Ordering::Relaxed);
    }

    /// The frames that `side` sends from now on, as it sends them.
    pub(crate) fn watch(&mut self, side: usize) -> Frames {
        let frames = Frames::default();
        let seen = frames.clone();
        self.tap = Box::new(move |from, frame| {
            if from == side {
                seen.borrow_mut().push(frame.clone());
            }
            vec![frame]
        });
        frames
    }

    /// Has `frame` arrive at `side`.
    pub(crate) fn inject(&mut self, side: usize, frame: Vec<u8>) {
        self.inject_packet(side, [&[0; HEADER_SIZE], &frame[..]].concat());
    }

    /// Has a header and a frame arrive at `side`.
    pub(crate) fn inject_packet(&mut self, side: usize, packet: Vec<u8>) {
        self.cable[side].push_back((now(), packet));
    }

    /// Runs everything until `future` ends. Panics where that can never be.
    pub(crate) fn run<T: 'static>(&mut self, future: impl Future<Output = T> + 'static) -> T {
        let result = Rc::new(RefCell::new(None));
        let place = result.clone();
        spawn(async move {
            let value = future.await;
            *place.borrow_mut() = Some(value);
        });
        loop {
            if let Some(value) = result.borrow_mut().take() {
                return value;
            }
            if !self.turn() {
                self.advance().expect("nobody has anything to do, ever");
            }
        }
    }

    /// Runs everything until nobody has anything to do without a timer. The next timer, if there is one.
    pub(crate) fn rest(&mut self) -> Option<Duration> {
        loop {
            if !self.turn() {
                let next = self.next();
                if self.cable.iter().all(VecDeque::is_empty) {
                    return next;
                }
                self.advance();
            }
        }
    }

    fn turn(&mut self) -> bool {
        let tasks = run_tasks();
        let drivers = [0, 1].map(|side| self.drive(side));
        tasks || drivers.contains(&true)
    }

    /// As a driver does. Whether there was anything to do: only what was announced counts.
    fn drive(&mut self, side: usize) -> bool {
        let wire = &self.wires[side];
        let mut active = self.flags[side].0.swap(false, Ordering::Relaxed)
            || wire.deadline().is_some_and(|deadline| deadline <= now());
        while self.cable[side].front().is_some_and(|(when, _)| *when <= now()) && wire.can_receive() {
            let (_, packet) = self.cable[side].pop_front().unwrap();
            wire.receive(&packet);
            active = true;
        }
        if active {
            run_tasks();
            wire.poll();
        }
        wire.register(&Waker::from(self.flags[side].clone()));
        while let Some(out) = wire.transmit() {
            active = true;
            let (header, frame) = out.buffer[..out.length].split_at(HEADER_SIZE);
            for frame in (self.tap)(side, frame.to_vec()) {
                let packet = [header, &frame[..]].concat();
                self.cable[1 - side].push_back((now() + LATENCY, packet));
            }
            wire.release(out.buffer);
        }
        active
    }

    fn next(&self) -> Option<Duration> {
        let frames = self.cable.iter().filter_map(|cable| cable.front().map(|(when, _)| *when));
        let wires = self.wires.iter().filter_map(Wire::deadline);
        let sleepers = SLEEPERS.with_borrow(|sleepers| sleepers.iter().map(|(until, _)| *until).min());
        frames.chain(wires).chain(sleepers).min()
    }

    fn advance(&self) -> Option<()> {
        let next = self.next()?;
        NOW.set(next.max(now()));
        SLEEPERS.with_borrow_mut(|sleepers| {
            sleepers.retain(|(until, waker)| {
                if *until <= now() {
                    waker.wake_by_ref();
                }
                *until > now()
            });
        });
        Some(())
    }
}

fn stack(side: usize, offloads: Offloads, change: &impl Fn(usize, &mut Config)) -> (Stack, Wire) {
    let mut config = Config::default();
    for text in [format!("10.0.0.{}/24", side + 1), format!("fd00::{}/64", side + 1)] {
        config.addresses.push(text.parse().unwrap());
    }
    change(side, &mut config);
    let link = Link { mac: mac(side), mtu: MTU, buffers: BUFFERS, offloads };
    Stack::new(&link, &config, [42 + side as u8; 32], now).unwrap()
}

fn run_tasks() -> bool {
    let mut any = false;
    loop {
        let tasks = TASKS.take();
        let mut ran = false;
        let mut kept = Vec::new();
        for Task(mut future, flag) in tasks {
            if flag.0.swap(false, Ordering::Relaxed) {
                ran = true;
                let waker = Waker::from(flag.clone());
                if future.as_mut().poll(&mut Context::from_waker(&waker)).is_ready() {
                    continue;
                }
            }
            kept.push(Task(future, flag));
        }
        TASKS.with_borrow_mut(|tasks| {
            kept.append(tasks);
            *tasks = kept;
        });
        if !ran {
            return any;
        }
        any = true;
    }
}

pub(crate) fn mac(side: usize) -> [u8; 6] {
    [2, 0, 0, 0, 0, side as u8 + 1]
}

pub(crate) fn endpoint(text: &str) -> IpEndpoint {
    let address: std::net::SocketAddr = text.parse().unwrap();
    address.into()
}

/// Bytes that depend on their place.
pub(crate) fn pattern(length: usize, seed: u64) -> Vec<u8> {
    let mut random = Random(seed);
    (0..length).map(|_| random.next() as u8).collect()
}

/// xorshift64* (Vigna, 2016).
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.max(1);
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        ((self.next() >> 33) as usize) % bound
    }
}
