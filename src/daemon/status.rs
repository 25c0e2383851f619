//! Exit statuses, as keepalived's.

/// The daemon cannot run.
pub(super) const FATAL: u8 = 1;

/// The configuration cannot be used.
pub(super) const CONFIGURATION: u8 = 2;

/// A privilege is missing.
pub(super) const PERMISSION: u8 = 4;
