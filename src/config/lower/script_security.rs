//! Whether a program may be run: keepalived's rules of script security (`enable_script_security`).
//!
//! A script that runs as root must not be changeable by anybody else: each directory and link on the way to the
//! file that would be executed must belong to root and be writable for root alone; sticky directories may be
//! written to by others. Links are followed, so that a merged `/usr` is judged by what it is. Whoever runs a script
//! must be allowed to enter each of its directories and to execute it.

use core::cell::OnceCell;

use crate::config::host::{Lookup, PathKind, PathMetadata};
use crate::config::model::GlobalDefs;
use crate::config::values::Reading;
use crate::kernel::{NamedUser, ScriptUser};

/// The user of scripts where nobody is named, if the host has it.
const KEEPALIVED_SCRIPT: &str = "keepalived_script";

/// What `global_defs` and the host say about running scripts.
#[derive(Clone, Debug, Default)]
pub(super) struct Policy {
    /// `enable_script_security`.
    pub(super) enabled: bool,
    /// `set_supplementary_groups`: every script has all groups of its user.
    all_groups: bool,
    /// `script_user`.
    user: Option<NamedUser>,
    /// User and group of scripts that name none: `script_user`, else the user keepalived_script, else ours. Looked
    /// up for the first such script, as it may load the modules of the name service.
    default: OnceCell<Default>,
}

#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
enum Default {
    /// This process' user, which is root wherever routers run.
    #[default]
    Ours,
    /// A user of their own.
    Own(Identity),
    /// With script security there is none.
    Missing,
}

impl Policy {
    pub(super) fn new(global: Option<&GlobalDefs>) -> Self {
        let enabled = global.is_some_and(|global| global.enable_script_security.is_some());
        let user = global.and_then(|global| global.script_user.as_ref()).map(|entry| entry.value.clone());
        let all_groups = global.and_then(|global| global.set_supplementary_groups.as_ref());
        let all_groups = all_groups.is_some_and(|entry| entry.value.0);
        Self { enabled, all_groups, user, default: OnceCell::new() }
    }

    /// Whether a script that names no user has none to run as.
    pub(super) fn lacks_user(&self, reading: &Reading<'_>, own: Option<&NamedUser>) -> bool {
        own.is_none() && self.default(reading) == Default::Missing
    }

    /// As whom a script runs.
    pub(super) fn identity(&self, reading: &Reading<'_>, own: Option<&NamedUser>) -> Identity {
        match own {
            Some(own) => Identity::of(reading, own),
            None => match self.default(reading) {
                Default::Own(identity) => identity,
                Default::Ours | Default::Missing => Identity::ROOT,
            },
        }
    }

    /// As whom a script runs, with its groups.
    pub(super) fn run_as(&self, reading: &Reading<'_>, own: Option<&NamedUser>) -> ScriptUser {
        let mut user = own.cloned().map_or_else(|| self.script_user(reading), ScriptUser::Named);
        if let ScriptUser::Named(named) = &mut user {
            named.supplementary_groups |= self.all_groups;
        }
        user
    }

    /// As whom a script runs that names nobody.
    pub(super) fn script_user(&self, reading: &Reading<'_>) -> ScriptUser {
        match (&self.user, self.default(reading)) {
            (Some(user), _) => ScriptUser::Named(user.clone()),
            (None, Default::Own(_)) => ScriptUser::Named(NamedUser {
                user: KEEPALIVED_SCRIPT.into(),
                group: None,
                supplementary_groups: false,
            }),
            (None, Default::Ours | Default::Missing) => ScriptUser::Default,
        }
    }

    fn default(&self, reading: &Reading<'_>) -> Default {
        *self.default.get_or_init(|| match &self.user {
            Some(user) => Default::Own(Identity::of(reading, user)),
            None => match reading.host.user(KEEPALIVED_SCRIPT) {
                Some(Lookup::Found(user)) => {
                    Default::Own(Identity { uid: Some(user.uid), gid: Some(user.gid) })
                }
                Some(Lookup::Missing) if self.enabled => Default::Missing,
                _ => Default::Ours,
            },
        })
    }
}

/// As whom a script runs; `None` where the host does not tell.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct Identity {
    uid: Option<u32>,
    gid: Option<u32>,
}

impl Identity {
    /// This process, which is root wherever routers run.
    const ROOT: Self = Self { uid: Some(0), gid: Some(0) };
    /// Somebody of whom nothing is known: for looking whether something is there.
    pub(super) const ANYBODY: Self = Self { uid: None, gid: None };

    fn of(reading: &Reading<'_>, run_as: &NamedUser) -> Self {
        let known = match reading.host.user(&run_as.user) {
            Some(Lookup::Found(user)) => Some(user),
            _ => None,
        };
        let uid = run_as.user.parse::<u32>().ok().or_else(|| known.map(|user| user.uid));
        let gid = match run_as.group.as_deref() {
            None => known.map(|user| user.gid),
            Some("root") => Some(0),
            Some(group) => group.parse::<u32>().ok().or_else(|| match reading.host.group(group) {
                Some(Lookup::Found(gid)) => Some(gid),
                _ => None,
            }),
        };
        Self { uid, gid }
    }

    /// Whether it has root's rights or its group's.
    fn is_root(self) -> bool {
        self.uid == Some(0) || self.gid == Some(0)
    }

    /// Whether it may execute a file or enter a directory. Unknown ones may.
    fn may_execute(self, metadata: &PathMetadata) -> bool {
        let (Some(uid), Some(gid)) = (self.uid, self.gid) else { return metadata.mode & 0o111 != 0 };
        let bits = match uid {
            0 => 0o111,
            uid if uid == metadata.uid => 0o100,
            _ if gid == metadata.gid => 0o010,
            _ => 0o001,
        };
        metadata.mode & bits != 0 || uid == 0 && metadata.kind == PathKind::Directory
    }
}

/// Why a path must not be run.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum PathFault {
    /// There is nothing.
    Missing,
    /// It is in a directory that its user may not enter; says which.
    Closed(String),
    /// It cannot be run at all; says why.
    Unusable(String),
    /// It could be changed by others; says which component and why.
    Insecure(String),
}

/// As many links as Linux follows.
const MOST_LINKS: usize = 40;

/// What is wrong with the program at an absolute path when it runs as `identity`, if the host is known.
pub(super) fn path_fault(reading: &Reading<'_>, path: &str, identity: Identity) -> Option<PathFault> {
    let walked = walk(reading, path, identity)?;
    if let Walked::Fault(fault) = walked {
        return Some(fault);
    }
    let Walked::Found { path, metadata, changeable } = walked else { return None };
    match &metadata.kind {
        PathKind::File => {}
        PathKind::Directory => return Some(PathFault::Unusable("is a directory".to_owned())),
        _ => return Some(PathFault::Unusable("is no regular file".to_owned())),
    }
    if metadata.mode & 0o111 == 0 {
        return Some(PathFault::Unusable("is not executable; run chmod a+x on it".to_owned()));
    }
    if !identity.may_execute(&metadata) {
        return Some(PathFault::Unusable(format!(
            "may not be executed by its user (mode {:04o})",
            metadata.mode
        )));
    }
    // A program with the set-user-id bit of root gets root's rights, whoever runs it.
    let set_id =
        metadata.mode & 0o4000 != 0 && metadata.uid == 0 || metadata.mode & 0o2000 != 0 && metadata.gid == 0;
    if identity.is_root() || set_id {
        return changeable.or_else(|| component_fault(&path, &metadata));
    }
    None
}

/// Where a path leads.
enum Walked {
    Found {
        /// Without links.
        path: String,
        metadata: PathMetadata,
        /// The first directory or link on the way that others than root can change.
        changeable: Option<PathFault>,
    },
    Fault(PathFault),
}

/// Follows a path component by component, as the kernel does. `None` when the host is not known.
fn walk(reading: &Reading<'_>, path: &str, identity: Identity) -> Option<Walked> {
    let mut left: Vec<String> = components(path);
    let mut reached = String::new();
    let mut changeable = None;
    let mut links = 0;
    loop {
        let here = if reached.is_empty() { "/" } else { reached.as_str() };
        let metadata = match reading.host.path(here)? {
            Lookup::Found(metadata) => metadata,
            Lookup::Missing => return Some(Walked::Fault(PathFault::Missing)),
        };
        if let PathKind::SymbolicLink(target) = &metadata.kind {
            links += 1;
            if links > MOST_LINKS {
                let fault = PathFault::Unusable("is a loop of symbolic links".to_owned());
                return Some(Walked::Fault(fault));
            }
            if metadata.uid != 0 {
                // The mode of a link says nothing.
                changeable = changeable
                    .or_else(|| component_fault(here, &PathMetadata { mode: 0o755, ..metadata.clone() }));
            }
            left.extend(components(target));
            if target.starts_with('/') {
                reached.clear();
            } else {
                leave(&mut reached);
            }
            continue;
        }
        let Some(next) = left.pop() else {
            return Some(Walked::Found { path: here.to_owned(), metadata, changeable });
        };
        if metadata.kind != PathKind::Directory {
            return Some(Walked::Fault(PathFault::Missing));
        }
        if !identity.may_execute(&metadata) {
            let mode = metadata.mode;
            let why = format!("is in `{here}`, which its user may not enter (mode {mode:04o})");
            return Some(Walked::Fault(PathFault::Closed(why)));
        }
        if metadata.mode & 0o1000 == 0 {
            changeable = changeable.or_else(|| component_fault(here, &metadata));
        }
        if next == ".." {
            leave(&mut reached);
        } else {
            reached.push('/');
            reached.push_str(&next);
        }
    }
}

/// The names of a path, the last one first.
fn components(path: &str) -> Vec<String> {
    path.split('/').rev().filter(|part| !matches!(*part, "" | ".")).map(str::to_owned).collect()
}

/// Drops the last component.
fn leave(path: &mut String) {
    path.truncate(path.rfind('/').unwrap_or(0));
}

fn component_fault(component: &str, metadata: &PathMetadata) -> Option<PathFault> {
    let (uid, gid, mode) = (metadata.uid, metadata.gid, metadata.mode);
    let why = if uid != 0 {
        "does not belong to root"
    } else if mode & 0o002 != 0 {
        "can be written by everybody"
    } else if mode & 0o020 != 0 && gid != 0 {
        "can be written by its group, which is not root's"
    } else {
        return None;
    };
    Some(PathFault::Insecure(format!("`{component}` {why} (owner {uid}, group {gid}, mode {mode:04o})")))
}
