use super::super::testing::Rig;
use super::interface::{Interfaces, Request};
use super::testing::*;
use super::*;

const MOMENT: Duration = Duration::from_millis(30);

#[test]
fn an_interface_is_made_and_vanishes() {
    in_namespace("tests::an_interface_is_made_and_vanishes", || {
        let mut rig = open("tap0");
        assert_eq!((rig.device.mtu(), rig.device.tap_name(), rig.device.warning()), (1500, "tap0", None));
        assert_eq!(rig.device.mac()[0] & 3, 2);
        let peer = Peer::new("tap0");

        // Out.
        let sent = with_header(&frame(7, 100));
        let buffer = rig.put(SEND, &sent);
        for user_data in 0..200 {
            rig.submit(Opcode::NetSend, user_data, buffer, 0);
        }
        let ended = rig.taken();
        assert_eq!(ended.len(), 200);
        assert!(ended.iter().enumerate().all(|(i, end)| *end == (i as u64, Ok(124))));
        for _ in 0..200 {
            assert_eq!(peer.receive().as_deref(), Some(&frame(7, 100)[..]));
        }
        assert!(rig.wanted().is_empty());

        // In: nothing is read before there is a buffer, then in their order.
        for fill in 1..=3 {
            peer.send(&frame(fill, 60));
        }
        rig.advance();
        assert_eq!(rig.taken(), []);
        let buffers: Vec<_> = (0..4).map(|i| rig.buffer(i * 2048, SHORTEST + 1500)).collect();
        for (i, buffer) in buffers.iter().enumerate() {
            rig.submit(Opcode::NetReceive, 300 + i as u64, *buffer, 0);
        }
        assert_eq!(rig.completions(3), [(300, Ok(84)), (301, Ok(84)), (302, Ok(84))]);
        for i in 0..3 {
            assert_eq!(rig.bytes(i * 2048, 84), with_header(&frame(i as u8 + 1, 60)));
        }
        assert!(!rig.wait(MOMENT));
        peer.send(&frame(4, 1500));
        assert_eq!(rig.completions(1), [(303, Ok(1524))]);
        let counters = rig.device.counters();
        assert_eq!((counters.requests_out, counters.bytes_out), (200, 200 * 124));
        assert_eq!((counters.requests_in, counters.bytes_in), (4, 3 * 84 + 1524));
        assert_eq!((counters.dropped, counters.errors), (0, 0));

        drop(rig);
        assert!(!is_there("tap0"));
    });
}

#[test]
fn frames_that_cannot_be() {
    in_namespace("tests::frames_that_cannot_be", || {
        let mut rig = open("tap0");
        let peer = Peer::new("tap0");
        let whole = with_header(&frame(1, 46));
        let short = rig.put(SEND, &whole[..SHORTEST - 1]);
        rig.submit(Opcode::NetSend, 1, short, 0);
        let long = rig.buffer(SEND, LONGEST + 1);
        rig.submit(Opcode::NetSend, 2, long, 0);
        // A checksum to be made behind the frame's end, and an unknown kind of segmentation.
        let mut bytes = whole.clone();
        bytes[..10].copy_from_slice(&[1, 0, 0, 0, 0, 0, 0xff, 0xff, 2, 0]);
        let checksum = rig.put(SEND, &bytes);
        rig.submit(Opcode::NetSend, 3, checksum, 0);
        bytes[..10].copy_from_slice(&[0, 0x77, 0, 0, 0, 0, 0, 0, 0, 0]);
        let segments = rig.put(SEND, &bytes);
        rig.submit(Opcode::NetSend, 4, segments, 0);
        let small = rig.buffer(0, SHORTEST + 1499);
        rig.submit(Opcode::NetReceive, 5, small, 0);
        rig.submit(Opcode::ConsoleWrite, 6, small, 0);
        let bad: Vec<_> = (1..6).map(|user_data| (user_data, Err(Status::Invalid))).collect();
        let mut ended = rig.taken();
        assert_eq!(ended.pop(), Some((6, Err(Status::BadDevice))));
        assert_eq!(ended, bad);
        assert!(peer.receive().is_none());
        // The largest that a guest may send, to be cut into segments by the host: here, the host drops or passes it.
        let largest = rig.put(SEND, &with_header(&frame(1, LONGEST - SHORTEST)));
        rig.submit(Opcode::NetSend, 7, largest, 0);
        assert_eq!(rig.taken().len(), 1);
        let good = rig.put(SEND, &whole);
        rig.submit(Opcode::NetSend, 8, good, 0);
        assert_eq!(rig.taken(), [(8, Ok(70))]);
    });
}

#[test]
fn an_interface_that_is_down_drops_and_works_again() {
    in_namespace("tests::an_interface_that_is_down_drops_and_works_again", || {
        persist(&attach("tap1", libc::IFF_TAP | libc::IFF_NO_PI));
        let mut rig = open("tap1");
        assert_eq!(
            rig.device.warning(),
            Some("network interface `tap1` is down, so that no frame passes: run `ip link set tap1 up`")
        );
        let receive = rig.buffer(0, 2048);
        rig.submit(Opcode::NetReceive, 1, receive, 0);
        let send = rig.put(SEND, &with_header(&frame(9, 50)));
        for round in 1..=3 {
            rig.submit(Opcode::NetSend, 2, send, 0);
            rig.advance();
            assert_eq!(rig.taken(), [(2, Ok(74))]);
            assert_eq!(rig.device.counters().dropped, round);
            // It does not poll as ready, so that nobody runs in circles.
            assert!(!rig.wait(MOMENT));

            set_up("tap1", true);
            let peer = Peer::new("tap1");
            assert!(!rig.wait(MOMENT));
            rig.submit(Opcode::NetSend, 3, send, 0);
            assert_eq!(rig.taken(), [(3, Ok(74))]);
            assert_eq!(peer.receive(), Some(frame(9, 50)));
            peer.send(&frame(5, 50));
            assert_eq!(rig.completions(1), [(1, Ok(74))]);
            rig.submit(Opcode::NetReceive, 1, receive, 0);
            set_up("tap1", false);
        }
        drop(rig);
        assert!(is_there("tap1"));
    });
}

#[test]
fn an_interface_that_is_deleted_leaves_the_guest_alone() {
    in_namespace("tests::an_interface_that_is_deleted_leaves_the_guest_alone", || {
        let mut rig = open("tap0");
        let receive = rig.buffer(0, 2048);
        rig.submit(Opcode::NetReceive, 1, receive, 0);
        rig.advance();
        delete("tap0");
        assert!(rig.wait(MOMENT));
        rig.advance();
        assert!(rig.wanted().is_empty());
        let send = rig.put(SEND, &with_header(&frame(9, 50)));
        rig.submit(Opcode::NetSend, 2, send, 0);
        rig.submit(Opcode::NetReceive, 3, receive, 0);
        rig.advance();
        assert_eq!(rig.taken(), [(2, Ok(74))]);
        assert!(rig.wanted().is_empty());
        assert_eq!(rig.device.counters().dropped, 1);
    });
}

#[test]
fn a_guest_that_asks_learns_of_the_link() {
    in_namespace("tests::a_guest_that_asks_learns_of_the_link", || {
        let none = GuestBuffer::default();
        let mut rig = open("tap0");
        rig.submit(Opcode::NetLink, 1, none, 1);
        assert_eq!(rig.taken(), [(1, Err(Status::NotSupported))], "it was not offered");
        drop(rig);
        let mut rig = Rig::new(Net::open(&config("tap0"), net::LINK_STATE).unwrap());
        assert_eq!(rig.device.features(), net::LINK_STATE);
        assert!(rig.wanted().is_empty());
        rig.submit(Opcode::NetLink, 2, none, 2);
        rig.submit_length(Opcode::NetLink, 3, none, 1, 1);
        assert_eq!(rig.taken(), [(2, Err(Status::Invalid)), (3, Err(Status::BadFlags))]);
        rig.submit(Opcode::NetLink, 4, none, 0);
        assert_eq!(rig.completions(1), [(4, Ok(1))], "it is up");
        rig.submit(Opcode::NetLink, 5, none, 1);
        rig.submit(Opcode::NetLink, 6, none, 1);
        assert_eq!(rig.taken(), [(6, Err(Status::Invalid))], "one at a time");
        // Another interface says nothing of this one.
        set_up("lo", true);
        rig.wait(MOMENT);
        rig.advance();
        assert_eq!(rig.taken(), []);
        set_up("tap0", false);
        assert_eq!(rig.completions(1), [(5, Ok(0))]);
        rig.submit(Opcode::NetLink, 7, none, 0);
        rig.advance();
        assert_eq!(rig.taken(), []);
        set_up("tap0", true);
        assert_eq!(rig.completions(1), [(7, Ok(1))]);
        assert!(rig.wanted().is_empty());
        // What was down for a moment may have become another link.
        rig.submit(Opcode::NetLink, 8, none, 1);
        set_up("tap0", false);
        set_up("tap0", true);
        assert_eq!(rig.completions(1), [(8, Ok(0))]);
        rig.submit(Opcode::NetLink, 9, none, 0);
        assert_eq!(rig.completions(1), [(9, Ok(1))]);
        // It is the same link by another name.
        rig.submit(Opcode::NetLink, 10, none, 1);
        set_up("tap0", false);
        rename("tap0", "tap1");
        assert_eq!(rig.completions(1), [(10, Ok(0))]);
        rig.submit(Opcode::NetLink, 11, none, 0);
        set_up("tap1", true);
        assert_eq!(rig.completions(1), [(11, Ok(1))]);
        rig.submit(Opcode::NetLink, 12, none, 1);
        rig.advance();
        assert_eq!(rig.taken(), []);
        delete("tap1");
        assert_eq!(rig.completions(1), [(12, Ok(0))]);
    });
}

#[test]
fn a_batch_has_all_frames_that_have_come() {
    in_namespace("tests::a_batch_has_all_frames_that_have_come", || {
        let mut rig = Rig::new(Net::open(&config("tap0"), net::BATCHED_RECEIVE).unwrap());
        let least = net::least_receive_buffer(net::BATCHED_RECEIVE, 1500);
        let short = rig.buffer(0, least - 1);
        rig.submit(Opcode::NetReceive, 1, short, 0);
        assert_eq!(rig.taken(), [(1, Err(Status::Invalid))]);
        let peer = Peer::new("tap0");
        let frames = [frame(1, 1500), frame(2, 46), frame(3, 47), frame(4, 1500)];
        for frame in &frames {
            peer.send(frame);
        }
        let size = 4 * least;
        for (number, place) in [(2, 0), (3, 1 << 18), (4, 2 << 18)] {
            let buffer = rig.buffer(place, size);
            rig.submit(Opcode::NetReceive, number, buffer, 0);
        }
        let records = |frames: &[Vec<u8>]| -> Vec<u8> {
            let record = |frame: &Vec<u8>| {
                let packet = with_header(frame);
                let mut record = [&(packet.len() as u64).to_le_bytes()[..], &packet].concat();
                record.resize(net::record_size(packet.len()), 0);
                record
            };
            frames.iter().flat_map(record).collect()
        };
        let all = records(&frames);
        assert_eq!(rig.completions(1), [(2, Ok(all.len() as u64))]);
        assert_eq!(rig.bytes(0, all.len()), all);
        // What comes later has a buffer of its own.
        peer.send(&frames[1]);
        assert_eq!(rig.completions(1), [(3, Ok(net::record_size(70) as u64))]);
        assert_eq!(rig.bytes(1 << 18, net::record_size(70)), records(&frames[1..2]));
        let tagged = [&[0xff; 6][..], &[2, 0, 0, 0, 0, 1, 0x81, 0, 0, 5], &TYPE, &[7; 1500]].concat();
        peer.send(&tagged);
        let all = records(&[tagged]);
        assert_eq!(rig.completions(1), [(4, Ok(all.len() as u64))]);
        assert_eq!(rig.bytes(2 << 18, all.len()), all);
        assert_eq!(rig.device.counters().requests_in, 6);
    });
}

#[test]
fn a_batch_ends_where_the_next_frame_may_not_fit() {
    in_namespace("tests::a_batch_ends_where_the_next_frame_may_not_fit", || {
        let mut rig = Rig::new(Net::open(&config("tap0"), net::BATCHED_RECEIVE).unwrap());
        let least = net::least_receive_buffer(net::BATCHED_RECEIVE, 1500);
        let peer = Peer::new("tap0");
        for number in 0..3 {
            peer.send(&frame(number, 1000));
        }
        let one = net::record_size(SHORTEST + 1000);
        for (number, length) in [(1, least + one), (2, least + one - 1)] {
            let buffer = rig.buffer(number << 18, length);
            rig.submit(Opcode::NetReceive, number, buffer, 0);
        }
        assert_eq!(rig.completions(2), [(1, Ok(2 * one as u64)), (2, Ok(one as u64))]);
        assert_eq!(rig.bytes((2 << 18) + 8, SHORTEST + 1000), with_header(&frame(2, 1000)));
    });
}

#[test]
fn a_frame_that_does_not_fit_is_dropped() {
    in_namespace("tests::a_frame_that_does_not_fit_is_dropped", || {
        let mut rig = open("tap0");
        let interfaces = Interfaces::open().unwrap();
        let buffer = rig.buffer(0, SHORTEST + 1500);
        rig.submit(Opcode::NetReceive, 1, buffer, 0);
        // The user raises the MTU behind the guest's back.
        let mut request = Request::new("tap0").with_flags(4000);
        // SAFETY: the ioctl takes an `ifreq` and reads a number from it.
        unsafe { request.make(interfaces.fd(), libc::SIOCSIFMTU) }.unwrap();
        assert_eq!(interfaces.mtu("tap0").unwrap(), 4000);
        let peer = Peer::new("tap0");
        peer.send(&frame(1, 1501));
        peer.send(&frame(2, 4000));
        peer.send(&frame(3, 1500));
        assert_eq!(rig.completions(1), [(1, Ok(1524))]);
        assert_eq!(rig.bytes(0, 1524), with_header(&frame(3, 1500)));
        assert_eq!(rig.device.counters().dropped, 2);
        assert_eq!(rig.device.mtu(), 1500);
        // Whoever comes now sees it.
        drop(rig);
        persist(&attach("tap1", libc::IFF_TAP));
        let mut request = Request::new("tap1").with_flags(9000);
        // SAFETY: as above.
        unsafe { request.make(interfaces.fd(), libc::SIOCSIFMTU) }.unwrap();
        assert_eq!(open("tap1").device.mtu(), 9000);
    });
}
