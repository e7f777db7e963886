//! What the standard library names and the monitor has no use for. What is asked for says so; what would unwind aborts.
#![allow(non_snake_case, non_upper_case_globals, reason = "the names are those of the Itanium C++ ABI")]

use core::ffi::{c_char, c_int, c_void};
use core::ptr;

/// Names a shared object, of which there are none.
#[cfg_attr(not(test), unsafe(no_mangle))]
static __dso_handle: u8 = 0;

#[cfg_attr(not(test), unsafe(no_mangle))]
extern "C" fn dlsym(_handle: *mut c_void, _name: *const c_char) -> *mut c_void {
    ptr::null_mut()
}

#[cfg_attr(not(test), unsafe(no_mangle))]
extern "C" fn dl_iterate_phdr(_callback: *const c_void, _data: *mut c_void) -> c_int {
    0
}

#[cfg_attr(not(test), unsafe(no_mangle))]
extern "C" fn realpath(_path: *const c_char, _to: *mut c_char) -> *mut c_char {
    crate::call::failed(libc::ENOSYS);
    ptr::null_mut()
}

macro_rules! unknown {
    ($($name:ident)*) => {$(
        #[cfg_attr(not(test), unsafe(no_mangle))]
        extern "C" fn $name() -> c_int {
            libc::ENOSYS
        }
    )*};
}

// Where a thread's stack is: the standard library then does without a message of its own for an overflow.
unknown! { pthread_getattr_np pthread_attr_getstack pthread_attr_getguardsize }

/// There are no callers to be found: `_URC_END_OF_STACK`.
#[cfg_attr(not(test), unsafe(no_mangle))]
extern "C" fn _Unwind_Backtrace(_visit: *const c_void, _data: *mut c_void) -> c_int {
    5
}

macro_rules! never {
    ($($name:ident)*) => {$(
        #[cfg_attr(not(test), unsafe(no_mangle))]
        extern "C" fn $name() -> ! {
            crate::thread::exit_process(134)
        }
    )*};
}

// Panics abort, so that nothing unwinds.
never! {
    _Unwind_DeleteException _Unwind_GetCFA _Unwind_GetDataRelBase _Unwind_GetIP _Unwind_GetIPInfo
    _Unwind_GetLanguageSpecificData _Unwind_GetRegionStart _Unwind_GetTextRelBase _Unwind_RaiseException _Unwind_Resume
    _Unwind_SetGR _Unwind_SetIP
}
