//! A certificate and its key, as they are in files.

use crate::suites;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;
use rustls::InconsistentKeys;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use x509_cert::Certificate;
use x509_cert::der::{Decode, Reader, SliceReader};

/// What an encrypted key has in it: the label of PKCS #8 (RFC 7468, section 11), and the field of the older form (RFC 1421, section
/// 4.6.1.1).
const ENCRYPTED: [&str; 2] = ["-----BEGIN ENCRYPTED PRIVATE KEY-----", "Proc-Type: 4,ENCRYPTED"];

/// The most bytes that all certificates of an identity have together, encoded as DER. Three of them with RSA of 4096 bits have half of it;
/// with the rest of what the handshake sends, they fit into a record.
pub const LONGEST_CHAIN: usize = 12 << 10;

/// A server's certificate, with those that lead from it to one that clients trust, and its private key.
#[derive(Debug)]
pub struct Identity {
    pub(crate) key: CertifiedKey,
    pub(crate) provider: CryptoProvider,
    pub(crate) own_order: bool,
    /// From when on, and until when, since 1970-01-01T00:00:00Z.
    valid: (Duration, Duration),
}

/// Whether a certificate is good at some time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Validity {
    /// It is.
    Current,
    /// Not yet: from this time on, since 1970-01-01T00:00:00Z.
    From(Duration),
    /// Not any more: it was until this time, since 1970-01-01T00:00:00Z.
    Until(Duration),
}

/// Why two files are no identity. Each is the end of a sentence that names the file, except [`Mismatch`](Self::Mismatch).
#[derive(Clone, Debug, PartialEq)]
pub enum IdentityError {
    /// There is no certificate in the first one.
    NoCertificate,
    /// A section of the first one is not encoded as PEM is.
    CertificateEncoding,
    /// The certificate with this number, from 1 on, is none.
    Malformed(usize),
    /// The certificates have so many bytes together, more than [`LONGEST_CHAIN`].
    TooLong(usize),
    /// There is no private key in the second one.
    NoKey,
    /// A section of the second one is not encoded as PEM is.
    KeyEncoding,
    /// The key is encrypted.
    Encrypted,
    /// The key is none, or is of a kind that is not supported.
    UnsupportedKey,
    /// The key belongs to another certificate.
    Mismatch,
    /// rustls does not want the certificate.
    Unusable(rustls::Error),
}

impl IdentityError {
    /// Whether it is about the key alone.
    #[must_use]
    pub const fn is_of_key(&self) -> bool {
        matches!(self, Self::NoKey | Self::KeyEncoding | Self::Encrypted | Self::UnsupportedKey)
    }
}

impl fmt::Display for IdentityError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoCertificate => {
                f.write_str("has no certificate in it: it wants PEM, from `-----BEGIN CERTIFICATE-----` on")
            }
            Self::CertificateEncoding | Self::KeyEncoding => {
                f.write_str("is broken: a section of it is no PEM; copy it again")
            }
            Self::Malformed(number) => {
                write!(f, "is broken: its certificate number {number} is none; copy it again")
            }
            Self::TooLong(length) => write!(
                f,
                "has certificates of {length} bytes, and {LONGEST_CHAIN} are the most: leave the root out, and what does not lead to it"
            ),
            Self::NoKey => f.write_str("has no private key in it: it wants PEM, from `-----BEGIN PRIVATE KEY-----` on"),
            Self::Encrypted => {
                f.write_str("is encrypted, and nobody is here to type its password: decrypt it with `openssl pkey`")
            }
            Self::UnsupportedKey => f.write_str(
                "is of no kind that is supported: use a key of ECDSA with P-256 or P-384, Ed25519, or RSA with 2048 bits or more",
            ),
            Self::Mismatch => f.write_str("belong to different keys: take the two that were made together"),
            Self::Unusable(error) => write!(f, "has a first certificate that cannot be used: {error}"),
        }
    }
}

impl core::error::Error for IdentityError {}

impl Identity {
    /// Takes a certificate and its key from the bytes of two files in PEM (RFC 7468). The server's own certificate comes first, then
    /// each that vouches for the one before. The key is one of PKCS #8, SEC 1 (`EC PRIVATE KEY`) or PKCS #1 (`RSA PRIVATE KEY`).
    ///
    /// # Errors
    ///
    /// An [`IdentityError`], also where the two do not belong together. Whether the certificate is still good is no question here: see
    /// [`validity`](Self::validity).
    pub fn from_pem(certificate: &[u8], key: &[u8]) -> Result<Self, IdentityError> {
        let chain = CertificateDer::pem_slice_iter(certificate)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|_| IdentityError::CertificateEncoding)?;
        let length = chain.iter().map(|certificate| certificate.len()).sum();
        if length > LONGEST_CHAIN {
            return Err(IdentityError::TooLong(length));
        }
        let mut valid = None;
        for (number, certificate) in (1..).zip(&chain) {
            let malformed = |_| IdentityError::Malformed(number);
            let mut reader = SliceReader::new(certificate).map_err(malformed)?;
            let parsed = Certificate::decode(&mut reader).map_err(malformed)?;
            reader.finish().map_err(malformed)?;
            let validity = parsed.tbs_certificate().validity();
            valid.get_or_insert((
                validity.not_before.to_unix_duration(),
                validity.not_after.to_unix_duration(),
            ));
        }
        let valid = valid.ok_or(IdentityError::NoCertificate)?;
        if ENCRYPTED.iter().any(|mark| key.windows(mark.len()).any(|part| part == mark.as_bytes())) {
            return Err(IdentityError::Encrypted);
        }
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|error| match error {
            pem::Error::NoItemsFound => IdentityError::NoKey,
            _ => IdentityError::KeyEncoding,
        })?;
        let (provider, own_order) = suites::provider();
        let key = provider.key_provider.load_private_key(key).map_err(|_| IdentityError::UnsupportedKey)?;
        let key = CertifiedKey::new(chain, key);
        key.keys_match().map_err(|error| match error {
            rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => IdentityError::Mismatch,
            error => IdentityError::Unusable(error),
        })?;
        Ok(Self { key, provider, own_order, valid })
    }

    /// Whether the certificate is good at the time `now`, since 1970-01-01T00:00:00Z.
    #[must_use]
    pub fn validity(&self, now: Duration) -> Validity {
        match self.valid {
            (from, _) if now < from => Validity::From(from),
            // Seconds are what certificates know, and the last one counts (RFC 5280, section 4.1.2.5).
            (_, until) if now.as_secs() > until.as_secs() => Validity::Until(until),
            _ => Validity::Current,
        }
    }
}
