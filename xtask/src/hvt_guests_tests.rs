use super::*;
use object::LittleEndian;
use object::elf::{ET_EXEC, FileHeader64, PF_W, PF_X, PT_LOAD, PT_NOTE, ProgramHeader64};
use object::read::elf::{FileHeader as _, ProgramHeader as _};

const ENDIAN: LittleEndian = LittleEndian;
/// Where hvt guests begin.
const BASE: u64 = 0x10_0000;

#[test]
fn every_guest_has_the_layout_that_the_abi_asks_for() {
    let guests = build().unwrap();
    assert!(guests.iter().any(|guest| guest.ends_with("hvt/hello.hvt")), "{guests:?}");
    for guest in guests {
        let bytes = fs::read(&guest).unwrap();
        check_layout(&bytes, &guest);
    }
}

fn check_layout(bytes: &[u8], guest: &Path) {
    let header = FileHeader64::<LittleEndian>::parse(bytes).unwrap();
    assert_eq!(header.e_type(ENDIAN), ET_EXEC, "{guest:?}");
    assert_eq!(header.e_entry(ENDIAN), BASE, "{guest:?}");
    let headers = header.program_headers(ENDIAN, bytes).unwrap();
    let of_type = |kind| headers.iter().filter(move |header| header.p_type(ENDIAN) == kind);

    // A header for each note: "ABI1", for hvt (1) in version 2, and "MFT1".
    let notes: Vec<&[u8]> = of_type(PT_NOTE).map(|header| header.data(ENDIAN, bytes).unwrap()).collect();
    let [abi, manifest] = notes[..] else { panic!("{guest:?} has {} notes", notes.len()) };
    assert_eq!(abi[..20], *b"\x06\0\0\0\x10\0\0\0ABI1Solo5\0\0\0", "{guest:?}");
    assert_eq!(abi[20..], *b"\x01\0\0\0\x02\0\0\0\0\0\0\0\0\0\0\0", "{guest:?}");
    assert_eq!(manifest[8..28], *b"MFT1Solo5\0\0\0\0\0\0\0\x01\0\0\0", "{guest:?}");
    let entries = u32::from_le_bytes(manifest[28..32].try_into().unwrap()) as usize;
    assert_eq!(manifest.len(), 32 + 104 * entries, "{guest:?}");
    assert_eq!(manifest[4..8], (manifest.len() as u32 - 20).to_le_bytes(), "{guest:?}");

    let (empty, loaded): (Vec<&ProgramHeader64<_>>, Vec<&ProgramHeader64<_>>) =
        of_type(PT_LOAD).partition(|segment| segment.p_filesz(ENDIAN) == 0);
    // The bss, which real guests have so, too.
    assert!(empty.iter().any(|segment| segment.p_memsz(ENDIAN) > 0), "{guest:?}");
    assert_eq!((loaded[0].p_vaddr(ENDIAN), loaded[0].p_flags(ENDIAN)), (BASE, PF_X), "{guest:?}");
    let mut end = BASE;
    for segment in loaded {
        assert_eq!((segment.p_vaddr(ENDIAN), segment.p_align(ENDIAN)), (end, 0x1000), "{guest:?}");
        assert_ne!(segment.p_flags(ENDIAN) & (PF_W | PF_X), PF_W | PF_X, "{guest:?}");
        end = (end + segment.p_memsz(ENDIAN)).next_multiple_of(0x1000);
    }
}

/// A directory with sources of two guests.
struct Sources(PathBuf);

impl Sources {
    fn new(name: &str) -> Self {
        let directory = std::env::temp_dir().join(format!("ukvm-hvt-{name}-{}", std::process::id()));
        fs::create_dir_all(directory.join("lib")).unwrap();
        fs::write(directory.join("lib/flags"), "-nostdlib -static -Wl,-e,main\n").unwrap();
        fs::write(directory.join("a.c"), "int main(void) { return 1; }\n").unwrap();
        fs::write(directory.join("b.c"), "int main(void) { return 2; }\n").unwrap();
        Self(directory)
    }

    fn build(&self, compiler: &str) -> Result<Vec<PathBuf>> {
        build_from(&self.0, &self.built(), compiler)
    }

    fn built(&self) -> PathBuf {
        self.0.join("built")
    }
}

impl Drop for Sources {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn only_what_changed_is_compiled() {
    let sources = Sources::new("changes");
    let (a, b) = (sources.built().join("a.hvt"), sources.built().join("b.hvt"));
    assert_eq!(sources.build("cc").unwrap(), [a.clone(), b.clone()]);
    // No compiler is started.
    assert_eq!(sources.build("/nowhere/cc").unwrap(), [a.clone(), b.clone()]);

    let before = modified(&a).unwrap();
    fs::write(sources.0.join("b.c"), "int main(void) { return 3; }\n").unwrap();
    sources.build("cc").unwrap();
    assert_eq!(modified(&a).unwrap(), before);
    assert!(modified(&b).unwrap() > before);

    fs::write(sources.0.join("lib/flags"), "-nostdlib -static -O2 -Wl,-e,main\n").unwrap();
    sources.build("cc").unwrap();
    assert!(modified(&a).unwrap() > before);

    fs::remove_file(sources.0.join("b.c")).unwrap();
    assert_eq!(sources.build("cc").unwrap(), [a]);
    assert!(!b.exists());
}

#[test]
fn a_compiler_that_is_missing_or_fails_is_told() {
    let sources = Sources::new("errors");
    let error = sources.build("/nowhere/cc").unwrap_err().to_string();
    assert!(error.starts_with("the C compiler /nowhere/cc cannot be started"), "{error}");
    assert!(error.ends_with("install gcc"), "{error}");
    let error = sources.build("false").unwrap_err().to_string();
    assert!(error.starts_with("false fails to build ") && error.ends_with(".c"), "{error}");
}
