use super::super::testing::generator;
use super::*;

/// Registers of which no two sums are equal by chance.
fn registers() -> kvm_regs {
    let mut next = generator(0x1234_5678_9abc_def1);
    let mut registers = kvm_regs { rip: next(), ..Default::default() };
    for number in 0..16 {
        *register_mut(&mut registers, number) = next();
    }
    registers
}

#[track_caller]
fn check(bytes: &[u8], instruction: Instruction) {
    let expected = Decoded { instruction, length: bytes.len() as u64 };
    // What follows is of no interest, up to the longest instruction and beyond it.
    for behind in [&[][..], &[0x00; 15], &[0xff; 15], &[0x66; 15]] {
        let all = [bytes, behind].concat();
        assert_eq!(decode(&all, &registers()), Some(expected), "{all:02x?}");
    }
    for end in 0..bytes.len() {
        assert_eq!(decode(&bytes[..end], &registers()), None, "{:02x?}", &bytes[..end]);
    }
    assert!(mnemonic(bytes).is_some(), "{bytes:02x?}");
}

#[track_caller]
fn refuse(bytes: &[u8]) {
    let all = [bytes, &[0; 15]].concat();
    assert_eq!(decode(&all, &registers()), None, "{bytes:02x?}");
}

const NO_OPERANDS: [(&[u8], Instruction); 14] = [
    (&[0x0f, 0x30], Instruction::WriteMsr),
    (&[0x0f, 0x32], Instruction::ReadMsr),
    (&[0x48, 0xcb], Instruction::FarReturn),
    (&[0x48, 0xcf], Instruction::InterruptReturn),
    (&[0x0f, 0xa1], Instruction::PopSegment(Segment::Fs)),
    (&[0x0f, 0xa9], Instruction::PopSegment(Segment::Gs)),
    (&[0xf4], Instruction::Halt),
    (&[0xfa], Instruction::DisableInterrupts),
    (&[0xfb], Instruction::EnableInterrupts),
    (&[0x0f, 0x06], Instruction::ClearTaskSwitched),
    (&[0x0f, 0x09], Instruction::WriteBackCaches),
    (&[0x0f, 0x01, 0xf8], Instruction::SwapGs),
    (&[0x0f, 0x01, 0x38], Instruction::InvalidatePage),
    (&[0x41, 0x0f, 0x01, 0x7c, 0x24, 0x10], Instruction::InvalidatePage),
];

#[test]
fn instructions_without_operands() {
    for (bytes, instruction) in NO_OPERANDS {
        check(bytes, instruction);
    }
}

#[test]
fn as_an_assembler_writes_them() {
    let r = registers();
    let [global, interrupt] = [
        |address: u64| Instruction::LoadGlobalTable { address },
        |address: u64| Instruction::LoadInterruptTable { address },
    ];
    // Bytes of GNU as.
    check(&[0x0f, 0x01, 0x10], global(r.rax)); // lgdt (%rax)
    check(&[0x41, 0x0f, 0x01, 0x14, 0x24], global(r.r12)); // lgdt (%r12)
    check(&[0x41, 0x0f, 0x01, 0x55, 0x00], global(r.r13)); // lgdt 0(%r13)
    check(&[0x0f, 0x01, 0x54, 0x24, 0x06], global(r.rsp.wrapping_add(6))); // lgdt 6(%rsp)
    check(&[0x0f, 0x01, 0x15, 0x34, 0x12, 0, 0], global(r.rip.wrapping_add(7 + 0x1234))); // lgdt 0x1234(%rip)
    check(&[0x0f, 0x01, 0x1d, 0xf9, 0xff, 0xff, 0xff], interrupt(r.rip)); // lidt -7(%rip)
    check(&[0x0f, 0x01, 0x1c, 0x25, 0x00, 0x50, 0x10, 0x00], interrupt(0x10_5000)); // lidt 0x105000
    check(&[0x0f, 0x01, 0x1c, 0x25, 0, 0, 0, 0x80], interrupt(0xffff_ffff_8000_0000)); // lidt -0x80000000
    // lidt -0x80(%rbp,%r9,8)
    check(&[0x42, 0x0f, 0x01, 0x5c, 0xcd, 0x80], interrupt(r.rbp.wrapping_add(r.r9 << 3).wrapping_sub(0x80)));
    check(&[0x0f, 0x00, 0xd8], Instruction::LoadTask(Operand::Register(0))); // ltr %ax
    check(&[0x41, 0x0f, 0x00, 0xdf], Instruction::LoadTask(Operand::Register(15))); // ltr %r15w
    check(&[0x0f, 0x00, 0x1f], Instruction::LoadTask(Operand::Memory(r.rdi))); // ltr (%rdi)
    check(&[0x66, 0x0f, 0x00, 0xd8], Instruction::LoadTask(Operand::Register(0)));
    check(&[0x0f, 0x00, 0xd1], Instruction::LoadLocalTable(Operand::Register(1))); // lldt %cx
    check(&[0x8e, 0xd0], Instruction::LoadSegment(Segment::Ss, Operand::Register(0))); // mov %eax,%ss
    check(&[0x66, 0x8e, 0xd9], Instruction::LoadSegment(Segment::Ds, Operand::Register(1)));
    check(&[0x48, 0x8e, 0xc2], Instruction::LoadSegment(Segment::Es, Operand::Register(2)));
    check(&[0x66, 0x41, 0x8e, 0xe0], Instruction::LoadSegment(Segment::Fs, Operand::Register(8)));
    check(&[0x8e, 0x2e], Instruction::LoadSegment(Segment::Gs, Operand::Memory(r.rsi))); // mov (%rsi),%gs
    check(&[0x0f, 0x20, 0xd0], Instruction::ReadControl { control: 2, register: 0 }); // mov %cr2,%rax
    check(&[0x41, 0x0f, 0x20, 0xe7], Instruction::ReadControl { control: 4, register: 15 });
    check(&[0x44, 0x0f, 0x20, 0xc3], Instruction::ReadControl { control: 8, register: 3 });
    check(&[0x0f, 0x22, 0xdc], Instruction::WriteControl { control: 3, register: 4 }); // mov %rsp,%cr3
    check(&[0x0f, 0x22, 0xc5], Instruction::WriteControl { control: 0, register: 5 });
    check(&[0x45, 0x0f, 0x22, 0xc1], Instruction::WriteControl { control: 8, register: 9 });
}

/// Every way to write a memory operand, encoded by the rules and compared with the sum that it stands for.
#[test]
fn every_form_of_an_address() {
    let registers = registers();
    let mut forms = 0;
    let mut form = |rex: u8, modrm: u8, tail: &[u8], address: u64| {
        forms += 1;
        for (extension, rex_w) in [(2, 0), (3, 0), (2, REX_W)] {
            let mut bytes = vec![0x0f, 0x01, modrm | extension << 3];
            let rex = rex | rex_w;
            if rex != 0 {
                bytes.insert(0, REX | rex);
            }
            bytes.extend(tail);
            check(
                &bytes,
                if extension == 2 {
                    Instruction::LoadGlobalTable { address }
                } else {
                    Instruction::LoadInterruptTable { address }
                },
            );
        }
    };
    let displacements: [(u8, &[u8], i64); 7] = [
        (0, &[], 0),
        (1, &[0x7f], 0x7f),
        (1, &[0x80], -0x80),
        (1, &[0xff], -1),
        (2, &[0x78, 0x56, 0x34, 0x12], 0x1234_5678),
        (2, &[0, 0, 0, 0x80], -0x8000_0000),
        (2, &[0xff; 4], -1),
    ];
    for base in 0..16 {
        let rex_b = base >> 3;
        for (mode, bytes, displacement) in displacements {
            let sum = register(&registers, base).wrapping_add_signed(displacement);
            // Register 4 as base stands for a SIB byte, register 5 without displacement for none.
            if base & 7 != 4 && (base & 7 != 5 || mode != 0) {
                form(rex_b, mode << 6 | base & 7, bytes, sum);
            }
            for index in 0..16 {
                for scale in 0..4 {
                    let index_value = match index {
                        4 => 0,
                        index => register(&registers, index).wrapping_mul(1 << scale),
                    };
                    let sib = scale << 6 | (index & 7) << 3 | base & 7;
                    let rex = (index >> 3) << 1 | rex_b;
                    let modrm = mode << 6 | 4;
                    if base & 7 == 5 && mode == 0 {
                        for (_, bytes, displacement) in displacements.iter().filter(|form| form.0 == 2) {
                            let sum = index_value.wrapping_add_signed(*displacement);
                            form(rex, modrm, &[&[sib][..], bytes].concat(), sum);
                        }
                    } else {
                        form(rex, modrm, &[&[sib][..], bytes].concat(), sum.wrapping_add(index_value));
                    }
                }
            }
        }
    }
    for (_, bytes, displacement) in displacements.iter().filter(|form| form.0 == 2) {
        // The tests without REX.W have 7 bytes, with REX 8.
        let address = |length: u64| registers.rip.wrapping_add(length).wrapping_add_signed(*displacement);
        for (prefix, length) in [(None, 7), (Some(0x40), 8), (Some(0x41), 8), (Some(0x48), 8)] {
            let bytes: Vec<u8> = prefix.into_iter().chain([0x0f, 0x01, 0x15]).chain(bytes.to_vec()).collect();
            check(&bytes, Instruction::LoadGlobalTable { address: address(length) });
        }
    }
    assert_eq!(forms, 14 * 7 - 2 + 14 * 7 * 64 + 2 * 6 * 64 + 2 * 3 * 64, "all of them");
}

/// Every ModRM byte with each of the group's opcodes and register extensions: the register forms, and which of all forms exist.
#[test]
fn every_modrm_byte() {
    for modrm in 0..=255_u8 {
        for rex in 0..8 {
            let (mode, reg, rm) = (modrm >> 6, modrm >> 3 & 7, modrm & 7);
            let at = |opcode: &[u8]| {
                let bytes = [&[REX | rex], opcode, &[modrm, 0x20, 0, 0, 0, 0]].concat();
                decode(&bytes, &registers()).map(|decoded| decoded.instruction)
            };
            let number = rm | (rex & REX_B) << 3;
            let is_register = mode == 3;
            let right = |operand: Operand| (operand == Operand::Register(number)) == is_register;

            match at(&[0x8e]) {
                Some(Instruction::LoadSegment(segment, operand)) => {
                    let expected = [
                        Some(Segment::Es),
                        None,
                        Some(Segment::Ss),
                        Some(Segment::Ds),
                        Some(Segment::Fs),
                        Some(Segment::Gs),
                    ];
                    assert_eq!(expected[usize::from(reg)], Some(segment));
                    assert!(right(operand) && rex & REX_R == 0);
                }
                other => {
                    assert!(other.is_none() && (matches!(reg, 1 | 6 | 7) || rex & REX_R != 0), "{modrm:#x}");
                }
            }
            match at(&[0x0f, 0x00]) {
                Some(Instruction::LoadLocalTable(operand)) => assert!(reg == 2 && right(operand)),
                Some(Instruction::LoadTask(operand)) => assert!(reg == 3 && right(operand)),
                other => assert!(other.is_none() && !matches!(reg, 2 | 3), "{modrm:#x}"),
            }
            match at(&[0x0f, 0x01]) {
                Some(Instruction::LoadGlobalTable { .. }) => assert!(reg == 2 && !is_register),
                Some(Instruction::LoadInterruptTable { .. }) => assert!(reg == 3 && !is_register),
                Some(Instruction::InvalidatePage) => assert!(reg == 7 && !is_register),
                Some(Instruction::SwapGs) => assert_eq!(modrm, 0xf8),
                other => {
                    let known = if is_register { modrm == 0xf8 } else { matches!(reg, 2 | 3 | 7) };
                    assert!(other.is_none() && !known, "{modrm:#x}");
                }
            }
            let control = reg | (rex & REX_R) << 1;
            let exists = is_register && matches!(control, 0 | 2 | 3 | 4 | 8);
            let read = Instruction::ReadControl { control, register: number };
            let write = Instruction::WriteControl { control, register: number };
            assert_eq!(at(&[0x0f, 0x20]), exists.then_some(read), "{modrm:#x}");
            assert_eq!(at(&[0x0f, 0x22]), exists.then_some(write), "{modrm:#x}");
        }
    }
}

#[test]
fn prefixes_are_refused() {
    let with_operands: [&[u8]; 5] =
        [&[0x0f, 0x01, 0x10], &[0x0f, 0x00, 0xd8], &[0x8e, 0xd0], &[0x0f, 0x20, 0xd0], &[0x0f, 0x22, 0xc0]];
    let all = NO_OPERANDS.iter().map(|(bytes, _)| *bytes).chain(with_operands);
    for bytes in all {
        for prefix in [0x67, 0x2e, 0x3e, 0x26, 0x64, 0x65, 0x36, 0xf0, 0xf2, 0xf3] {
            refuse(&[&[prefix], bytes].concat());
            refuse(&[&[0x66, prefix], bytes].concat());
            // After REX it is no prefix any more, and REX none.
            refuse(&[&[0x41, prefix], bytes].concat());
            assert!(mnemonic(&[&[prefix], bytes].concat()).is_some());
        }
        let harmless = matches!(bytes, [0x8e, ..] | [0x0f, 0x00, ..]);
        let sized = decode(&[&[0x66], bytes].concat(), &registers());
        assert_eq!(sized.is_some(), harmless, "{bytes:02x?}");
        refuse(&[&[0x66, 0x66], bytes].concat());
        refuse(&[&[0x48, 0x66], bytes].concat());
        refuse(&[&[0x48, 0x48], bytes].concat());
    }
}

#[test]
fn others_are_refused() {
    let others: [&[u8]; 22] = [
        &[0xcb],                   // lretl
        &[0xcf],                   // iretl
        &[0x40, 0xcb],             // REX without W
        &[0x47, 0xcf],             //
        &[0x66, 0x48, 0xcb],       //
        &[0x48, 0xca, 0x10, 0x00], // lretq $16
        &[0xcd, 0x80],             // int
        &[0xec],                   // in
        &[0xee],                   // out
        &[0x8e, 0xc8],             // mov to cs
        &[0x8e, 0xf0],             // mov to no segment register
        &[0x44, 0x8e, 0xd8],       // mov to ds, with REX.R
        &[0x0f, 0x20, 0xc8],       // cr1
        &[0x0f, 0x20, 0x10],       // mov from cr2, with a memory form
        &[0x0f, 0x21, 0xc0],       // debug register
        &[0x44, 0x0f, 0x22, 0xd0], // cr10
        &[0x0f, 0x01, 0x00],       // sgdt
        &[0x0f, 0x01, 0xd0],       // xgetbv
        &[0x0f, 0x01, 0xf9],       // rdtscp
        &[0x0f, 0x00, 0xc8],       // str
        &[0x0f, 0x05],             // syscall
        &[0x0f, 0x0b],             // ud2
    ];
    others.into_iter().for_each(refuse);
    assert_eq!(decode(&[], &registers()), None);
}

#[test]
fn privileged_instructions_have_names() {
    let names: [(&[u8], &str); 24] = [
        (&[0x0f, 0x08], "invd"),
        (&[0x0f, 0x01, 0xd1], "xsetbv"),
        (&[0x0f, 0x01, 0xc9], "mwait"),
        (&[0x0f, 0x01, 0xd8], "an instruction of the virtualisation extensions"),
        (&[0x0f, 0x01, 0xf0], "lmsw"),
        (&[0x0f, 0x01, 0x30], "lmsw"),
        (&[0x2e, 0x0f, 0x01, 0x10], "lgdt"),
        (&[0x0f, 0x01, 0x18], "lidt"),
        (&[0x65, 0x48, 0x0f, 0x00, 0xd8], "ltr"),
        (&[0x0f, 0x00, 0xd0], "lldt"),
        (&[0x0f, 0x21, 0xc0], "mov of a debug register"),
        (&[0x0f, 0x23, 0xc0], "mov of a debug register"),
        (&[0x0f, 0x20, 0xc8], "mov of a control register"),
        (&[0x48, 0x0f, 0x07], "sysret"),
        (&[0x0f, 0x33], "rdpmc"),
        (&[0x0f, 0xb2, 0x00], "lss"),
        (&[0xcb], "lret"),
        (&[0xca, 0, 0], "lret"),
        (&[0xcf], "iret"),
        (&[0xcd, 0x80], "int"),
        (&[0xf3, 0x6c], "in"),
        (&[0xee], "out"),
        (&[0x48, 0xff, 0x28], "ljmp"),
        (&[0xff, 0x18], "lcall"),
    ];
    for (bytes, name) in names {
        assert_eq!(mnemonic(bytes), Some(name), "{bytes:02x?}");
    }
    let ordinary: [&[u8]; 10] = [
        &[],
        &[0x66],
        &[0x48],
        &[0x0f],
        &[0x0f, 0x0b],       // ud2
        &[0x0f, 0x01, 0xf9], // rdtscp
        &[0x0f, 0x01, 0x00], // sgdt
        &[0x0f, 0x00, 0xc0], // sldt
        &[0x8c, 0xd8],       // mov from ds
        &[0xff, 0xd0],       // call
    ];
    for bytes in ordinary {
        assert_eq!(mnemonic(bytes), None, "{bytes:02x?}");
    }
    assert_eq!(mnemonic(&[0x66; 1000]), None);
}

#[test]
fn any_bytes() {
    let mut next = generator(0x9e37_79b9_7f4a_7c15);
    let registers = registers();
    let mut known = 0;
    for round in 0..300_000 {
        let mut bytes: Vec<u8> = [next(), next()].iter().flat_map(|word| word.to_le_bytes()).collect();
        // Most first bytes are of no interest.
        if round % 3 != 0 {
            let start = [0x0f, 0x48, 0x41, 0x66, 0x8e][(next() % 5) as usize];
            bytes[0] = start;
            bytes[1] = [0x00, 0x01, 0x20, 0x22, bytes[1]][(next() % 5) as usize];
        }
        bytes.truncate((next() % 17) as usize);
        if let Some(Decoded { length, .. }) = decode(&bytes, &registers) {
            known += 1;
            assert!((1..=MAX_LENGTH as u64).contains(&length) && length <= bytes.len() as u64);
            assert!(mnemonic(&bytes).is_some(), "{bytes:02x?}");
        }
    }
    assert!(known > 10_000, "{known}");
}

#[test]
fn registers_have_their_numbers() {
    let mut registers = kvm_regs::default();
    for number in 0..16 {
        *register_mut(&mut registers, number) = u64::from(number) + 1;
    }
    assert_eq!(
        registers,
        kvm_regs {
            rax: 1,
            rcx: 2,
            rdx: 3,
            rbx: 4,
            rsp: 5,
            rbp: 6,
            rsi: 7,
            rdi: 8,
            r8: 9,
            r9: 10,
            r10: 11,
            r11: 12,
            r12: 13,
            r13: 14,
            r14: 15,
            r15: 16,
            ..Default::default()
        }
    );
    assert_eq!(register(&registers, 13), 14);
}
