//! Diagnostics for editors and pipelines.

use serde::Serialize;

use super::Diagnostic;
use crate::config::source::{SourceMap, Span};

#[derive(Serialize)]
struct Place<'a> {
    file: &'a str,
    line: u32,
    column: u32,
    /// Length of the offending words in bytes.
    length: u32,
    #[serde(skip_serializing_if = "str::is_empty")]
    label: &'a str,
}

#[derive(Serialize)]
struct Entry<'a> {
    severity: &'static str,
    code: &'static str,
    message: &'a str,
    /// Whether start and reload are refused.
    refuses_start: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    place: Option<Place<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    used: Vec<Place<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    related: Vec<Place<'a>>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    notes: &'a [String],
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    help: &'a [String],
}

fn place<'a>(sources: &'a SourceMap, span: Span, label: &'a str) -> Option<Place<'a>> {
    let written = sources.written(span);
    let location = sources.location(written)?;
    Some(Place {
        file: location.file,
        line: location.line,
        column: location.column,
        length: written.length,
        label,
    })
}

/// A JSON array of the diagnostics, in file order. Source lines are left out, so no secret is in it.
pub fn to_json(diagnostics: &[Diagnostic], sources: &SourceMap) -> String {
    let entries: Vec<Entry<'_>> = diagnostics
        .iter()
        .map(|diagnostic| Entry {
            severity: diagnostic.severity.word(),
            code: diagnostic.code,
            message: &diagnostic.message,
            refuses_start: diagnostic.severity == super::Severity::Fatal,
            place: diagnostic.span.and_then(|span| place(sources, span, &diagnostic.label)),
            used: diagnostic
                .span
                .map(|span| sources.uses(span))
                .unwrap_or_default()
                .into_iter()
                .filter_map(|used| place(sources, used, ""))
                .collect(),
            related: diagnostic
                .related
                .iter()
                .filter_map(|(span, label)| place(sources, *span, label))
                .collect(),
            notes: &diagnostic.notes,
            help: &diagnostic.help,
        })
        .collect();
    // Only strings, numbers and booleans: this cannot fail.
    serde_json::to_string_pretty(&entries).unwrap_or_else(|_| "[]".to_owned())
}
