//! HTTP/1.1 for servers: the crate `ukvm-http`, and the runtime as what it stands on.
//!
//! ```ignore
//! let server = Rc::new(Server::new(service, Runtime, limits));
//! let left = server.run(listener, shutdown::requested(), grace).await;
//! ```

pub use ukvm_http::*;

use crate::{task, time};
use core::time::Duration;

/// The runtime's timers, clock and tasks.
#[derive(Clone, Copy, Debug, Default)]
pub struct Runtime;

impl Clock for Runtime {
    async fn within<F: Future>(&self, limit: Duration, future: F) -> Option<F::Output> {
        time::timeout(limit, future).await.ok()
    }

    fn now(&self) -> Option<Duration> {
        Some(time::wall())
    }
}

impl Platform for Runtime {
    fn spawn(&self, task: impl Future<Output = ()> + 'static) {
        drop(task::spawn(task));
    }
}
