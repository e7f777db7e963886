//! What the service answers.

use crate::accounts::{self, LookupFailed};
use crate::query::Credentials;
use crate::user::UserName;
use alloc::boxed::Box;
use alloc::format;
use async_lock::Semaphore;
use ukvm_http::{NoSource, Request, Response, Service, Status};
use ukvm_storage::Device;

/// How many requests look at the disk at once; the others wait for their turn. Enough to fill a batch, and a bound on the
/// memory that lookups take.
pub const LOOKUPS: usize = 64;

/// The service: it says hello to those whose password is right.
pub struct Login<D, F> {
    disk: D,
    report: F,
    turns: Semaphore,
}

impl<D: Device, F: Fn(&LookupFailed)> Login<D, F> {
    /// A service whose users are on `disk`. `report` is told of each lookup that failed; the client learns no details.
    pub fn new(disk: D, report: F) -> Self {
        Self { disk, report, turns: Semaphore::new(LOOKUPS) }
    }

    /// The answer to somebody who gave a user and a password.
    async fn check(&self, credentials: &Credentials) -> Response {
        let invalid = || Response::text(Status::Unauthorized, "Invalid login");
        let Some(user) = UserName::new(&credentials.user) else { return invalid() };
        let turn = self.turns.acquire().await;
        // Boxed, so that a connection that is idle does not keep room for it.
        let verdict = Box::pin(accounts::verify(&self.disk, user, &credentials.password)).await;
        drop(turn);
        match verdict {
            Ok(true) => Response::text(Status::Ok, format!("hello {}!", user.as_str())),
            Ok(false) => invalid(),
            Err(failed) => {
                (self.report)(&failed);
                Response::text(Status::InternalError, "The users cannot be read")
            }
        }
    }
}

impl<D: Device, F: Fn(&LookupFailed)> Service for Login<D, F> {
    type Source = NoSource;

    async fn answer(&self, request: Request<'_>) -> Response {
        if request.method != "GET" {
            return Response::method_not_allowed("GET");
        }
        match Credentials::of_target(request.target) {
            Some(credentials) => self.check(&credentials).await,
            None => Response::text(Status::Unauthorized, "No user given"),
        }
    }
}
