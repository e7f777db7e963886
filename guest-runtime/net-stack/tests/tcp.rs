//! TCP between two stacks: data, ends, limits, time.

mod world;

use embedded_io_async::{Read, Write};
use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;
use ukvm_net_stack::{ConnectError, Stack, TcpError, TcpListener, TcpOptions, TcpStream};
use world::{Random, World, endpoint, now, pattern, sleep, spawn};

const OPTIONS: TcpOptions =
    TcpOptions { backlog: 16, receive_buffer: 8192, send_buffer: 8192, keep_alive: None, nagle: false };

/// Serves echoes on port 7, each connection by a task of its own.
fn serve_echo(stack: &Stack, options: TcpOptions) {
    let listener = stack.listen(7, options).unwrap();
    spawn(async move {
        loop {
            let (stream, _) = listener.accept().await;
            spawn(echo(stream));
        }
    });
}

async fn echo(mut stream: TcpStream) {
    let mut buffer = [0; 4096];
    while let Ok(length @ 1..) = stream.read(&mut buffer).await {
        if stream.write_all(&buffer[..length]).await.is_err() {
            return;
        }
    }
    let _ = stream.close().await;
}

/// Sends `data` while another task reads what comes back.
async fn exchange(stream: TcpStream, data: Vec<u8>) -> Vec<u8> {
    let mut stream = stream;
    let mut back = Vec::new();
    let mut buffer = [0; 3000];
    let mut sent = 0;
    while back.len() < data.len() {
        // Never more under way than both buffers hold, so that one task can do both.
        while sent < data.len() && sent - back.len() < 8192 {
            let end = data.len().min(sent + 1000);
            sent += stream.write(&data[sent..end]).await.unwrap();
        }
        let length = stream.read(&mut buffer).await.unwrap();
        assert_ne!(length, 0);
        back.extend_from_slice(&buffer[..length]);
    }
    stream.shutdown();
    assert_eq!(stream.read(&mut buffer).await, Ok(0));
    stream.close().await.unwrap();
    back
}

#[test]
fn a_megabyte_comes_back_unharmed_over_ipv4_and_ipv6() {
    for address in ["10.0.0.2:7", "[fd00::2]:7"] {
        let mut world = World::new();
        serve_echo(&world.stacks[1], OPTIONS);
        let stack = world.stacks[0].clone();
        let data = pattern(1 << 20, 1);
        let sent = data.clone();
        let back = world.run(async move {
            let stream = TcpStream::connect(&stack, endpoint(address), OPTIONS).await.unwrap();
            exchange(stream, sent).await
        });
        assert!(back == data, "{address}");
    }
}

#[test]
fn lost_doubled_and_reordered_frames_do_no_harm() {
    let mut world = World::new();
    let mut random = Random(7);
    let mut held = [None, None];
    world.tap = Box::new(move |side, frame| match random.below(40) {
        0 => vec![],
        1 => vec![frame.clone(), frame],
        2 if held[side].is_none() => {
            held[side] = Some(frame);
            vec![]
        }
        _ => std::iter::once(frame).chain(held[side].take()).collect(),
    });
    serve_echo(&world.stacks[1], OPTIONS);
    let stack = world.stacks[0].clone();
    let data = pattern(300_000, 2);
    let sent = data.clone();
    let back = world.run(async move {
        let stream = TcpStream::connect(&stack, endpoint("10.0.0.2:7"), OPTIONS).await.unwrap();
        exchange(stream, sent).await
    });
    assert!(back == data);
}

#[test]
fn a_thousand_connections_come_through_a_smaller_backlog_without_a_reset() {
    const CONNECTIONS: usize = 1000;
    let mut world = World::new();
    let resets = Rc::new(Cell::new(0));
    let count = resets.clone();
    world.tap = Box::new(move |_, frame| {
        // TCP over IPv4 without options: the flags are at byte 47, RST is 4.
        if frame[12..14] == [8, 0] && frame[23] == 6 && frame[47] & 4 != 0 {
            count.set(count.get() + 1);
        }
        vec![frame]
    });
    serve_echo(&world.stacks[1], TcpOptions { backlog: 400, ..OPTIONS });
    let done = Rc::new(Cell::new(0));
    for i in 0..CONNECTIONS {
        let (stack, done) = (world.stacks[0].clone(), done.clone());
        spawn(async move {
            let mut stream = TcpStream::connect(&stack, endpoint("10.0.0.2:7"), OPTIONS).await.unwrap();
            let message = i.to_le_bytes();
            stream.write_all(&message).await.unwrap();
            let mut answer = [0; 8];
            stream.read_exact(&mut answer).await.unwrap();
            assert_eq!(answer, message);
            done.set(done.get() + 1);
            while done.get() < CONNECTIONS {
                sleep(Duration::from_millis(100)).await;
            }
            sleep(Duration::from_secs(1)).await;
            stream.close().await.unwrap();
        });
    }
    let stack = world.stacks[1].clone();
    let most = world.run({
        let done = done.clone();
        async move {
            while done.get() < CONNECTIONS {
                sleep(Duration::from_millis(10)).await;
            }
            stack.connections()
        }
    });
    assert_eq!(most, CONNECTIONS);
    assert!(world.stacks[1].counters().syns_dropped > 0);
    world.run(sleep(Duration::from_secs(30)));
    assert_eq!((world.stacks[0].connections(), world.stacks[1].connections()), (0, 0));
    assert_eq!(resets.get(), 0);
}

#[test]
fn a_port_without_a_listener_refuses() {
    let mut world = World::new();
    let stack = world.stacks[0].clone();
    let start = now();
    let error = world.run(async move {
        TcpStream::connect(&stack, endpoint("10.0.0.2:9"), OPTIONS).await.map(|_| ()).unwrap_err()
    });
    assert_eq!(error, ConnectError::Refused);
    assert!(now() - start < Duration::from_secs(2));
    assert_eq!(world.stacks[0].connections(), 0);
}

#[test]
fn a_peer_that_does_not_exist_times_out() {
    let mut world = World::new();
    let stack = world.stacks[0].clone();
    let start = now();
    let error = world.run(async move {
        TcpStream::connect(&stack, endpoint("10.0.0.9:7"), OPTIONS).await.map(|_| ()).unwrap_err()
    });
    assert_eq!(error, ConnectError::TimedOut);
    assert_eq!((now() - start).as_secs(), 20);
    world.run(sleep(Duration::from_secs(5)));
    assert_eq!(world.stacks[0].connections(), 0);
}

#[test]
fn an_address_of_another_kind_is_unreachable() {
    let mut world = World::with(|_, config| config.addresses.clear());
    let stack = world.stacks[0].clone();
    let result = world
        .run(async move { TcpStream::connect(&stack, endpoint("10.0.0.2:7"), OPTIONS).await.map(|_| ()) });
    assert_eq!(result, Err(ConnectError::Unreachable));
}

#[test]
fn dropping_a_stream_still_delivers_and_aborting_resets() {
    let mut world = World::new();
    let listener = world.stacks[1].listen(7, OPTIONS).unwrap();
    let stack = world.stacks[0].clone();
    world.run(async move {
        let mut stream = TcpStream::connect(&stack, endpoint("10.0.0.2:7"), OPTIONS).await.unwrap();
        let (mut accepted, peer) = listener.accept().await;
        assert_eq!(stream.local_endpoint(), Some(peer));
        accepted.write_all(&pattern(5000, 3)).await.unwrap();
        drop(accepted);
        let mut all = Vec::new();
        let mut buffer = [0; 512];
        loop {
            match stream.read(&mut buffer).await.unwrap() {
                0 => break,
                length => all.extend_from_slice(&buffer[..length]),
            }
        }
        assert!(all == pattern(5000, 3));
        // What still comes to a dropped stream is taken and thrown away.
        stream.write_all(&pattern(50_000, 4)).await.unwrap();
        stream.close().await.unwrap();

        let mut stream = TcpStream::connect(&stack, endpoint("10.0.0.2:7"), OPTIONS).await.unwrap();
        let (accepted, _) = listener.accept().await;
        accepted.abort();
        assert_eq!(stream.read(&mut buffer).await, Err(TcpError::Reset));
        assert_eq!(stream.write(&buffer).await, Err(TcpError::Reset));
    });
    world.run(sleep(Duration::from_secs(30)));
    assert_eq!((world.stacks[0].connections(), world.stacks[1].connections()), (0, 0));
}

#[test]
fn a_shut_down_stream_refuses_writes_and_goes_on_reading() {
    let mut world = World::new();
    serve_echo(&world.stacks[1], OPTIONS);
    let stack = world.stacks[0].clone();
    world.run(async move {
        let mut stream = TcpStream::connect(&stack, endpoint("10.0.0.2:7"), OPTIONS).await.unwrap();
        stream.write_all(b"last words").await.unwrap();
        stream.shutdown();
        assert_eq!(stream.write(b"more").await, Err(TcpError::Shutdown));
        let mut buffer = [0; 10];
        stream.read_exact(&mut buffer).await.unwrap();
        assert_eq!(&buffer, b"last words");
        assert_eq!(stream.read(&mut buffer).await, Ok(0));
    });
}

#[test]
fn closing_towards_a_peer_that_vanished_ends_in_time() {
    let mut world = World::new();
    let listener = world.stacks[1].listen(7, OPTIONS).unwrap();
    let stack = world.stacks[0].clone();
    let (client, mut server) = world.run(async move {
        let client = TcpStream::connect(&stack, endpoint("10.0.0.2:7"), OPTIONS).await.unwrap();
        (client, listener.accept().await.0)
    });
    world.tap = Box::new(|_, _| vec![]);
    let start = now();
    let result = world.run(async move {
        server.write_all(b"nobody hears this").await.unwrap();
        server.close().await
    });
    assert_eq!(result, Err(TcpError::TimedOut));
    assert_eq!((now() - start).as_secs(), 10);
    drop(client);
    world.run(sleep(Duration::from_secs(20)));
    assert_eq!((world.stacks[0].connections(), world.stacks[1].connections()), (0, 0));
}

#[test]
fn keep_alive_finds_a_peer_that_vanished_and_spares_one_that_is_there() {
    let mut world = World::new();
    let options = TcpOptions { keep_alive: Some(Duration::from_secs(5)), ..OPTIONS };
    let listener = world.stacks[1].listen(7, options).unwrap();
    let stack = world.stacks[0].clone();
    let (client, mut server) = world.run(async move {
        let client = TcpStream::connect(&stack, endpoint("10.0.0.2:7"), OPTIONS).await.unwrap();
        (client, listener.accept().await.0)
    });
    world.run(sleep(Duration::from_secs(300)));
    assert!(server.remote_endpoint().is_some());
    world.tap = Box::new(|_, _| vec![]);
    let start = now();
    let error = world.run(async move { server.read(&mut [0; 1]).await.unwrap_err() });
    assert_eq!(error, TcpError::Reset);
    assert!(now() - start <= Duration::from_secs(30));
    drop(client);
}

#[test]
fn idle_connections_need_no_timer() {
    let mut world = World::new();
    let listener = world.stacks[1].listen(7, OPTIONS).unwrap();
    let stack = world.stacks[0].clone();
    let streams = world.run(async move {
        let client = TcpStream::connect(&stack, endpoint("10.0.0.2:7"), OPTIONS).await.unwrap();
        (client, listener.accept().await.0, listener)
    });
    world.run(sleep(Duration::from_secs(10)));
    assert_eq!(world.rest(), None);
    drop(streams);
}

#[test]
fn limits_of_number_and_memory_make_others_wait() {
    let memory = 3 * (OPTIONS.receive_buffer + OPTIONS.send_buffer + 1024);
    for limit_memory in [false, true] {
        let mut world = World::with(|side, config| match (side, limit_memory) {
            (1, false) => config.max_connections = Some(3),
            (1, true) => config.buffer_memory = Some(memory),
            _ => {}
        });
        let listener = world.stacks[1].listen(7, OPTIONS).unwrap();
        let stack = world.stacks[0].clone();
        let other = world.stacks[1].clone();
        world.run(async move {
            let mut held = Vec::new();
            for _ in 0..3 {
                let stream = TcpStream::connect(&stack, endpoint("10.0.0.2:7"), OPTIONS).await.unwrap();
                held.push((stream, listener.accept().await.0));
            }
            let connected = Rc::new(Cell::new(false));
            spawn({
                let connected = connected.clone();
                async move {
                    let stream = TcpStream::connect(&stack, endpoint("10.0.0.2:7"), OPTIONS).await.unwrap();
                    connected.set(true);
                    drop(stream);
                }
            });
            sleep(Duration::from_secs(4)).await;
            assert!(!connected.get() && other.connections() == 3 && other.counters().syns_dropped > 0);
            held.pop();
            sleep(Duration::from_secs(10)).await;
            assert!(connected.get());
        });
    }
}

#[test]
fn an_accept_that_is_dropped_passes_its_turn_on() {
    let mut world = World::new();
    let listener = Rc::new(world.stacks[1].listen(7, OPTIONS).unwrap());
    let accepted = Rc::new(Cell::new(0));
    let stack = world.stacks[0].clone();
    // The first to wait is woken for the connection, but drops its future instead of looking.
    let give_up = Rc::new(Cell::new(false));
    spawn({
        let (listener, give_up) = (listener.clone(), give_up.clone());
        async move {
            let mut accept = Box::pin(listener.accept());
            std::future::poll_fn(|context| {
                if give_up.replace(true) {
                    return std::task::Poll::Ready(());
                }
                assert!(accept.as_mut().poll(context).is_pending());
                std::task::Poll::Pending
            })
            .await;
        }
    });
    spawn({
        let accepted = accepted.clone();
        let listener: Rc<TcpListener> = listener.clone();
        async move {
            let _stream = listener.accept().await;
            accepted.set(1);
        }
    });
    world.run(async move {
        let _stream = TcpStream::connect(&stack, endpoint("10.0.0.2:7"), OPTIONS).await.unwrap();
        sleep(Duration::from_secs(1)).await;
    });
    assert!(give_up.get());
    assert_eq!(accepted.get(), 1);
}

#[test]
fn a_dropped_listener_resets_who_waits_and_frees_the_port() {
    let mut world = World::new();
    let listener = world.stacks[1].listen(7, OPTIONS).unwrap();
    assert!(world.stacks[1].listen(7, OPTIONS).is_err());
    let stack = world.stacks[0].clone();
    world.run(async move {
        let mut stream = TcpStream::connect(&stack, endpoint("10.0.0.2:7"), OPTIONS).await.unwrap();
        drop(listener);
        assert_eq!(stream.read(&mut [0; 1]).await, Err(TcpError::Reset));
    });
    world.run(sleep(Duration::from_secs(1)));
    assert_eq!(world.stacks[1].connections(), 0);
    world.stacks[1].listen(7, OPTIONS).unwrap();
}
