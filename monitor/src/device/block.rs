//! Block devices.

/// Placeholder for the interface.
pub trait BlockBackend: std::fmt::Debug + Send + Sync {}
