//! `HTTP_GET` and `SSL_GET`.

use super::check::{Inherited, incomplete};
use super::fields::{Names, boolean, number, text};
use super::pattern::Patterns;
use crate::check::{
    Connection, HttpCheck, RegexMatch, RegexOption, ServerName, StatusCodes, TlsCheck, UrlCheck,
};
use crate::config::diagnostics::Diagnostic;
use crate::config::model::{HttpGet, SslGet};
use crate::config::schema::nearest;
use crate::config::values::{self, At, Reading, Words};

/// The keywords of a page, which both kinds of check have under the same names.
macro_rules! page {
    ($reading:expr, $names:expr, $patterns:expr, $url:expr, $host:expr, $server:expr, $kind:literal, $close_notify:expr) => {{
        match &$url.path {
            None => {
                incomplete($reading, $server, $kind, "path");
                None
            }
            Some(path) => Some(UrlCheck {
                path: $names.share(&path.value.0),
                host: text($url.virtualhost.as_ref()).or($host).map(|host| $names.share(host)),
                status: $url.status_code.as_ref().map_or_else(StatusCodes::success, |entry| entry.value),
                digest: $url.digest.as_ref().map(|entry| entry.value),
                regex: $url.regex.as_ref().map(|entry| {
                    let options = options($reading, $url.regex_options.as_ref());
                    $patterns.judge($reading, entry, &options);
                    Box::new(RegexMatch {
                        pattern: entry.value.0.as_bytes().into(),
                        options,
                        must_not_match: $url.regex_no_match.is_some(),
                        minimum_offset: number($url.regex_min_offset.as_ref()).unwrap_or(0).into(),
                        maximum_offset: number($url.regex_max_offset.as_ref()).map(u64::from),
                        stack: stack($reading, $url.regex_stack.as_ref()),
                    })
                }),
                close_notify: $close_notify,
                request: None,
            }),
        }
    }};
}

/// `HTTP_GET`; `None` when it has no page, which is reported.
pub(super) fn plain(
    reading: &Reading<'_>,
    names: &mut Names,
    patterns: &mut Patterns,
    check: &HttpGet,
    connection: Connection,
    from: &Inherited<'_>,
) -> Option<HttpCheck> {
    let host = text(check.virtualhost.as_ref()).or(from.virtualhost);
    let urls: Vec<UrlCheck> = check
        .urls
        .iter()
        .filter_map(|url| page!(reading, names, patterns, url, host, from.place, "url", false))
        .collect();
    if urls.is_empty() {
        incomplete(reading, from.place, "HTTP_GET", "url");
        return None;
    }
    Some(HttpCheck {
        connection,
        tls: None,
        version: check.http_protocol.as_ref().map(|entry| entry.value).unwrap_or_default(),
        fast_recovery: boolean(check.fast_recovery.as_ref()).unwrap_or(false),
        urls,
    })
}

/// `SSL_GET`; `None` when it has no page, which is reported.
pub(super) fn secure(
    reading: &Reading<'_>,
    names: &mut Names,
    patterns: &mut Patterns,
    check: &SslGet,
    connection: Connection,
    from: &Inherited<'_>,
) -> Option<HttpCheck> {
    let host = text(check.virtualhost.as_ref()).or(from.virtualhost);
    let close_notify = boolean(check.tls_compliant.as_ref()).unwrap_or(false);
    let urls: Vec<UrlCheck> = check
        .urls
        .iter()
        .filter_map(|url| {
            let own = boolean(url.tls_compliant.as_ref()).unwrap_or(close_notify);
            page!(reading, names, patterns, url, host, from.place, "url", own)
        })
        .collect();
    if urls.is_empty() {
        incomplete(reading, from.place, "SSL_GET", "url");
        return None;
    }
    let server_name = match (&check.sni_name, boolean(check.enable_sni.as_ref())) {
        (Some(At { value: values::OptionalText(Some(name)), .. }), _) => ServerName::Name(names.share(name)),
        (Some(_), _) | (None, Some(true)) => ServerName::VirtualHost,
        (None, _) => ServerName::None,
    };
    Some(HttpCheck {
        connection,
        tls: Some(TlsCheck { server_name }),
        version: check.http_protocol.as_ref().map(|entry| entry.value).unwrap_or_default(),
        fast_recovery: boolean(check.fast_recovery.as_ref()).unwrap_or(false),
        urls,
    })
}

/// Options of PCRE2 by name. keepalived passes over unknown ones in silence.
fn options(reading: &Reading<'_>, entry: Option<&At<Words<1, 64>>>) -> Vec<RegexOption> {
    let Some(entry) = entry else { return Vec::new() };
    let mut options = Vec::new();
    for word in &entry.value.0 {
        match RegexOption::ALL.into_iter().find(|option| option.keyword() == &**word) {
            Some(option) => options.push(option),
            None => {
                let mut diagnostic = Diagnostic::warning(
                    "unknown-option",
                    format!("`{word}` is no option of a regular expression"),
                )
                .at(reading.sources.word_at(entry.at))
                .note("it is ignored");
                if let Some(near) = nearest(word, RegexOption::ALL.map(RegexOption::keyword)) {
                    diagnostic = diagnostic.help(format!("did you mean `{near}`?"));
                }
                reading.diagnostics.push(diagnostic);
            }
        }
    }
    options.sort_unstable();
    options.dedup();
    options
}

/// First and largest size of the stack.
fn stack(reading: &Reading<'_>, entry: Option<&At<Words<1, 2>>>) -> Option<(u64, u64)> {
    let entry = entry?;
    let numbers: Vec<u64> = entry.value.0.iter().filter_map(|word| word.parse().ok()).collect();
    match numbers.as_slice() {
        &[first, most] if 0 < first && first <= most => Some((first, most)),
        _ => {
            reading.diagnostics.push(
                Diagnostic::warning(
                    "invalid-value",
                    "`regex_stack` takes two sizes in bytes, the smaller first",
                )
                .at(reading.sources.word_at(entry.at))
                .note("it is ignored"),
            );
            None
        }
    }
}
