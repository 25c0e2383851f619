//! What a reload with another file would change.

use super::super::configuration::Tolerance;
use super::super::control::Asked;
use super::super::lvs_worker;
use super::super::plan::{Comparison, refused};
use super::Worker;
use super::reload::{STOPS_ALL, fixed_settings};

impl Worker<'_> {
    /// Answers with the plan.
    pub(super) fn plan(&self, file: &str, asked: Asked) {
        let tolerance = Tolerance::Strict(&self.faults);
        let comparison = match Comparison::read(self.options, file, tolerance, &self.kept) {
            Ok(comparison) => comparison,
            Err(refusal) => return asked.refuse_with(refusal),
        };
        let after = &comparison.after;
        if self.would_stop_all(after) {
            return asked.refuse_with(refused(file, vec![STOPS_ALL.to_owned()]));
        }
        let mut fixed: Vec<String> =
            fixed_settings(&self.settings, &after.settings).map(str::to_owned).collect();
        if self.balances {
            let of_checker = lvs_worker::fixed_settings(&self.settings, &after.settings);
            fixed.extend(of_checker.map(str::to_owned));
        }
        asked.grant_with(&comparison.planned(fixed));
    }
}
