//! Certificates and keys, as `openssl` writes them and as nobody should have.

use crate::world::{Client, OPENSSL, authorities, both, cable, configuration, now, wait};
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use ukvm_storage::{Device, ReadFailed, Store};
use ukvm_tests::certificates::{GOOD, P256};
use ukvm_tests::files::{self, call, noise};
use ukvm_tests::site;
use ukvm_tls::{Acceptor, Identity, IdentityError, LONGEST_CHAIN, Validity};

ukvm_tests::tests! {
    keys_of_all_kinds .needs(OPENSSL);
    files_that_are_no_identity .needs(OPENSSL);
    dates_are_those_of_the_first_certificate .needs(OPENSSL);
    what_is_wrong_with_a_disk_is_said .needs(OPENSSL);
    a_site_with_the_key_is_refused .needs(OPENSSL);
}

/// A key in another form.
fn converted(key: &Path, arguments: &[&str]) -> Vec<u8> {
    call("openssl", &[arguments, &["-in", key.to_str().expect("a path in UTF-8")]].concat()).stdout
}

fn keys_of_all_kinds() {
    let (authorities, _) = authorities();
    let p384: &[&str] = &["ec", "-pkeyopt", "ec_paramgen_curve:P-384"];
    for (name, kind, others) in [
        ("p256", P256, &["ec"][..]),
        ("p384", p384, &["ec"]),
        ("ed25519", &["ed25519"], &[]),
        ("rsa", &["rsa:2048"], &["rsa"]),
    ] {
        let issued = authorities.issue(name, kind, GOOD);
        let [certificate, key] = issued.read();
        let mut forms = vec![key];
        for tool in others {
            // SEC 1 and PKCS #1; `openssl ecparam` puts parameters in front of the former.
            let old = converted(&issued.key, if *tool == "rsa" { &["rsa", "-traditional"] } else { &["ec"] });
            let parameters =
                b"-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n";
            forms.extend([old.clone(), [&parameters[..], &old].concat()]);
        }
        for key in forms {
            let identity = Identity::from_pem(&certificate, &key);
            let identity =
                identity.unwrap_or_else(|error| panic!("{name}: {error}: {}", String::from_utf8_lossy(&key)));
            let acceptor = Acceptor::new(identity, now).expect("TLS 1.3");
            let (here, there) = cable(1 << 16, usize::MAX);
            let mut client = Client::new(&Arc::new(configuration()), there);
            let (accepted, opened) = both(acceptor.accept(here), client.open());
            assert!(accepted.is_ok(), "{name}: {accepted:?}");
            assert_eq!(opened, Ok(()), "{name}");
            assert_eq!(client.tls.peer_certificates().map(<[_]>::len), Some(2), "the chain is sent");
        }
    }
}

fn files_that_are_no_identity() {
    let (authorities, issued) = authorities();
    let [certificate, key] = issued.read();
    let of = |certificate: &[u8], key: &[u8]| Identity::from_pem(certificate, key).map(drop).unwrap_err();
    let other = authorities.issue("other", P256, GOOD).read();
    assert_eq!(of(&certificate, &other[1]), IdentityError::Mismatch);
    assert_eq!(of(b"", &key), IdentityError::NoCertificate);
    assert_eq!(of(&noise(3, 5000), &key), IdentityError::NoCertificate);
    assert_eq!(of(&key, &certificate), IdentityError::NoCertificate);
    assert_eq!(of(&certificate, b""), IdentityError::NoKey);
    assert_eq!(of(&certificate, &noise(4, 5000)), IdentityError::NoKey);
    assert_eq!(of(&certificate, &certificate), IdentityError::NoKey);
    assert_eq!(of(&certificate[..300], &key), IdentityError::CertificateEncoding);
    assert_eq!(of(&certificate, &key[..100]), IdentityError::KeyEncoding);
    // The second one is cut short within its encoding, and whole as PEM.
    let broken = b"-----BEGIN CERTIFICATE-----\nMIIBszCCAVqgAwIBAgIU\n-----END CERTIFICATE-----\n";
    assert_eq!(of(&[&certificate[..], broken].concat(), &key), IdentityError::Malformed(3));
    let long = certificate.repeat(LONGEST_CHAIN / 800 + 1);
    assert!(matches!(of(&long, &key), IdentityError::TooLong(LONGEST_CHAIN..)));
    let none = b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
    assert_eq!(of(&certificate, none), IdentityError::UnsupportedKey);
    for (name, kind) in
        [("p521", &["ec", "-pkeyopt", "ec_paramgen_curve:P-521"][..]), ("weak", &["rsa:1024"])]
    {
        let [certificate, key] = authorities.issue(name, kind, GOOD).read();
        assert_eq!(of(&certificate, &key), IdentityError::UnsupportedKey, "{name}");
    }
    let password = ["-aes256", "-passout", "pass:secret"];
    let encrypted = [
        converted(&issued.key, &[&["pkey"], &password[..]].concat()),
        converted(&issued.key, &[&["ec"], &password[..]].concat()),
    ];
    for key in encrypted {
        assert_eq!(of(&certificate, &key), IdentityError::Encrypted, "{}", String::from_utf8_lossy(&key));
    }
    // Any change is an error or none, and nothing worse.
    for (seed, place) in (0..certificate.len()).step_by(7).enumerate() {
        let mut changed = certificate.clone();
        changed[place] = noise(seed as u64, 1)[0];
        let _ = Identity::from_pem(&changed, &key);
        let mut changed = key.clone();
        let place = place % changed.len();
        changed[place] = noise(seed as u64, 1)[0];
        let _ = Identity::from_pem(&certificate, &changed);
    }
}

fn dates_are_those_of_the_first_certificate() {
    let (authorities, _) = authorities();
    let [certificate, key] = authorities.issue("dated", P256, ["20210102030405Z", "20220203040506Z"]).read();
    let identity = Identity::from_pem(&certificate, &key).expect("an identity");
    // `date --utc --date '2021-01-02 03:04:05' +%s`, and the other.
    let (from, until) = (Duration::from_secs(1_609_556_645), Duration::from_secs(1_643_861_106));
    let second = Duration::from_secs(1);
    for (time, expected) in [
        (Duration::ZERO, Validity::From(from)),
        (from - second, Validity::From(from)),
        (from, Validity::Current),
        (until, Validity::Current),
        (until + second, Validity::Until(until)),
    ] {
        assert_eq!(identity.validity(time), expected, "{time:?}");
    }
    let warning = |time| https::identity::warning(&identity, time);
    assert_eq!(warning(from), None);
    assert_eq!(
        warning(Duration::ZERO).as_deref(),
        Some(
            "certificate.pem is not valid before Sat, 02 Jan 2021 03:04:05 GMT: until then clients refuse it"
        )
    );
    assert_eq!(
        warning(until + second).as_deref(),
        Some(
            "certificate.pem was valid until Thu, 03 Feb 2022 04:05:06 GMT: clients refuse it, make a new one"
        )
    );
}

/// An image in memory.
struct Memory(Vec<u8>);

impl Device for Memory {
    fn size(&self) -> u64 {
        self.0.len() as u64
    }

    async fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), ReadFailed> {
        let offset = usize::try_from(offset).map_err(|_| ReadFailed)?;
        buffer.copy_from_slice(self.0.get(offset..offset + buffer.len()).ok_or(ReadFailed)?);
        Ok(())
    }
}

/// An archive of these files.
fn archive(files: &[(&str, &[u8])]) -> Memory {
    let directory = files::directory();
    Memory(fs::read(site::archive(directory.path(), files)).expect("an archive"))
}

fn what_is_wrong_with_a_disk_is_said() {
    let [certificate, key] = authorities().1.read();
    let of = |files: &[(&str, &[u8])]| wait(https::identity::read(archive(files)));
    assert!(of(&[("certificate.pem", &certificate), ("key.pem", &key)]).is_ok());
    let large = vec![b'\n'; 70_000];
    for (files, told) in [
        (
            &[("key.pem", &key[..])][..],
            "the disk `identity` has no file certificate.pem: put the certificate into certificate.pem, its key into key.pem",
        ),
        (
            &[("certificate.pem", &certificate), ("key.pem/x", &key)],
            "the disk `identity` has no file key.pem: put the certificate into certificate.pem, its key into key.pem",
        ),
        (
            &[("certificate.pem", &key), ("key.pem", &key)],
            "certificate.pem has no certificate in it: it wants PEM, from `-----BEGIN CERTIFICATE-----` on",
        ),
        (
            &[("certificate.pem", &certificate), ("key.pem", &large)],
            "key.pem has 70000 bytes, and 65536 are the most that make sense",
        ),
        (
            &[("certificate.pem", &certificate), ("key.pem", b"-----BEGIN ENCRYPTED PRIVATE KEY-----")],
            "key.pem is encrypted, and nobody is here to type its password: decrypt it with `openssl pkey`",
        ),
    ] {
        assert_eq!(of(files).map(drop).unwrap_err(), told);
    }
    let error = wait(https::identity::read(Memory(noise(5, 100_000)))).map(drop).unwrap_err();
    let told = "the disk `identity` is of no use: the disk holds neither a tar archive nor a FAT file system";
    assert!(error.starts_with(told), "{error}");
}

fn a_site_with_the_key_is_refused() {
    let [certificate, key] = authorities().1.read();
    let check = |files: &[(&str, &[u8])]| {
        wait(async {
            https::identity::check_is_apart(&Store::open(archive(files)).await.expect("a site")).await
        })
    };
    assert_eq!(check(&[("index.html", b"home"), ("certificate.pem", &certificate)]), Ok(()));
    assert_eq!(
        check(&[("certificate.pem", &certificate), ("key.pem", &key)]),
        Err("the site has a file key.pem, which everybody could download: keys belong on the disk `identity` alone".into())
    );
}
