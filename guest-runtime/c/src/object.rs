//! What C holds by a number: disks, networks, listeners and connections.

use alloc::rc::Rc;
use core::cell::{Cell, RefCell};
use core::ffi::c_int;
use core::time::Duration;
use critical_section::Mutex;
use slab::Slab;
use ukvm_runtime::block::Disk;
use ukvm_runtime::net::{Stack, TcpListener, TcpStream};
use ukvm_runtime::task::block_on;

use crate::error::{UKVM_BAD_NUMBER, UKVM_NO_MEMORY, UKVM_NOT_SUPPORTED, of_tcp};

/// The most of them at a time; far more than a guest has memory for.
const MOST: usize = 1 << 20;

pub(crate) enum Object {
    Disk(Disk),
    Network(Network),
    Listener(Rc<TcpListener>),
    Connection(Rc<Connection>),
}

#[derive(Clone)]
pub(crate) struct Network {
    pub(crate) stack: Stack,
    /// What the program's arguments say.
    pub(crate) port: Option<u16>,
}

pub(crate) struct Connection {
    pub(crate) stream: RefCell<TcpStream>,
    /// How long a call may wait.
    pub(crate) limit: Cell<Duration>,
}

struct Objects(Slab<Object>);

// SAFETY: a guest has one vCPU and no interrupts, hence no second thread of execution that the objects could move to.
unsafe impl Send for Objects {}

static OBJECTS: Mutex<RefCell<Objects>> = Mutex::new(RefCell::new(Objects(Slab::new())));

fn with<R>(f: impl FnOnce(&mut Slab<Object>) -> R) -> R {
    critical_section::with(|section| f(&mut OBJECTS.borrow_ref_mut(section).0))
}

/// Keeps `object`, and gives the number that it is found by, or an error where there are too many.
pub(crate) fn insert(object: Object) -> c_int {
    with(|objects| if objects.len() < MOST { objects.insert(object) as c_int } else { UKVM_NO_MEMORY })
}

/// Gives away what has this number.
fn remove(number: c_int) -> Option<Object> {
    with(|objects| objects.try_remove(usize::try_from(number).ok()?))
}

/// What `get` finds in the object with this number: a clone of it, as a call may wait and others come meanwhile.
///
/// # Errors
///
/// [`UKVM_BAD_NUMBER`] where it finds nothing.
pub(crate) fn find<T>(number: c_int, get: impl FnOnce(&mut Object) -> Option<T>) -> Result<T, c_int> {
    let index = usize::try_from(number).map_err(|_| UKVM_BAD_NUMBER)?;
    with(|objects| objects.get_mut(index).and_then(get)).ok_or(UKVM_BAD_NUMBER)
}

/// Gives back a disk, a listener, or a connection, the latter once the peer has got everything that was written. Gives 0, or an error,
/// where the peer did not take it in time for one; the number is free then, too. A network stays.
#[unsafe(no_mangle)]
pub extern "C" fn ukvm_close(number: c_int) -> c_int {
    let is_network = |object: &mut Object| Some(matches!(object, Object::Network(_)));
    match find(number, is_network) {
        Ok(true) => return UKVM_NOT_SUPPORTED,
        Ok(false) => {}
        Err(error) => return error,
    }
    match remove(number) {
        Some(Object::Connection(connection)) => match Rc::try_unwrap(connection) {
            Ok(connection) => {
                block_on(connection.stream.into_inner().close()).map_err(of_tcp).err().unwrap_or(0)
            }
            Err(_) => 0,
        },
        _ => 0,
    }
}
