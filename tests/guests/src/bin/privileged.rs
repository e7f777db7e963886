//! Executes an instruction that only a kernel may, or that traps: which one is the argument.
#![no_std]
#![no_main]

use test_guests::{Raw, argument, execute};

ukvm_runtime::program! { main = main; }

async fn main() {
    let mut raw = Raw::take();
    raw.print("before");
    let mut buffer = [0_u64; 8];
    let at = buffer.as_mut_ptr();
    match argument() {
        "syscall" => execute!("syscall", out("rax") _, out("rcx") _, out("r11") _),
        "sysenter" => execute!("sysenter", out("rax") _, out("rcx") _, out("rdx") _),
        "sysret" => execute!("sysretq", in("rcx") 0_u64, in("r11") 0_u64),
        "int3" => execute!("int3"),
        "icebp" => execute!(".byte 0xf1"),
        "int-0x80" => execute!("int 0x80", out("rax") _),
        "int-8" => execute!("int 8"),
        "int-13" => execute!("int 13"),
        "ud2" => execute!("ud2"),
        "vmcall" => execute!("vmcall", inout("rax") 1_u64 => _),
        "vmmcall" => execute!("vmmcall", inout("rax") 1_u64 => _),
        "hlt" => execute!("hlt"),
        "cli" => execute!("cli"),
        "sti" => execute!("sti"),
        "single-step" => execute!("pushfq", "or qword ptr [rsp], 0x100", "popfq", "nop", "nop"),
        "nested-task" => execute!("pushfq", "or qword ptr [rsp], 0x4000", "popfq"),
        "rdmsr" => execute!("rdmsr", in("ecx") 0xc000_0080_u32, out("eax") _, out("edx") _),
        "wrmsr" => execute!("wrmsr", in("ecx") 0xc000_0080_u32, in("eax") 0, in("edx") 0),
        "read-cr0" => execute!("mov {0}, cr0", out(reg) _),
        "write-cr0" => execute!("mov cr0, {0}", in(reg) 0x11_u64),
        "write-cr3" => execute!("mov cr3, {0}", in(reg) 0_u64),
        "write-cr4" => execute!("mov cr4, {0}", in(reg) 0_u64),
        "write-dr7" => execute!("mov dr7, {0}", in(reg) 0_u64),
        "lgdt" => execute!("lgdt [{0}]", in(reg) at),
        "lidt" => execute!("lidt [{0}]", in(reg) at),
        "lldt" => execute!("lldt ax", in("ax") 0_u16),
        "ltr" => execute!("ltr ax", in("ax") 0_u16),
        "clts" => execute!("clts"),
        "invlpg" => execute!("invlpg [{0}]", in(reg) at),
        "wbinvd" => execute!("wbinvd"),
        "swapgs" => execute!("swapgs"),
        "xsetbv" => execute!("xsetbv", in("ecx") 0, in("eax") 1, in("edx") 0),
        "far-return" => execute!("push 0x8", "push {0}", "retfq", in(reg) at),
        "iret" => {
            // To a code segment of privilege level 0, with the stack's and the flags as they are.
            execute!("push 0x10", "push rsp", "pushfq", "push 0x8", "push {0}", "iretq", in(reg) at);
        }
        "kernel-data-segment" => execute!("mov es, ax", in("ax") 0x10_u16),
        other => panic!("no instruction {other:?}"),
    }
    raw.print(" and went on");
    raw.exit(0);
}
