//! Passwords: ones that a comment cuts, ones that everybody knows.

use crate::config::diagnostics::Diagnostic;
use crate::config::source::Span;
use crate::config::values::Reading;

/// What sample files and howtos have.
const SAMPLES: [&str; 11] = [
    "1111",
    "1234",
    "12345",
    "123456",
    "12345678",
    "changeme",
    "keepalived",
    "mypassword",
    "pass",
    "password",
    "secret",
];

/// A secret that ends where a comment begins without a blank before it: the rest of it is taken for a comment.
pub(in crate::config) fn cut(reading: &Reading<'_>, keyword: &str, at: Span) {
    // A definition is cut where it is written.
    let written = reading.sources.written(at);
    let next = reading.sources.text(written.part(written.length, 1));
    // keepalived drops a backslash before them, and the rest of the line all the same.
    let next = if next == "\\" { reading.sources.text(written.part(written.length + 1, 1)) } else { next };
    if !matches!(next, "#" | "!") {
        return;
    }
    reading.lints.note("cut-password", || {
        Diagnostic::warning(
            "cut-password",
            format!("the value of `{keyword}` ends before a `{next}`, which begins a comment"),
        )
        .at(at)
        .label("what follows is not part of it")
        .help("put it in double quotes, the same on all routers; if it is a comment, write a blank before it")
    });
}

/// A password that is no secret.
pub(in crate::config) fn sample(reading: &Reading<'_>, keyword: &str, text: &str, at: Span) {
    if !SAMPLES.iter().any(|sample| sample.eq_ignore_ascii_case(text)) {
        return;
    }
    reading.lints.note("sample-password", || {
        Diagnostic::hint("sample-password", format!("`{keyword}` has the value of a sample file"))
            .at(at)
            .label("everybody knows it")
            .help("write one of your own, the same on all routers; auth_hmac signs instead of showing it to the network")
    });
}
