//! The intervals of RFC 9568 §6.1 and RFC 3768 §6.1, in whole microseconds.

use crate::time::Duration;
use crate::wire::vrrp::{AdvertisementInterval, Priority, Version};

/// `Skew_Time`: the higher the priority, the shorter.
///
/// Version 2: `(256 - Priority) / 256` seconds (RFC 3768 §6.1). Version 3:
/// `((256 - Priority) * Active_Adver_Interval) / 256` (RFC 9568 §6.1).
pub fn skew_time(version: Version, priority: Priority, master_interval: AdvertisementInterval) -> Duration {
    let unit_us = match version {
        Version::V2 => 1_000_000,
        Version::V3 => master_interval.micros(),
    };
    Duration::from_micros((256 - u64::from(priority.0)) * unit_us / 256)
}

/// `Active_Down_Interval` (`Master_Down_Interval`): `down_timer_adverts` intervals, 3 in the RFCs, and the
/// skew time.
pub fn master_down_interval(
    version: Version,
    priority: Priority,
    master_interval: AdvertisementInterval,
    down_timer_adverts: u8,
) -> Duration {
    let adverts_us = u64::from(down_timer_adverts) * master_interval.micros();
    Duration::from_micros(adverts_us) + skew_time(version, priority, master_interval)
}

/// How long after its end nobody can have missed a master yet: its last advertisement may have been sent an interval
/// earlier, and the highest priority waits for next to no skew time.
pub fn unnoticed_silence(interval: AdvertisementInterval, down_timer_adverts: u8) -> Duration {
    Duration::from_micros(u64::from(down_timer_adverts.saturating_sub(1)) * interval.micros())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(n: u8) -> AdvertisementInterval {
        AdvertisementInterval::from_seconds(n).unwrap()
    }

    #[test]
    fn version_2_skews_by_fractions_of_a_second_whatever_the_interval() {
        assert_eq!(skew_time(Version::V2, Priority(100), seconds(1)), Duration::from_micros(609_375));
        assert_eq!(skew_time(Version::V2, Priority(100), seconds(5)), Duration::from_micros(609_375));
        assert_eq!(
            master_down_interval(Version::V2, Priority(100), seconds(1), 3),
            Duration::from_micros(3_609_375)
        );
    }

    #[test]
    fn version_3_skews_by_fractions_of_the_masters_interval() {
        let interval = AdvertisementInterval::from_centiseconds(50).unwrap();
        assert_eq!(skew_time(Version::V3, Priority(100), interval), Duration::from_micros(304_687));
        assert_eq!(
            master_down_interval(Version::V3, Priority(100), interval, 3),
            Duration::from_micros(1_804_687)
        );
    }

    #[test]
    fn every_priority_has_a_positive_skew_that_falls_with_priority() {
        for version in [Version::V2, Version::V3] {
            for interval in [1, 10, 100, 4095].map(|cs| AdvertisementInterval::from_centiseconds(cs).unwrap())
            {
                for priority in 1..255 {
                    let longer = skew_time(version, Priority(priority), interval);
                    let shorter = skew_time(version, Priority(priority + 1), interval);
                    assert!(longer > shorter && shorter > Duration::ZERO);
                }
            }
        }
    }
}
