//! The library of the example `cron-job`, on the host: arguments, statuses, stages. Its files are tested with the images.

use cron_job::failure::{Cause, Failure, NoConnection};
use cron_job::options::{LARGEST_FILE, Options};
use cron_job::stages::{Stage, Stages};
use std::cell::Cell;
use std::time::Duration;
use ukvm_http::client::{Error, Malformed};
use ukvm_http::url::{Url, UrlError};
use ukvm_storage::fat::VolumeError;
use ukvm_storage::{ReadFailed, WriteFailed};

fn parse(words: &str) -> Result<Options, String> {
    Options::parse(words.split(' ').filter(|word| !word.is_empty()))
}

#[test]
fn what_is_not_given_has_a_default() {
    let options = parse("--ip dhcp http://h/a/data.csv?b").unwrap();
    assert_eq!((&*options.output, options.timeout), ("data.csv", Duration::from_secs(30)));
    assert_eq!((options.max_size, options.network.dhcp), (LARGEST_FILE, true));
    assert_eq!(options.url, Url::parse(b"http://h/a/data.csv?b").unwrap());
    assert_eq!(parse("http://h/a/ --ip 10.0.0.2/24").unwrap().output, "index.html");
    assert_eq!(parse("http://h/a%20b --ip slaac").unwrap().output, "a%20b");
    let options =
        parse("--timeout=5 --ip=dhcp --max-size 10M http://h --output a/b.txt --hostname x").unwrap();
    assert_eq!(
        (&*options.output, options.timeout, options.max_size),
        ("a/b.txt", Duration::from_secs(5), 10 << 20)
    );
    for (size, bytes) in
        [("1", 1), ("800", 800), ("64K", 64 << 10), ("3g", 3 << 30), ("4294967295", LARGEST_FILE)]
    {
        assert_eq!(
            parse(&format!("--ip dhcp http://h --max-size {size}")).unwrap().max_size,
            bytes,
            "{size}"
        );
    }
}

#[test]
fn what_is_wrong_is_said() {
    for (words, start) in [
        ("", "there is no address: give --ip dhcp"),
        ("http://h/", "there is no address: give --ip dhcp"),
        ("--ip dhcp", "there is no URL: give one, such as http://"),
        ("--ip dhcp http://h http://i", "`http://i` is one URL too many: give one"),
        (
            "--ip dhcp https://h/",
            "`https://h/`: this program has no TLS: name a URL that begins with http://",
        ),
        ("--ip dhcp h/a", "`h/a`: this is no URL: write it as http://HOST/PATH"),
        ("--ip dhcp http://a:b@h/", "`http://a:b@h/`: names and passwords in URLs are not sent"),
        ("--ip 10.0.0.2 http://h", "`10.0.0.2` is no good for --ip: "),
        ("--ip dhcp http://h --port 80", "--port is for servers: write the port into the URL"),
        ("--ip dhcp http://h --max-connections 8", "--max-connections is for servers: leave it out"),
        ("--ip dhcp http://h --out a", "`--out` is not known here: use a URL and --ip, "),
        ("--ip dhcp http://h --output", "--output needs a value: add it behind --output"),
        ("--ip dhcp http://h --timeout 0", "`0` is no good for --timeout: it is 1 to 86400 seconds"),
        ("--ip dhcp http://h --timeout 86401", "`86401` is no good for --timeout: "),
        (
            "--ip dhcp http://h --max-size 4G",
            "`4G` is no good for --max-size: it is a number of bytes such as",
        ),
        ("--ip dhcp http://h --max-size 0", "`0` is no good for --max-size: "),
        ("--ip dhcp http://h --max-size K", "`K` is no good for --max-size: "),
        ("--ip dhcp http://h --max-size +1K", "`+1K` is no good for --max-size: "),
        (
            "--ip dhcp http://h --max-size 99999999999999999999",
            "`99999999999999999999` is no good for --max-size: ",
        ),
        (
            "--ip dhcp http://h --max-size 18014398509481984K",
            "`18014398509481984K` is no good for --max-size: ",
        ),
        ("--ip dhcp http://h --output a:b", "`a:b` is no good for --output: it is a name that FAT can hold"),
        ("--ip dhcp http://h --output /a", "`/a` is no good for --output: "),
        ("--ip dhcp http://h --output a//b", "`a//b` is no good for --output: "),
        ("--ip dhcp http://h --output a/..", "`a/..` is no good for --output: "),
        (
            "--ip dhcp http://h/a:b",
            "`a:b` of the URL cannot be the file's name, which is a name that FAT can hold",
        ),
    ] {
        let error = parse(words).unwrap_err();
        assert!(error.starts_with(start), "{words}: {error}");
        assert!(!error.ends_with('.'), "{error}");
    }
    let long = "n".repeat(255);
    assert!(parse(&format!("--ip dhcp http://h --output {long}")).is_ok());
    assert!(parse(&format!("--ip dhcp http://h --output {long}n")).is_err());
}

#[test]
fn each_failure_has_its_status() {
    let of = |error: Error<NoConnection>| Failure::from(error).status();
    assert_eq!(of(Error::Connect(NoConnection::Name("x".into()))), 11);
    assert_eq!(of(Error::Connect(NoConnection::Connection("x".into()))), 12);
    for error in [Error::NoLocation, Error::TooManyRedirects, Error::Redirect("x".into(), UrlError::Secure)] {
        assert_eq!(of(error), 13);
    }
    assert_eq!(of(Error::Status(404)), 14);
    for error in [Error::Malformed(Malformed::Length), Error::Encoded("gzip".into())] {
        assert_eq!(of(error), 15);
    }
    assert_eq!(of(Error::Late), 16);
    for error in [Error::Broken, Error::CutShort, Error::NoAnswer] {
        assert_eq!(of(error), 18);
    }
    for (error, status) in [
        (VolumeError::TooLarge, 17),
        (VolumeError::Full, 20),
        (VolumeError::Write(WriteFailed::NoSpace), 20),
        (VolumeError::Write(WriteFailed::Io), 21),
        (VolumeError::Read(ReadFailed), 21),
        (VolumeError::Broken("x".into()), 21),
    ] {
        assert_eq!(Failure::of_file("a", &error).status(), status, "{error}");
    }
    assert_eq!((Failure::stopped().status(), Cause::Address as u8, Cause::Usage as u8), (30, 10, 64));
}

#[test]
fn stages_add_up() {
    thread_local! {
        static NOW: Cell<u64> = const { Cell::new(5000) };
    }
    let stages = Stages::new(|| Duration::from_micros(NOW.get()));
    for (stage, took) in
        [(Stage::Disk, 1250), (Stage::Name, 100), (Stage::Answer, 0), (Stage::Name, 400), (Stage::File, 7)]
    {
        NOW.set(NOW.get() + took);
        stages.end(stage);
    }
    let expected = "disk 1.2, address 0.0, name 0.5, connection 0.0, answer 0.0, body 0.0, file 0.0";
    assert_eq!(stages.to_string(), expected);
}
