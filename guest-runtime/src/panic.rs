//! The end of a guest that found its own state impossible.

#[cfg(not(feature = "hosted"))]
use crate::heap;
use crate::{console, doorbell, ring};
use core::fmt::{self, Display, Write};
use core::panic::Location;
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use ukvm_abi::doorbell::Function;
use ukvm_abi::ring::PANIC_MAX;

static MESSAGE: Message = Message { length: AtomicUsize::new(0) };

/// The message of the panic. Static, as a panic can come from anywhere, the allocator and a full stack included; and so that
/// a panic while panicking adds to it.
struct Message {
    length: AtomicUsize,
}

impl Message {
    fn address(&self) -> *mut u8 {
        console::panic_message()
    }

    fn length(&self) -> usize {
        self.length.load(Ordering::Relaxed)
    }
}

impl Write for &Message {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let length = self.length();
        // Cut at a character, so that the message stays UTF-8.
        let taken = text.floor_char_boundary(PANIC_MAX - length);
        let end = self.address().wrapping_add(length);
        // SAFETY: `taken` bytes are left behind `end`, and nobody else looks at them now.
        unsafe { end.copy_from_nonoverlapping(text.as_ptr(), taken) };
        self.length.store(length + taken, Ordering::Relaxed);
        if taken == text.len() { Ok(()) } else { Err(fmt::Error) }
    }
}

#[cfg(not(feature = "hosted"))]
#[panic_handler]
fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
    end(info.location(), &info.message())
}

/// Has the standard library's panics end as those of a guest do.
#[cfg(feature = "hosted")]
pub(crate) fn hook() {
    let (program, usual) = (std::thread::current().id(), std::panic::take_hook());
    std::panic::set_hook(alloc::boxed::Box::new(move |info| {
        if std::thread::current().id() != program {
            // A thread of the monitor's, which nothing of the program's is for.
            usual(info);
            std::process::abort();
        }
        end(info.location(), &info.payload_as_str().unwrap_or("a panic without a message"))
    }));
}

fn end(place: Option<&Location<'_>>, message: &dyn Display) -> ! {
    static PANICKING: AtomicBool = AtomicBool::new(false);
    if PANICKING.swap(true, Ordering::Relaxed) {
        // Its message may be what panics: the place must do. A full buffer is no error here, nor below.
        let _ = match place {
            Some(place) => write!(&MESSAGE, "; then a panic while panicking at {place}"),
            None => (&MESSAGE).write_str("; then a panic while panicking"),
        };
    } else {
        let _ = describe(place, message);
        console::drain();
    }
    ring::state_panic(MESSAGE.address() as u64, MESSAGE.length() as u64);
    doorbell::end(Function::Panic, 0)
}

/// The place comes first: it is short, and a long message is cut off.
fn describe(place: Option<&Location<'_>>, message: &dyn Display) -> fmt::Result {
    match place {
        // Where the standard library gives up on an allocation, it knows neither a place in the program nor a way out.
        #[cfg(not(feature = "hosted"))]
        Some(place) if place.file().ends_with("alloc/src/alloc.rs") && heap::is_exhausted() => {
            write!(&MESSAGE, "out of memory: {message}, give the guest more with `--mem`")
        }
        Some(place) => write!(&MESSAGE, "{place}: {message}"),
        None => write!(&MESSAGE, "{message}"),
    }
}

/// The personality routine that precompiled crates refer to. Nothing unwinds, so nothing calls it.
#[cfg(not(feature = "hosted"))]
#[unsafe(no_mangle)]
extern "C" fn rust_eh_personality() {
    doorbell::end(Function::Panic, 0)
}

/// As [`rust_eh_personality`].
#[cfg(not(feature = "hosted"))]
#[unsafe(no_mangle)]
extern "C" fn _Unwind_Resume() {
    doorbell::end(Function::Panic, 0)
}
