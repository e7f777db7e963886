//! What becomes of a stack's addresses, for the console and for programs.

use super::{Configuration, Conflict, IpAddress, Lease};
use crate::{console, time};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt::Write;
use core::time::Duration;
use log::Level;
use ukvm_net_stack::Stack;

/// How long not to look again after a change that was told of: others on the link can make as many as they like.
const PAUSE: Duration = Duration::from_secs(1);

/// Logs leases that come and go, and addresses that somebody else has; for ever. Of what changes within [`PAUSE`] it tells the outcome.
pub(super) async fn log_changes(stack: Stack) {
    let mut known = stack.configuration();
    loop {
        let current = stack.changed(&known).await;
        let news = news(&known, &current);
        known = current;
        if news.is_empty() {
            continue;
        }
        for (level, text) in news {
            // As the logger writes it, but while nobody reads the console only this task waits.
            if level <= log::max_level() {
                console::write_all(format!("{level} {}: {text}\n", module_path!()).as_bytes()).await;
            }
        }
        time::sleep(PAUSE).await;
    }
}

fn news(before: &Configuration, after: &Configuration) -> Vec<(Level, String)> {
    let is_new = |conflict: &&Conflict| !before.conflicts.contains(conflict);
    let conflicts = after.conflicts.iter().filter(is_new);
    let mut news: Vec<_> = conflicts.map(|conflict| (Level::Error, conflict.to_string())).collect();
    match (&before.lease, &after.lease) {
        (_, Some(lease)) if before.lease != after.lease => news.push((Level::Info, description(lease))),
        (Some(lease), None) => {
            news.push((Level::Warn, format!("the lease of {} has ended", lease.address.address())));
        }
        _ => {}
    }
    news
}

fn description(lease: &Lease) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = write!(text, "{} is leased from {}", lease.address, lease.server);
    let _ = match lease.duration {
        Some(duration) => write!(text, " for {} s", duration.as_secs()),
        None => write!(text, " for ever"),
    };
    if let Some(gateway) = lease.gateway() {
        let _ = write!(text, ", gateway {gateway}");
    }
    if let Some(name) = &lease.host_name {
        let _ = write!(text, ", as {name}");
    }
    text
}

/// See [`Stack::for_each_address`](super::Stack::for_each_address).
pub(super) async fn for_each_address(stack: &Stack, mut use_it: impl FnMut(IpAddress)) {
    let mut known: Vec<IpAddress> = Vec::new();
    let mut configuration = stack.configuration();
    loop {
        let current: Vec<IpAddress> = configuration.addresses.iter().map(|cidr| cidr.address()).collect();
        for address in current.iter().filter(|address| !known.contains(address)) {
            use_it(*address);
        }
        known = current;
        configuration = stack.changed(&configuration).await;
    }
}
