//! What the kernel tells a process at its start: environment and auxiliary vector; and what is asked of the system besides.

use crate::call::{checked, failed, raw};
use crate::thread::PAGE;
use core::ptr;
use core::sync::atomic::{AtomicPtr, Ordering};
use libc::{c_char, c_int, c_long, c_ulong, size_t};

static VARIABLES: AtomicPtr<*const c_char> = AtomicPtr::new(ptr::null_mut());
static AUXILIARY: AtomicPtr<[c_ulong; 2]> = AtomicPtr::new(ptr::null_mut());

/// Notes what the kernel has put on the stack.
///
/// # Safety
///
/// Both end as the kernel ends them, and live as long as the process.
pub(crate) unsafe fn install(variables: *const *const c_char, auxiliary: *const [c_ulong; 2]) {
    VARIABLES.store(variables.cast_mut(), Ordering::Relaxed);
    AUXILIARY.store(auxiliary.cast_mut(), Ordering::Relaxed);
}

/// The value of a kind of the auxiliary vector, 0 where it is not there.
pub(crate) fn auxiliary(kind: c_ulong) -> usize {
    let mut entry = AUXILIARY.load(Ordering::Relaxed).cast_const();
    if entry.is_null() {
        return 0;
    }
    loop {
        // SAFETY: the vector ends with an entry of kind 0.
        match unsafe { *entry } {
            [found, value] if found == kind => return value as usize,
            [0, _] => return 0,
            _ => entry = entry.wrapping_add(1),
        }
    }
}

#[cfg_attr(not(test), unsafe(no_mangle))]
extern "C" fn getauxval(kind: c_ulong) -> c_ulong {
    auxiliary(kind) as c_ulong
}

#[cfg_attr(not(test), unsafe(no_mangle))]
unsafe extern "C" fn getenv(name: *const c_char) -> *mut c_char {
    let mut entry = VARIABLES.load(Ordering::Relaxed).cast_const();
    loop {
        // SAFETY: the environment ends with a null.
        let variable = if entry.is_null() { ptr::null() } else { unsafe { *entry } };
        if variable.is_null() {
            return ptr::null_mut();
        }
        // SAFETY: both are strings.
        if let Some(value) = unsafe { value_of(variable, name) } {
            return value.cast_mut();
        }
        entry = entry.wrapping_add(1);
    }
}

/// What is behind `name=` in a variable, if that is its name.
///
/// # Safety
///
/// Both are strings.
unsafe fn value_of(mut variable: *const c_char, mut name: *const c_char) -> Option<*const c_char> {
    loop {
        // SAFETY: neither goes beyond its NUL: the first that differs ends the loop.
        let in_variable = unsafe { *variable };
        // SAFETY: as above.
        let in_name = unsafe { *name };
        if in_name == 0 {
            return (in_variable == b'=' as c_char).then(|| variable.wrapping_add(1));
        }
        if in_variable != in_name {
            return None;
        }
        (variable, name) = (variable.wrapping_add(1), name.wrapping_add(1));
    }
}

/// Knows the size of a page.
#[cfg_attr(not(test), unsafe(no_mangle))]
extern "C" fn sysconf(name: c_int) -> c_long {
    match name {
        libc::_SC_PAGESIZE => PAGE as c_long,
        _ => failed(libc::EINVAL) as c_long,
    }
}

#[cfg_attr(not(test), unsafe(no_mangle))]
unsafe extern "C" fn getcwd(to: *mut c_char, size: size_t) -> *mut c_char {
    // SAFETY: the caller's buffer has this size.
    match checked(unsafe { raw(libc::SYS_getcwd, [to.addr(), size, 0, 0, 0, 0]) }) {
        -1 => ptr::null_mut(),
        _ => to,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(variable: &core::ffi::CStr, name: &core::ffi::CStr) -> Option<String> {
        // SAFETY: both are strings.
        let value = unsafe { value_of(variable.as_ptr(), name.as_ptr()) }?;
        // SAFETY: it is the rest of a string.
        Some(unsafe { core::ffi::CStr::from_ptr(value) }.to_str().unwrap().to_owned())
    }

    #[test]
    fn a_variable_is_found_by_its_whole_name() {
        assert_eq!(value(c"A=b=c", c"A").as_deref(), Some("b=c"));
        assert_eq!(value(c"A=", c"A").as_deref(), Some(""));
        for (variable, name) in [(c"AB=c", c"A"), (c"A=c", c"AB"), (c"A", c"A"), (c"", c"A")] {
            assert_eq!(value(variable, name), None);
        }
    }

    #[test]
    fn without_a_start_there_is_nothing() {
        assert_eq!(auxiliary(libc::AT_PAGESZ), 0);
        // SAFETY: the name is a string.
        assert!(unsafe { getenv(c"PATH".as_ptr()) }.is_null());
    }
}
