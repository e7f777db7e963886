//! More clients than a small guest has memory for.

use nix::sys::signal::Signal;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;
use ukvm_tests::network::{self, in_namespace};
use ukvm_tests::run::Run;
use ukvm_tests::suite::{Need, patience};

ukvm_tests::tests! {
    a_crowd_does_not_exhaust_the_memory .needs(&[Need::Network]);
}

fn a_crowd_does_not_exhaust_the_memory() {
    in_namespace(|| {
        network::make_tap_with_address("tap0");
        let guest = Run::guest("echo")
            .option("--net", "tap0")
            .option("--mem", "8M")
            .args(["--ip", "10.0.0.2/24"])
            .deadline(Duration::from_secs(60))
            .start();
        guest.wait_for("port 7 of 10.0.0.2");
        let address = SocketAddr::from(([10, 0, 0, 2], 7));
        let connect = |time| TcpStream::connect_timeout(&address, time);
        let mut crowd = vec![connect(patience(Duration::from_secs(10))).expect("a first connection")];
        // The first one without room is not answered.
        while let Ok(mut stream) = connect(patience(Duration::from_millis(500))) {
            stream.set_nonblocking(true).expect("a stream that does not block");
            // As much as finds room: the guest's buffers fill in both directions.
            let _ = stream.write(&[7; 60_000]);
            crowd.push(stream);
            assert!(crowd.len() < 1000, "8 MiB are enough for all");
        }
        assert!(crowd.len() > 50, "{} connections", crowd.len());
        let mut first = crowd.swap_remove(0);
        first.write_all(b"still there").expect("a write");
        let mut answer = [0; 11];
        first.read_exact(&mut answer).expect("an answer");
        assert_eq!(&answer, b"still there");
        drop(crowd);
        guest.signal(Signal::SIGTERM);
        let _ = guest.wait().status(0).quietly();
    });
}
