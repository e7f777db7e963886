//! The order of the ciphers.

use rustls::CipherSuite;
use rustls::crypto::CryptoProvider;

cpufeatures::new!(aes_of_the_processor, "aes", "pclmulqdq");

/// What does the cryptography: the crate ring.
///
/// Without instructions for AES, ChaCha20 comes first, whatever the client would have liked best: it is about twice as fast then.
/// The boolean says whether that order counts.
pub(crate) fn provider() -> (CryptoProvider, bool) {
    let mut provider = rustls::crypto::ring::default_provider();
    let own_order = !aes_of_the_processor::get();
    if own_order {
        // A stable sort: what is not named keeps its place.
        provider.cipher_suites.sort_by_key(|suite| match suite.suite() {
            CipherSuite::TLS13_CHACHA20_POLY1305_SHA256 => 0,
            CipherSuite::TLS13_AES_128_GCM_SHA256 => 1,
            _ => 2,
        });
    }
    (provider, own_order)
}
