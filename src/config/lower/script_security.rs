//! Whether a program may be run: keepalived's rules of script security (`cli-signals-files` §6.3).
//!
//! A script that runs as root must not be changeable by anybody else: each component of its path, as written
//! and with links resolved, must belong to root and be writable for root alone; sticky directories may be
//! written to by others. A symbolic link among the directories disables the script in any case (2.3.0).

use core::cell::OnceCell;

use crate::config::host::{Lookup, PathKind, PathMetadata};
use crate::config::model::GlobalDefs;
use crate::config::values::{Cx, RunAs};

/// What `global_defs` and the host say about running scripts.
#[derive(Clone, Debug, Default)]
pub(super) struct Policy {
    /// `enable_script_security`.
    pub(super) enabled: bool,
    /// `script_user`.
    user: Option<RunAs>,
    /// User and group of scripts that name none: `script_user`, else the user keepalived_script, else ours. Looked
    /// up for the first such script, as it may load the modules of the name service.
    default: OnceCell<Default>,
}

#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
enum Default {
    /// This process' user, which is root wherever routers run.
    #[default]
    Ours,
    /// A user of their own; whether user or group is root.
    Own { root: bool },
    /// With script security there is none.
    Missing,
}

impl Policy {
    pub(super) fn new(global: Option<&GlobalDefs>) -> Self {
        let enabled = global.is_some_and(|global| global.enable_script_security.is_some());
        let user = global.and_then(|global| global.script_user.as_ref()).map(|entry| entry.value.clone());
        Self { enabled, user, default: OnceCell::new() }
    }

    /// Whether a script that names no user has none to run as.
    pub(super) fn lacks_user(&self, cx: &Cx<'_>, own: Option<&RunAs>) -> bool {
        own.is_none() && self.default(cx) == Default::Missing
    }

    /// Whether a script runs with root's rights.
    pub(super) fn runs_as_root(&self, cx: &Cx<'_>, own: Option<&RunAs>) -> bool {
        match own {
            Some(own) => is_root(cx, own),
            None => matches!(self.default(cx), Default::Ours | Default::Own { root: true }),
        }
    }

    fn default(&self, cx: &Cx<'_>) -> Default {
        *self.default.get_or_init(|| match &self.user {
            Some(user) => Default::Own { root: is_root(cx, user) },
            None => match cx.host.user("keepalived_script") {
                Some(Lookup::Found(user)) => Default::Own { root: user.uid == 0 || user.gid == 0 },
                Some(Lookup::Missing) if self.enabled => Default::Missing,
                _ => Default::Ours,
            },
        })
    }
}

fn is_root(cx: &Cx<'_>, run_as: &RunAs) -> bool {
    let uid = match run_as.user.parse::<u32>() {
        Ok(uid) => Some(uid),
        Err(_) => match cx.host.user(&run_as.user) {
            Some(Lookup::Found(user)) => {
                let group = run_as.group.as_deref().map(|group| group.trim_start_matches(':'));
                if group.is_none_or(str::is_empty) && user.gid == 0 {
                    return true;
                }
                Some(user.uid)
            }
            _ => None,
        },
    };
    let root_group = run_as.group.as_deref().is_some_and(|group| {
        let group = group.trim_start_matches(':');
        group == "0" || group == "root"
    });
    uid == Some(0) || root_group
}

/// Why a path must not be run.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum PathFault {
    /// It cannot be run at all; says why.
    Unusable(String),
    /// It could be changed by others; says which component and why.
    Insecure(String),
}

/// What is wrong with an absolute path, if the host is known. `protected`: others must not be able to change it.
pub(super) fn path_fault(cx: &Cx<'_>, path: &str, protected: bool) -> Option<PathFault> {
    let mut path = path.to_owned();
    // As many links as Linux follows.
    for _ in 0..40 {
        if protected && let Some(fault) = directory_fault(cx, &path) {
            return Some(fault);
        }
        let metadata = match cx.host.path(&path)? {
            Lookup::Missing => return Some(PathFault::Unusable("does not exist".to_owned())),
            Lookup::Found(metadata) => metadata,
        };
        match &metadata.kind {
            PathKind::SymbolicLink(target) => {
                let directory = path.rsplit_once('/').map_or("", |(directory, _)| directory);
                path = if target.starts_with('/') { target.clone() } else { normalised(directory, target) };
            }
            PathKind::File if metadata.mode & 0o111 == 0 => {
                return Some(PathFault::Unusable("is not executable; run chmod a+x on it".to_owned()));
            }
            // A program with the set-user-id bit of root gets root's rights, whoever runs it.
            PathKind::File => {
                let set_id = metadata.mode & 0o4000 != 0 && metadata.uid == 0
                    || metadata.mode & 0o2000 != 0 && metadata.gid == 0;
                if !protected && set_id {
                    return path_fault(cx, &path, true);
                }
                return if protected { component_fault(&path, &metadata) } else { None };
            }
            PathKind::Directory => return Some(PathFault::Unusable("is a directory".to_owned())),
            PathKind::Other => return Some(PathFault::Unusable("is no regular file".to_owned())),
        }
    }
    Some(PathFault::Unusable("is a loop of symbolic links".to_owned()))
}

/// `target` as seen from `directory`, with `..` resolved.
fn normalised(directory: &str, target: &str) -> String {
    let mut parts: Vec<&str> = directory.split('/').filter(|part| !part.is_empty()).collect();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}

/// What is wrong with the directories that lead to a path.
fn directory_fault(cx: &Cx<'_>, path: &str) -> Option<PathFault> {
    for (end, _) in path.match_indices('/') {
        let component = if end == 0 { "/" } else { path.get(..end)? };
        let Some(Lookup::Found(metadata)) = cx.host.path(component) else { continue };
        if let PathKind::SymbolicLink(target) = &metadata.kind {
            return Some(PathFault::Unusable(format!(
                "goes through `{component}`, which is a symbolic link to {target}: keepalived never runs such a \
                 script as root; write the path with {target} in its place"
            )));
        }
        let sticky = metadata.mode & 0o1000 != 0;
        if !sticky && let Some(fault) = component_fault(component, &metadata) {
            return Some(fault);
        }
    }
    None
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
