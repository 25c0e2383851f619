//! `genhash`: the digest of a page, for `digest` of a check. keepalived's tool of that name.

use core::net::IpAddr;
use core::num::NonZeroU16;
use std::ffi::OsString;
use std::io::Write as _;
use std::process::ExitCode;
use std::time::Instant;

use clap::Parser as _;

use crate::check::{Connection, HttpCheck, HttpVersion, ServerName, Target, TlsCheck, UrlCheck};
use crate::daemon;
use crate::time::Duration;

/// Exit status where there is no digest; keepalived's is 0 unless the command line is bad.
const EXIT_FAILURE: u8 = 1;

/// Tell the digest of a page, for `digest` of HTTP_GET and SSL_GET
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Connect with TLS
    #[arg(short = 'S', long)]
    use_ssl: bool,
    /// Ask for the server by the name of the virtual host (SNI)
    #[arg(short = 'I', long)]
    use_sni: bool,
    /// Address of the server
    #[arg(short, long, value_name = "ADDRESS")]
    server: IpAddr,
    /// Port of the server [default: 80, with TLS 443]
    #[arg(short, long, value_name = "PORT")]
    port: Option<NonZeroU16>,
    /// Path of the page
    #[arg(short, long, value_name = "PATH")]
    url: String,
    /// Host of the request [default: address and port]
    #[arg(short = 'V', long, value_name = "HOST")]
    use_virtualhost: Option<String>,
    /// Show what comes
    #[arg(short, long)]
    verbose: bool,
    /// Mark of the packets
    #[arg(short = 'm', long, value_name = "NUMBER", default_value_t = 0)]
    fwmark: u32,
    /// 1.0, 1.0c (with `Connection: close`) or 1.1
    #[arg(short = 'P', long, value_name = "VERSION", default_value = "1.0", value_parser = version)]
    protocol: HttpVersion,
    /// Limit of all of it, in seconds
    #[arg(short, long, value_name = "SECONDS", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    timeout: u32,
}

fn version(word: &str) -> Result<HttpVersion, String> {
    match word {
        "1.0" => Ok(HttpVersion::V1_0),
        "1.0c" | "1.0C" => Ok(HttpVersion::V1_0Close),
        "1.1" => Ok(HttpVersion::V1_1),
        _ => Err("versions are 1.0, 1.0c and 1.1".to_owned()),
    }
}

#[derive(Debug, clap::Parser)]
#[command(name = "genhash", max_term_width = 110)]
struct CommandLine {
    #[command(flatten)]
    arguments: Arguments,
}

/// The program under the name of `genhash`: its arguments.
pub(super) fn main(arguments: impl Iterator<Item = OsString>) -> ExitCode {
    match CommandLine::try_parse_from(core::iter::once("genhash".into()).chain(arguments)) {
        Ok(line) => run(&line.arguments),
        Err(refusal) => {
            // A closed pipe is no error of ours.
            let _ = refusal.print();
            ExitCode::from(if refusal.use_stderr() { super::EXIT_USAGE } else { 0 })
        }
    }
}

/// The subcommand.
pub(super) fn run(arguments: &Arguments) -> ExitCode {
    let start = Instant::now();
    let mut shown = arguments.verbose.then(Shown::default);
    let fetched = daemon::checks::fetch(&check(arguments), target(arguments), |bytes| {
        if let Some(shown) = &mut shown {
            shown.take(bytes);
        }
    });
    if let Some(shown) = &mut shown {
        shown.end();
    }
    let digests = match fetched {
        Ok(digests) => digests,
        Err(why) => {
            super::say(&format!("genhash: {why}\n"));
            return ExitCode::from(EXIT_FAILURE);
        }
    };
    if arguments.verbose {
        super::print("\n");
        headline("    HTML hash resulting    ");
        let mut digest = Shown::default();
        digest.dump(&digests.raw.0);
        digest.end();
        headline(" HTML hash final resulting ");
    }
    super::print(&format!("{}\n", digests.raw));
    if arguments.verbose {
        let url = &arguments.url;
        super::print(&format!(
            "\nGlobal response time for [{url}] = {} usecs\n",
            start.elapsed().as_micros()
        ));
    }
    if digests.raw != digests.content {
        super::say(&format!(
            "genhash: the page came in chunks, and this is its digest with their sizes, as keepalived takes it. alived takes \
             that of the content, too, however it is cut: {}\n",
            digests.content
        ));
    }
    ExitCode::SUCCESS
}

fn check(arguments: &Arguments) -> HttpCheck {
    let server_name = if arguments.use_sni { ServerName::VirtualHost } else { ServerName::None };
    HttpCheck {
        connection: Connection {
            timeout: Duration::from_secs(arguments.timeout.into()),
            mark: arguments.fwmark,
            ..Connection::default()
        },
        tls: arguments.use_ssl.then_some(TlsCheck { server_name }),
        version: arguments.protocol,
        fast_recovery: false,
        urls: vec![UrlCheck {
            host: arguments.use_virtualhost.as_deref().map(Into::into),
            close_notify: true,
            ..UrlCheck::new(&arguments.url)
        }],
    }
}

fn target(arguments: &Arguments) -> Target {
    let usual = if arguments.use_ssl { 443 } else { 80 };
    Target { address: arguments.server, port: arguments.port.or_else(|| NonZeroU16::new(usual)) }
}

fn headline(text: &str) {
    super::print(&format!("-----------------------[{text}]-----------------------\n"));
}

/// What has come, shown as it comes: the head as bytes and as text, the body as bytes.
#[derive(Debug, Default)]
struct Shown {
    head: Vec<u8>,
    in_body: bool,
    /// Bytes of the line that is not full.
    line: Vec<u8>,
    offset: u64,
}

/// A head longer than this is shown as far.
const HEAD: usize = 256 * 1024;

impl Shown {
    fn take(&mut self, bytes: &[u8]) {
        if self.in_body {
            return self.dump(bytes);
        }
        let before = self.head.len();
        self.head.extend_from_slice(bytes);
        let end = memchr::memmem::find(&self.head, b"\r\n\r\n").map(|at| at + 4);
        let Some(end) = end.or_else(|| (self.head.len() > HEAD).then_some(self.head.len())) else { return };
        let head = core::mem::take(&mut self.head);
        self.in_body = true;
        self.show_head(head.get(..end).unwrap_or_default());
        headline("        HTML Buffer        ");
        let body = bytes.get(end.saturating_sub(before)..).unwrap_or_default();
        self.dump(body);
    }

    fn show_head(&mut self, head: &[u8]) {
        headline("    HTTP Header Buffer    ");
        self.dump(head);
        self.finish_line();
        self.offset = 0;
        headline(" HTTP Header Ascii Buffer ");
        super::print(&format!("{}\n", printable(head, b"\r\n\t")));
    }

    fn dump(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.line.push(*byte);
            if self.line.len() == LINE {
                self.finish_line();
            }
        }
    }

    fn finish_line(&mut self) {
        let line = core::mem::take(&mut self.line);
        if line.is_empty() {
            return;
        }
        let hex = |range: core::ops::Range<usize>| -> String {
            line.iter().skip(range.start).take(range.len()).map(|byte| format!("{byte:02x} ")).collect()
        };
        let (first, second) = (hex(0..LINE / 2), hex(LINE / 2..LINE));
        super::print(&format!(
            "{:04}  {first:<24}- {second:<24}  {:<16}\n",
            self.offset,
            printable(&line, b"")
        ));
        self.offset += line.len() as u64;
    }

    fn end(&mut self) {
        self.finish_line();
        // A closed pipe is no error of ours.
        let _ = std::io::stdout().flush();
    }
}

/// Bytes of a line of a dump.
const LINE: usize = 16;

/// Printable bytes, and these; a dot for each other.
fn printable(bytes: &[u8], and: &[u8]) -> String {
    let shown = |byte: &u8| byte.is_ascii_graphic() || *byte == b' ' || and.contains(byte);
    bytes.iter().map(|byte| if shown(byte) { char::from(*byte) } else { '.' }).collect()
}
