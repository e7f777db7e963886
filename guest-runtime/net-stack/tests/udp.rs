//! UDP between two stacks.

mod world;

use std::time::Duration;
use ukvm_net_stack::{BindError, IpEndpoint, UdpError, UdpOptions, UdpSocket};
use world::{World, endpoint, pattern, sleep, spawn};

fn serve_echo(world: &World) {
    let socket = UdpSocket::bind(&world.stacks[1], 7).unwrap();
    spawn(async move {
        let mut buffer = vec![0; 2000];
        loop {
            let (length, peer) = socket.recv_from(&mut buffer).await.unwrap();
            socket.send_to(&buffer[..length], peer).await.unwrap();
        }
    });
}

#[test]
fn datagrams_of_all_sizes_come_back_from_where_they_went() {
    let mut world = World::new();
    serve_echo(&world);
    let client = UdpSocket::bind(&world.stacks[0], 0).unwrap();
    world.run(async move {
        for (address, longest) in [("10.0.0.2:7", 1472), ("[fd00::2]:7", 1452)] {
            let to = endpoint(address);
            for length in [0, 1, 1000, longest] {
                let sent = pattern(length, 5);
                client.send_to(&sent, to).await.unwrap();
                let mut buffer = [0; 2000];
                let (length, peer) = client.recv_from(&mut buffer).await.unwrap();
                assert_eq!((&buffer[..length], peer.endpoint), (&sent[..], to));
            }
            let too_long = vec![0; longest + 3];
            assert_eq!(client.send_to(&too_long, to).await, Err(UdpError::TooLong(3)));
        }
        client.send_to(&[0; 10], endpoint("10.0.0.2:7")).await.unwrap();
        assert_eq!(client.recv_from(&mut [0; 4]).await.map(|_| ()), Err(UdpError::TooLong(6)));
    });
}

#[test]
fn receivers_that_do_not_exist_hold_nobody_up() {
    let mut world = World::new();
    serve_echo(&world);
    let client = UdpSocket::bind(&world.stacks[0], 0).unwrap();
    world.run(async move {
        client.send_to(b"hello.", endpoint("10.0.0.2:7")).await.unwrap();
        client.recv_from(&mut [0; 6]).await.unwrap();
        for host in 10..60 {
            let nobody: IpEndpoint = endpoint(&format!("10.0.0.{host}:7"));
            client.send_to(b"hello?", nobody).await.unwrap();
        }
        // Nor does one in a network without a route.
        client.send_to(b"hello?", endpoint("192.168.1.1:7")).await.unwrap();
        client.send_to(b"hello!", endpoint("10.0.0.2:7")).await.unwrap();
        let mut buffer = [0; 10];
        let (length, _) = client.recv_from(&mut buffer).await.unwrap();
        assert_eq!(&buffer[..length], b"hello!");
        // Until nobody is asked about the own addresses any more, either.
        sleep(Duration::from_secs(7)).await;
    });
    assert_eq!(world.stacks[0].counters().unresolved, 51);
    assert_eq!(world.rest(), None);
}

#[test]
fn impossible_receivers_are_refused() {
    let mut world = World::with(|_, config| config.addresses.truncate(1));
    let client = UdpSocket::bind(&world.stacks[0], 0).unwrap();
    world.run(async move {
        for address in ["0.0.0.0:7", "10.0.0.2:0"] {
            assert_eq!(client.send_to(b"", endpoint(address)).await, Err(UdpError::Unreachable), "{address}");
        }
    });
}

#[test]
fn a_port_is_one_sockets_and_free_again_when_it_goes() {
    let world = World::new();
    let socket = UdpSocket::bind(&world.stacks[0], 53).unwrap();
    assert_eq!(UdpSocket::bind(&world.stacks[0], 53).map(|_| ()), Err(BindError::InUse(53)));
    drop(socket);
    UdpSocket::bind(&world.stacks[0], 53).unwrap();
    let none = UdpOptions { receive_buffer: 0, ..UdpOptions::default() };
    assert_eq!(UdpSocket::bind_with(&world.stacks[0], 54, none).map(|_| ()), Err(BindError::BadBuffer));
}

#[test]
fn a_full_receive_buffer_drops_and_goes_on() {
    let mut world = World::new();
    let options = UdpOptions { receive_buffer: 4096, receive_datagrams: 8 };
    let server = UdpSocket::bind_with(&world.stacks[1], 7, options).unwrap();
    let client = UdpSocket::bind(&world.stacks[0], 0).unwrap();
    let received = world.run(async move {
        client.send_to(&[0; 100], endpoint("10.0.0.2:7")).await.unwrap();
        sleep(Duration::from_secs(1)).await;
        for i in 1..200_u8 {
            client.send_to(&[i; 100], endpoint("10.0.0.2:7")).await.unwrap();
        }
        sleep(Duration::from_secs(1)).await;
        client.send_to(&[255; 100], endpoint("10.0.0.2:7")).await.unwrap();
        sleep(Duration::from_secs(1)).await;
        let mut seen = Vec::new();
        let mut buffer = [0; 100];
        while seen.len() < 8 {
            server.recv_from(&mut buffer).await.unwrap();
            seen.push(buffer[0]);
        }
        client.send_to(&[254; 100], endpoint("10.0.0.2:7")).await.unwrap();
        server.recv_from(&mut buffer).await.unwrap();
        seen.push(buffer[0]);
        seen
    });
    assert_eq!(received, [0, 1, 2, 3, 4, 5, 6, 7, 254]);
}
