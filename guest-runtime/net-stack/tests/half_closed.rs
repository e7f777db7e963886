//! Connections of which nothing is left but the peer's end, which does not come.

mod world;

use embedded_io_async::{Read, Write};
use std::time::Duration;
use ukvm_net_stack::{TcpOptions, TcpStream};
use world::{World, endpoint, now, sleep, spawn};

#[test]
fn peers_that_do_not_close_give_way_to_others() {
    const MOST: usize = 4;
    let mut world = World::with(|side, config| config.max_connections = (side == 1).then_some(MOST));
    let options = TcpOptions::default();
    let listener = world.stacks[1].listen(7, options).unwrap();
    spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await;
            spawn(async move {
                stream.write_all(b"bye").await.unwrap();
                stream.close().await.unwrap();
            });
        }
    });
    let stack = world.stacks[0].clone();
    let took = world.run(async move {
        let mut streams = Vec::new();
        let start = now();
        for _ in 0..3 * MOST {
            let mut stream = TcpStream::connect(&stack, endpoint("10.0.0.2:7"), options).await.unwrap();
            let mut said = [0; 4];
            assert_eq!(stream.read(&mut said).await, Ok(3));
            assert_eq!(stream.read(&mut said).await, Ok(0));
            // It is kept, and so is half a connection.
            streams.push(stream);
            sleep(Duration::from_millis(20)).await;
        }
        now() - start
    });
    assert!(took < Duration::from_millis(500), "{took:?}");
    assert!(world.stacks[1].connections() <= MOST);
}

#[test]
fn those_with_room_wait_for_the_peers_end() {
    let mut world = World::new();
    let options = TcpOptions::default();
    let listener = world.stacks[1].listen(7, options).unwrap();
    let stack = world.stacks[0].clone();
    let served = world.stacks[1].clone();
    world.run(async move {
        let stream = TcpStream::connect(&stack, endpoint("10.0.0.2:7"), options).await.unwrap();
        listener.accept().await.0.close().await.unwrap();
        sleep(Duration::from_secs(5)).await;
        assert_eq!(served.connections(), 1);
        stream.close().await.unwrap();
    });
}
