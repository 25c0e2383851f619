//! `alived.toml`: settings that keepalived does not have, so that keepalived can go on reading keepalived.conf.

use core::fmt;
use core::ops::Range;
use std::sync::Arc;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::Limits;
use super::diagnostics::{self, Diagnostic, Style};
use super::host::{Host, ReadError};
use super::http_checks::{HttpCheckRule, RuleText};
use super::http_settings::HttpSettings;
use super::schema::nearest;
use super::source::{SourceMap, Span};
use crate::notify::HookSettings;

/// Name of the file, which is looked for beside the configuration.
pub const SETTINGS_FILE: &str = "alived.toml";

/// Largest file that is read.
const FILE_BYTES: u64 = 1 << 20;

/// Priority of the vrrp thread unless configured: above every ordinary thread, below the kernel's threaded
/// interrupts (50), which it depends on.
const REALTIME_PRIORITY: u8 = 40;

/// Whether the vrrp thread asks for real-time scheduling.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(try_from = "RealtimeWord")]
pub enum Realtime {
    /// Nothing was said: it does.
    #[default]
    Default,
    /// Never.
    Off,
    /// `SCHED_FIFO` at this priority, 1 to 99.
    Priority(u8),
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "realtime takes \"off\" or a priority from 1 to 99")]
enum RealtimeWord {
    Number(i64),
    Word(String),
}

impl TryFrom<RealtimeWord> for Realtime {
    type Error = String;

    fn try_from(word: RealtimeWord) -> Result<Self, String> {
        let refused = |word: String| format!("realtime takes \"off\" or a priority from 1 to 99, not {word}");
        match word {
            RealtimeWord::Word(word) if word == "off" => Ok(Self::Off),
            RealtimeWord::Word(word) => Err(refused(format!("{word:?}"))),
            RealtimeWord::Number(number) => match u8::try_from(number) {
                Ok(priority @ 1..=99) => Ok(Self::Priority(priority)),
                _ => Err(refused(number.to_string())),
            },
        }
    }
}

/// As it is read. The default has no word.
impl Serialize for Realtime {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Default => to.serialize_none(),
            Self::Off => to.serialize_str("off"),
            Self::Priority(priority) => to.serialize_u8(*priority),
        }
    }
}

impl Realtime {
    const fn is_default(&self) -> bool {
        matches!(self, Self::Default)
    }

    /// This, or what `otherwise` says where this says nothing.
    pub const fn or(self, otherwise: Self) -> Self {
        match self {
            Self::Default => otherwise,
            said => said,
        }
    }

    /// The priority that is meant, 1 to 99; `None` = ordinary scheduling.
    pub const fn priority(self) -> Option<u8> {
        match self {
            Self::Default => Some(REALTIME_PRIORITY),
            Self::Off => None,
            Self::Priority(priority) => Some(priority),
        }
    }
}

/// Whether the processes that serve packets give up what they never do.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Sandbox(pub bool);

impl Default for Sandbox {
    fn default() -> Self {
        Self(true)
    }
}

/// What `alived.toml` says. An empty or absent file says nothing.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct OwnSettings {
    /// `realtime`: wins over `vrrp_rt_priority` of keepalived.conf.
    #[serde(skip_serializing_if = "Realtime::is_default")]
    pub realtime: Realtime,
    /// `sandbox`: the workers give up what they never do.
    pub sandbox: Sandbox,
    /// `[limits]`: what reading keepalived.conf may cost.
    pub limits: Limits,
    /// `[scripts]`: how scripts are run.
    pub scripts: Scripts,
    /// `[hooks]`: how scripts are told of events.
    pub hooks: HookSettings,
    /// `[reload]`: which configurations a reload takes.
    pub reload: ReloadSettings,
    /// `[checks]`: how real servers are checked.
    pub checks: CheckSettings,
    /// `[http]`: metrics and the status page.
    pub http: HttpSettings,
    /// `[drain]`: how real servers are taken out of service.
    pub drain: DrainSettings,
    /// `[record]`: what reaches the virtual routers is recorded.
    pub record: RecordSettings,
    /// Where `[[checks.http]]` are written, if there are any and the file was read.
    #[serde(skip)]
    pub(crate) rule_text: Option<Arc<RuleText>>,
}

impl OwnSettings {
    /// Without what may be a secret.
    pub(crate) fn without_secrets(&self) -> Self {
        let mut shown = self.clone();
        shown.checks.http = shown.checks.http.iter().map(HttpCheckRule::without_secrets).collect();
        shown
    }
}

/// What reaches the virtual routers is recorded, for `alived replay`.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct RecordSettings {
    /// `always`: from the start of the daemon on.
    pub always: bool,
    /// `folder`: absolute path of that of the files.
    #[serde(deserialize_with = "record_folder")]
    pub folder: String,
    /// `size`: MiB of all files together, 4 to [`RecordSettings::SIZE_MAX`].
    #[serde(deserialize_with = "record_size")]
    pub size: u32,
}

impl RecordSettings {
    /// A tebibyte, in MiB.
    pub const SIZE_MAX: u32 = 1 << 20;
    /// In MiB.
    const SIZE_MIN: u32 = 4;

    const NAMES: [&'static str; 3] = ["always", "folder", "size"];
}

impl Default for RecordSettings {
    fn default() -> Self {
        Self { always: false, folder: "/var/lib/alived".to_owned(), size: 64 }
    }
}

fn record_folder<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    let folder = String::deserialize(from)?;
    match folder.starts_with('/') {
        true => Ok(folder),
        false => Err(D::Error::custom(format!("folder takes an absolute path, not {folder:?}"))),
    }
}

fn record_size<'de, D: Deserializer<'de>>(from: D) -> Result<u32, D::Error> {
    let number = i64::deserialize(from)?;
    let sizes = RecordSettings::SIZE_MIN..=RecordSettings::SIZE_MAX;
    u32::try_from(number).ok().filter(|number| sizes.contains(number)).ok_or_else(|| {
        D::Error::custom(format!("size takes MiB from {} to {}, not {number}", sizes.start(), sizes.end()))
    })
}

/// How real servers are taken out of service.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct DrainSettings {
    /// `limit`: seconds that the connections of one are waited for, 1 to [`DrainSettings::LIMIT_MAX`].
    #[serde(deserialize_with = "drain_limit")]
    pub limit: u32,
    /// `leaving`: one that leaves the configuration keeps its connections for so long, too.
    pub leaving: bool,
    /// `expire-dead`: the kernel forgets the connections of one that is removed at once
    /// (`net.ipv4.vs.expire_nodest_conn`).
    pub expire_dead: bool,
}

impl DrainSettings {
    /// A week, in seconds.
    pub const LIMIT_MAX: u32 = 604_800;

    const NAMES: [&'static str; 3] = ["limit", "leaving", "expire-dead"];
}

impl Default for DrainSettings {
    fn default() -> Self {
        Self { limit: 60, leaving: true, expire_dead: false }
    }
}

fn drain_limit<'de, D: Deserializer<'de>>(from: D) -> Result<u32, D::Error> {
    let number = i64::deserialize(from)?;
    let limit = u32::try_from(number).ok().filter(|number| (1..=DrainSettings::LIMIT_MAX).contains(number));
    limit.ok_or_else(|| {
        D::Error::custom(format!(
            "limit takes a number of seconds from 1 to {}, not {number}",
            DrainSettings::LIMIT_MAX
        ))
    })
}

/// How real servers are checked.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct CheckSettings {
    /// `verify-certificates`: a server whose certificate does not lead to the `ca` of `SSL`, or to an authority of this
    /// host where that names none, or is not for the name that was asked for (its address where none was), is down.
    pub verify_certificates: bool,
    /// `[[checks.http]]`: what requests of HTTP say beyond keepalived.conf.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub http: Vec<HttpCheckRule>,
}

impl CheckSettings {
    const NAMES: [&'static str; 1] = ["verify-certificates"];
}

/// Which configurations a reload takes.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct ReloadSettings {
    /// `allow-empty`: also one without any virtual router, which stops all that run. It may be a file that is just
    /// being written.
    pub allow_empty: bool,
}

impl ReloadSettings {
    const NAMES: [&'static str; 1] = ["allow-empty"];
}

/// How scripts are run.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Scripts {
    /// `at-once`: how many of one worker run at a time, 1 to [`Scripts::AT_ONCE_MAX`].
    #[serde(deserialize_with = "at_once")]
    pub at_once: u32,
    /// `prepare`: the process that starts them is there from the start on, not only from the first script on.
    pub prepare: bool,
}

impl Scripts {
    /// Each that runs takes a descriptor, of which a process commonly has 1,024.
    pub const AT_ONCE_MAX: u32 = 1000;

    const NAMES: [&'static str; 2] = ["at-once", "prepare"];
}

impl Default for Scripts {
    fn default() -> Self {
        Self { at_once: 256, prepare: false }
    }
}

fn at_once<'de, D: Deserializer<'de>>(from: D) -> Result<u32, D::Error> {
    let number = i64::deserialize(from)?;
    u32::try_from(number).ok().filter(|number| (1..=Scripts::AT_ONCE_MAX).contains(number)).ok_or_else(|| {
        D::Error::custom(format!("at-once takes a number from 1 to {}, not {number}", Scripts::AT_ONCE_MAX))
    })
}

/// Why the settings cannot be used.
#[derive(Debug)]
pub struct SettingsFault {
    fault: Box<(Diagnostic, SourceMap)>,
}

impl SettingsFault {
    /// In full, for people.
    pub fn render(&self, style: Style) -> String {
        diagnostics::render(&self.fault.0, &self.fault.1, style)
    }

    /// A JSON array of one object, as of the diagnostics of keepalived.conf.
    pub fn to_json(&self) -> String {
        diagnostics::to_json(core::slice::from_ref(&self.fault.0), &self.fault.1)
    }

    /// What `-t` exits with if nothing else is wrong.
    pub fn exit_code(&self) -> u8 {
        self.fault.0.status.map_or(0, diagnostics::Status::exit_code)
    }

    fn without_place(message: String, help: &str) -> Self {
        let diagnostic = Diagnostic::fatal("settings-file", message).help(help);
        Self { fault: Box::new((diagnostic, SourceMap::default())) }
    }
}

/// One line, for a log.
impl fmt::Display for SettingsFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&diagnostics::one_line(&self.fault.0, &self.fault.1))
    }
}

/// Where the settings for a configuration are unless a file is named.
pub fn settings_file_beside(configuration: &str) -> String {
    match configuration.rsplit_once('/') {
        Some((folder, _)) => format!("{folder}/{SETTINGS_FILE}"),
        None => SETTINGS_FILE.to_owned(),
    }
}

/// Reads the settings from the file `named`, which must exist, or from one beside the `configuration`, if
/// there is one.
///
/// # Errors
/// When the file cannot be read or has anything wrong: a setting that is not understood is not passed over.
pub fn load_settings(
    host: &dyn Host,
    named: Option<&str>,
    configuration: &str,
) -> Result<OwnSettings, SettingsFault> {
    let path = named.map_or_else(|| settings_file_beside(configuration), str::to_owned);
    let refused = |why: &str, help: &str| {
        Err(SettingsFault::without_place(format!("the settings `{path}` {why}"), help))
    };
    match host.read_file(&path, FILE_BYTES) {
        Ok(bytes) => read(&path, bytes),
        Err(ReadError::NotFound) if named.is_none() => Ok(OwnSettings::default()),
        Err(ReadError::NotFound) => {
            refused("do not exist", "name an existing file with --settings, or leave the flag out")
        }
        Err(ReadError::NotRegular(what)) => {
            refused(&format!("are {what}"), "only a regular file can be read: put one there, or nothing")
        }
        Err(ReadError::Executable) => {
            refused("have an execute permission", "take it away (chmod -x): nothing here is executed")
        }
        Err(ReadError::TooLarge(bytes)) => {
            refused(&format!("are {bytes} bytes long, more than {FILE_BYTES}"), "is it the right file?")
        }
        Err(ReadError::Other(why)) => refused(
            &format!("cannot be read: {why}"),
            "make the file readable for the user that runs the daemon",
        ),
    }
}

/// Understands the text of a file of this name.
fn read(name: &str, bytes: Vec<u8>) -> Result<OwnSettings, SettingsFault> {
    let (text, place) = match String::from_utf8(bytes) {
        Ok(text) => (text, None),
        Err(error) => {
            let at = error.utf8_error().valid_up_to();
            (String::from_utf8_lossy(error.as_bytes()).into_owned(), Some(at))
        }
    };
    if let Some(at) = place {
        let fault = Diagnostic::fatal("settings-syntax", "the settings are no UTF-8")
            .help("write non-ASCII characters in UTF-8");
        return Err(at_place(name, text, Some(at..at + 1), fault));
    }
    let mut own: OwnSettings = match toml::from_str(&text) {
        Ok(own) => own,
        Err(error) => {
            let range = error.span();
            let word = range.clone().and_then(|range| text.get(range)).unwrap_or_default().to_owned();
            let fault = explain(&error, &word);
            return Err(at_place(name, text, range, fault));
        }
    };
    if !own.checks.http.is_empty() {
        own.rule_text = Some(Arc::new(RuleText::find(name, &text)));
    }
    Ok(own)
}

/// Of all settings, whichever table they are in.
fn names() -> impl Iterator<Item = &'static str> {
    ["realtime", "sandbox"]
        .into_iter()
        .chain(HttpSettings::NAMES)
        .chain(DrainSettings::NAMES)
        .chain(RecordSettings::NAMES)
        .chain(CheckSettings::NAMES)
        .chain(HttpCheckRule::NAMES)
        .chain(ReloadSettings::NAMES)
        .chain(Scripts::NAMES)
        .chain(HookSettings::NAMES)
        .chain(Limits::NAMES.map(|(name, _)| name))
}

fn explain(error: &toml::de::Error, word: &str) -> Diagnostic {
    // serde's words for a key that no field has.
    if error.message().starts_with("unknown field") {
        let fault = Diagnostic::fatal("unknown-setting", format!("there is no setting `{word}`"));
        let tables = ["limits", "scripts", "hooks", "reload", "checks", "http", "drain", "record"];
        return match nearest(word, names().chain(tables)) {
            Some(name) => fault.help(format!("did you mean `{name}`?")),
            None => fault.help(
                "there are `realtime`, in the table [scripts] `at-once` and `prepare`, in the table [hooks] `limit`, `waiting`, `at-stop` \
                 and `json`, in the table [reload] `allow-empty`, in the table [checks] `verify-certificates` and in its tables [[checks.http]] `virtual-server`, `real-server`, `url`, `version`, `method`, `headers`, `body` and `grpc-service`, in the table [http] `address`, `hosts` and `user`, in the table [drain] `limit`, `leaving` and `expire-dead`, in the table [record] `always`, `folder` and `size`, and in the table [limits] those of `alived check --help`; \
                 what keepalived knows belongs into keepalived.conf",
            ),
        };
    }
    Diagnostic::fatal("settings-syntax", error.message().trim().replace('\n', "; "))
}

fn at_place(name: &str, text: String, range: Option<Range<usize>>, fault: Diagnostic) -> SettingsFault {
    let mut sources = SourceMap::new();
    let span = sources.add_file(name, text).ok().zip(range).and_then(|(file, range): (Span, _)| {
        let start = u32::try_from(range.start).ok()?;
        Some(file.part(start, u32::try_from(range.len()).ok()?))
    });
    SettingsFault { fault: Box::new((Diagnostic { span, ..fault }, sources)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::FakeHost;

    fn settings(text: &str) -> Result<OwnSettings, SettingsFault> {
        let host = FakeHost::with_file("/etc/keepalived/alived.toml", text);
        load_settings(&host, None, "/etc/keepalived/keepalived.conf")
    }

    const RULES: &str = "[[checks.http]]\nvirtual-server = '10.0.0.1:443'\nreal-server = '192.168.1.*'\nurl = '/a*'\n\
                         version = '2'\nmethod = 'PUT'\nbody = 'x'\nheaders = { X-Key = 'hunter2', Accept = '*/*' }\n\
                         [[checks.http]]\ngrpc-service = ''\n";

    fn fault(text: &str) -> String {
        settings(text).unwrap_err().to_string()
    }

    #[test]
    fn what_is_said_holds_and_the_rest_stays_at_its_default() {
        assert_eq!(settings("").unwrap(), OwnSettings::default());
        assert_eq!(settings("realtime = 'off'\n").unwrap().realtime, Realtime::Off);
        let read = settings("realtime = 55\n[limits]\nfile-bytes = 7\n").unwrap();
        let limits = Limits { file_bytes: 7, ..Limits::default() };
        let scripts = Scripts::default();
        assert_eq!(
            read,
            OwnSettings { realtime: Realtime::Priority(55), limits, scripts, ..OwnSettings::default() }
        );
        let read = settings("[scripts]\nprepare = true\nat-once = 1000\n").unwrap().scripts;
        assert_eq!(read, Scripts { at_once: 1000, prepare: true });
    }

    #[test]
    fn what_is_written_is_read_again() {
        for realtime in [Realtime::Default, Realtime::Off, Realtime::Priority(7)] {
            let scripts = Scripts { at_once: 3, prepare: true };
            let limits = Limits { files: 9, ..Limits::default() };
            let reload = ReloadSettings { allow_empty: true };
            let hooks = HookSettings { limit: 1, waiting: 2, at_stop: 0, json: true };
            let checks =
                CheckSettings { verify_certificates: true, http: settings(RULES).unwrap().checks.http };
            let http = HttpSettings {
                address: "[::1]:9165".parse().unwrap(),
                hosts: vec!["ha.example".to_owned()],
                user: "metrics".to_owned(),
            };
            let drain = DrainSettings { limit: 9, leaving: false, expire_dead: true };
            let record = RecordSettings { always: true, folder: "/srv/rec".to_owned(), size: 4 };
            let own = OwnSettings {
                realtime,
                sandbox: Sandbox(false),
                limits,
                scripts,
                hooks,
                reload,
                checks,
                http,
                drain,
                record,
                rule_text: None,
            };
            let text = serde_json::to_string(&own).unwrap();
            assert_eq!(serde_json::from_str::<OwnSettings>(&text).unwrap(), own, "{text}");
        }
    }

    #[test]
    fn every_limit_of_the_command_line_is_a_setting() {
        for (name, _) in Limits::NAMES {
            let mut limits = Limits::default();
            limits.set(&format!("{name}=7")).unwrap();
            assert_eq!(settings(&format!("limits.{name} = 7")).unwrap().limits, limits);
        }
    }

    #[test]
    fn faults_are_said_with_their_place() {
        let place = "/etc/keepalived/alived.toml:2";
        for (text, position, words) in [
            ("\nrealtme = 5", ":1: ", "there is no setting `realtme`; did you mean `realtime`?"),
            ("[limits]\nfile-byte = 5", ":1: ", "did you mean `file-bytes`?"),
            ("\nbanana = 5", ":1: ", "belongs into keepalived.conf"),
            ("\nrealtime = 100", ":12: ", "a priority from 1 to 99, not 100"),
            ("\nrealtime = 'of'", ":12: ", "a priority from 1 to 99, not \"of\""),
            ("\nrealtime = true", ":12: ", "a priority from 1 to 99"),
            ("\nlimits.block-depth = 201", ":22: ", "200 at most"),
            ("\nlimits.files = -1", ":16: ", "-1"),
            ("\nscripts.at-once = 0", ":19: ", "a number from 1 to 1000, not 0"),
            ("\nscripts.at-once = 1001", ":19: ", "a number from 1 to 1000, not 1001"),
            ("[scripts]\nprepared = true", ":1: ", "did you mean `prepare`?"),
            ("\nhooks.limit = 0", ":15: ", "a number from 1 to 86400, not 0"),
            ("[hooks]\nat-stops = 1", ":1: ", "did you mean `at-stop`?"),
            ("\ndrain.limit = 0", ":15: ", "a number of seconds from 1 to 604800, not 0"),
            ("[drain]\nleavin = true", ":1: ", "did you mean `leaving`?"),
            ("\nrecord.size = 3", ":15: ", "MiB from 4 to 1048576, not 3"),
            ("\nrecord.folder = 'here'", ":17: ", "an absolute path, not \"here\""),
            ("[[checks.http]]\nversio = '2'", ":1: ", "did you mean `version`?"),
            ("[[checks.http]]\nversion = '1.1'", ":11: ", "http_protocol in keepalived.conf"),
            ("[[checks.http]]\nversion = '3'", ":11: ", "version takes \"2\", not \"3\""),
            ("[[checks.http]]\nmethod = 'get'", ":10: ", "did you mean \"GET\"?"),
            ("[[checks.http]]\nheaders = { Host = 'x' }", ":", "virtualhost of keepalived.conf"),
            ("[[checks.http]]\nheaders = { X = 'ä' }", ":", "printable characters"),
            ("\n[[checks.http]]\nurl = '/'", ":1: ", "this changes nothing: set version"),
            ("\n[[checks.http]]\ngrpc-service = ''\nbody = ''", ":1: ", "take method and body out"),
            ("\n[[checks.http]]\nheaders = { x = '1', X = '2' }", ":1: ", "is there twice"),
            ("[[checks.http]]\nurl = ''", ":7: ", "leave the line out"),
            ("\nrealtime 5", ":", "error"),
            ("realtime = 5\nrealtime = 5", ":1: ", "duplicate"),
        ] {
            let fault = fault(text);
            assert!(fault.starts_with(&format!("{place}{position}")) && fault.contains(words), "{fault}");
        }
        let host = FakeHost::with_file("/alived.toml", b"realtime = 5\n# \xff".as_slice());
        let fault = load_settings(&host, None, "/keepalived.conf").unwrap_err();
        assert!(fault.to_string().starts_with("/alived.toml:2:3: "), "{fault}");
        assert!(fault.render(Style::default()).contains("2 | #"), "{fault}");
    }

    #[test]
    fn the_example_shows_every_setting_with_its_default() {
        let example = include_str!("../../conf/alived.toml");
        // The only one that it sets.
        let http = HttpSettings { address: "127.0.0.1:9165".parse().unwrap(), ..HttpSettings::default() };
        assert_eq!(settings(example).unwrap(), OwnSettings { http, ..OwnSettings::default() });
        let uncomment = |line: &str| match line.strip_prefix('#') {
            Some(setting) if !setting.starts_with(' ') => format!("{setting}\n"),
            _ => format!("{line}\n"),
        };
        let all: String = example.lines().map(uncomment).collect();
        let read = settings(&all).unwrap();
        assert_eq!(read.realtime, Realtime::Priority(REALTIME_PRIORITY));
        assert_eq!(read.limits, Limits::default());
        assert_eq!(read.scripts, Scripts::default());
        assert_eq!(read.hooks, HookSettings::default());
        assert_eq!(read.drain, DrainSettings::default());
        for name in names() {
            assert!(all.lines().any(|line| line.starts_with(&format!("{name} = "))), "{name}");
        }
    }

    #[test]
    fn the_example_has_every_setting_of_the_code() {
        let example = include_str!("../../conf/alived.toml");
        let lines: Vec<&str> = example.lines().map(|line| line.strip_prefix('#').unwrap_or(line)).collect();
        let own = OwnSettings { realtime: Realtime::Priority(REALTIME_PRIORITY), ..OwnSettings::default() };
        let serde_json::Value::Object(own) = serde_json::to_value(own).unwrap() else { panic!() };
        for (name, value) in &own {
            let Some(settings) = value.as_object() else {
                assert!(lines.iter().any(|line| line.starts_with(&format!("{name} = "))), "{name}");
                continue;
            };
            let table =
                lines.iter().position(|line| line.split_whitespace().next() == Some(&format!("[{name}]")));
            let table = table.unwrap_or_else(|| panic!("[{name}]"));
            let end =
                lines[table + 1..].iter().position(|line| line.starts_with('[')).map(|end| table + 1 + end);
            let lines = &lines[table..end.unwrap_or(lines.len())];
            for setting in settings.keys() {
                assert!(
                    lines.iter().any(|line| line.starts_with(&format!("{setting} = "))),
                    "{name}.{setting}"
                );
            }
        }
    }

    #[test]
    fn what_may_be_secret_is_left_out_of_what_is_shown() {
        let own = settings(RULES).unwrap();
        assert_eq!(own.checks.http.len(), 2);
        assert!(serde_json::to_string(&own).unwrap().contains("hunter2"));
        let shown = serde_json::to_string(&own.without_secrets()).unwrap();
        assert!(shown.contains("X-Key") && !shown.contains("hunter2") && !shown.contains("*/*"), "{shown}");
    }

    #[test]
    fn a_file_that_is_named_must_exist() {
        let host = FakeHost::with_file("/a/k.conf", "");
        assert_eq!(load_settings(&host, None, "/a/k.conf").unwrap(), OwnSettings::default());
        let fault = load_settings(&host, Some("/b/own.toml"), "/a/k.conf").unwrap_err();
        assert!(fault.to_string().contains("`/b/own.toml` do not exist"), "{fault}");
        assert_eq!(fault.exit_code(), 4);
        assert_eq!(settings_file_beside("k.conf"), "alived.toml");
    }
}
