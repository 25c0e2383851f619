//! `[[checks.http]]` of alived.toml: what requests of `HTTP_GET` and `SSL_GET` say that keepalived.conf has no keywords
//! for, and which checks are meant.

use core::ops::Range;
use core::str::FromStr;
use std::collections::BTreeMap;
use std::sync::Arc;

use serde::de::IgnoredAny;
use serde::ser::SerializeStruct as _;
use serde::{Deserialize, Serialize, Serializer};
use toml::Spanned;

use super::source::{SourceMap, Span};
use crate::check::{FieldName, FieldValue, Method, RequestSettings};
use crate::secret::Secret;

/// Longest body of a request, and longest name of a service, in bytes.
const BODY_BYTES: usize = 64 * 1024;
const SERVICE_BYTES: usize = 4096;

/// How many fields a request may have.
const HEADERS_MAX: usize = 64;

/// Which checks are meant, and what their requests say. Of those that mean a page, the first one holds.
#[derive(Clone, Debug, Eq, PartialEq, Deserialize)]
#[serde(try_from = "Fields")]
pub struct HttpCheckRule {
    /// `virtual-server`: of which; `None` = of all.
    pub virtual_server: Option<NamePattern>,
    /// `real-server`: of which; `None` = of all.
    pub real_server: Option<NamePattern>,
    /// `url`: which `path`; `None` = all.
    pub url: Option<NamePattern>,
    /// What is different.
    pub request: Arc<RequestSettings>,
}

impl HttpCheckRule {
    pub(super) const NAMES: [&'static str; 8] =
        ["virtual-server", "real-server", "url", "version", "method", "headers", "body", "grpc-service"];

    /// Without what may be a secret.
    pub(crate) fn without_secrets(&self) -> Self {
        let RequestSettings { version2, method, headers, body, grpc_service } = &*self.request;
        let nothing = || FieldValue::default();
        let request = RequestSettings {
            version2: *version2,
            method: method.clone(),
            headers: headers.iter().map(|(name, _)| (name.clone(), nothing())).collect(),
            body: body.as_ref().map(|_| Secret::new("".into())),
            grpc_service: grpc_service.clone(),
        };
        Self { request: Arc::new(request), ..self.clone() }
    }
}

/// A name in which each `*` stands for any characters.
#[derive(Clone, Debug, Eq, PartialEq, Deserialize)]
#[serde(try_from = "String")]
pub struct NamePattern(Box<str>);

impl TryFrom<String> for NamePattern {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        if text.is_empty() {
            return Err("an empty name means nothing: leave the line out to mean all".to_owned());
        }
        Ok(Self(text.into()))
    }
}

impl NamePattern {
    /// As it was written.
    pub(super) const fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this name is meant.
    pub(super) fn matches(&self, name: &str) -> bool {
        let mut parts = self.0.split('*');
        // There is always a first part.
        let Some(mut rest) = parts.next().and_then(|first| name.strip_prefix(first)) else { return false };
        let mut last = None;
        for part in parts {
            if let Some(before) = last.replace(part) {
                let Some(at) = rest.find(before) else { return false };
                rest = rest.get(at + before.len()..).unwrap_or("");
            }
        }
        last.map_or(rest.is_empty(), |last| rest.ends_with(last))
    }
}

/// A value that is judged where it stands.
#[derive(Deserialize, Eq, Ord, PartialEq, PartialOrd)]
#[serde(try_from = "String", bound = "T: FromStr<Err = String>")]
struct Word<T>(T);

impl<T: FromStr<Err = String>> TryFrom<String> for Word<T> {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse().map(Self)
    }
}

/// The version of HTTP that keepalived.conf cannot name.
struct Version2;

impl FromStr for Version2 {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "2" => Ok(Self),
            "1" | "1.0" | "1.1" => {
                Err(format!("version takes \"2\"; {text} is asked for by http_protocol in keepalived.conf"))
            }
            _ => Err(format!("version takes \"2\", not {text:?}")),
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Fields {
    virtual_server: Option<NamePattern>,
    real_server: Option<NamePattern>,
    url: Option<NamePattern>,
    version: Option<Word<Version2>>,
    method: Option<Word<Method>>,
    #[serde(default)]
    headers: BTreeMap<Word<FieldName>, Word<FieldValue>>,
    body: Option<String>,
    grpc_service: Option<String>,
}

impl TryFrom<Fields> for HttpCheckRule {
    type Error = String;

    fn try_from(fields: Fields) -> Result<Self, String> {
        let Fields { virtual_server, real_server, url, version, method, headers, body, grpc_service } =
            fields;
        if version.is_none()
            && method.is_none()
            && headers.is_empty()
            && body.is_none()
            && grpc_service.is_none()
        {
            return Err("this changes nothing: set version, method, headers, body or grpc-service".to_owned());
        }
        if headers.len() > HEADERS_MAX {
            return Err(format!("{} headers are more than {HEADERS_MAX}", headers.len()));
        }
        let headers: Vec<_> = headers.into_iter().map(|(name, value)| (name.0, value.0)).collect();
        for (at, (name, _)) in headers.iter().enumerate() {
            let is_twin = |other: &FieldName| other.as_str().eq_ignore_ascii_case(name.as_str());
            if headers.iter().take(at).any(|(other, _)| is_twin(other)) {
                return Err(format!("the header {:?} is there twice", name.as_str()));
            }
            if grpc_service.is_some() && name.as_str().eq_ignore_ascii_case("content-type") {
                return Err("grpc-service has a content-type of its own: take this one out".to_owned());
            }
        }
        if grpc_service.is_some() && (method.is_some() || body.is_some()) {
            return Err(
                "grpc-service asks by POST with a body of its own: take method and body out".to_owned()
            );
        }
        if grpc_service.as_ref().is_some_and(|service| service.len() > SERVICE_BYTES) {
            return Err(format!("the name of a service is longer than {SERVICE_BYTES} bytes"));
        }
        if body.as_ref().is_some_and(|body| body.len() > BODY_BYTES) {
            return Err(format!("the body is longer than {BODY_BYTES} bytes"));
        }
        let request = RequestSettings {
            version2: version.is_some(),
            method: method.map(|method| method.0),
            headers,
            body: body.map(|body| Secret::new(body.into())),
            grpc_service: grpc_service.map(Into::into),
        };
        Ok(Self { virtual_server, real_server, url, request: Arc::new(request) })
    }
}

/// As it is read, secrets included: it is kept for the process that checks.
impl Serialize for HttpCheckRule {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let RequestSettings { version2, method, headers, body, grpc_service } = &*self.request;
        let headers: BTreeMap<&str, &str> =
            headers.iter().map(|(name, value)| (name.as_str(), value.expose())).collect();
        let pattern = |pattern: &Option<NamePattern>| pattern.as_ref().map(|pattern| pattern.0.clone());
        let mut rule = to.serialize_struct("HttpCheckRule", Self::NAMES.len())?;
        rule.serialize_field("virtual-server", &pattern(&self.virtual_server))?;
        rule.serialize_field("real-server", &pattern(&self.real_server))?;
        rule.serialize_field("url", &pattern(&self.url))?;
        rule.serialize_field("version", &version2.then_some("2"))?;
        rule.serialize_field("method", &method.as_ref().map(Method::as_str))?;
        rule.serialize_field("headers", &headers)?;
        rule.serialize_field("body", &body.as_ref().map(|body| &**body.expose()))?;
        rule.serialize_field("grpc-service", grpc_service)?;
        rule.end()
    }
}

/// Where the rules are written, so that what is wrong with them beside keepalived.conf is said with its place.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct RuleText {
    name: String,
    text: String,
    rules: Vec<RulePlace>,
}

/// Where one is written: as a whole, and what chooses its checks.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
struct RulePlace {
    whole: Range<usize>,
    virtual_server: Option<Range<usize>>,
    real_server: Option<Range<usize>>,
    url: Option<Range<usize>>,
}

/// A part of a rule.
#[derive(Clone, Copy, Debug)]
pub(crate) enum RulePart {
    /// All of it.
    Whole,
    /// `virtual-server`.
    VirtualServer,
    /// `real-server`.
    RealServer,
    /// `url`.
    Url,
}

/// The texts among those of keepalived.conf.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RuleSource<'a> {
    text: &'a RuleText,
    file: Span,
}

impl RuleText {
    /// Finds the rules in a text that was understood.
    pub(super) fn find(name: &str, text: &str) -> Self {
        #[derive(Default, Deserialize)]
        #[serde(default)]
        struct File {
            checks: Checks,
        }
        #[derive(Default, Deserialize)]
        #[serde(default)]
        struct Checks {
            http: Vec<Spanned<Rule>>,
        }
        #[derive(Default, Deserialize)]
        #[serde(default, rename_all = "kebab-case")]
        struct Rule {
            virtual_server: Option<Spanned<IgnoredAny>>,
            real_server: Option<Spanned<IgnoredAny>>,
            url: Option<Spanned<IgnoredAny>>,
        }
        let file: File = toml::from_str(text).unwrap_or_default();
        let place = |value: &Option<Spanned<IgnoredAny>>| value.as_ref().map(Spanned::span);
        let rule = |rule: &Spanned<Rule>| RulePlace {
            whole: rule.span(),
            virtual_server: place(&rule.as_ref().virtual_server),
            real_server: place(&rule.as_ref().real_server),
            url: place(&rule.as_ref().url),
        };
        let rules = file.checks.http.iter().map(rule).collect();
        Self { name: name.to_owned(), text: text.to_owned(), rules }
    }

    /// Puts it among the other texts.
    pub(super) fn add_to<'a>(&'a self, sources: &mut SourceMap) -> Option<RuleSource<'a>> {
        let file = sources.add_file(&self.name, self.text.clone()).ok()?;
        Some(RuleSource { text: self, file })
    }
}

impl RuleSource<'_> {
    /// Where that part of a rule is, or the rule where it has no such part.
    pub(super) fn place(&self, rule: usize, part: RulePart) -> Option<Span> {
        let place = self.text.rules.get(rule)?;
        let part = match part {
            RulePart::Whole => &None,
            RulePart::VirtualServer => &place.virtual_server,
            RulePart::RealServer => &place.real_server,
            RulePart::Url => &place.url,
        };
        let range = part.as_ref().unwrap_or(&place.whole);
        // Of a whole rule, its first line: what follows may be secret.
        let text = self.text.text.get(range.clone())?;
        let length = text.find('\n').unwrap_or(text.len());
        Some(self.file.part(u32::try_from(range.start).ok()?, u32::try_from(length).ok()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_stand_for_any_characters() {
        let pattern = |text: &str| NamePattern::try_from(text.to_owned()).unwrap();
        for (text, name, matches) in [
            ("/", "/", true),
            ("/", "/x", false),
            ("*", "", true),
            ("/h*", "/health", true),
            ("/h*", "/", false),
            ("*.html", "/a.html", true),
            ("*.html", "/a.htm", false),
            ("/a*b*c", "/abc", true),
            ("/a*b*c", "/axbybzc", true),
            ("/a*b*c", "/acb", false),
            ("ab*ba", "aba", false),
            ("**", "x", true),
        ] {
            assert_eq!(pattern(text).matches(name), matches, "{text} {name}");
        }
        assert!(NamePattern::try_from(String::new()).is_err());
    }
}
