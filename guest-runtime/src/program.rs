//! How a program is declared, started and ended.

use crate::entry::exit;
use core::convert::Infallible;
use core::fmt::Display;
use ukvm_abi::manifest::Device;

/// What a program's `main` may return, and the exit status that it stands for.
pub trait Termination {
    /// Says what there is to say, and returns the exit status.
    fn report(self) -> u8;
}

impl Termination for () {
    fn report(self) -> u8 {
        0
    }
}

impl Termination for u8 {
    fn report(self) -> u8 {
        self
    }
}

impl Termination for Infallible {
    fn report(self) -> u8 {
        match self {}
    }
}

/// An error is printed to the console as `error: MESSAGE`; the status is then 1.
impl<T: Termination, E: Display> Termination for Result<T, E> {
    fn report(self) -> u8 {
        match self {
            Ok(value) => value.report(),
            Err(error) => {
                crate::println!("error: {error}");
                1
            }
        }
    }
}

/// Runs `main` and ends the guest. For [`program!`](crate::program).
#[doc(hidden)]
#[unsafe(link_section = ".text.startup.ukvm")]
pub fn run(main: impl Future<Output: Termination>) -> ! {
    crate::logger::install();
    crate::ring::set_main_time(crate::time::counter());
    let result = crate::executor::block_on(main);
    exit(result.report())
}

/// A note as the linker wants it. For [`program!`](crate::program).
#[doc(hidden)]
#[derive(Debug)]
#[repr(C, align(4))]
pub struct Note<const N: usize>(pub [u8; N]);

/// Fails the build where two devices of a kind have the same name. For [`program!`](crate::program).
#[doc(hidden)]
#[must_use]
pub const fn checked<'a>(devices: &'a [Device<'a>]) -> &'a [Device<'a>] {
    let mut i = 0;
    while i < devices.len() {
        let mut j = 0;
        while j < i {
            let same_kind = devices[i].kind as u32 == devices[j].kind as u32;
            assert!(
                !(same_kind && same(devices[i].name.as_bytes(), devices[j].name.as_bytes())),
                "two devices of the same kind have the same name"
            );
            j += 1;
        }
        i += 1;
    }
    devices
}

const fn same(a: &[u8], b: &[u8]) -> bool {
    if a.len() != b.len() {
        return false;
    }
    let mut i = 0;
    while i < a.len() {
        if a[i] != b[i] {
            return false;
        }
        i += 1;
    }
    true
}

/// Gives the note to the one who serves a process: a unikernel's is read in its file. For [`program!`](crate::program).
#[cfg(feature = "hosted")]
#[doc(hidden)]
#[macro_export]
macro_rules! hand_over_note {
    ($note:ident) => {
        #[unsafe(no_mangle)]
        extern "Rust" fn ukvm_runtime_program_macro_note() -> &'static [u8] {
            &$note.0
        }
    };
}

/// As above: there is nobody to give it to.
#[cfg(not(feature = "hosted"))]
#[doc(hidden)]
#[macro_export]
macro_rules! hand_over_note {
    ($note:ident) => {};
}

/// Declares the program: its `main`, an `async fn` without arguments that returns a [`Termination`], and what it needs.
///
/// ```ignore
/// ukvm_runtime::program! {
///     main = main;
///     net service;                     // a network device, bound by `--net service=TAP`
///     net wire: plain;                 // one whose frames the program handles itself: see below
///     net fast: batched;               // the same, with many frames received in a buffer
///     block data: writable, optional;  // a block device, bound by `--disk data=PATH`; it may be missing
///     block "other-data";              // a name that is no Rust identifier
///     min_memory = 16 << 20;           // the least that `--mem` may be, in bytes
///     stack = 1 << 20;                 // in bytes, instead of the monitor's default
/// }
/// ```
///
/// All but `main` may be left out or stand in any order. Used once in a program. A program of [`tests!`](crate::tests) says `tests;`
/// in place of `main = ...;`.
///
/// A network device's checksums and large TCP frames are left to the host where it takes them, and the other way round, as
/// [`net::Stack`](crate::net::Stack) knows how to. A program that makes and reads frames without it says `plain`: then each frame is
/// whole, of MTU size, and with its checksums. `batched` is the same but for
/// [`BATCHED_RECEIVE`](crate::abi::net::BATCHED_RECEIVE).
#[macro_export]
macro_rules! program {
    (main = $main:path; $($rest:tt)*) => {
        $crate::program!(@parse [$main] [] [0] [0] $($rest)*);
    };
    (tests; $($rest:tt)*) => {
        const _: () = {
            const UKVM_TEST: $crate::abi::test::Test<'static> = $crate::abi::test::Test::PROGRAM;
            #[used]
            #[unsafe(link_section = ".note.ukvm")]
            static UKVM_NOTE: $crate::program::Note<{ UKVM_TEST.size() }> =
                $crate::program::Note(UKVM_TEST.encode());
            // The linker names the ends of a section that is there, and so it must be, even without a test.
            #[used]
            #[unsafe(link_section = "ukvm_tests")]
            static UKVM_ENTRY: $crate::testing::Test = $crate::testing::Test::none();
        };
        $crate::program!(main = $crate::testing::main; $($rest)*);
    };

    (@parse [$main:path] [$($device:tt)*] [$memory:expr] [$stack:expr]) => {
        // Long names, as the program's own constants must not be hidden where they stand for a number.
        const _: () = {
            const UKVM_MANIFEST: $crate::abi::manifest::Manifest<'static> = $crate::abi::manifest::Manifest {
                min_memory: $memory,
                stack_size: $stack,
                devices: $crate::program::checked(&[$($device)*]),
            };
            const UKVM_NOTE_SIZE: usize = $crate::abi::note::size(UKVM_MANIFEST.devices.len());
            #[used]
            #[unsafe(link_section = ".note.ukvm")]
            static UKVM_NOTE: $crate::program::Note<UKVM_NOTE_SIZE> =
                $crate::program::Note($crate::abi::note::encode(&UKVM_MANIFEST));
            $crate::hand_over_note!(UKVM_NOTE);

            #[unsafe(no_mangle)]
            #[unsafe(link_section = ".text.startup.ukvm")]
            extern "Rust" fn ukvm_runtime_program_macro_main() -> ! {
                $crate::program::run($main())
            }
        };
    };
    (@parse [$main:path] [$($device:tt)*] [$memory:expr] [$stack:expr]
        net $name:tt $(: $($flag:ident),+)?; $($rest:tt)*) => {
        $crate::program!(@parse [$main] [$($device)* $crate::abi::manifest::Device {
            kind: $crate::abi::manifest::DeviceKind::Net,
            flags: 0 $($(| $crate::program!(@net $flag))+)?,
            name: $crate::program!(@name $name),
            features: $crate::abi::net::ALL $($(& $crate::program!(@net_features $flag))+)?,
        },] [$memory] [$stack] $($rest)*);
    };
    (@parse [$main:path] [$($device:tt)*] [$memory:expr] [$stack:expr]
        block $name:tt $(: $($flag:ident),+)?; $($rest:tt)*) => {
        $crate::program!(@parse [$main] [$($device)* $crate::abi::manifest::Device {
            kind: $crate::abi::manifest::DeviceKind::Block,
            flags: 0 $($(| $crate::program!(@block $flag))+)?,
            name: $crate::program!(@name $name),
            features: 0,
        },] [$memory] [$stack] $($rest)*);
    };
    (@parse [$main:path] [$($device:tt)*] [$memory:expr] [$stack:expr]
        min_memory = $value:expr; $($rest:tt)*) => {
        $crate::program!(@parse [$main] [$($device)*] [$value] [$stack] $($rest)*);
    };
    (@parse [$main:path] [$($device:tt)*] [$memory:expr] [$stack:expr]
        stack = $value:expr; $($rest:tt)*) => {
        $crate::program!(@parse [$main] [$($device)*] [$memory] [$value] $($rest)*);
    };
    (@parse [$main:path] [$($device:tt)*] [$memory:expr] [$stack:expr] $($rest:tt)+) => {
        ::core::compile_error!(::core::concat!(
            "expected `net NAME;`, `block NAME;`, `min_memory = BYTES;` or `stack = BYTES;`, found `",
            ::core::stringify!($($rest)+), "`"
        ));
    };

    (@net optional) => { $crate::abi::manifest::OPTIONAL };
    (@net plain) => { 0 };
    (@net batched) => { 0 };
    (@net $flag:ident) => {
        ::core::compile_error!(::core::concat!(
            "a network device may be `plain`, `batched` and `optional`, not `", ::core::stringify!($flag), "`"
        ))
    };
    (@net_features plain) => { 0 };
    (@net_features batched) => { $crate::abi::net::BATCHED_RECEIVE };
    (@net_features $flag:ident) => { $crate::abi::net::ALL };
    (@block optional) => { $crate::abi::manifest::OPTIONAL };
    (@block writable) => { $crate::abi::manifest::WRITABLE };
    (@block $flag:ident) => {
        ::core::compile_error!(::core::concat!(
            "a block device may be `writable` and `optional`, not `", ::core::stringify!($flag), "`"
        ))
    };
    (@name $name:literal) => { $name };
    (@name $name:ident) => { ::core::stringify!($name) };

    (@$($rest:tt)*) => {
        ::core::compile_error!("a device is declared as `net NAME;` or `block NAME: writable, optional;`");
    };
    ($($rest:tt)*) => {
        ::core::compile_error!(
            "`program!` starts with `main = PATH;`, the path of an async fn without arguments, or with `tests;`"
        );
    };
}
