//! `cargo demo`: from nothing to a unikernel that answers HTTP requests, in one command.
//!
//! All of it happens in a network namespace of this process' own, so whatever ends the demo leaves nothing on the host but files
//! in the target directory.

mod client;
mod service;
mod timeline;

use crate::image::{self, Format};
use crate::{cargo, guests, monitor};
use anyhow::{Context, Result, bail};
use client::{Client, Expected};
use service::Service;
use std::path::{Path, PathBuf};
use std::time::Duration;
use ukvm_host_net::link::{Link, PREFIX};
use ukvm_host_net::{namespace, tap};

/// What is between host and guest.
const LINK: Link = Link::new(0);

/// The users of the service and their passwords.
const USERS: [(&str, &str); 2] = [("alice", "wonderland"), ("bob", "builder")];

/// How long the service may take to answer for the first time. It takes milliseconds; a loaded machine gets its chance.
const PATIENCE: Duration = Duration::from_secs(30);

/// Builds everything, runs the demo, prints what happens.
///
/// # Errors
///
/// Where something is missing on this machine, or where an answer is not the expected one.
pub fn run() -> Result<()> {
    namespace::check_device(Path::new("/dev/kvm"), "KVM")?;
    namespace::check_device(Path::new("/dev/net/tun"), "TAP interfaces")?;

    heading("Building the monitor and the guests");
    // Before the network namespace, where there is no way to the crates.
    let monitor = monitor::build()?;
    guests::build()?;
    let program = guests::directory().join("auth-service.elf");
    if !program.is_file() {
        bail!(
            "cargo guests built no {}; is guest-runtime/examples/auth-service still there",
            program.display()
        );
    }
    let directory = cargo::target_directory().join("demo");
    std::fs::create_dir_all(&directory)
        .with_context(|| format!("{} cannot be created", directory.display()))?;

    heading("A disk image with FAT: a file for each user, with the password in it");
    let disk = directory.join("data.img");
    let users = directory.join("users");
    // What an earlier demo left, if there was one.
    let _ = std::fs::remove_dir_all(&users);
    std::fs::create_dir_all(&users).with_context(|| format!("{} cannot be created", users.display()))?;
    for (name, password) in USERS {
        let file = users.join(name);
        std::fs::write(&file, format!("{password}\n"))
            .with_context(|| format!("{} cannot be written", file.display()))?;
        println!("{name}: {password}");
    }
    println!("$ cargo xtask image {} -o {} --format fat", shown(&users).display(), shown(&disk).display());
    image::create(&users, &disk, Format::Fat(None), None)?;

    heading("A network namespace with a TAP interface");
    namespace::enter()?;
    let interface = LINK.tap();
    tap::create(&interface, LINK.host(), PREFIX)?;
    println!("$ ip tuntap add {interface} mode tap");
    println!("$ ip address add {}/{PREFIX} dev {interface}", LINK.host());
    println!("$ ip link set {interface} up");

    heading("The unikernel");
    let report = directory.join("report.json");
    let mut service = Service::start(&[
        shown(&monitor).as_path(),
        Path::new("--net"),
        Path::new(&interface),
        Path::new("--disk"),
        &shown(&disk),
        Path::new("--report"),
        &shown(&report),
        &shown(&program),
        Path::new("--"),
        Path::new("--ip"),
        Path::new(&format!("{}/{PREFIX}", LINK.guest())),
    ])?;
    service.wait_until(PATIENCE, || tap::has_link(&interface))?;
    let client = Client::new((LINK.guest(), 80).into());
    service.wait_until(PATIENCE, || Ok(client.can_connect()))?;
    println!("It accepts connections {:.1} ms after it was started.", service.age().as_secs_f64() * 1e3);

    heading("Requests");
    let (name, password) = USERS[0];
    let requests = [
        (
            format!("/?user={name}&password={password}"),
            Expected { status: 200, body: format!("hello {name}!") },
        ),
        (format!("/?user={name}&password=guess"), Expected { status: 401, body: "Invalid login".into() }),
        ("/".into(), Expected { status: 401, body: "No user given".into() }),
    ];
    let mut wrong = 0;
    for (path, expected) in requests {
        wrong += usize::from(!client.ask(&path, &expected)?);
    }

    heading("Shutdown");
    let status = service.stop()?;
    println!("It shut down with status {status}.");

    heading("When each step was done, from the run report");
    timeline::print(&report)?;
    if wrong > 0 {
        bail!("{wrong} of the answers are not what they should be");
    }
    if status != 0 {
        bail!("the service ended with status {status} instead of 0; see {}", report.display());
    }
    println!("\nAll answers were right.");
    Ok(())
}

fn heading(text: &str) {
    println!("\n=== {text}");
}

/// A path as a person at the top of the repository would type it.
fn shown(path: &Path) -> PathBuf {
    path.strip_prefix(cargo::root()).unwrap_or(path).into()
}
