//! Raises an exception that has nothing to do with privilege: which one is the argument.
#![no_std]
#![no_main]

use test_guests::{Raw, argument, execute};

ukvm_runtime::program! { main = main; }

async fn main() {
    let mut raw = Raw::take();
    raw.print("before");
    let mut word = 0_u32;
    let at = &raw mut word;
    match argument() {
        "alignment" => execute!(
            "pushfq", "or qword ptr [rsp], 0x40000", "popfq", "mov eax, [rsp + 1]", out("eax") _
        ),
        "x87" => execute!(
            "mov dword ptr [{0}], 0x340", "fldcw [{0}]", "fldz", "fld1", "fdiv st(0), st(1)", "fwait",
            in(reg) at, out("st(0)") _, out("st(1)") _
        ),
        "sse" => execute!(
            "mov dword ptr [{0}], 0x1000", "ldmxcsr [{0}]", "xorps xmm0, xmm0", "divps xmm0, xmm0",
            in(reg) at, out("xmm0") _
        ),
        "unaligned-sse" => execute!("movaps xmm0, [{0} + 1]", in(reg) at, out("xmm0") _),
        "not-canonical" => execute!("mov rax, [{0}]", in(reg) 0x8000_0000_0000_u64, out("rax") _),
        "upper-half" => execute!("mov rax, [{0}]", in(reg) 0xffff_8000_0000_0000_u64, out("rax") _),
        "wild-jump" => execute!("jmp {0}", in(reg) 0x8000_0000_0000_u64),
        "no-stack" => execute!("xor esp, esp", "push rax"),
        "wild-stack" => execute!("mov rsp, {0}", "push rax", in(reg) 0x8000_0000_0000_u64),
        "debug-without-stack" => execute!("xor esp, esp", "ud2"),
        "descriptor-table" => {
            let mut table = [0_u8; 16];
            let at = table.as_mut_ptr();
            // The limit's two bytes, then the base: the monitor's table, which the guest must not reach.
            execute!("sgdt [{0}]", "mov rax, [{0} + 2]", "mov qword ptr [rax], 0", in(reg) at, out("rax") _);
        }
        other => panic!("no exception {other:?}"),
    }
    raw.print(" and went on");
    raw.exit(0);
}
