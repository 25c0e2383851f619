//! What a request of `HTTP_GET` or `SSL_GET` says that keepalived.conf has no keywords for (`[[checks.http]]` of
//! alived.toml).

use core::str::FromStr;
use std::sync::Arc;

use crate::secret::Secret;

/// Longest method, name or value of a field, and service, in bytes.
const WORD_BYTES: usize = 4096;

/// Fields that the connection or other settings decide about, and what decides.
const TAKEN: [(&str, &str); 9] = [
    ("host", "virtualhost of keepalived.conf names the host"),
    ("content-length", "it follows from the body"),
    ("transfer-encoding", "a body is sent whole"),
    ("connection", "http_protocol of keepalived.conf decides about the connection"),
    ("keep-alive", "each check has a connection of its own"),
    ("proxy-connection", "each check has a connection of its own"),
    ("upgrade", "version = \"2\" speaks HTTP/2 from the first byte"),
    ("te", "it is set where gRPC needs it"),
    ("trailer", "no trailers are sent"),
];

/// What is said beyond keepalived.conf. Without anything, a request is as keepalived's.
#[derive(Clone, Debug, Default, Eq, Hash, PartialEq)]
pub struct RequestSettings {
    /// `version = "2"`: HTTP/2 (RFC 9113), with TLS by ALPN, else with prior knowledge.
    pub version2: bool,
    /// `method`; `None` = GET, or POST with a body.
    pub method: Option<Method>,
    /// `headers`: fields in this order, each name once.
    pub headers: Vec<(FieldName, FieldValue)>,
    /// `body` of the request. May hold a secret, as a field may.
    pub body: Option<Secret<Arc<str>>>,
    /// `grpc-service`: the health of this service is asked for (`grpc.health.v1.Health/Check`), of the server as a whole
    /// where it is empty.
    pub grpc_service: Option<Arc<str>>,
}

impl RequestSettings {
    /// Whether HTTP/2 is spoken.
    pub fn http2(&self) -> bool {
        self.version2 || self.grpc_service.is_some()
    }

    /// The method of the request.
    pub fn method(&self) -> &str {
        match &self.method {
            Some(method) => &method.0,
            None if self.body.is_some() || self.grpc_service.is_some() => "POST",
            None => "GET",
        }
    }

    /// Whether it sets this field, whose name is in lower case.
    pub(super) fn names(&self, field: &str) -> bool {
        self.headers.iter().any(|(name, _)| name.0.eq_ignore_ascii_case(field))
    }
}

/// A method (RFC 9110 §9), such as `OPTIONS`.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Method(Arc<str>);

/// The name of a field of the head (RFC 9110 §5.1).
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct FieldName(Arc<str>);

/// The value of a field of the head (RFC 9110 §5.5), which may be a secret.
#[derive(Clone, Debug, Default, Eq, Hash, PartialEq)]
pub struct FieldValue(Secret<Arc<str>>);

/// `token` of RFC 9110 §5.6.2.
fn is_token(text: &str) -> bool {
    let is_fit = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    (1..=WORD_BYTES).contains(&text.len()) && text.bytes().all(is_fit)
}

impl FromStr for Method {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if !is_token(text) {
            return Err(format!(
                "{text:?} is no method of HTTP: use a word such as GET, HEAD, POST or OPTIONS"
            ));
        }
        if text.bytes().any(|byte| byte.is_ascii_lowercase()) {
            let upper = text.to_ascii_uppercase();
            return Err(format!("methods are in capitals: did you mean {upper:?}?"));
        }
        match text {
            "CONNECT" => Err("CONNECT asks for a tunnel, not for an answer that can be judged".to_owned()),
            _ => Ok(Self(text.into())),
        }
    }
}

impl Method {
    /// The word.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for FieldName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some((_, why)) = TAKEN.iter().find(|(name, _)| name.eq_ignore_ascii_case(text)) {
            return Err(format!("the header {text:?} cannot be set: {why}"));
        }
        if !is_token(text) {
            return Err(format!(
                "{text:?} is no name of a header: use letters, digits and hyphens, such as X-Health-Check"
            ));
        }
        Ok(Self(text.into()))
    }
}

impl FieldName {
    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for FieldValue {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let is_fit = |byte: u8| matches!(byte, b' '..=b'~' | b'\t');
        let trimmed = text.trim_matches([' ', '\t']);
        if text.len() > WORD_BYTES || trimmed != text || !text.bytes().all(is_fit) {
            // Not shown: it may be a secret.
            return Err(format!(
                "the value of a header takes up to {WORD_BYTES} printable characters of ASCII, without blanks at its ends"
            ));
        }
        Ok(Self(Secret::new(text.into())))
    }
}

impl FieldValue {
    /// The value, to be sent.
    pub fn expose(&self) -> &str {
        self.0.expose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_break_a_request_is_refused() {
        for (text, words) in [
            ("", "no method"),
            ("GET /", "no method"),
            ("get", "did you mean \"GET\"?"),
            ("CONNECT", "a tunnel"),
            ("A\r\nB", "no method"),
        ] {
            let why = text.parse::<Method>().unwrap_err();
            assert!(why.contains(words), "{text:?}: {why}");
        }
        for (text, words) in
            [("", "no name"), ("a b", "no name"), ("X:", "no name"), ("Host", "virtualhost"), ("TE", "gRPC")]
        {
            let why = text.parse::<FieldName>().unwrap_err();
            assert!(why.contains(words), "{text:?}: {why}");
        }
        for text in ["a\r\nb: c", " a", "a ", "ä", "\0", &"x".repeat(WORD_BYTES + 1)] {
            let why = text.parse::<FieldValue>().unwrap_err();
            assert!(why.contains("printable"), "{text:?}: {why}");
        }
        assert_eq!("PROPFIND".parse::<Method>().unwrap().as_str(), "PROPFIND");
        assert_eq!("x-Key".parse::<FieldName>().unwrap().as_str(), "x-Key");
        let value: FieldValue = "Bearer hunter2".parse().unwrap();
        assert_eq!(value.expose(), "Bearer hunter2");
        assert!(!format!("{value:?}").contains("hunter2"));
    }

    #[test]
    fn a_body_is_posted_unless_the_method_says_otherwise() {
        let mut request = RequestSettings::default();
        assert_eq!((request.method(), request.http2()), ("GET", false));
        request.body = Some(Secret::new("x".into()));
        assert_eq!(request.method(), "POST");
        request.method = Some("PUT".parse().unwrap());
        assert_eq!(request.method(), "PUT");
        let grpc = RequestSettings { grpc_service: Some("".into()), ..RequestSettings::default() };
        assert_eq!((grpc.method(), grpc.http2()), ("POST", true));
    }
}
