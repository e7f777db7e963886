use super::*;

fn os(text: &str) -> &OsStr {
    OsStr::new(text)
}

/// What is wrong, which must mention `part`.
#[track_caller]
fn refused<T: std::fmt::Debug>(result: Result<T, BadValue>, part: &str) {
    let sentence = result.unwrap_err().to_string();
    assert!(sentence.contains(part), "{sentence}");
    assert!(!sentence.ends_with('.') && !sentence.contains('\n'), "{sentence}");
}

#[test]
fn sizes_have_units() {
    for (text, bytes) in [
        ("1", 1 << 20),
        ("64", 64 << 20),
        ("64M", 64 << 20),
        ("64m", 64 << 20),
        ("512K", 512 << 10),
        ("512k", 512 << 10),
        ("2G", 2 << 30),
        ("2g", 2_u64 << 30),
        ("007", 7 << 20),
    ] {
        assert_eq!(size(os(text)), Ok(bytes), "{text}");
    }
}

#[test]
fn sizes_that_are_none() {
    for text in ["", "M", "-1", "+1", " 1", "1 ", "64MB", "64MiB", "1.5G", "0x10", "1T", "٣", "64M64M"] {
        refused(size(os(text)), "is not a size");
    }
    refused(size(OsStr::from_bytes(b"6\xff")), "is not a size");
    for text in ["0", "0K", "000G"] {
        refused(size(os(text)), "must not be 0");
    }
    for text in ["17592186044416", "17179869184G", "99999999999999999999", "18446744073709551615K"] {
        refused(size(os(text)), "more than any host has");
    }
    assert_eq!(size(os("17592186044415")), Ok(u64::MAX - ((1 << 20) - 1)));
}

#[test]
fn durations_have_units() {
    for (text, milliseconds) in
        [("500ms", 500), ("5s", 5_000), ("5", 5_000), ("2m", 120_000), ("1h", 3_600_000), ("0", 0)]
    {
        assert_eq!(duration(os(text)), Ok(Duration::from_millis(milliseconds)), "{text}");
    }
    for text in ["", "s", "1.5s", "-1s", "1d", "1 s", "5S", "1h30m"] {
        refused(duration(os(text)), "is not a duration");
    }
    for text in ["18446744073710ms", "18446744073709551616", "6000000h"] {
        refused(duration(os(text)), "584 years");
    }
    assert_eq!(timeout(os("1ms")), Ok(Duration::from_millis(1)));
    refused(timeout(os("0s")), "0 would end");
}

#[test]
fn seeds_are_hexadecimal() {
    assert_eq!(seed(os("0")), Ok(0));
    assert_eq!(seed(os("dEaD")), Ok(0xdead));
    assert_eq!(seed(os("0xffffffffffffffff")), Ok(u64::MAX));
    for text in ["", "0x", "+1", "g", "10000000000000000", "0x0x1"] {
        refused(seed(os(text)), "is not a seed");
    }
}

#[test]
fn variables_have_a_name() {
    assert_eq!(variable(os("A=b=c")), Ok(("A".into(), "b=c".into())));
    assert_eq!(variable(os("A=")), Ok(("A".into(), "".into())));
    let (name, value) = variable(OsStr::from_bytes(b"\xfe=\xff")).unwrap();
    assert_eq!((name.as_bytes(), value.as_bytes()), (&b"\xfe"[..], &b"\xff"[..]));
    for text in ["", "A", "=b"] {
        refused(variable(os(text)), "KEY=VALUE");
    }
}

#[test]
fn kvm_is_a_path_or_a_descriptor() {
    assert_eq!(kvm(os("/dev/kvm")), Ok(KvmSource::Path("/dev/kvm".into())));
    assert_eq!(kvm(os("fd:3")), Ok(KvmSource::Fd(3)));
    refused(kvm(os("fd:2")), "the console's");
    refused(kvm(os("")), "empty");
}

#[test]
fn descriptors_are_numbers_from_three() {
    for text in ["fd:", "fd:x", "fd:-1", "fd:+3", "fd:3 ", "fd:99999999999"] {
        refused(net(os(text)), "is not a descriptor");
        refused(disk(os(text)), "is not a descriptor");
    }
    for text in ["fd:0", "fd:1", "fd:2"] {
        refused(disk(os(text)), "the console's");
    }
    assert!(matches!(disk(os("./fd:0")).unwrap().file, FileOrFd::Path(path) if path == *"./fd:0"));
}

#[test]
fn networks() {
    let tap = |text: &str| NetSource::Tap(text.into());
    assert_eq!(net(os("tap0")), Ok(NetConfig { name: None, source: tap("tap0"), mac: None }));
    assert_eq!(
        net(os("service=tap0,mac=02:00:00:aB:cd:ef")),
        Ok(NetConfig {
            name: Some("service".into()),
            source: tap("tap0"),
            mac: Some([2, 0, 0, 0xab, 0xcd, 0xef])
        })
    );
    assert_eq!(
        net(os("a=fd:7")),
        Ok(NetConfig { name: Some("a".into()), source: NetSource::Fd(7), mac: None })
    );
    assert_eq!(net(os("fifteen-letters")).unwrap().source, tap("fifteen-letters"));

    for text in
        ["", "a=", "sixteen-letters-", "a/b", ".", "..", "a b", "tap%d", "mac=02:00:00:00:00:01", "=tap0/"]
    {
        refused(net(os(text)), "cannot be the name of a TAP");
    }
    refused(net(OsStr::from_bytes(b"tap\xff")), "cannot be the name of a TAP");
    for text in ["tap0,", "tap0,ro", "tap0,MAC=02:00:00:00:00:01"] {
        refused(net(os(text)), "is unknown");
    }
    for mac in [
        "",
        "02:00:00:00:00",
        "02:00:00:00:00:01:02",
        "2:0:0:0:0:1",
        "02-00-00-00-00-01",
        "0x:00:00:00:00:01",
    ] {
        refused(net(os(&format!("tap0,mac={mac}"))), "is not a hardware address");
    }
    for mac in ["00:00:00:00:00:00", "ff:ff:ff:ff:ff:ff", "01:00:5e:00:00:01"] {
        refused(net(os(&format!("tap0,mac={mac}"))), "belongs to no single device");
    }
}

/// Name, path and read-only of a disk with a path and without `,direct`.
#[track_caller]
fn disk_parts(text: &str) -> (Option<String>, String, bool) {
    let Disk { name, file, read_only, direct, block_size } = disk(os(text)).unwrap();
    let FileOrFd::Path(path) = file else { panic!("{file:?}") };
    assert!(!direct && block_size.is_none());
    (name, path.into_os_string().into_string().unwrap(), read_only)
}

#[test]
fn disks() {
    for (text, name, path, read_only) in [
        ("data.img", None, "data.img", false),
        ("data.img,ro", None, "data.img", true),
        ("data=data.img", Some("data"), "data.img", false),
        ("data=/a/b c.img,ro", Some("data"), "/a/b c.img", true),
        // The first '=' counts, and only behind a legal name.
        ("a=b=c.img", Some("a"), "b=c.img", false),
        ("./a=b.img", None, "./a=b.img", false),
        ("a b=c.img", None, "a b=c.img", false),
        ("=x", None, "=x", false),
        // The last ',ro' counts, and only at the end.
        ("x,ro,ro", None, "x,ro", true),
        ("x,ro.img", None, "x,ro.img", false),
        ("x,rw", None, "x,rw", false),
        ("x,y,ro", None, "x,y", true),
    ] {
        assert_eq!(disk_parts(text), (name.map(str::to_owned), path.to_owned(), read_only), "{text}");
    }
    for text in ["", ",ro", "data=", "data=,ro"] {
        refused(disk(os(text)), "names no file");
    }
    for (text, path, read_only) in [
        ("a.img,direct", "a.img", false),
        ("a.img,direct,ro", "a.img", true),
        ("a.img,ro,direct", "a.img", true),
        ("a.img,direct,direct", "a.img,direct", false),
    ] {
        let found = disk(os(text)).unwrap();
        assert!(found.direct && matches!(found.file, FileOrFd::Path(found) if found == *path), "{text}");
        assert_eq!(found.read_only, read_only);
    }
    let number = disk(os("data=fd:9,ro")).unwrap();
    assert!(number.read_only && matches!(number.file, FileOrFd::Fd(9)));
    let raw = disk(OsStr::from_bytes(b"\xff.img,ro")).unwrap();
    assert!(
        raw.read_only
            && matches!(raw.file, FileOrFd::Path(path) if path.as_os_str().as_bytes() == b"\xff.img")
    );
}

#[test]
fn sectors_and_net_rings() {
    for (text, path, read_only, direct, block_size) in [
        ("x,sector=512", "x", false, false, Some(512)),
        ("a=x,ro,sector=32768,direct", "x", true, true, Some(32768)),
        ("x,sector=4096,ro", "x", true, false, Some(4096)),
        // The last counts, and only at the end.
        ("x,sector=512,sector=1024", "x,sector=512", false, false, Some(1024)),
        ("x,sector=1,y", "x,sector=1,y", false, false, None),
    ] {
        let disk = disk(os(text)).unwrap();
        assert_eq!(disk.file, FileOrFd::Path(path.into()), "{text}");
        assert_eq!((disk.read_only, disk.direct, disk.block_size), (read_only, direct, block_size), "{text}");
    }
    for size in ["", "0", "256", "511", "1000", "65536", "4K", "-1", "99999999999999999999"] {
        refused(
            disk(os(&format!("x,sector={size}"))),
            "is not the size of a sector, which is a power of two from 512 to 32768",
        );
    }
    assert_eq!(net_ring(os("inside")), Ok(NetRing::Inside));
    assert_eq!(net_ring(os("above")), Ok(NetRing::Above));
    refused(net_ring(os("off")), "'off' is no place for it; write inside or above");
}
