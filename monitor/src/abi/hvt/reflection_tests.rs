use super::super::access::{GP, UD, WRITE};
use super::super::decode::register_mut;
use super::super::segments::Table;
use super::super::testing::*;
use super::*;
use crate::paging::{USER_CODE, USER_DATA, VECTORS};

const IRETQ: [u8; 2] = [0x48, 0xcf];

#[test]
fn every_vector_has_its_frame() {
    for vector in 0..VECTORS {
        for (rsp, top) in [(STACK, STACK), (STACK + 8, STACK), (STACK - 1, STACK - 16), (STACK + 15, STACK)] {
            let mut guest = Guest::new();
            let rflags = RUNNING | RF | NT | TF | IF | 0xcd5;
            guest.registers = kvm_regs { rsp, rflags, rax: 1, r15: 2, ..guest.registers };
            let before = guest.registers;
            assert_eq!(guest.raise(vector, 0x50, 0x20_0000), Ok(()));
            let mut frame = vec![0x50, RIP, 8, RF | NT | TF | IF | 2 | 0xcd5, rsp, 0x10];
            if !has_error_code(vector) {
                frame.remove(0);
            }
            let bottom = top - frame.len() as u64 * 8;
            // The error code of a page fault loses two bits, of which this has one.
            if vector == PF {
                frame[0] = 0x40;
            }
            assert_eq!(guest.ram.words::<6>(bottom)[..frame.len()], frame);
            assert_eq!(guest.ram.words(bottom - 16), [0; 2], "nothing below");
            let after = kvm_regs { rip: handler(vector), rsp: bottom, rflags: RUNNING | 0xcd5, ..before };
            assert_eq!(guest.registers, after);
        }
    }
}

#[test]
fn a_trap_gate_leaves_interrupts_on() {
    let mut guest = Guest::new();
    for flag in [0, IF] {
        for (attributes, after) in [(0x8e00, 0), (0x8f00, flag)] {
            guest.ram.put_gate(3, 0x08, attributes, 0x7fff_1234_5678);
            guest.registers = kvm_regs { rip: RIP, rsp: STACK, rflags: RUNNING | flag, ..guest.registers };
            assert_eq!(guest.raise(3, 0, 0), Ok(()));
            assert_eq!(guest.registers.rip, 0x7fff_1234_5678);
            assert_eq!(guest.registers.rflags, RUNNING | after);
            assert_eq!(guest.ram.words::<3>(guest.registers.rsp), [RIP, 8, 2 | flag]);
        }
    }
}

#[test]
fn privilege_levels_of_flags_never_show() {
    // What one KVM says of IOPL, another does not.
    for rflags in [2, 0x3002, 0x1002, RUNNING | 1 << 17 | 1 << 19 | 1 << 20] {
        let mut guest = Guest::new();
        guest.registers.rflags = rflags;
        assert_eq!(guest.raise(3, 0, 0), Ok(()));
        assert_eq!(guest.ram.words::<3>(guest.registers.rsp)[2], 2);
        assert_eq!(guest.registers.rflags, RUNNING);
    }
}

#[test]
fn stacks_of_the_interrupt_stack_table() {
    let mut guest = Guest::new();
    guest.ram.put_words(TSS + 36, &[1, 2, 3, 4, 5, 6, 7].map(|number| STACK + number * 0x100 + 8));
    for number in 1..8 {
        guest.ram.put_gate(DF, 8, 0x8e00 | number, handler(DF));
        guest.registers = kvm_regs { rip: RIP, rsp: 0xdead_beef_dead_beef, ..guest.registers };
        assert_eq!(guest.raise(DF, 0, 0), Ok(()));
        assert_eq!(guest.registers.rsp, STACK + u64::from(number) * 0x100 - 48);
        assert_eq!(
            guest.ram.words(guest.registers.rsp),
            [0, RIP, 8, 2, 0xdead_beef_dead_beef, 0x10],
            "stack {number}"
        );
    }
    guest.cpu.task.limit = 91;
    assert_eq!(guest.raise(DF, 0, 0), Ok(()));
    guest.cpu.task.limit = 90;
    assert_eq!(guest.raise(DF, 0, 0), Err(Trap::TripleFault), "the seventh is not in the segment");
}

#[test]
fn page_faults() {
    let heap = 0x20_0000;
    let cases = [
        // Address, error code, error code for the guest.
        (heap, USER, 0),
        (heap, USER | WRITE, WRITE),
        (heap, USER | FETCH, 0),
        (heap, USER | FETCH | PRESENT, PRESENT),
        (0x1_0000, USER | WRITE | PRESENT, WRITE | PRESENT),
        (PROGRAM.end, USER | FETCH | PRESENT, PRESENT),
        (PROGRAM.start, USER | WRITE, WRITE),
        // Pages of the monitor, where hvt has none.
        (0x1000, USER | PRESENT, 0),
        (0x3fff, USER | WRITE | PRESENT, WRITE),
        (0xffff, USER | FETCH | PRESENT, 0),
        (0, USER, 0),
    ];
    for (address, error, reflected) in cases {
        let mut guest = Guest::new();
        assert_eq!(guest.raise(PF, error, address), Ok(()));
        assert_eq!(guest.ram.words(guest.registers.rsp), [reflected, RIP, 8, 2, STACK, 0x10], "{address:#x}");
        guest.step(&[0x0f, 0x20, 0xd0]);
        assert_eq!(guest.registers.rax, address);
        // No other exception changes CR2.
        assert_eq!(guest.raise(GP, 0, 0x1234), Ok(()));
        assert_eq!(guest.cpu.cr2, address);
    }
    for address in [PROGRAM.start, PROGRAM.end - 1] {
        let mut guest = Guest::new();
        let registers = guest.registers;
        assert_eq!(guest.raise(PF, USER | WRITE | PRESENT, address), Err(Trap::Memory(address)));
        assert_eq!((guest.registers, guest.cpu.cr2), (registers, 0));
    }
}

/// Ways in which the first gate does not work.
const BROKEN: [fn(&mut Guest); 13] = [
    |guest| guest.ram.put_gate(UD, 8, 0x0e00, handler(UD)), // not present
    |guest| guest.ram.put_gate(UD, 8, 0x8c00, handler(UD)), // a call gate
    |guest| guest.ram.put_gate(UD, 8, 0x8500, handler(UD)), // a task gate
    |guest| guest.ram.put_gate(UD, 8, 0x9e00, handler(UD)), // no system descriptor
    |guest| guest.ram.put_gate(UD, 0, 0x8e00, handler(UD)), // null selector
    |guest| guest.ram.put_gate(UD, 0x10, 0x8e00, handler(UD)), // data
    |guest| guest.ram.put_gate(UD, 0x18, 0x8e00, handler(UD)), // a task
    |guest| guest.ram.put_gate(UD, 0x0c, 0x8e00, handler(UD)), // local
    |guest| guest.ram.put_gate(UD, 0x28, 0x8e00, handler(UD)), // outside
    |guest| guest.ram.put_gate(UD, 8, 0x8e00, 1 << 47),     // no address
    |guest| guest.ram.put_gate(UD, 8, 0x8e03, handler(UD)), // a stack that is none
    |guest| guest.registers.rsp = WRITABLE,                 // a stack that is full
    |guest| guest.registers.rsp = 8,                        // a stack that goes round
];

#[test]
fn what_cannot_be_delivered_is_a_double_fault() {
    for (number, damage) in BROKEN.into_iter().enumerate() {
        let mut guest = Guest::new();
        guest.ram.put_gate(DF, 8, 0x8e01, handler(DF));
        damage(&mut guest);
        let kvm_regs { rsp, .. } = guest.registers;
        let mut other = Guest::new();
        damage(&mut other);
        other.ram.put_gate(DF, 8, 0x0e00, 0);

        assert_eq!(guest.raise(UD, 0, 0), Ok(()));
        assert_eq!(guest.registers.rip, handler(DF), "case {number}");
        assert_eq!(guest.ram.words((IST & !15) - 48), [0, RIP, 8, 2, rsp, 0x10]);

        let before = (other.registers, format!("{:?}", other.cpu));
        assert_eq!(other.raise(UD, 0, 0), Err(Trap::TripleFault));
        assert_eq!((other.registers, format!("{:?}", other.cpu)), before, "case {number}");
    }
    let mut guest = Guest::new();
    guest.cpu.idt.limit = 8 * 16 + 15;
    assert_eq!(guest.raise(GP, 0, 0), Ok(()));
    assert_eq!(guest.registers.rip, handler(DF));
    guest.cpu.idt.limit -= 1;
    assert_eq!(guest.raise(GP, 0, 0), Err(Trap::TripleFault));
    assert_eq!(guest.raise(DF, 0, 0), Err(Trap::TripleFault));
    for base in [0, END - 15, 1 << 47, u64::MAX - 16 * 6 - 7] {
        guest.cpu.idt = Table { base, limit: 0xffff };
        assert_eq!(guest.raise(UD, 0, 0), Err(Trap::TripleFault));
    }
}

#[test]
fn a_gate_may_name_another_code_segment() {
    let mut guest = Guest::new();
    guest.cpu.gdt.limit = 47;
    guest.ram.put_words(GDT + 40, &[CODE_64]);
    // The privilege level of a gate's selector does not count.
    guest.ram.put_gate(3, 0x2b, 0x8e00, handler(3));
    assert_eq!(guest.raise(3, 0, 0), Ok(()));
    assert_eq!(guest.cpu.code, 0x28);
    assert_eq!(guest.raise(3, 0, 0), Ok(()));
    assert_eq!(guest.ram.words::<2>(guest.registers.rsp)[1], 0x28, "the first handler's");
    // What it reads from its CS.
    guest.ram.put_gate(4, USER_CODE, 0x8e00, handler(4));
    assert_eq!(guest.raise(4, 0, 0), Ok(()));
    assert_eq!((guest.registers.rip, guest.cpu.code), (handler(4), 0x28));
}

#[test]
fn a_return_restores_everything() {
    let flags =
        [0, IF, TF, NT, RF, RF | IF, 0xcd5, 1 << 18, 1 << 21, 0xcd5 | TF | IF | RF | 1 << 18 | 1 << 21];
    for rflags in flags {
        for rsp in [STACK, STACK + 3, 0x7fff_ffff_fff8, u64::MAX, 1 << 47] {
            for stack in [0, 1] {
                let mut guest = Guest::new();
                let in_memory = rsp <= STACK + 3;
                guest.ram.put_gate(PF, 8, 0x8e00 | stack, handler(PF));
                if stack == 0 && !in_memory {
                    continue;
                }
                guest.registers.rsp = rsp;
                guest.registers.rflags = RUNNING | rflags;
                let before = guest.registers;
                let cpu = format!("{:?}", guest.cpu);
                assert_eq!(guest.raise(PF, USER, 0), Ok(()));
                // The handler takes the error code, as all do.
                guest.registers.rsp += 8;
                guest.registers.rflags |= 0x41;
                assert_eq!(guest.execute(&IRETQ), Ok(()));
                assert_eq!(guest.registers, before);
                assert_eq!(format!("{:?}", guest.cpu), cpu);
            }
        }
    }
}

#[test]
fn returns_that_are_refused() {
    let good = [RIP + 9, 8, IF | 0x3002, STACK + 0x800, 0x10];
    let with = |index: usize, value: u64| {
        let mut frame = good;
        frame[index] = value;
        frame
    };
    let go = |frame: [u64; 5], rflags: u64| {
        let mut guest = Guest::new();
        guest.registers.rflags |= rflags;
        guest.ram.put_words(STACK, &frame);
        let result = guest.execute(&IRETQ);
        (guest, result)
    };
    let accepted = [
        good,
        with(1, USER_CODE.into()),
        with(4, USER_DATA.into()),
        with(4, 0),
        with(1, 0x1_0008),
        with(2, !(3 << 12)),
    ];
    for frame in accepted {
        let (guest, result) = go(frame, 0);
        assert_eq!(result, Ok(()));
        assert_eq!((guest.registers.rip, guest.registers.rsp), (RIP + 9, STACK + 0x800));
        assert_eq!(guest.cpu.code, 8);
        assert_eq!(guest.cpu.stack, if frame[4] == 0 { 0 } else { 0x10 });
        let own = if frame[2] == good[2] { IF } else { 0x25_4fd5 };
        assert_eq!(guest.registers.rflags, RUNNING | own);
    }
    let refused = [
        (good, NT, 0),
        (with(0, 1 << 47), 0, 0),
        (with(1, 0), 0, 0),
        (with(1, 0x10), 0, 0x10),
        (with(1, 0x40), 0, 0x40),
        (with(4, 8), 0, 8),
        (with(4, 3), 0, 0),
        (with(4, 0x13), 0, 0x10),
        (with(4, 0x48), 0, 0x48),
    ];
    for (frame, rflags, error) in refused {
        let (guest, result) = go(frame, rflags);
        assert_eq!((result, guest.registers.rip), (Ok(()), handler(GP)));
        let pushed = [error, RIP, 8, rflags | 2, STACK, 0x10];
        assert_eq!(guest.ram.words(guest.registers.rsp), pushed, "{frame:x?}");
    }
    let (guest, result) = go(with(1, 0x0b), 0);
    let Err(Trap::Unsupported { name, bytes }) = result else { panic!("it returned to level 3") };
    assert_eq!((name.as_str(), &bytes[..2]), ("iret (to privilege level 3)", &IRETQ[..]));
    assert_eq!((guest.registers.rip, guest.registers.rsp), (RIP, STACK));
}

#[test]
fn a_handler_that_faults_for_ever_costs_as_little_each_time() {
    let mut guest = Guest::new();
    guest.ram.put_gate(PF, 8, 0x8e01, handler(PF));
    for _ in 0..1000 {
        // On a stack of the table, every frame is at the same place. `raise` counts the accesses.
        assert_eq!(guest.raise(PF, USER, 8), Ok(()));
        assert_eq!(guest.registers.rsp, (IST & !15) - 48);
    }
    // Without one, the stack is used up in the end.
    let mut guest = Guest::new();
    guest.registers.rsp = GDT;
    let mut depth = 0;
    while guest.raise(PF, USER, 8) == Ok(()) {
        depth += 1;
        assert!(depth < 0x1000);
    }
    assert_eq!(depth, (GDT - WRITABLE) / 48);
}

/// Whatever memory, registers and instructions are.
#[test]
fn any_guest() {
    let mut next = generator(0x0123_4567_89ab_cdef);
    let (mut carried_out, mut reflected, mut refused) = (0, 0, 0);
    for _ in 0..20_000 {
        let mut guest = Guest::new();
        let odd = |next: &mut dyn FnMut() -> u64| match next() % 8 {
            0 => next(),
            1 => 1 << 47,
            2 => u64::MAX - next() % 64,
            3 => next() % 0x60,
            _ => START + next() % (END - START + 8),
        };
        for _ in 0..next() % 40 {
            let at = [GDT, IDT, TSS, STACK][(next() % 4) as usize] + next() % 64 * 8;
            guest.ram.put_words(at, &[odd(&mut next)]);
        }
        for number in 0..16 {
            *register_mut(&mut guest.registers, number) = odd(&mut next);
        }
        if !next().is_multiple_of(4) {
            guest.registers.rsp = STACK + next() % 64;
        }
        guest.registers.rcx =
            if next().is_multiple_of(2) { 0xc000_0100 + next() % 4 } else { guest.registers.rcx };
        guest.registers.rflags = next();
        for _ in 0..8 {
            let mut code: Vec<u8> = [next(), next()].iter().flat_map(|word| word.to_le_bytes()).collect();
            let starts: [&[u8]; 8] = [
                &[0x0f, 0x01],
                &[0x0f, 0x00],
                &[0x8e],
                &[0x48, 0xcb],
                &[0x48, 0xcf],
                &[0x0f, 0x30],
                &[0x0f, 0xa1],
                &[],
            ];
            let start = starts[(next() % 8) as usize];
            code[..start.len()].copy_from_slice(start);
            if START <= guest.registers.rip && guest.registers.rip < END - 16 {
                guest.ram.put(guest.registers.rip, &code);
            }
            let vector = [GP, GP, GP, UD, PF, (next() % 32) as u8][(next() % 6) as usize];
            let rip = guest.registers.rip;
            match guest.raise(vector, next() % 64, odd(&mut next)) {
                Ok(()) => {
                    assert_eq!(guest.registers.rflags & !(0x25_4fd5), RUNNING);
                    let near = (1..=15).contains(&guest.registers.rip.wrapping_sub(rip));
                    *if near { &mut carried_out } else { &mut reflected } += 1;
                    assert!(near || guest.registers.rip >> 47 == 0);
                }
                Err(trap) => {
                    refused += 1;
                    assert_eq!(guest.registers.rip, rip);
                    if let Trap::Unsupported { bytes, name } = trap {
                        assert!(!name.is_empty() && bytes.len() <= 15);
                    }
                }
            }
            assert!(guest.cpu.fs_base() >> 47 == 0 && guest.cpu.gs_base() >> 47 == 0);
        }
    }
    assert!(carried_out > 1000 && reflected > 1000 && refused > 1000, "{carried_out} {reflected} {refused}");
}
