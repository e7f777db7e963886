use super::super::access::{NP, PF, SS};
use super::super::testing::*;
use super::*;

#[test]
fn a_start_up_as_a_kernel_does_it() {
    let mut guest = Guest::new();
    guest.cpu = VirtualCpu::new();

    (guest.registers.rcx, guest.registers.rax, guest.registers.rdx) = (0xc000_0100, 0x10_8000, 0);
    guest.step(&[0x0f, 0x30]); // wrmsr
    assert_eq!(guest.cpu.fs_base(), 0x10_8000);

    guest.ram.put(0x10_8000, &[39, 0]);
    guest.ram.put_words(0x10_8002, &[GDT]);
    guest.registers.rax = 0x10_8000;
    guest.step(&[0x0f, 0x01, 0x10]); // lgdt (%rax)
    assert_eq!(guest.cpu.gdt, Table { base: GDT, limit: 39 });

    guest.ram.put_words(STACK, &[RIP + 0x400, 8]);
    assert_eq!(guest.execute(&[0x48, 0xcb]), Ok(())); // lretq
    assert_eq!((guest.registers.rip, guest.registers.rsp), (RIP + 0x400, STACK + 16));
    guest.registers.rsp = STACK;

    guest.registers.rax = 0x10;
    for bytes in [[0x8e, 0xd0], [0x8e, 0xd8], [0x8e, 0xc0]] {
        guest.step(&bytes); // mov %eax,%ss and so on
    }
    guest.registers.rax = TASK.into();
    guest.step(&[0x0f, 0x00, 0xd8]); // ltr %ax
    assert_eq!(guest.cpu.task, Table { base: TSS, limit: 0x67 });

    guest.ram.put(0x10_8000, &[0xff, 1]);
    guest.ram.put_words(0x10_8002, &[IDT]);
    let displacement = (0x10_8000 - (guest.registers.rip + 7)) as u32;
    guest.step(&[&[0x0f, 0x01, 0x1d][..], &displacement.to_le_bytes()].concat()); // lidt (%rip)
    assert_eq!(guest.cpu.idt, Table { base: IDT, limit: 511 });

    assert_eq!(guest.raise(0, 0, 0), Ok(()));
    assert_eq!(guest.registers.rip, handler(0));
}

#[test]
fn instructions_in_a_row_take_one_trap() {
    const SS: [u8; 2] = [0x8e, 0xd0];
    const READ_CR0: [u8; 3] = [0x0f, 0x20, 0xc3]; // mov %cr0,%rbx
    let mut guest = Guest::new();
    guest.registers.rax = 0x10;
    // The one that refuses, and the one that is none of them, are left to the processor.
    for end in [&[0xf4][..], &[0x0f, 0x22, 0xdc], &[0x90]] {
        guest.registers.rip = RIP;
        guest.registers.rbx = 0;
        let row = [&SS[..], &SS, &READ_CR0, end, &READ_CR0].concat();
        assert_eq!(guest.execute(&row), Ok(()));
        assert_eq!((guest.registers.rip, guest.registers.rbx), (RIP + 7, CR0));
    }
    // A bounded number.
    guest.registers.rip = RIP;
    assert_eq!(guest.execute(&SS.repeat(20)), Ok(()));
    assert_eq!(guest.registers.rip, RIP + 16);
    // Only in the page that can surely be executed, also behind a jump.
    guest.registers.rip = RIP / PAGE * PAGE + PAGE - 5;
    assert_eq!(guest.execute(&SS.repeat(4)), Ok(()));
    assert_eq!(guest.registers.rip % PAGE, PAGE - 1);
    guest.registers.rip = RIP;
    guest.ram.put_words(STACK, &[WRITABLE, 8]);
    guest.ram.put(WRITABLE, &SS);
    assert_eq!(guest.execute(&[0x48, 0xcb]), Ok(())); // lretq
    assert_eq!(guest.registers.rip, WRITABLE);
    // Each of them would be followed by a debug exception.
    guest.registers.rip = RIP;
    guest.registers.rflags |= TF;
    assert_eq!(guest.execute(&SS.repeat(2)), Ok(()));
    assert_eq!(guest.registers.rip, RIP + 2);
}

#[test]
fn the_state_at_the_start_is_that_of_hvt() {
    let mut guest = Guest::fresh();
    for (modrm, value) in [(0xc0, 0x8001_0021), (0xd0, 0), (0xd8, 0x2000), (0xe0, 0x620)] {
        guest.registers.rax = u64::MAX;
        guest.step(&[0x0f, 0x20, modrm]);
        assert_eq!(guest.registers.rax, value);
    }
    guest.registers.rbx = u64::MAX;
    guest.step(&[0x44, 0x0f, 0x20, 0xc3]); // mov %cr8,%rbx
    assert_eq!(guest.registers.rbx, 0);
    for (msr, value) in [(0xc000_0080, 0x500), (0xc000_0100, 0), (0xc000_0101, 0), (0xc000_0102, 0)] {
        (guest.registers.rax, guest.registers.rdx) = (u64::MAX, u64::MAX);
        guest.registers.rcx = msr | 1 << 32;
        guest.step(&[0x0f, 0x32]);
        assert_eq!((guest.registers.rax, guest.registers.rdx), (value, 0));
    }
    // The GDT is there but cannot be read, and there is no IDT.
    assert_eq!(guest.cpu.gdt, Table { base: 0x1000, limit: 23 });
    guest.registers.rax = 0x10;
    assert_eq!(guest.execute(&[0x8e, 0xd0]), Err(Trap::TripleFault));
    assert_eq!(guest.cpu.cr2, 0x1010);
    assert_eq!(guest.raise(3, 0, 0), Err(Trap::TripleFault));
}

#[test]
fn bases_of_fs_and_gs() {
    let mut guest = Guest::new();
    guest.registers.rdx = 0xffff_ffff_0000_7fff;
    for (msr, value) in [(0xc000_0100, 0x7fff_0000_1111), (0xc000_0101, 0x7fff_0000_2222)] {
        (guest.registers.rcx, guest.registers.rax) = (msr, value & 0xffff_ffff | 7 << 40);
        guest.step(&[0x0f, 0x30]);
    }
    assert_eq!((guest.cpu.fs_base(), guest.cpu.gs_base()), (0x7fff_0000_1111, 0x7fff_0000_2222));
    guest.step(&[0x0f, 0x01, 0xf8]); // swapgs
    assert_eq!((guest.cpu.gs_base(), guest.cpu.kernel_gs_base), (0, 0x7fff_0000_2222));
    guest.registers.rcx = 0xc000_0102;
    guest.step(&[0x0f, 0x32]);
    assert_eq!((guest.registers.rax, guest.registers.rdx), (0x2222, 0x7fff));
    guest.registers.rax = 0x3333;
    guest.step(&[0x0f, 0x30]);
    guest.step(&[0x0f, 0x01, 0xf8]);
    assert_eq!((guest.cpu.gs_base(), guest.cpu.kernel_gs_base), (0x7fff_0000_3333, 0));

    for msr in 0xc000_0100..0xc000_0103 {
        guest.registers.rcx = msr;
        for wrong in [0x8000, 0xffff_7fff, 0x7fff_ffff] {
            guest.registers.rdx = wrong;
            guest.raises(&[0x0f, 0x30], GP, 0);
        }
        guest.registers.rdx = 0xffff_8000;
        guest.registers.rax = 1;
        guest.unsupported(&[0x0f, 0x30], &format!("wrmsr (0xffff800000000001 to {msr:#x})"));
    }
}

#[test]
fn other_registers() {
    let mut guest = Guest::new();
    (guest.registers.rcx, guest.registers.rax) = (0xc000_0080, 0x500);
    guest.step(&[0x0f, 0x30]);
    guest.registers.rax = 0x501;
    guest.unsupported(&[0x0f, 0x30], "wrmsr (0x501 to 0xc0000080)");
    guest.registers.rcx = 0x1b;
    guest.unsupported(&[0x0f, 0x30], "wrmsr (0x501 to 0x1b)");
    guest.unsupported(&[0x0f, 0x32], "rdmsr (0x1b)");

    let writes = [(0xc0, 0, 0x8001_0021), (0xc0, 0, 0x8001_0031), (0xd8, 3, 0x2000), (0xe0, 4, 0x620)];
    for (modrm, number, value) in writes {
        guest.registers.rax = value;
        guest.step(&[0x0f, 0x22, modrm]);
        for bit in (0..64).filter(|bit| number != 0 || *bit != 4) {
            guest.registers.rax = value ^ 1 << bit;
            let name = format!("mov of a control register ({:#x} to cr{number})", guest.registers.rax);
            guest.unsupported(&[0x0f, 0x22, modrm], &name);
        }
    }
    guest.registers.rdi = u64::MAX;
    guest.step(&[0x0f, 0x22, 0xd7]); // mov %rdi,%cr2
    guest.step(&[0x0f, 0x20, 0xd4]); // mov %cr2,%rsp
    assert_eq!(guest.registers.rsp, u64::MAX);
    guest.registers.rsp = STACK;
    guest.registers.r9 = 15;
    guest.step(&[0x45, 0x0f, 0x22, 0xc1]); // mov %r9,%cr8
    guest.step(&[0x44, 0x0f, 0x20, 0xc0]);
    assert_eq!(guest.registers.rax, 15);
    guest.registers.r9 = 16;
    guest.raises(&[0x45, 0x0f, 0x22, 0xc1], GP, 0);
}

#[test]
fn instructions_without_effect() {
    let mut guest = Guest::new();
    let before = format!("{:?}", guest.cpu);
    for bytes in [&[0x0f, 0x06][..], &[0x0f, 0x09], &[0x0f, 0x01, 0x38]] {
        guest.registers.rflags = RUNNING | RF | IF | 0xcd5;
        guest.step(bytes);
        assert_eq!(guest.registers.rflags, RUNNING | IF | 0xcd5, "RF ends with the instruction");
    }
    guest.registers.rax = 3;
    guest.step(&[0x0f, 0x00, 0xd0]); // lldt %ax
    guest.step(&[0xfa]);
    assert_eq!(guest.registers.rflags, RUNNING | 0xcd5);
    guest.step(&[0xfb]);
    assert_eq!(guest.registers.rflags, RUNNING | IF | 0xcd5);
    assert_eq!(format!("{:?}", guest.cpu), before);

    let registers = guest.registers;
    assert_eq!(guest.execute(&[0xf4]), Err(Trap::Halted));
    assert_eq!(guest.registers, registers);
    // The processor has its own idea of IOPL; some KVM shows another.
    guest.registers.rflags = 2;
    guest.step(&[0x0f, 0x06]);
    assert_eq!(guest.registers.rflags, RUNNING);
    // Some KVM says that it is undefined.
    guest.ram.put(guest.registers.rip, &[0x0f, 0x01, 0xf8]);
    guest.cpu.kernel_gs_base = 5;
    assert_eq!(guest.raise(UD, 0, 0), Ok(()));
    assert_eq!(guest.cpu.gs_base(), 5);
}

#[test]
fn instructions_that_are_not_carried_out() {
    let mut guest = Guest::new();
    guest.registers.rax = 8;
    guest.unsupported(&[0x0f, 0x00, 0xd0], "lldt (0x8)");
    guest.unsupported(&[0x2e, 0xf4], "hlt");
    guest.unsupported(&[0x65, 0x0f, 0x01, 0x10], "lgdt");
    guest.unsupported(&[0x0f, 0x21, 0xc0], "mov of a debug register");
    guest.unsupported(&[0xcb], "lret");
    guest.unsupported(&[0xcf], "iret");
    guest.unsupported(&[0xcd, 0x80], "int");
    // Software KVM's way to say so.
    assert!(matches!(guest.raise(UD, 0, 0), Err(Trap::Unsupported { name, .. }) if name == "int"));
    // Undefined at any level, and no privileged instruction at all: the guest's own handlers.
    for (bytes, vector) in [(&[0xf0, 0x0f, 0x01, 0x10][..], UD), (&[0x0f, 0x0b], UD), (&[0x8b, 0x00], GP)] {
        let mut guest = Guest::new();
        guest.ram.put(RIP, bytes);
        assert_eq!(guest.raise(vector, 0, 0), Ok(()));
        assert_eq!(guest.registers.rip, handler(vector));
    }
    // Other exceptions are no reason to look at the instruction.
    for vector in (0..32).filter(|vector| !matches!(*vector, UD | GP)) {
        let mut guest = Guest::new();
        guest.ram.put(RIP, &[0xf4]);
        assert_eq!(guest.raise(vector, 0, 0), Ok(()));
        assert_eq!(guest.registers.rip, handler(vector));
    }
}

#[test]
fn code_at_the_end_of_memory() {
    let mut guest = Guest::new();
    for bytes in [&[0xfb][..], &[0x0f, 0x06], &[0x0f, 0x01, 0xf8]] {
        guest.registers.rip = END - bytes.len() as u64;
        guest.step(bytes);
    }
    guest.registers.rip = END - 1;
    guest.ram.put(END - 1, &[0x0f]);
    assert_eq!(guest.raise(GP, 0, 0), Ok(()));
    assert_eq!(guest.registers.rip, handler(GP));
    for rip in [END, 0, 0x8000_0000_0000, u64::MAX - 3, u64::MAX] {
        guest.registers.rip = rip;
        assert_eq!(guest.raise(GP, 0, 0), Ok(()));
        assert_eq!(guest.registers.rip, handler(GP));
        assert_eq!(guest.ram.words::<2>(guest.registers.rsp), [0, rip]);
    }
}

#[test]
fn operands_that_cannot_be_read() {
    let mut guest = Guest::new();
    for bytes in [&[0x0f, 0x01, 0x10][..], &[0x0f, 0x01, 0x18], &[0x0f, 0x00, 0x18], &[0x8e, 0x18]] {
        guest.registers.rax = END - 1;
        guest.raises(bytes, PF, 0);
        assert_eq!(guest.cpu.cr2, END - 1);
        guest.registers.rax = 1 << 47;
        guest.raises(bytes, GP, 0);
    }
    guest.ram.put_words(STACK, &[0x27, 0x8000_0000_0000]);
    for bytes in [[0x0f, 0x01, 0x10], [0x0f, 0x01, 0x18]] {
        guest.registers.rax = STACK + 6;
        guest.raises(&bytes, GP, 0); // a base that is no address
    }
    // Operands on a stack that is none: the handler needs one of the table.
    for (bytes, words) in [(&[0x48, 0xcb][..], 2), (&[0x48, 0xcf], 5), (&[0x0f, 0xa1], 1)] {
        let mut guest = Guest::new();
        guest.ram.put_gate(PF, 8, 0x8e01, handler(PF));
        guest.registers.rsp = END - words * 8 + 8;
        guest.raises(bytes, PF, 0);
        assert_eq!(guest.cpu.cr2, END);
    }
}

#[test]
fn selectors_of_data_segments() {
    let mut guest = Guest::new();
    guest.cpu.gdt.limit = 95;
    guest.ram.put_words(
        GDT + 40,
        &[
            DATA_SEGMENT & !PRESENT_BIT,
            DATA_SEGMENT & !(1 << 41), // read-only
            DATA_SEGMENT | LEVEL_3,
            CODE_64 | 1 << 41, // readable
            0x12cf_9334_5678_ffff,
            0x0000_8200_0000_ffff, // a local descriptor table
            DATA_SEGMENT,
        ],
    );
    const ALL: [u8; 4] = [0xd8, 0xc0, 0xe0, 0xe8]; // ds, es, fs, gs from eax
    for selector in [0, 1, 2, 3, 0x10, 0x30, 0x38, 0x3b, 0x40, 0x48, 0x58] {
        guest.registers.rax = selector | 0xffff_0000;
        for modrm in ALL {
            guest.step(&[0x8e, modrm]);
        }
    }
    let wrong = [
        (0x08, GP),   // code that cannot be read
        (0x13, GP),   // level 0 as if from level 3
        (0x14, GP),   // local
        (0x18, GP),   // a task
        (0x28, NP),   // not present
        (0x50, GP),   // no segment
        (0x5b, GP),   //
        (0x60, GP),   // outside
        (0xfff8, GP), // far outside
    ];
    for (selector, vector) in wrong {
        guest.registers.rax = selector;
        for modrm in ALL {
            guest.raises(&[0x8e, modrm], vector, selector & !3);
        }
    }
    let wrong_stacks = [
        (0x01, GP, 0),
        (0x03, GP, 0),
        (0x08, GP, 0x08),
        (0x12, GP, 0x10),
        (0x14, GP, 0x14),
        (0x18, GP, 0x18),
        (0x28, SS, 0x28),
        (0x30, GP, 0x30),
        (0x38, GP, 0x38),
        (0x40, GP, 0x40),
        (0x60, GP, 0x60),
    ];
    for (selector, vector, error) in wrong_stacks {
        guest.registers.rax = selector;
        guest.raises(&[0x8e, 0xd0], vector, error);
    }
    for (selector, stack) in [(0x58, 0x58), (0, 0), (u64::from(USER_DATA), 0), (0x10, 0x10)] {
        guest.registers.rax = selector;
        guest.step(&[0x8e, 0xd0]);
        assert_eq!(guest.cpu.stack, stack);
    }

    guest.registers.rax = 0x48;
    guest.step(&[0x8e, 0xe0]);
    assert_eq!((guest.cpu.fs_base(), guest.cpu.gs_base()), (0x1234_5678, 0));
    guest.ram.put_words(STACK, &[0x48, 0]);
    guest.step(&[0x0f, 0xa9]); // pop %gs
    guest.step(&[0x0f, 0xa1]); // pop %fs
    assert_eq!((guest.cpu.fs_base(), guest.cpu.gs_base()), (0x1234_5678, 0x1234_5678));
    assert_eq!(guest.registers.rsp, STACK + 16);
    // From memory: 16 bits, whatever the prefix.
    guest.registers.rdi = END - 2;
    guest.ram.put(END - 2, &[0x10, 0]);
    guest.step(&[0x48, 0x8e, 0x27]);
    assert_eq!(guest.cpu.fs_base(), 0);
}

#[test]
fn task_registers() {
    let mut guest = Guest::new();
    let available = guest.ram.words::<1>(GDT + 0x18)[0];
    let ltr = [0x0f, 0x00, 0xd8];
    guest.registers.rax = 0x1b;
    guest.cpu.task = Table { base: 0, limit: 0 };
    guest.step(&ltr);
    assert_eq!(guest.cpu.task, Table { base: TSS, limit: 103 });
    assert_eq!(guest.ram.words::<2>(GDT + 0x18), [available | 1 << 41, TSS >> 32], "now busy");
    guest.raises(&ltr, GP, 0x18);

    for (selector, error) in [(0, 0), (3, 0), (8, 8), (0x1c, 0x1c), (0x20, 0x20), (0x28, 0x28)] {
        guest.registers.rax = selector;
        guest.raises(&ltr, GP, error);
    }
    guest.registers.rax = 0x18;
    let reload = |guest: &Guest, low: u64, high: u64| guest.ram.put_words(GDT + 0x18, &[low, high]);
    reload(&guest, available, 0x8000);
    guest.raises(&ltr, GP, 0x18);
    reload(&guest, available & !PRESENT_BIT, 0);
    guest.raises(&ltr, NP, 0x18);
    reload(&guest, available, 0);
    guest.cpu.gdt.limit = 38;
    guest.raises(&ltr, GP, 0x18);
    guest.cpu.gdt.limit = 39;
    // With granularity, and a base of all 64 bits.
    reload(&guest, 0x128f_8934_5678_ffff, 0x7abc);
    guest.step(&ltr);
    assert_eq!(guest.cpu.task, Table { base: 0x7abc_1234_5678, limit: 0xffff_ffff });
}

#[test]
fn a_table_in_read_only_memory() {
    let mut guest = Guest::new();
    let words = guest.ram.words::<5>(GDT);
    guest.ram.put_words(START, &words);
    guest.cpu.gdt.base = START;
    guest.registers.rax = 0x10;
    guest.step(&[0x8e, 0xd0]);
    guest.registers.rax = 0x18;
    assert_eq!(guest.execute(&[0x0f, 0x00, 0xd8]), Err(Trap::Memory(START + 0x18)));
}

#[test]
fn far_returns() {
    let lretq = [0x48, 0xcb];
    let mut guest = Guest::new();
    guest.cpu.gdt.limit = 95;
    guest.ram.put_words(
        GDT + 40,
        &[CODE_64, CODE_64 & !PRESENT_BIT, 0x00cf_9900_0000_ffff, CODE_64 | LEVEL_3, CODE_64 | 1 << 54],
    );
    let mut go = |rip: u64, cs: u64| {
        guest.registers.rip = RIP;
        guest.registers.rsp = STACK;
        guest.registers.rflags = RUNNING | IF | NT | 0xcd5;
        guest.ram.put_words(STACK, &[rip, cs]);
        guest.ram.put(RIP, &lretq);
        guest.cpu.code = CODE;
        let result = guest.raise(GP, cs, 0);
        let pushed = guest.ram.words::<4>(STACK - 48);
        (result, guest.registers, guest.cpu.code, pushed)
    };
    let middle = 0x7fff_ffff_ffff;
    for (cs, code) in [(8, 8), (0x28, 0x28), (0xffff_0000_0000_0008, 8), (u64::from(USER_CODE), 8)] {
        let (result, registers, now, _) = go(middle, cs);
        assert_eq!((result, registers.rip, registers.rsp), (Ok(()), middle, STACK + 16));
        assert_eq!((registers.rflags, now), (RUNNING | IF | NT | 0xcd5, code));
    }
    let wrong = [
        (middle + 1, 8, GP, 0),
        (u64::MAX, 8, GP, 0),
        (RIP, 0, GP, 0),
        (RIP, 0x10, GP, 0x10),
        (RIP, 0x18, GP, 0x18),
        (RIP, 0x0c, GP, 0x0c),
        (RIP, 0x30, NP, 0x30),
        (RIP, 0x40, GP, 0x40),
        (RIP, 0x60, GP, 0x60),
    ];
    for (rip, cs, vector, error) in wrong {
        let (result, registers, code, pushed) = go(rip, cs);
        assert_eq!((result, registers.rip, code), (Ok(()), handler(vector), CODE), "{cs:#x}");
        assert_eq!(pushed, [error, RIP, 8, 2 | IF | NT | 0xcd5]);
    }
    let unsupported = [
        (0x0b, "lret (to privilege level 3)"),
        (0x38, "lret (to code that is not for 64-bit mode)"),
        (0x48, "lret (to code that is not for 64-bit mode)"),
    ];
    for (cs, sentence) in unsupported {
        let (result, registers, code, _) = go(RIP, cs);
        assert!(matches!(result, Err(Trap::Unsupported { name, .. }) if name == sentence));
        assert_eq!((registers.rip, registers.rsp, code), (RIP, STACK, CODE));
    }
}
