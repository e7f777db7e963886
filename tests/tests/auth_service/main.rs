//! The library of the example `auth-service`, on the host: rules, HTTP, and file systems, sound and broken ones.

mod accounts;
mod broken_images;
mod http;
mod images;
mod rules;
