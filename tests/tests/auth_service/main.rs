//! The library of the example `auth-service`, on the host: rules, answers, and file systems, sound and broken ones.

mod accounts;
mod broken_images;
mod images;
mod login;
mod rules;
