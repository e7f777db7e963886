//! Programs in C on the runtime's library.

use nix::sys::signal::Signal;
use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener};
use std::path::PathBuf;
use std::sync::LazyLock;
use std::time::Duration;
use ukvm_tests::client::{Reply, connect, wait_for_listener};
use ukvm_tests::files::{self, noise};
use ukvm_tests::network::{self, in_namespace};
use ukvm_tests::run::Run;
use ukvm_tests::site::PEER;
use ukvm_tests::suite::Need;

ukvm_tests::tests! {
    every_function .needs(&[Need::Program("cc"), Need::Network]) .not_in_rig(NO_SOURCES);
    a_panic_and_a_wild_pointer .needs(&[Need::Program("cc")]) .not_in_rig(NO_SOURCES);
    the_greeter_counts .needs(&[Need::Program("cc"), Need::Program("curl"), Need::Network]) .not_in_rig(NO_SOURCES);
    a_program_that_computes_learns_of_the_end .needs(&[Need::Program("cc")]) .not_in_rig(NO_SOURCES);
    the_header_has_what_the_library_has .needs(&[Need::Program("cc")]) .not_in_rig(NO_SOURCES);
    the_header_is_one_for_cpp .needs(&[Need::Program("c++")]) .not_in_rig(NO_SOURCES);
}

const NO_SOURCES: &str = "the sources are not there";

/// The directory of the library, which is made when it is first asked for.
fn library() -> &'static PathBuf {
    static LIBRARY: LazyLock<PathBuf> = LazyLock::new(|| {
        xtask::c::build().unwrap_or_else(|error| panic!("building the C library: {error:#}"))
    });
    &LIBRARY
}

/// A program of the repository, built into `directory`.
fn built(source: &str, directory: &std::path::Path) -> PathBuf {
    let _ = library();
    let program = directory.join("program.elf");
    xtask::c::compile(&xtask::cargo::root().join(source), &program).expect("the program is built");
    program
}

fn every_function() {
    in_namespace(|| {
        let directory = files::directory();
        let disk = files::sparse(directory.path(), "disk.img", 4096);
        let fixed = files::sparse(directory.path(), "fixed.img", 4096);
        network::make_tap_with_address("tap0");
        let peer = TcpListener::bind("10.0.0.1:7777").expect("a port");
        let guest = Run::elf(built("tests/c/api.c", directory.path()))
            .option("--net", "tap0")
            .option("--disk", &disk)
            .option("--disk", format!("fixed={},ro", fixed.display()))
            .option("--env", "HOME=/nowhere")
            .args(["--ip", "10.0.0.2/24", "--port=8080", "10.0.0.1"])
            .input("some input\n")
            .deadline(Duration::from_secs(60))
            .start();
        let (mut stream, _) = peer.accept().expect("the guest connects");
        let sent = noise(3, 100_000);
        let mut writer = stream.try_clone().expect("a descriptor");
        let mut received = Vec::new();
        std::thread::scope(|scope| {
            let _ = scope.spawn(|| {
                writer.write_all(&sent).expect("the guest takes everything");
                writer.shutdown(Shutdown::Write).expect("an end of the stream");
            });
            let _ = stream.read_to_end(&mut received).expect("the guest's answer");
        });
        assert!(received == sent, "{} bytes came back, or others", received.len());
        guest.wait_for("waiting\n");
        guest.signal(Signal::SIGTERM);
        let expected = "arguments 5\nlast 10.0.0.1\nNULL behind 1\nHOME /nowhere\nNONE NULL\nsome input\ninput ends 1\n\
            aligned 1\nzero 1\nkept 1\ntoo much 1\n\
            size 4096\nblock size 512\nread-only 10\nwrite 0\nflush 0\nread 0\nsame 1\n\
            unaligned the offset or length is no multiple of the block size\n\
            outside the range is not inside the disk\nfixed the disk is read-only\n\
            unknown there is no such device\nno number the number stands for nothing of this kind\n\
            close 0\nclosed the number stands for nothing of this kind\n\
            another kind the number stands for nothing of this kind\n\
            slept 1\nwall 1\nrandom 1\n\
            again it is in use already\nbytes 100000\nend 0\nclose 0\n\
            closed the number stands for nothing of this kind\n\
            limit 0\nlate the peer does not answer\n\
            refused the peer has ended the connection\nport 8080\nnetwork the host cannot do this\nin use it is in use already\nwaiting\n\
            accept the host wants an end\nstopping 1\n";
        // The status is what a process's parent would see of 300.
        guest.wait().status(300 & 0xff).prints(expected).quietly();
        let image = fs::read(&disk).expect("the image");
        assert!(image[512..].starts_with(b"written by C"));
    });
}

fn a_panic_and_a_wild_pointer() {
    let directory = files::directory();
    for (name, body, status, words) in [
        ("panic", "ukvm_panic(\"no way out\");", 134, &["guest panic", "no way out"][..]),
        ("wild", "volatile uintptr_t at = 64;\n    *(volatile int *)at = 1;", 139, &["null pointer", "main"]),
        ("exit", "ukvm_exit(9);", 9, &[]),
        // Neither is text, and both are told.
        ("bytes", "ukvm_print(\"\\xe9\"); ukvm_panic(\"\\xe9!\");", 134, &["guest panic", "!"]),
    ] {
        let text = format!(
            "#include <ukvm.h>\nUKVM_PROGRAM(0, 0);\nint main(int count, char **arguments)\n\
             {{\n    (void)count, (void)arguments;\n    {body}\n    return 0;\n}}\n"
        );
        let source = files::file(directory.path(), &format!("{name}.c"), text.as_bytes());
        let program = directory.path().join(name);
        let _ = library();
        xtask::c::compile(&source, &program).expect("the program is built");
        let _ = Run::elf(program).finish().status(status).says(words);
    }
}

fn the_greeter_counts() {
    in_namespace(|| {
        let directory = files::directory();
        let program = built("guest-runtime/c/examples/greeter.c", directory.path());
        let disk = files::sparse(directory.path(), "visits.img", 512);
        network::make_tap_with_address("tap0");
        // Across restarts with a disk, and from the beginning without one.
        for (with_disk, first) in [(true, 1), (true, 5), (false, 1), (false, 1)] {
            let run = Run::elf(&program).option("--net", "tap0").args(["--ip", "10.0.0.2/24"]);
            let run = if with_disk { run.option("--disk", &disk) } else { run };
            let guest = run.start();
            // Which is a visit of its own, without a request.
            wait_for_listener(PEER, 80);
            for visit in first + 1..first + 3 {
                let reply = Reply::of_curl(&["http://10.0.0.2/"]);
                assert_eq!((reply.status, reply.text()), (200, format!("hello, visitor {visit}\n")));
            }
            // One with a body.
            let reply = Reply::of_curl(&["--data", "x", "http://10.0.0.2/"]);
            assert_eq!(reply.text(), format!("hello, visitor {}\n", first + 3));
            // One of which nothing comes, and which may be counted or not.
            let _silent = (!with_disk).then(|| connect(PEER, 80));
            guest.signal(Signal::SIGTERM);
            guest.wait().status(0).prints("greeter: ready\n").quietly();
        }
    });
}

fn the_header_has_what_the_library_has() {
    let header = fs::read_to_string(library().join("ukvm.h")).expect("the header");
    for declaration in [
        "int ukvm_disk_read(int number, uint64_t offset, void *buffer, size_t length);",
        "ptrdiff_t ukvm_tcp_read(int connection, void *buffer, size_t length);",
        "void ukvm_exit(uint8_t status)",
        "#define UKVM_STOPPING -14",
        "#define UKVM_PROGRAM(memory, stack, ...)",
    ] {
        // On how many lines is the generator's affair.
        let words: Vec<_> = header.split_whitespace().collect();
        assert!(words.join(" ").contains(declaration), "{declaration}\n{header}");
    }
    // No word of Rust's, nor of the macros' own.
    assert!(!header.contains("# Safety") && !header.contains('@'), "{header}");
}

fn the_header_is_one_for_cpp() {
    let directory = files::directory();
    let text = "#include <ukvm.h>\nint close(int number) { return ukvm_close(number) == UKVM_IO; }\n";
    let source = files::file(directory.path(), "a.cpp", text.as_bytes());
    let include = format!("-I{}", library().display());
    let source = source.display().to_string();
    let _ = files::call("c++", &["-Wall", "-Werror", "-fsyntax-only", &include, &source]);
}

fn a_program_that_computes_learns_of_the_end() {
    let directory = files::directory();
    let text = "#include <ukvm.h>\nUKVM_PROGRAM(0, 0);\nint main(int count, char **arguments)\n\
                {\n    (void)arguments;\n    ukvm_stopping();\n    ukvm_print(\"computing\\n\");\n\
                    while (!ukvm_stopping())\n        count++;\n    return 5;\n}\n";
    let source = files::file(directory.path(), "computes.c", text.as_bytes());
    let program = directory.path().join("computes.elf");
    let _ = library();
    xtask::c::compile(&source, &program).expect("the program is built");
    let guest = Run::elf(program).start();
    guest.wait_for("computing\n");
    guest.signal(Signal::SIGTERM);
    guest.wait().status(5).prints("computing\n").quietly();
}
