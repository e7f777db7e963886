//! IPv4 addresses: where they come from, and whether somebody else has them.
//!
//! 1. `answer`: what a DHCP server says (RFC 2131, RFC 2132, RFC 3442), checked.
//! 2. `request`: what it is asked.
//! 3. `client`: when to ask whom, as a state machine without I/O.
//! 4. `claim`: whether an address is free to use (RFC 5227), as another.
//! 5. `assignment`: both of them on a stack: frames, addresses, routes.
//! 6. `configuration`: what programs see of it.

mod answer;
mod assignment;
mod claim;
mod client;
mod configuration;
mod request;

pub(crate) use assignment::Assignment;
pub use configuration::{Configuration, Conflict, Lease, LeaseRoute};

/// Whether a name is one that a host may have: letters, digits, hyphens and dots (RFC 1123, section 2.1), in labels of up to 63
/// characters (RFC 1035, section 2.3.4). An underscore, which some networks have, is let through.
pub(crate) fn is_host_name(name: &str) -> bool {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
    };
    name.len() <= 253 && name.split('.').all(is_label)
}
