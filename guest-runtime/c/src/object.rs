//! What C holds by a number: disks, networks, listeners and connections.

use alloc::rc::Rc;
use core::cell::RefCell;
use core::ffi::c_int;
use critical_section::Mutex;
use slab::Slab;
use ukvm_runtime::block::Disk;
use ukvm_runtime::net::{Stack, TcpListener, TcpStream};

use crate::error::UKVM_BAD_NUMBER;

/// The most of them at a time; far more than a guest has memory for.
const MOST: usize = 1 << 20;

pub(crate) enum Object {
    Disk(Disk),
    Network(Stack),
    Listener(Rc<TcpListener>),
    Stream(Rc<RefCell<TcpStream>>),
}

struct Objects(Slab<Object>);

// SAFETY: a guest has one vCPU and no interrupts, hence no second thread of execution that the objects could move to.
unsafe impl Send for Objects {}

static OBJECTS: Mutex<RefCell<Objects>> = Mutex::new(RefCell::new(Objects(Slab::new())));

fn with<R>(f: impl FnOnce(&mut Slab<Object>) -> R) -> R {
    critical_section::with(|section| f(&mut OBJECTS.borrow_ref_mut(section).0))
}

/// Keeps `object`, and gives the number that it is found by.
pub(crate) fn insert(object: Object) -> c_int {
    with(|objects| {
        assert!(objects.len() < MOST, "too many disks, listeners and connections are open: close some");
        objects.insert(object) as c_int
    })
}

/// Gives away what has this number.
pub(crate) fn remove(number: c_int) -> Option<Object> {
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
