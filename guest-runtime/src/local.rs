//! State of a world with one vCPU.

use core::cell::RefCell;

/// A value that a `static` holds and that one vCPU uses.
///
/// A guest has a single vCPU and no interrupts, so nothing runs beside the code that looks. What remains is
/// re-entry: the cell panics on it as [`RefCell`] does.
pub(crate) struct Local<T>(RefCell<T>);

// SAFETY: a guest has one vCPU and no interrupt or signal handlers, hence no second thread of execution that the value
// could be shared with.
unsafe impl<T> Sync for Local<T> {}

impl<T> Local<T> {
    pub(crate) const fn new(value: T) -> Self {
        Self(RefCell::new(value))
    }

    /// Runs `f` on the value. `f` must not call what could come back here, wakers and destructors of users included.
    #[inline(always)]
    pub(crate) fn with<R>(&self, f: impl FnOnce(&mut T) -> R) -> R {
        f(&mut self.0.borrow_mut())
    }

    /// As [`with`](Self::with), or `None` where the value is in use further up the stack.
    pub(crate) fn try_with<R>(&self, f: impl FnOnce(&mut T) -> R) -> Option<R> {
        Some(f(&mut *self.0.try_borrow_mut().ok()?))
    }
}
