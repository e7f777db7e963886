//! Programs whose functions are tests, each of which a harness runs in a guest of its own.

use crate::{Termination, env, println};
use alloc::boxed::Box;
use core::pin::Pin;
use core::slice;
use ukvm_abi::exit_status;
use ukvm_abi::test::VARIABLE;

/// A test as [`main`] finds it. For [`tests!`](crate::tests).
#[doc(hidden)]
#[derive(Debug)]
pub struct Test {
    /// Its name with the modules it is in; empty: the entry that is there so that the section is.
    name: &'static str,
    run: fn() -> Pin<Box<dyn Future<Output = u8>>>,
}

impl Test {
    /// The test `name`.
    #[must_use]
    pub const fn new(name: &'static str, run: fn() -> Pin<Box<dyn Future<Output = u8>>>) -> Self {
        Self { name, run }
    }

    /// No test.
    #[must_use]
    pub const fn none() -> Self {
        Self::new("", || status(async {}))
    }
}

/// The exit status that a test's result stands for. For [`tests!`](crate::tests).
#[doc(hidden)]
pub fn status<T: Termination>(test: impl Future<Output = T> + 'static) -> Pin<Box<dyn Future<Output = u8>>> {
    Box::pin(async { test.await.report() })
}

/// What is behind the first `::` of a path: the program's own name says nothing to those who read the tests'. For
/// [`tests!`](crate::tests).
#[doc(hidden)]
#[must_use]
pub const fn without_crate(path: &str) -> &str {
    let bytes = path.as_bytes();
    let mut at = 0;
    while at + 2 < bytes.len() {
        if bytes[at] == b':' && bytes[at + 1] == b':' {
            return path.split_at(at + 2).1;
        }
        at += 1;
    }
    path
}

unsafe extern "C" {
    /// The linker gives the start and the end of a section this name if its own is one of C's.
    #[link_name = "__start_ukvm_tests"]
    static START: u8;
    #[link_name = "__stop_ukvm_tests"]
    static END: u8;
}

/// All tests of the program.
fn all() -> impl Iterator<Item = &'static Test> {
    let (start, end) = (&raw const START, &raw const END);
    let count = (end as usize - start as usize) / size_of::<Test>();
    // SAFETY: the linker has put all of the section's entries, and nothing else, between the two; they never change.
    let tests = unsafe { slice::from_raw_parts(start.cast::<Test>(), count) };
    tests.iter().filter(|test| !test.name.is_empty())
}

/// Runs the test that the environment names. For [`program!`](crate::program).
#[doc(hidden)]
pub async fn main() -> u8 {
    let Some(name) = env(VARIABLE) else {
        println!(
            "error: this program has tests: run them by `cargo test`, or one by `--env {VARIABLE}=NAME`:"
        );
        all().for_each(|test| println!("  {}", test.name));
        return exit_status::USAGE;
    };
    match all().find(|test| test.name == name) {
        Some(test) => (test.run)().await,
        None => {
            println!("error: there is no test `{name}` in this program");
            exit_status::USAGE
        }
    }
}

/// Declares tests: functions that pass if they return, with `()`, the status 0 or `Ok`, and fail if they panic.
///
/// ```ignore
/// #![no_std]
/// #![no_main]
///
/// ukvm_runtime::program! { tests; net service; }
///
/// ukvm_runtime::tests! {
///     async fn one_and_one_is_two() {
///         assert_eq!(1 + 1, 2);
///     }
///
///     #[should_panic(expected = "overflow")]
///     async fn numbers_end() {
///         let _ = core::hint::black_box(u8::MAX) + 1;
///     }
///
///     #[ignore = "takes an hour"]
///     async fn it_runs_for_an_hour() -> Result<(), Error> {
///         soak(Duration::from_secs(3600)).await
///     }
/// }
/// ```
///
/// May be used in any number of modules of the program, which [`program!`](crate::program) says with `tests;` in place of `main`.
/// `cargo test` runs each test in a guest of its own, through `ukvm-runner`.
#[macro_export]
macro_rules! tests {
    ($(
        $(#[$($attribute:tt)+])*
        async fn $name:ident() $(-> $output:ty)? $body:block
    )*) => {
        $($crate::tests! {
            @attributes [$(#[$($attribute)+])*] [] [] [0] [""] [""] $name [async fn $name() $(-> $output)? $body]
        })*
    };

    // One attribute after the other: into those that are for the function alone, those that are for all that comes of it, flags, reason,
    // and expected message.
    (@attributes [#[ignore] $($left:tt)*]
        [$($own:tt)*] [$($all:tt)*] [$flags:expr] $($rest:tt)*) => {
        $crate::tests! {
            @attributes [$($left)*] [$($own)*] [$($all)*] [$flags | $crate::abi::test::IGNORED] $($rest)*
        }
    };
    (@attributes [#[ignore = $why:literal] $($left:tt)*]
        [$($own:tt)*] [$($all:tt)*] [$flags:expr] [$reason:expr] $($rest:tt)*) => {
        $crate::tests! {
            @attributes [$($left)*] [$($own)*] [$($all)*] [$flags | $crate::abi::test::IGNORED] [$why] $($rest)*
        }
    };
    (@attributes [#[should_panic] $($left:tt)*]
        [$($own:tt)*] [$($all:tt)*] [$flags:expr] $($rest:tt)*) => {
        $crate::tests! {
            @attributes [$($left)*] [$($own)*] [$($all)*] [$flags | $crate::abi::test::PANICS] $($rest)*
        }
    };
    (@attributes [#[should_panic(expected = $text:literal)] $($left:tt)*]
        [$($own:tt)*] [$($all:tt)*] [$flags:expr] [$reason:expr] [$expected:expr] $($rest:tt)*) => {
        $crate::tests! {
            @attributes [$($left)*] [$($own)*] [$($all)*] [$flags | $crate::abi::test::PANICS] [$reason] [$text] $($rest)*
        }
    };
    (@attributes [#[cfg($($condition:tt)*)] $($left:tt)*] [$($own:tt)*] [$($all:tt)*] $($rest:tt)*) => {
        $crate::tests! { @attributes [$($left)*] [$($own)*] [$($all)* #[cfg($($condition)*)]] $($rest)* }
    };
    (@attributes [#[$($other:tt)+] $($left:tt)*] [$($own:tt)*] $($rest:tt)*) => {
        $crate::tests! { @attributes [$($left)*] [$($own)* #[$($other)+]] $($rest)* }
    };
    (@attributes [] [$($own:tt)*] [$($all:tt)*]
        [$flags:expr] [$reason:expr] [$expected:expr] $name:ident [$($function:tt)*]) => {
        $($all)*
        $($own)*
        $($function)*

        $($all)*
        const _: () = {
            const UKVM_TEST: $crate::abi::test::Test<'static> = $crate::abi::test::Test {
                flags: $flags,
                name: $crate::testing::without_crate(
                    ::core::concat!(::core::module_path!(), "::", ::core::stringify!($name))
                ),
                reason: $reason,
                expected: $expected,
            };
            #[used]
            #[unsafe(link_section = ".note.ukvm")]
            static UKVM_NOTE: $crate::program::Note<{ UKVM_TEST.size() }> =
                $crate::program::Note(UKVM_TEST.encode());
            #[used]
            #[unsafe(link_section = "ukvm_tests")]
            static UKVM_ENTRY: $crate::testing::Test =
                $crate::testing::Test::new(UKVM_TEST.name, || $crate::testing::status($name()));
        };
    };

    ($($rest:tt)*) => {
        ::core::compile_error!("a test is written as `async fn name() { ... }`, with a result if it has one");
    };
}
