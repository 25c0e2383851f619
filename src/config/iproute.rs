//! Names of routing tables, protocols, scopes, realms and interface groups, as iproute2 keeps them.

use super::host::Host;
use super::values::parse;

/// A file of names.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Table {
    /// `rt_tables`.
    Tables,
    /// `rt_protos`.
    Protocols,
    /// `rt_scopes`.
    Scopes,
    /// `rt_realms`.
    Realms,
    /// `rt_dsfield`.
    DifferentiatedServices,
    /// `group`.
    Groups,
}

impl Table {
    /// Its name in iproute2's directories.
    pub(super) const fn file(self) -> &'static str {
        match self {
            Self::Tables => "rt_tables",
            Self::Protocols => "rt_protos",
            Self::Scopes => "rt_scopes",
            Self::Realms => "rt_realms",
            Self::DifferentiatedServices => "rt_dsfield",
            Self::Groups => "group",
        }
    }

    /// Names that need no file.
    const fn built_in(self) -> &'static [(&'static str, u32)] {
        match self {
            Self::Tables => &[("unspec", 0), ("default", 253), ("main", 254), ("local", 255)],
            Self::Protocols => &[
                ("unspec", 0),
                ("redirect", 1),
                ("kernel", 2),
                ("boot", 3),
                ("static", 4),
                ("ra", 9),
                ("dhcp", 16),
                ("keepalived", 18),
            ],
            Self::Scopes => &[
                ("global", 0),
                ("universe", 0),
                ("site", 200),
                ("link", 253),
                ("host", 254),
                ("nowhere", 255),
            ],
            Self::Realms => &[("cosmos", 0)],
            Self::DifferentiatedServices | Self::Groups => &[("default", 0)],
        }
    }
}

/// The number of a name, or a number as it is (decimal, 0x…, 0…).
pub(super) fn lookup(host: &dyn Host, table: Table, name: &str) -> Option<u32> {
    if let Some(number) = parse::c_integer(name) {
        return u32::try_from(number).ok();
    }
    if let Some((_, number)) = table.built_in().iter().find(|(known, _)| *known == name) {
        return Some(*number);
    }
    ["/etc/iproute2", "/usr/share/iproute2", "/usr/lib/iproute2"].into_iter().find_map(|directory| {
        let bytes = host.read_file(&format!("{directory}/{}", table.file()), 1 << 20).ok()?;
        let text = String::from_utf8_lossy(&bytes).into_owned();
        text.lines().find_map(|line| {
            let line = line.split('#').next()?;
            let mut words = line.split_whitespace();
            let number = parse::c_integer(words.next()?)?;
            (words.next()? == name).then(|| u32::try_from(number).ok())?
        })
    })
}

/// The number of a protocol of IP in `/etc/protocols`.
pub(super) fn ip_protocol(host: &dyn Host, name: &str) -> Option<u8> {
    let bytes = host.read_file("/etc/protocols", 1 << 20).ok()?;
    String::from_utf8_lossy(&bytes).lines().find_map(|line| {
        let mut words = line.split('#').next()?.split_whitespace();
        let official = words.next()?;
        let number = words.next()?.parse().ok()?;
        (official == name || words.any(|alias| alias == name)).then_some(number)
    })
}
