//! The doorbell: the one I/O port that a guest may use.
//!
//! A guest rings it with a 32-bit `OUT` to [`PORT`]. The low byte of the value is a [`Function`]; the byte above
//! it is the function's argument. Any other port, another width, an `IN`, or an unknown function is a fault
//! that ends the guest with [`FAULT`](crate::exit_status::FAULT).

/// The I/O port of the doorbell.
///
/// It lies outside the ports that PC hardware has claimed (all below 0x1000), so that no guest that was written
/// for a PC rings it by accident.
pub const PORT: u16 = 0x7500;

/// What the guest asks for by ringing the doorbell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Function {
    /// Submit all requests up to the submission ring's tail, and return when at least one completion is in the
    /// completion ring or the deadline in the [ring header](crate::ring::DEADLINE) has passed.
    Enter = 0,
    /// End the guest. The argument is its exit status, 0 to 255.
    Exit = 1,
    /// End the guest because it panicked. The message is named in the
    /// [ring header](crate::ring::PANIC_ADDRESS); the exit status is [`PANIC`](crate::exit_status::PANIC).
    Panic = 2,
    /// Rewrite the [clock page](crate::clock) now. Only guests that found
    /// [`TSC_USABLE`](crate::clock::TSC_USABLE) clear need it.
    Clock = 3,
}

impl Function {
    /// The value to write to the port.
    #[must_use]
    pub const fn encode(self, argument: u8) -> u32 {
        self as u32 | (argument as u32) << 8
    }

    /// The function and argument that `value` stands for, or `None` where the function is unknown, a bit above the
    /// argument is set, or a function that takes no argument has one.
    #[must_use]
    pub const fn decode(value: u32) -> Option<(Self, u8)> {
        let [function, argument, 0, 0] = value.to_le_bytes() else {
            return None;
        };
        match (function, argument) {
            (0, 0) => Some((Self::Enter, 0)),
            (1, status) => Some((Self::Exit, status)),
            (2, 0) => Some((Self::Panic, 0)),
            (3, 0) => Some((Self::Clock, 0)),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Function;

    #[test]
    fn every_function_survives_the_way_through_the_port() {
        for function in [Function::Enter, Function::Exit, Function::Panic, Function::Clock] {
            assert_eq!(Function::decode(function.encode(0)), Some((function, 0)));
        }
        assert_eq!(Function::decode(Function::Exit.encode(255)), Some((Function::Exit, 255)));
    }

    #[test]
    fn what_is_not_assigned_is_refused() {
        for value in [4, 0xff, 0x100, 0x1_0001, 0x100_0000, u32::MAX] {
            assert_eq!(Function::decode(value), None, "{value:#x}");
        }
    }
}
