//! The routing table: smoltcp's, and a copy of it, as smoltcp lets nobody ask its own.

use crate::engine::Engine;
use alloc::vec::Vec;
use smoltcp::iface::Route;
use smoltcp::wire::{IpAddress, IpCidr};

/// The most routes of the program and of a DHCP server each, so that those and the one of a router fit smoltcp's table (`iface-max-route-count-16`).
pub(crate) const MOST_ROUTES: usize = 7;

/// Where routes come from. Of two to the same network the one whose origin comes first here counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Origin {
    /// The program.
    Config,
    /// A DHCP server.
    Lease,
    /// A router that advertises itself.
    Router,
}

/// The routes, those that count first.
#[derive(Debug, Default)]
pub(crate) struct Routes(Vec<(Origin, IpCidr, IpAddress)>);

impl Routes {
    /// The gateway to `remote`, by the longest prefix.
    pub(crate) fn gateway(&self, remote: &IpAddress) -> Option<IpAddress> {
        let mut best: Option<(u8, IpAddress)> = None;
        for (_, network, gateway) in &self.0 {
            let length = network.prefix_len();
            if network.contains_addr(remote) && best.is_none_or(|(longest, _)| length > longest) {
                best = Some((length, *gateway));
            }
        }
        best.map(|(_, gateway)| gateway)
    }

    fn replace(&mut self, origin: Origin, routes: impl IntoIterator<Item = (IpCidr, IpAddress)>) {
        self.0.retain(|(other, ..)| *other != origin);
        let routes = routes.into_iter().take(MOST_ROUTES);
        self.0.extend(routes.map(|(network, gateway)| (origin, network, gateway)));
        self.0.sort_by_key(|(origin, ..)| *origin);
    }

    /// Those that count, each network once.
    fn effective(&self) -> Vec<Route> {
        let mut routes: Vec<Route> = Vec::new();
        for &(_, cidr, via_router) in &self.0 {
            if routes.iter().all(|route| route.cidr != cidr) {
                routes.push(Route { cidr, via_router, preferred_until: None, expires_at: None });
            }
        }
        routes
    }
}

impl Engine {
    /// Puts these routes in the place of those of the same origin.
    pub(crate) fn set_routes(
        &mut self,
        origin: Origin,
        routes: impl IntoIterator<Item = (IpCidr, IpAddress)>,
    ) {
        self.routes.replace(origin, routes);
        let effective = self.routes.effective();
        self.interface.routes_mut().update(|table| {
            table.clear();
            for route in effective {
                if table.push(route).is_err() {
                    break;
                }
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(network: &str, gateway: &str) -> (IpCidr, IpAddress) {
        (network.parse().unwrap(), gateway.parse().unwrap())
    }

    #[test]
    fn the_longest_prefix_counts_and_then_the_origin() {
        let mut routes = Routes::default();
        let offered = [route("0.0.0.0/0", "10.0.0.1"), route("192.168.0.0/16", "10.0.0.2")];
        routes.replace(Origin::Lease, offered);
        let gateway = |routes: &Routes, remote: &str| {
            routes.gateway(&remote.parse().unwrap()).map(|gateway| alloc::format!("{gateway}"))
        };
        assert_eq!(gateway(&routes, "8.8.8.8").as_deref(), Some("10.0.0.1"));
        assert_eq!(gateway(&routes, "192.168.9.9").as_deref(), Some("10.0.0.2"));
        assert_eq!(gateway(&routes, "fd00::1"), None);
        routes.replace(Origin::Config, [route("0.0.0.0/0", "10.0.0.9")]);
        assert_eq!(gateway(&routes, "8.8.8.8").as_deref(), Some("10.0.0.9"));
        assert_eq!(routes.effective().len(), 2);
        routes.replace(Origin::Config, []);
        assert_eq!(gateway(&routes, "8.8.8.8").as_deref(), Some("10.0.0.1"));
        routes.replace(Origin::Lease, (0..100).map(|_| route("0.0.0.0/0", "10.0.0.1")));
        assert_eq!(routes.0.len(), MOST_ROUTES);
    }
}
