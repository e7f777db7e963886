//! The dynamic section: where the relocations are, and whether a dynamic linker would be needed.

use super::error::Defect;
use super::file::{ElfFile, words};
use super::header::only;
use super::segments::{Segment, data_after, file_offset};
use linux_loader::elf::{self, Elf64_Phdr, Elf64_Rela};

/// The most bytes of a dynamic section. Linkers make a few hundred.
const MAX_DYNAMIC: u64 = 64 << 10;
/// The most bytes of a relocation table: 11 million RELA entries.
const MAX_TABLE: u64 = 256 << 20;
/// The most bytes of a library's name that are shown.
const MAX_STRING: u64 = 256;

// Tags that linux-loader does not name; gABI, "Dynamic Section".
const DT_FLAGS: i64 = 30;
const DT_RELRSZ: i64 = 35;
const DT_RELR: i64 = 36;
const DT_RELRENT: i64 = 37;
/// In `DT_FLAGS`: relocations change segments that are not writable.
const DF_TEXTREL: u64 = 4;
// Packed forms that LLVM's linker can make; llvm/BinaryFormat/DynamicTags.def.
const DT_ANDROID_REL: i64 = 0x6000_000f;
const DT_ANDROID_RELA: i64 = 0x6000_0011;
const DT_ANDROID_RELR: i64 = 0x6fff_e000;
const DT_CREL: i64 = 0x4000_0026;

/// A relocation table in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Table {
    /// Where it is in the file.
    pub(super) offset: u64,
    /// Its bytes, a multiple of an entry's.
    pub(super) size: u64,
}

/// The relocation tables.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Tables {
    /// `DT_RELA`, then `DT_JMPREL`: entries of 24 bytes.
    pub(super) rela: [Option<Table>; 2],
    /// `DT_RELR`: entries of 8 bytes.
    pub(super) relr: Option<Table>,
}

/// The tags that count, each at most once.
#[derive(Default)]
struct Tags {
    string_table: Option<u64>,
    rela: Option<u64>,
    rela_size: Option<u64>,
    rela_entry: Option<u64>,
    relr: Option<u64>,
    relr_size: Option<u64>,
    relr_entry: Option<u64>,
    plt: Option<u64>,
    plt_size: Option<u64>,
    plt_form: Option<u64>,
    needed: Option<u64>,
    unsupported: Option<&'static str>,
}

/// Reads the dynamic section, if there is one.
pub(super) fn read(file: &ElfFile, headers: &[Elf64_Phdr], segments: &[Segment]) -> Result<Tables, Defect> {
    let Some(header) = only(headers, elf::PT_DYNAMIC, "PT_DYNAMIC")? else {
        return Ok(Tables::default());
    };
    const PART: &str = "dynamic section";
    let offset = file_offset(segments, header.p_vaddr, header.p_filesz)
        .ok_or(Defect::TableOutside { part: PART, address: header.p_vaddr })?;
    let tags = read_tags(&file.read_vec(offset, header.p_filesz, MAX_DYNAMIC, PART)?)?;

    if let Some(name) = tags.needed {
        let text = tags.string_table.and_then(|table| {
            let address = table.checked_add(name)?;
            let offset = file_offset(segments, address, 1)?;
            file.read_string(offset, data_after(segments, address).min(MAX_STRING))
        });
        let text = text.unwrap_or_else(|| "(without a name)".to_owned());
        return Err(Defect::NeedsLibrary(text));
    }
    if let Some(form) = tags.unsupported {
        return Err(Defect::RelocationForm(form));
    }
    if tags.plt_size.is_some_and(|size| size != 0) && tags.plt_form != Some(elf::DT_RELA as u64) {
        return Err(Defect::RelocationForm("DT_JMPREL that is not DT_RELA"));
    }
    let rela_size = size_of::<Elf64_Rela>() as u64;
    let find = |address, size, entry, stated, names| table(segments, address, size, entry, stated, names);
    Ok(Tables {
        rela: [
            find(
                tags.rela,
                tags.rela_size,
                rela_size,
                tags.rela_entry,
                ["DT_RELA", "DT_RELASZ", "DT_RELAENT"],
            )?,
            // No tag states the size of its entries.
            find(tags.plt, tags.plt_size, rela_size, Some(rela_size), ["DT_JMPREL", "DT_PLTRELSZ", ""])?,
        ],
        relr: find(tags.relr, tags.relr_size, 8, tags.relr_entry, ["DT_RELR", "DT_RELRSZ", "DT_RELRENT"])?,
    })
}

fn read_tags(section: &[u8]) -> Result<Tags, Defect> {
    let mut tags = Tags::default();
    for [tag, value] in words(section) {
        let mut unsupported = |form| tags.unsupported = Some(form);
        let (place, name) = match tag as i64 {
            elf::DT_NULL => return Ok(tags),
            elf::DT_STRTAB => (&mut tags.string_table, "DT_STRTAB"),
            elf::DT_RELA => (&mut tags.rela, "DT_RELA"),
            elf::DT_RELASZ => (&mut tags.rela_size, "DT_RELASZ"),
            elf::DT_RELAENT => (&mut tags.rela_entry, "DT_RELAENT"),
            DT_RELR => (&mut tags.relr, "DT_RELR"),
            DT_RELRSZ => (&mut tags.relr_size, "DT_RELRSZ"),
            DT_RELRENT => (&mut tags.relr_entry, "DT_RELRENT"),
            elf::DT_JMPREL => (&mut tags.plt, "DT_JMPREL"),
            elf::DT_PLTRELSZ => (&mut tags.plt_size, "DT_PLTRELSZ"),
            elf::DT_PLTREL => (&mut tags.plt_form, "DT_PLTREL"),
            elf::DT_NEEDED => {
                // There may be many; the first is told.
                tags.needed.get_or_insert(value);
                continue;
            }
            elf::DT_TEXTREL => {
                unsupported("DT_TEXTREL");
                continue;
            }
            DT_FLAGS if value & DF_TEXTREL != 0 => {
                unsupported("DF_TEXTREL");
                continue;
            }
            elf::DT_REL => {
                unsupported("DT_REL");
                continue;
            }
            DT_ANDROID_REL | DT_ANDROID_RELA | DT_ANDROID_RELR => {
                unsupported("packed for Android");
                continue;
            }
            DT_CREL => {
                unsupported("DT_CREL");
                continue;
            }
            _ => continue,
        };
        if place.replace(value).is_some() {
            return Err(Defect::Repeated(name));
        }
    }
    Err(Defect::DynamicWithoutEnd)
}

/// The table at `address`, checked; `None` where there is none or it is empty. `names` are those of the tags
/// for its address, its size, and the size of an entry, which must be `entry`.
fn table(
    segments: &[Segment],
    address: Option<u64>,
    size: Option<u64>,
    entry: u64,
    stated: Option<u64>,
    names: [&'static str; 3],
) -> Result<Option<Table>, Defect> {
    let [address_name, size_name, entry_name] = names;
    let (address, size) = match (address, size) {
        (_, Some(0)) | (None, None) => return Ok(None),
        (Some(address), Some(size)) => (address, size),
        (Some(_), None) => return Err(Defect::MissingTag(size_name)),
        (None, Some(_)) => return Err(Defect::MissingTag(address_name)),
    };
    match stated {
        Some(stated) if stated == entry => {}
        Some(value) => return Err(Defect::BadField { field: entry_name, value }),
        None => return Err(Defect::MissingTag(entry_name)),
    }
    if !size.is_multiple_of(entry) {
        return Err(Defect::BadField { field: size_name, value: size });
    }
    if size > MAX_TABLE {
        return Err(Defect::TooLarge { part: "relocation table", size, limit: MAX_TABLE });
    }
    let offset = file_offset(segments, address, size)
        .ok_or(Defect::TableOutside { part: "relocation table", address })?;
    Ok(Some(Table { offset, size }))
}
