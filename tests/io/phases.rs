// What is read of a disk, and for how long: the guest `io` and the floor `io-floor` include this.

/// How long a phase lasts. Outside, the time between the lines that its ends print is taken; this clock only ends it.
const PHASE: Duration = Duration::from_millis(15);
/// Requests after which it is looked whether the phase is over.
const LOOK_EVERY: u64 = 16;

/// Bytes of the reads that go over all of the disk first; its size is a multiple of them.
const WARM_CHUNK: usize = 128 << 10;
/// How often they do, until a disk is warm: one that is mapped is read three times by requests, and then touched, which costs more
/// than to read what was touched.
const WARM_PASSES: usize = 4;

/// A phase: reads of one size, in one order, so many of them at once.
#[derive(Clone, Copy, Debug)]
struct Phase<'a> {
    name: &'a str,
    random: bool,
    size: usize,
    depth: usize,
}

impl<'a> Phase<'a> {
    /// Of a name like `random-4096-32` or `sequential-131072-8`.
    fn parse(name: &'a str) -> Option<Self> {
        let mut words = name.split('-');
        let random = match words.next()? {
            "random" => true,
            "sequential" => false,
            _ => return None,
        };
        let size = words.next()?.parse().ok().filter(|&size| size > 0)?;
        let depth = words.next()?.parse().ok().filter(|&depth| depth > 0)?;
        words.next().is_none().then_some(Self { name, random, size, depth })
    }

    /// The offsets that it reads at, on a disk of so many bytes.
    fn offsets(&self, capacity: u64) -> Offsets {
        let places = (capacity / self.size as u64).max(1);
        Offsets { size: self.size as u64, places, random: self.random, state: 0x9e37_79b9_7f4a_7c15 }
    }
}

/// Where to read next, for ever.
struct Offsets {
    size: u64,
    places: u64,
    random: bool,
    state: u64,
}

impl Iterator for Offsets {
    type Item = u64;

    fn next(&mut self) -> Option<u64> {
        if self.random {
            // xorshift64 (Marsaglia, 2003).
            self.state ^= self.state << 13;
            self.state ^= self.state >> 7;
            self.state ^= self.state << 17;
        } else {
            self.state = self.state.wrapping_add(1);
        }
        Some(self.state % self.places * self.size)
    }
}

/// When a phase is over, and how many requests it had.
struct Watch {
    clock: fn() -> Duration,
    end: Duration,
    count: u64,
    is_over: bool,
}

impl Watch {
    fn start(clock: fn() -> Duration) -> Self {
        let end = clock() + PHASE;
        Self { clock, end, count: 0, is_over: false }
    }

    /// Counts a request; whether there shall be another one.
    fn goes_on(&mut self) -> bool {
        self.count += 1;
        if self.count.is_multiple_of(LOOK_EVERY) {
            self.is_over |= (self.clock)() >= self.end;
        }
        !self.is_over
    }
}

/// The largest alignment that O_DIRECT asks of a buffer.
const ALIGNMENT: usize = 4096;

/// A buffer of `size` bytes for a read without the page cache: memory that holds it, and where in it it begins. All of it was
/// touched.
fn aligned(size: usize) -> (Vec<u8>, usize) {
    let memory = vec![1; size + ALIGNMENT];
    let start = memory.as_ptr().align_offset(ALIGNMENT);
    (memory, start)
}
