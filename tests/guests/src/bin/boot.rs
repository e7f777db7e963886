//! Prints what the monitor told it at the start, and checks that the parts fit together.
#![no_std]
#![no_main]

use test_guests::Raw;
use ukvm_abi::boot_info::DeviceInfo;

ukvm_runtime::program! {
    main = main;
    net lan: optional;
    net wan: optional;
    block data: optional;
}

async fn main() {
    let mut raw = Raw::take();
    let boot = raw.boot;
    let on_stack = 0_u8;
    let stack = (&raw const on_stack) as u64;
    assert!(boot.stack.start <= stack && stack < boot.stack.start + boot.stack.length);
    let code = main as fn() -> _ as usize as u64;
    assert!(boot.image.start <= code && code < boot.image.start + boot.image.length);
    assert!(boot.heap.start.is_multiple_of(2 << 20), "the heap is in large pages");
    raw.line(format_args!("image {:#x}", boot.image.start));
    raw.line(format_args!("bias {:#x}", boot.load_bias));
    raw.line(format_args!("stack {:#x} {}", boot.stack.start, boot.stack.length));
    raw.line(format_args!("heap {:#x}", boot.heap.start));
    raw.line(format_args!("memory {}", boot.memory_size));
    raw.line(format_args!("console {}", boot.console_flags));
    raw.line(format_args!("seed {:02x?}", boot.seed));
    for index in 0..u64::from(boot.device_count) {
        let at = boot.devices.start + index * u64::from(boot.device_size);
        // SAFETY: the monitor has put an entry of at least this size there, read-only and for ever.
        let device = unsafe { core::ptr::read(at as *const DeviceInfo) };
        let name = device.name.split(|&byte| byte == 0).next().unwrap_or(&[]);
        let name = core::str::from_utf8(name).expect("ASCII");
        let [a, b, c, d, e, f] = device.mac;
        raw.line(format_args!(
            "device {name} flags {} mac {a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x} mtu {}",
            device.flags, device.mtu
        ));
    }
    raw.exit(0);
}
