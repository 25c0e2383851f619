//! What `HTTP_GET` and `SSL_GET` do.

use core::fmt;
use core::ops::RangeInclusive;
use std::sync::Arc;

use super::probe::Connection;
use super::request::RequestSettings;

/// `HTTP_GET`, `SSL_GET`: all pages must be as expected.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct HttpCheck {
    /// Where it connects to.
    pub connection: Connection,
    /// Present for `SSL_GET`.
    pub tls: Option<TlsCheck>,
    /// `http_protocol`.
    pub version: HttpVersion,
    /// `fast_recovery`: no pause between pages while the server is down.
    pub fast_recovery: bool,
    /// `url`, never empty.
    pub urls: Vec<UrlCheck>,
}

/// TLS settings of `SSL_GET`.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct TlsCheck {
    /// `enable_sni`, `sni_name`.
    pub server_name: ServerName,
}

/// What the client says about the server it wants (RFC 6066 §3).
#[derive(Clone, Debug, Default, Eq, Hash, PartialEq)]
pub enum ServerName {
    /// Nothing.
    #[default]
    None,
    /// The Host of the page asked for.
    VirtualHost,
    /// This name.
    Name(Arc<str>),
}

/// Version in the request line.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub enum HttpVersion {
    /// `1.0`.
    #[default]
    V1_0,
    /// `1.0C`: 1.0 with `Connection: close`.
    V1_0Close,
    /// `1.1`, with `Connection: close`.
    V1_1,
}

/// `url`: one page and what it must be like.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct UrlCheck {
    /// `path`: target of the request.
    pub path: Arc<str>,
    /// `virtualhost` of the url, checker, real or virtual server; `None` = address and port.
    pub host: Option<Arc<str>>,
    /// `status_code`.
    pub status: StatusCodes,
    /// `digest`.
    pub digest: Option<BodyDigest>,
    /// `regex`.
    pub regex: Option<Box<RegexMatch>>,
    /// `tls_compliant`: TLS is closed with `close_notify`.
    pub close_notify: bool,
    /// What the request says beyond keepalived.conf; `None` = nothing.
    pub request: Option<Arc<RequestSettings>>,
}

impl UrlCheck {
    /// A page of which keepalived.conf says no more than its path: any success will do.
    pub fn new(path: &str) -> Self {
        Self {
            path: path.into(),
            host: None,
            status: StatusCodes::default(),
            digest: None,
            regex: None,
            close_notify: false,
            request: None,
        }
    }
}

/// MD5 of a page's body.
#[derive(Clone, Copy, Eq, Hash, PartialEq)]
pub struct BodyDigest(pub [u8; 16]);

impl fmt::Display for BodyDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for BodyDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BodyDigest({self})")
    }
}

/// Accepted status codes of HTTP: any set of 100 to 599.
#[derive(Clone, Copy, Eq, Hash, PartialEq)]
pub struct StatusCodes {
    /// Bit n of word w stands for 100 + 64w + n.
    bits: [u64; 8],
}

impl StatusCodes {
    /// Lowest code.
    pub const FIRST: u16 = 100;
    /// Highest code.
    pub const LAST: u16 = 599;
    /// None.
    pub const NONE: Self = Self { bits: [0; 8] };

    /// 200 to 299: what is accepted unless set.
    pub fn success() -> Self {
        let mut codes = Self::NONE;
        codes.insert(200..=299);
        codes
    }

    /// Adds codes; those outside of 100 to 599 are left out.
    pub fn insert(&mut self, codes: RangeInclusive<u16>) {
        for code in *codes.start().max(&Self::FIRST)..=*codes.end().min(&Self::LAST) {
            let index = usize::from(code - Self::FIRST);
            self.bits[index / 64] |= 1 << (index % 64);
        }
    }

    /// Whether a code is accepted.
    pub fn contains(&self, code: u16) -> bool {
        let Some(index) = code.checked_sub(Self::FIRST).map(usize::from) else { return false };
        self.bits.get(index / 64).is_some_and(|word| word >> (index % 64) & 1 == 1)
    }

    /// The codes as runs, in rising order.
    pub fn ranges(&self) -> Vec<RangeInclusive<u16>> {
        let mut ranges: Vec<RangeInclusive<u16>> = Vec::new();
        for code in (Self::FIRST..=Self::LAST).filter(|code| self.contains(*code)) {
            match ranges.last_mut() {
                Some(range) if *range.end() + 1 == code => *range = *range.start()..=code,
                _ => ranges.push(code..=code),
            }
        }
        ranges
    }
}

impl Default for StatusCodes {
    fn default() -> Self {
        Self::success()
    }
}

impl fmt::Debug for StatusCodes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StatusCodes")?;
        f.debug_list().entries(self.ranges()).finish()
    }
}

/// `regex…`: what the body must hold, or must not.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct RegexMatch {
    /// `regex`: a pattern of PCRE2, in bytes.
    pub pattern: Box<[u8]>,
    /// `regex_options`, sorted, each once.
    pub options: Vec<RegexOption>,
    /// `regex_no_match`: a match is a failure.
    pub must_not_match: bool,
    /// `regex_min_offset`: bytes of the body that are passed over.
    pub minimum_offset: u64,
    /// `regex_max_offset`: where a match may begin at the latest.
    pub maximum_offset: Option<u64>,
    /// `regex_stack`: first and largest size of the stack of compiled patterns, in bytes.
    pub stack: Option<(u64, u64)>,
}

impl RegexMatch {
    /// A pattern of PCRE2, in bytes, that must match anywhere.
    pub fn new(pattern: &str) -> Self {
        Self {
            pattern: pattern.as_bytes().into(),
            options: Vec::new(),
            must_not_match: false,
            minimum_offset: 0,
            maximum_offset: None,
            stack: None,
        }
    }
}

macro_rules! regex_options {
    ($($(#[$doc:meta])* $name:ident = $keyword:literal,)*) => {
        /// An option of PCRE2, by the name it has in `regex_options` (`pcre2api(3)`).
        #[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
        pub enum RegexOption {
            $($(#[$doc])* $name,)*
        }

        impl RegexOption {
            /// All.
            pub const ALL: [Self; [$($keyword),*].len()] = [$(Self::$name),*];

            /// The keyword.
            pub const fn keyword(self) -> &'static str {
                match self { $(Self::$name => $keyword),* }
            }
        }
    };
}

regex_options! {
    /// `PCRE2_ALLOW_EMPTY_CLASS`.
    AllowEmptyClass = "allow_empty_class",
    /// `PCRE2_ALT_BSUX`.
    AlternativeBsux = "alt_bsux",
    /// `PCRE2_AUTO_CALLOUT`.
    AutoCallout = "auto_callout",
    /// `PCRE2_CASELESS`.
    Caseless = "caseless",
    /// `PCRE2_DOLLAR_ENDONLY`.
    DollarEndOnly = "dollar_endonly",
    /// `PCRE2_DOTALL`.
    DotAll = "dotall",
    /// `PCRE2_DUPNAMES`.
    DuplicateNames = "dupnames",
    /// `PCRE2_EXTENDED`.
    Extended = "extended",
    /// `PCRE2_FIRSTLINE`.
    FirstLine = "firstline",
    /// `PCRE2_MATCH_UNSET_BACKREF`.
    MatchUnsetBackReference = "match_unset_backref",
    /// `PCRE2_MULTILINE`.
    MultiLine = "multiline",
    /// `PCRE2_NEVER_UCP`.
    NeverUcp = "never_ucp",
    /// `PCRE2_NEVER_UTF`.
    NeverUtf = "never_utf",
    /// `PCRE2_NO_AUTO_CAPTURE`.
    NoAutoCapture = "no_auto_capture",
    /// `PCRE2_NO_AUTO_POSSESS`.
    NoAutoPossess = "no_auto_possess",
    /// `PCRE2_NO_DOTSTAR_ANCHOR`.
    NoDotStarAnchor = "no_dotstar_anchor",
    /// `PCRE2_NO_START_OPTIMIZE`.
    NoStartOptimize = "no_start_optimize",
    /// `PCRE2_UCP`.
    Ucp = "ucp",
    /// `PCRE2_UNGREEDY`.
    Ungreedy = "ungreedy",
    /// `PCRE2_UTF`.
    Utf = "utf",
    /// `PCRE2_NEVER_BACKSLASH_C`.
    NeverBackslashC = "never_backslash_c",
    /// `PCRE2_ALT_CIRCUMFLEX`.
    AlternativeCircumflex = "alt_circumflex",
    /// `PCRE2_ALT_VERBNAMES`.
    AlternativeVerbNames = "alt_verbnames",
    /// `PCRE2_USE_OFFSET_LIMIT`.
    UseOffsetLimit = "use_offset_limit",
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_codes_keep_their_ends() {
        let mut codes = StatusCodes::NONE;
        codes.insert(599..=700);
        codes.insert(0..=100);
        codes.insert(404..=404);
        assert_eq!(codes.ranges(), [100..=100, 404..=404, 599..=599]);
        assert!(!codes.contains(600) && !codes.contains(99) && !codes.contains(611));
        assert_eq!(StatusCodes::default().ranges(), [200..=299]);
    }

    #[test]
    fn digest_prints_as_hex() {
        assert_eq!(BodyDigest([0xab; 16]).to_string(), "ab".repeat(16));
    }
}
