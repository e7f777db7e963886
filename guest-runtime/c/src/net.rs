//! TCP.

use crate::error::{
    UKVM_BAD_ARGUMENTS, UKVM_IN_USE, UKVM_NO_DEVICE, UKVM_NO_MEMORY, UKVM_RESET, UKVM_STOPPING,
    UKVM_TIMED_OUT, UKVM_UNREACHABLE, of_tcp,
};
use crate::object::{Connection, Network, Object, find, insert};
use crate::program::to_str;
use alloc::rc::Rc;
use core::cell::{Cell, RefCell};
use core::ffi::{c_char, c_int, c_void};
use core::slice;
use core::time::Duration;
use embassy_futures::select::{Either, select};
use embedded_io_async::{Read, Write};
use ukvm_runtime::net::{
    BindError, ConnectError, OpenError, Options, Stack, TcpError, TcpOptions, TcpStream,
};
use ukvm_runtime::task::block_on;
use ukvm_runtime::time::{Elapsed, timeout};
use ukvm_runtime::{args, shutdown};

/// Opens the network that the program declares by `name`, with the addresses that the program's arguments say (`--ip ADDRESS/PREFIX`,
/// `--ip dhcp`, `--gateway`, `--dns`). Waits until the network has an address. Gives its number, or an error below 0.
///
/// # Safety
///
/// `name` is a string.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ukvm_net_open(name: *const c_char) -> c_int {
    let Ok((options, _)) = Options::parse(args()) else { return UKVM_BAD_ARGUMENTS };
    // SAFETY: the caller says so.
    match Stack::open(unsafe { to_str(name) }, options.config) {
        Ok(stack) => {
            let opened = block_on(unless_stopping(stack.configured()));
            if opened.is_err() {
                return UKVM_STOPPING;
            }
            insert(Object::Network(Network { stack, port: options.port }))
        }
        Err(OpenError::Device(_)) => UKVM_NO_DEVICE,
        Err(OpenError::InUse) => UKVM_IN_USE,
        Err(OpenError::Config(_)) => UKVM_BAD_ARGUMENTS,
    }
}

/// Runs `future`, but no longer than until the host wants an end.
async fn unless_stopping<F: Future>(future: F) -> Result<F::Output, c_int> {
    match select(future, shutdown::requested()).await {
        Either::First(output) => Ok(output),
        Either::Second(()) => Err(UKVM_STOPPING),
    }
}

fn network(number: c_int) -> Result<Network, c_int> {
    find(number, |object| match object {
        Object::Network(network) => Some(network.clone()),
        _ => None,
    })
}

/// The port that the program's argument `--port` names, or else the `usual` one.
#[unsafe(no_mangle)]
pub extern "C" fn ukvm_net_port(network: c_int, usual: u16) -> u16 {
    self::network(network).ok().and_then(|network| network.port).unwrap_or(usual)
}

/// Listens on a port of the network. Gives the listener's number, or an error below 0.
#[unsafe(no_mangle)]
pub extern "C" fn ukvm_tcp_listen(network: c_int, port: u16) -> c_int {
    match self::network(network).map(|network| network.stack.listen(port, TcpOptions::default())) {
        Ok(Ok(listener)) => insert(Object::Listener(Rc::new(listener))),
        Ok(Err(BindError::InUse(_))) => UKVM_IN_USE,
        Ok(Err(BindError::BadBuffer)) => UKVM_NO_MEMORY,
        Ok(Err(BindError::NoPort)) => UKVM_BAD_ARGUMENTS,
        Err(error) => error,
    }
}

/// Waits for a connection. Gives its number, or an error below 0: UKVM_STOPPING once the host wants an end.
#[unsafe(no_mangle)]
pub extern "C" fn ukvm_tcp_accept(listener: c_int) -> c_int {
    let listener = find(listener, |object| match object {
        Object::Listener(listener) => Some(Rc::clone(listener)),
        _ => None,
    });
    match listener.and_then(|listener| block_on(unless_stopping(listener.accept()))) {
        Ok((stream, _)) => keep(stream),
        Err(error) => error,
    }
}

/// Connects to a port of `host`, an address or a name. Gives the connection's number, or an error below 0.
///
/// # Safety
///
/// `host` is a string.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ukvm_tcp_connect(network: c_int, host: *const c_char, port: u16) -> c_int {
    // SAFETY: the caller says so.
    let host = unsafe { to_str(host) };
    let connected = self::network(network)
        .and_then(|network| block_on(unless_stopping(connect(network.stack, host, port)))?);
    connected.map_or_else(|error| error, keep)
}

/// Looks the host up and connects.
async fn connect(stack: Stack, host: &str, port: u16) -> Result<TcpStream, c_int> {
    let addresses = stack.resolve(host).await.map_err(|_| UKVM_UNREACHABLE)?;
    let connected = stack.connect(&addresses, port, TcpOptions::default()).await;
    connected.map_err(|error| match error {
        ConnectError::Unreachable => UKVM_UNREACHABLE,
        ConnectError::NoRoom => UKVM_NO_MEMORY,
        ConnectError::Refused => UKVM_RESET,
        ConnectError::TimedOut => UKVM_TIMED_OUT,
    })
}

fn keep(stream: TcpStream) -> c_int {
    let connection = Connection { stream: RefCell::new(stream), limit: Cell::new(Duration::MAX) };
    insert(Object::Connection(Rc::new(connection)))
}

fn connection(number: c_int) -> Result<Rc<Connection>, c_int> {
    find(number, |object| match object {
        Object::Connection(connection) => Some(Rc::clone(connection)),
        _ => None,
    })
}

/// From now on no read or write of the connection waits longer than so many nanoseconds: UKVM_TIMED_OUT then. Gives 0 or an error.
#[unsafe(no_mangle)]
pub extern "C" fn ukvm_tcp_limit(connection: c_int, nanoseconds: u64) -> c_int {
    let set = self::connection(connection)
        .map(|connection| connection.limit.set(Duration::from_nanos(nanoseconds)));
    set.err().unwrap_or(0)
}

/// Runs `call`, but no longer than `limit`.
fn within<T>(limit: Duration, call: impl Future<Output = Result<T, TcpError>>) -> Result<T, c_int> {
    match block_on(timeout(limit, call)) {
        Ok(done) => done.map_err(of_tcp),
        Err(Elapsed) => Err(UKVM_TIMED_OUT),
    }
}

/// Waits for bytes from the peer, and reads at most `length` of them. Gives how many, 0 at their end, or an error below 0: UKVM_STOPPING
/// where none are there and the host wants an end.
///
/// # Safety
///
/// `length` bytes at `buffer` can be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ukvm_tcp_read(connection: c_int, buffer: *mut c_void, length: usize) -> isize {
    if length == 0 {
        return 0;
    }
    // SAFETY: the caller says so; bytes of any value are bytes.
    let buffer = unsafe { slice::from_raw_parts_mut(buffer.cast(), length) };
    let read = self::connection(connection).and_then(|connection| {
        let mut stream = connection.stream.borrow_mut();
        let read = async {
            unless_stopping(stream.read(buffer))
                .await
                .map_or_else(|error| Ok(Err(error)), |read| read.map(Ok))
        };
        within(connection.limit.get(), read)?
    });
    read.map_or_else(|error| error as isize, usize::cast_signed)
}

/// Writes all of `length` bytes, once there is room for them on their way. Gives 0 or an error; after one it is not known how many were
/// written.
///
/// # Safety
///
/// `length` bytes at `bytes` can be read.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ukvm_tcp_write(connection: c_int, bytes: *const c_void, length: usize) -> c_int {
    let bytes: &[u8] = match length {
        0 => &[],
        // SAFETY: the caller says so.
        _ => unsafe { slice::from_raw_parts(bytes.cast(), length) },
    };
    let written = self::connection(connection).and_then(|connection| {
        within(connection.limit.get(), connection.stream.borrow_mut().write_all(bytes))
    });
    written.err().unwrap_or(0)
}
