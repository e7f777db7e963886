//! What becomes of a stack's addresses, for the console and for programs.

use super::{Configuration, Conflict, IpAddress, Lease};
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Write;
use ukvm_net_stack::Stack;

/// Logs leases that come and go, and addresses that somebody else has; for ever.
pub(super) async fn log_changes(stack: Stack) {
    let mut known = stack.configuration();
    loop {
        let current = stack.changed(&known).await;
        log_change(&known, &current);
        known = current;
    }
}

fn log_change(before: &Configuration, after: &Configuration) {
    let is_new = |conflict: &&Conflict| !before.conflicts.contains(conflict);
    for conflict in after.conflicts.iter().filter(is_new) {
        log::error!("{conflict}");
    }
    match (&before.lease, &after.lease) {
        (_, Some(lease)) if before.lease != after.lease => log::info!("{}", description(lease)),
        (Some(lease), None) => log::warn!("the lease of {} has ended", lease.address.address()),
        _ => {}
    }
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
