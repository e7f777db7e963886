//! The end of a guest that found its own state impossible.

use crate::{console, doorbell, ring};
use core::fmt::{self, Write};
use core::panic::PanicInfo;
use core::sync::atomic::{AtomicBool, Ordering};
use ukvm_abi::doorbell::Function;
use ukvm_abi::ring::PANIC_MAX;

/// Text on the stack: a panic can come from anywhere, the allocator included.
struct Text {
    bytes: [u8; PANIC_MAX],
    length: usize,
}

impl Write for Text {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = &mut self.bytes[self.length..];
        // Cut at a character, so that the message stays UTF-8.
        let taken = text.floor_char_boundary(room.len());
        room[..taken].copy_from_slice(&text.as_bytes()[..taken]);
        self.length += taken;
        if taken == text.len() { Ok(()) } else { Err(fmt::Error) }
    }
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    static PANICKING: AtomicBool = AtomicBool::new(false);
    let mut text = Text { bytes: [0; PANIC_MAX], length: 0 };
    if PANICKING.swap(true, Ordering::Relaxed) {
        // A message whose formatting panics, or the output below: say the least.
        let _ = text.write_str("a panic while panicking");
    } else {
        // The place comes first: it is short, and a long message is cut off. A full buffer is no error here.
        let _ = match info.location() {
            Some(place) => write!(text, "{place}: {}", info.message()),
            None => write!(text, "{}", info.message()),
        };
        console::drain();
    }
    ring::state_panic(&text.bytes[..text.length]);
    doorbell::end(Function::Panic, 0)
}

/// The personality routine that precompiled crates refer to. Nothing unwinds, so nothing calls it.
#[unsafe(no_mangle)]
extern "C" fn rust_eh_personality() {
    doorbell::end(Function::Panic, 0)
}

/// As [`rust_eh_personality`].
#[unsafe(no_mangle)]
extern "C" fn _Unwind_Resume() {
    doorbell::end(Function::Panic, 0)
}
