//! What numbers in an ELF file are called, for sentences about them.

use linux_loader::elf;

/// The usual name of an `e_machine`.
pub(super) fn machine_name(machine: u16) -> String {
    match machine {
        elf::EM_386 => "32-bit x86 (i386)",
        elf::EM_AARCH64 => "aarch64",
        elf::EM_ARM => "32-bit ARM",
        elf::EM_RISCV => "RISC-V",
        elf::EM_PPC => "32-bit PowerPC",
        elf::EM_PPC64 => "powerpc64",
        elf::EM_S390 => "s390x",
        elf::EM_MIPS => "MIPS",
        elf::EM_LOONGARCH => "loongarch64",
        elf::EM_SPARCV9 => "sparc64",
        elf::EM_BPF => "BPF",
        _ => return format!("machine number {machine}"),
    }
    .into()
}

/// The name of a relocation type in the x86-64 psABI, table "Relocation Types".
pub(super) fn relocation_name(kind: u32) -> String {
    const NAMES: [&str; 43] = [
        "NONE",
        "64",
        "PC32",
        "GOT32",
        "PLT32",
        "COPY",
        "GLOB_DAT",
        "JUMP_SLOT",
        "RELATIVE",
        "GOTPCREL",
        "32",
        "32S",
        "16",
        "PC16",
        "8",
        "PC8",
        "DTPMOD64",
        "DTPOFF64",
        "TPOFF64",
        "TLSGD",
        "TLSLD",
        "DTPOFF32",
        "GOTTPOFF",
        "TPOFF32",
        "PC64",
        "GOTOFF64",
        "GOTPC32",
        "GOT64",
        "GOTPCREL64",
        "GOTPC64",
        "GOTPLT64",
        "PLTOFF64",
        "SIZE32",
        "SIZE64",
        "GOTPC32_TLSDESC",
        "TLSDESC_CALL",
        "TLSDESC",
        "IRELATIVE",
        "RELATIVE64",
        "PC32_BND",
        "PLT32_BND",
        "GOTPCRELX",
        "REX_GOTPCRELX",
    ];
    match NAMES.get(kind as usize) {
        Some(name) => format!("R_X86_64_{name}"),
        None => format!("number {kind}"),
    }
}
