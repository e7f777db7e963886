//! Tests that end in every way a test can.
#![no_std]
#![no_main]

use core::arch::asm;
use core::hint::black_box;
use ukvm_runtime::{exit, println};

ukvm_runtime::program! {
    tests;
    net service;
}

ukvm_runtime::tests! {
    async fn passes() {
        println!("what a test that passes prints");
    }

    async fn passes_with_a_result() -> Result<(), &'static str> {
        Ok(())
    }

    async fn fails_with_a_result() -> Result<(), &'static str> {
        Err("the reason")
    }

    async fn panics() {
        println!("a line before");
        assert_eq!(black_box(1) + 1, 3, "sums");
    }

    async fn faults() {
        println!("before the fault");
        // SAFETY: it faults, which is the purpose.
        unsafe { asm!("mov rax, [{0}]", in(reg) 0_u64, out("rax") _) };
    }

    async fn hangs() {
        loop {
            core::hint::spin_loop();
        }
    }

    async fn ends_with_a_status() {
        exit(7)
    }

    #[should_panic]
    async fn panics_as_it_should() {
        panic!("as it should");
    }

    #[should_panic(expected = "as it should")]
    async fn panics_with_words() {
        panic!("and that as it should");
    }

    /// Neither the place of a panic nor what else is printed is its message.
    #[should_panic(expected = "checks.rs")]
    async fn panics_with_other_words() {
        println!("ukvm-run: guest panic: checks.rs");
        panic!("as it should");
    }

    #[should_panic]
    async fn should_panic_and_does_not() {}

    /// One of the attributes that stay with the function.
    #[ignore]
    #[inline(never)]
    async fn is_ignored() {}

    #[ignore = "takes long"]
    async fn is_ignored_with_a_reason() {}

    #[cfg(any())]
    async fn is_not_there() {}
}

mod network {
    use core::time::Duration;
    use ukvm_runtime::net::{self, ConnectError, IpAddress, Stack, TcpOptions, TcpStream};
    use ukvm_runtime::time;

    /// Has the network for a while, in which nobody else may have the same address.
    async fn refused() -> Option<ConnectError> {
        let stack = Stack::open("service", net::options().config).expect("a network device");
        time::sleep(Duration::from_millis(100)).await;
        let closed = (IpAddress::v4(10, 0, 0, 1), 1).into();
        TcpStream::connect(&stack, closed, TcpOptions::default()).await.err()
    }

    ukvm_runtime::tests! {
        async fn one_reaches_the_host() {
            assert_eq!(refused().await, Some(ConnectError::Refused));
        }

        async fn another_reaches_the_host() {
            assert_eq!(refused().await, Some(ConnectError::Refused));
        }
    }
}
