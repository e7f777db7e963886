//! Prints the path, size and checksum of each file of the image on its disk, and the path of each directory; or why the image
//! cannot be opened, and exits with 1.
#![no_std]
#![no_main]

extern crate alloc;

use alloc::format;
use alloc::string::String;
use alloc::vec;
use test_guests::checksum;
use ukvm_runtime::block::Disk;
use ukvm_runtime::println;
use ukvm_runtime::storage::{Entry, Error, OpenError, Store};

ukvm_runtime::program! {
    main = main;
    block data;
}

async fn main() -> u8 {
    let disk = Disk::open("data").expect("the disk is there");
    match Store::open(disk).await {
        Ok(store) => {
            walk(&store).await.expect("the disk can be read");
            0
        }
        Err(error) => {
            refuse(&error);
            1
        }
    }
}

fn refuse(error: &OpenError) {
    println!("{error}");
}

async fn walk(store: &Store<Disk>) -> Result<(), Error> {
    println!("{:?}", store.format());
    let mut ahead = vec![String::new()];
    while let Some(directory) = ahead.pop() {
        for listed in store.list(&directory).await?.expect("what is listed is there") {
            let path =
                if directory.is_empty() { listed.name } else { format!("{directory}/{}", listed.name) };
            match listed.entry {
                Entry::Directory => {
                    println!("{path}/");
                    if !listed.link {
                        ahead.push(path);
                    }
                }
                Entry::File(file) => {
                    let mut bytes = vec![0; file.size() as usize];
                    let mut done = 0;
                    // In pieces of an odd size, as nothing needs to be aligned.
                    while done < bytes.len() {
                        let end = bytes.len().min(done + 12_345);
                        done += store.read_at(&file, done as u64, &mut bytes[done..end]).await?;
                    }
                    println!("{path} {} {:016x}", bytes.len(), checksum(&bytes));
                }
            }
        }
    }
    Ok(())
}
