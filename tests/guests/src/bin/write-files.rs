//! Changes files on the FAT file system of its disk: the file `old` moves to `kept/moved`, a line is added to it, `gone` is removed, and
//! `large` gets as many bytes as the argument says, each the low byte of its 512-byte block's number.
#![no_std]
#![no_main]

extern crate alloc;

use alloc::vec::Vec;
use embedded_io_async::{Seek, SeekFrom, Write};
use ukvm_runtime::block::Disk;
use ukvm_runtime::println;
use ukvm_runtime::storage::{OpenOptions, Volume, VolumeError, WallClock};

ukvm_runtime::program! {
    main = main;
    block scratch: writable;
}

async fn main() -> u8 {
    let size: usize = test_guests::argument().parse().expect("a size");
    let disk = Disk::open("scratch").expect("the disk is there");
    let volume = Volume::mount::<WallClock>(disk).await.expect("a file system");
    match change(&volume, size).await {
        Ok(()) => {
            println!("changed");
            0
        }
        Err(error) => {
            println!("{error}");
            1
        }
    }
}

async fn change(volume: &Volume<Disk>, size: usize) -> Result<(), VolumeError> {
    volume.create_directory("kept").await?;
    volume.rename("old", "kept/moved").await?;
    let mut moved = volume.open("kept/moved", OpenOptions::new().read().write()).await?;
    moved.seek(SeekFrom::End(0)).await?;
    moved.write_all(b"and a line from the guest\n").await?;
    moved.close().await?;
    volume.remove_file("gone").await?;
    let bytes: Vec<u8> = (0..size).map(|at| (at / 512) as u8).collect();
    volume.write("large", &bytes).await?;
    volume.sync().await
}
