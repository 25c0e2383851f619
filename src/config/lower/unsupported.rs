//! Nothing is ignored in silence: what the daemon does not act on is said once for each keyword.

use crate::config::diagnostics::{Diagnostic, Diagnostics};
use crate::config::schema::{Support, schema};
use crate::config::values::Unsupported;

/// Reports the keywords that were used and are not acted on, with their first place and how often they stand.
pub(in crate::config) fn report_unsupported(diagnostics: &Diagnostics, seen: &Unsupported) {
    // Within a block that is not acted on, its own keywords need no word of theirs.
    for (index, at, count) in seen.iter() {
        let Some(keyword) = schema().keyword(index) else { continue };
        let block = schema().keywords().find(|outer| outer.opens == Some(keyword.context));
        let within_unsupported = block.is_some_and(|outer| seen.contains(outer.index));
        let times = if count > 1 { format!(" (written {count} times, first here)") } else { String::new() };
        let name = keyword.name;
        let diagnostic = match keyword.support {
            Support::ActedOn => continue,
            Support::Refused(_) if within_unsupported => continue,
            Support::Refused(why) => {
                // Valid for keepalived, so that `-t` says so; but this program must not run with it.
                let mut diagnostic = Diagnostic::fatal(
                    "not-supported-yet",
                    format!("`{name}` is a keyword of keepalived that is not supported yet{times}"),
                )
                .label(why)
                .note("something the file describes would be missing: start and reload are refused")
                .help("remove it, or keep keepalived for this configuration");
                diagnostic.status = None;
                diagnostic
            }
            Support::NotApplicable(why) => {
                Diagnostic::hint("not-applicable", format!("`{name}` does not apply to alived{times}"))
                    .label(why)
            }
        };
        diagnostics.push(diagnostic.at(at));
    }
}
