//! What a tracker does to a router, by its weight.

use serde::{Deserialize, Serialize};

use super::{FileReading, Weight};

/// What is known of a script, an interface, a process.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, Hash, PartialEq, Serialize)]
pub enum Verdict {
    /// Nothing yet: no run has ended since the start.
    #[default]
    Unknown,
    /// All is well.
    Good,
    /// It fails.
    Bad,
}

/// What follows for a router.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Effect {
    /// The router cannot take part.
    Fault,
    /// The router cannot take part before more is known.
    Pending,
    /// Added to the priority; 0 = no effect.
    Weight(i32),
}

/// The sum at and below which a file is a fault.
const FILE_FAULT: i64 = -254;

impl Weight {
    /// What a verdict means: at weight 0 a failure is a fault, a weight above 0 is added while all is well, one below
    /// 0 while it fails. `reverse` has success and failure change places at 0, and the sign otherwise.
    pub const fn effect(self, verdict: Verdict) -> Effect {
        let weight = self.value() as i32;
        let applies = match (weight, verdict) {
            (0, Verdict::Unknown) => return Effect::Pending,
            (0, Verdict::Bad) => !self.is_reversed(),
            (0, Verdict::Good) => self.is_reversed(),
            (1.., verdict) => matches!(verdict, Verdict::Good),
            (_, verdict) => matches!(verdict, Verdict::Bad),
        };
        match (applies, weight) {
            (true, 0) => Effect::Fault,
            (true, weight) => Effect::Weight(if self.is_reversed() { -weight } else { weight }),
            (false, _) => Effect::Weight(0),
        }
    }

    /// What the quorum of processes means: as any verdict, but that a router does not start before they were counted,
    /// which takes no time worth mentioning.
    pub const fn effect_of_quorum(self, verdict: Verdict) -> Effect {
        match verdict {
            Verdict::Unknown => Effect::Pending,
            Verdict::Good | Verdict::Bad => self.effect(verdict),
        }
    }

    /// What a tracked file means. A router does not start before it was read; one that cannot be read is a fault at
    /// weight 0, and has no weight otherwise.
    pub fn effect_of_reading(self, reading: Option<FileReading>) -> Effect {
        match reading {
            None => Effect::Pending,
            Some(FileReading::Number(number)) => self.effect_of_number(number),
            Some(FileReading::Unreadable) if self.value() == 0 => Effect::Fault,
            Some(FileReading::Unreadable) => Effect::Weight(0),
        }
    }

    /// What the number in a tracked file means: it is multiplied by the weight, and −254 or less is a fault; at
    /// weight 0 any number but 0 is (with `reverse`, 0 is).
    pub fn effect_of_number(self, number: i32) -> Effect {
        if self.value() == 0 {
            let fault = (number != 0) != self.is_reversed();
            return if fault { Effect::Fault } else { Effect::Weight(0) };
        }
        let sign = if self.is_reversed() { -1 } else { 1 };
        // Two numbers of 32 and 16 bits.
        let sum = i64::from(number) * i64::from(self.value()) * sign;
        if sum <= FILE_FAULT {
            return Effect::Fault;
        }
        Effect::Weight(i32::try_from(sum.min(-FILE_FAULT)).unwrap_or(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As keepalived 2.2.7 does it, by its log of priorities.
    #[test]
    fn verdicts_weigh_as_in_keepalived() {
        use Effect::{Fault, Pending};
        use Verdict::{Bad, Good, Unknown};
        let nothing = Effect::Weight(0);
        for (value, reverse, unknown, good, bad) in [
            (0, false, Pending, nothing, Fault),
            (0, true, Pending, Fault, nothing),
            (10, false, nothing, Effect::Weight(10), nothing),
            (10, true, nothing, Effect::Weight(-10), nothing),
            (-10, false, nothing, nothing, Effect::Weight(-10)),
            (-10, true, nothing, nothing, Effect::Weight(10)),
        ] {
            let weight = Weight::new(value, reverse).unwrap();
            let effects = [Unknown, Good, Bad].map(|verdict| weight.effect(verdict));
            assert_eq!(effects, [unknown, good, bad], "weight {value} reverse {reverse}");
        }
    }

    #[test]
    fn numbers_of_files_are_multiplied() {
        let effect = |value, reverse, number| Weight::new(value, reverse).unwrap().effect_of_number(number);
        assert_eq!(effect(1, false, 20), Effect::Weight(20));
        assert_eq!(effect(-2, false, 20), Effect::Weight(-40));
        assert_eq!(effect(-2, true, 20), Effect::Weight(40));
        assert_eq!(effect(-2, false, 126), Effect::Weight(-252));
        assert_eq!(effect(-2, false, 127), Effect::Fault);
        assert_eq!(effect(254, false, i32::MIN), Effect::Fault);
        assert_eq!(effect(254, false, i32::MAX), Effect::Weight(254));
        assert_eq!(effect(0, false, 0), Effect::Weight(0));
        assert_eq!(effect(0, false, -3), Effect::Fault);
        assert_eq!(effect(0, true, -3), Effect::Weight(0));
        assert_eq!(effect(0, true, 0), Effect::Fault);
    }
}
