// What the guest `io` and the floor `io-floor` serve through the sockets of the network stack: both include this, and name
// the sockets of theirs, which are the same.

/// The port of everything, over UDP and TCP.
const PORT: u16 = 7;
/// Bytes of each direction's buffer of a TCP connection: more than what is under way at full speed, with the 100 µs that an exit takes
/// at worst.
const TCP_BUFFER: usize = 4 << 20;
/// Bytes that are handed to a socket, or taken from it, at once.
const CHUNK: usize = 64 << 10;

/// Sends back each datagram.
async fn serve_udp(stack: &Stack) {
    let socket = UdpSocket::bind(stack, PORT).expect("a free port");
    let mut buffer = vec![0; 2048];
    loop {
        if let Ok((length, peer)) = socket.recv_from(&mut buffer).await {
            // A benchmark that loses one says so.
            let _ = socket.send_to(&buffer[..length], peer).await;
        }
    }
}

/// Serves one TCP connection after the other. The peer asks with nine bytes: `i` and how many bytes it will send, which are
/// answered with one byte when all of them are there, or `o` and how many bytes it wants. The number is little-endian.
async fn serve_tcp(stack: &Stack) {
    let options =
        TcpOptions { receive_buffer: TCP_BUFFER, send_buffer: TCP_BUFFER, ..TcpOptions::default() };
    let listener = stack.listen(PORT, options).expect("a free port");
    let mut buffer = vec![0; CHUNK];
    loop {
        let (mut stream, _) = listener.accept().await;
        // The peer is done when it closes; an error is its own to tell.
        while serve_one(&mut stream, &mut buffer).await.is_some() {}
    }
}

/// One question of the peer's; `None` at its end.
async fn serve_one(stream: &mut TcpStream, buffer: &mut [u8]) -> Option<()> {
    let mut question = [0; 9];
    stream.read_exact(&mut question).await.ok()?;
    let mut left = u64::from_le_bytes(question[1..].try_into().ok()?) as usize;
    if question[0] == b'i' {
        while left > 0 {
            let most = left.min(buffer.len());
            left -= stream.read(&mut buffer[..most]).await.ok().filter(|&count| count > 0)?;
        }
        stream.write_all(b"!").await.ok()?;
        return Some(());
    }
    while left > 0 {
        let most = left.min(buffer.len());
        left -= stream.write(&buffer[..most]).await.ok()?;
    }
    Some(())
}
