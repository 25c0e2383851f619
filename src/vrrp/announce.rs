//! Announcements in their order and pace: all addresses once, then all again (`behaviours` A9), with the
//! pauses of `garp_interval` and `gna_interval` on each interface.

use std::collections::VecDeque;

use super::Announcement;

/// Announcements that wait to be sent.
#[derive(Clone, Debug, Default)]
pub struct AnnouncementQueue {
    waiting: VecDeque<Announcement>,
}

impl AnnouncementQueue {
    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }
}
