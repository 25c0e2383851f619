//! `MISC_CHECK`: what the end of a program says.

use super::Verdict;
use crate::check::action::{ProgramEnd, WeightAdvice};

/// Status 0 is success. With `misc_dynamic` 0 keeps the weight, 2 to 255 is success with the weight 0 to 253.
pub(super) fn verdict(end: &ProgramEnd, dynamic: bool) -> Verdict {
    match end {
        ProgramEnd::Exited(0) => Verdict::good("exit status 0"),
        ProgramEnd::Exited(status @ 2..) if dynamic => Verdict::Good {
            reason: format!("exit status {status}").into(),
            weight: Some(WeightAdvice::Set(u32::from(*status) - 2)),
        },
        ProgramEnd::Exited(status) => Verdict::Bad(format!("exit status {status}").into()),
        ProgramEnd::Signalled(signal) => Verdict::Bad(format!("ended by signal {signal}").into()),
        ProgramEnd::TimedOut => Verdict::bad("ended, because it ran too long"),
        ProgramEnd::NotStarted(why) => Verdict::Bad(why.clone()),
        ProgramEnd::Lost => Verdict::Unknown("nobody knows how it ended".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_statuses_give_state_and_weight() {
        let weight = |status, dynamic| match verdict(&ProgramEnd::Exited(status), dynamic) {
            Verdict::Good { weight, .. } => Some(weight),
            _ => None,
        };
        assert_eq!(weight(0, false), Some(None));
        assert_eq!(weight(2, false), None);
        assert_eq!(weight(0, true), Some(None), "the configured weight");
        assert_eq!(weight(1, true), None);
        assert_eq!(weight(2, true), Some(Some(WeightAdvice::Set(0))));
        assert_eq!(weight(255, true), Some(Some(WeightAdvice::Set(253))));
        for end in [ProgramEnd::Signalled(9), ProgramEnd::TimedOut, ProgramEnd::NotStarted("why".into())] {
            assert!(matches!(verdict(&end, true), Verdict::Bad(_)));
        }
        assert!(matches!(verdict(&ProgramEnd::Lost, false), Verdict::Unknown(_)));
    }
}
