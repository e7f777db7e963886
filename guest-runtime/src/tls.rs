//! TLS 1.3 for servers: the crate `ukvm-tls`, below [`http`](crate::http) or by itself.
//!
//! ```ignore
//! let identity = Identity::from_pem(&certificate, &key)?;
//! let acceptor = Acceptor::new(identity, time::wall)?;
//! http::serve("greeter", Server::new(Greeter, Runtime, limits), listener, acceptor).await;
//! ```
//!
//! Its random numbers are those of [`entropy`](crate::entropy), by way of the crate getrandom.

pub use ukvm_tls::*;
