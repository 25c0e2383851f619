//! Where the daemon's files are, under keepalived's names (`cli-signals-files` §5).

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::configuration::Settings;
use super::options::Options;

/// Paths of the pid files.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct PidPaths {
    pub(super) supervisor: PathBuf,
    pub(super) worker: PathBuf,
}

impl PidPaths {
    /// From the flags; else in `/run`, or in `/run/keepalived` where a namespace, an instance name or
    /// `use_pid_dir` asks for that.
    pub(super) fn new(options: &Options, settings: &Settings) -> Self {
        let namespace = options.namespace.as_ref().or(settings.namespace.as_ref());
        let instance = settings.instance.as_ref();
        let mut folder = PathBuf::from("/run");
        if namespace.is_some() || instance.is_some() || settings.use_pid_dir {
            folder.push("keepalived");
            folder.extend(namespace);
        }
        let named = |name: &str| match instance {
            Some(instance) => folder.join(format!("{name}_{instance}.pid")),
            None => folder.join(format!("{name}.pid")),
        };
        Self {
            supervisor: options.pid_file.clone().unwrap_or_else(|| named("keepalived")),
            worker: options.vrrp_pid_file.clone().unwrap_or_else(|| named("vrrp")),
        }
    }
}

/// Folder of the dumps: `$TMPDIR` if that is an absolute path of a folder, else `/tmp`.
pub(super) fn dump_folder() -> PathBuf {
    std::env::var_os("TMPDIR")
        .map(PathBuf::from)
        .filter(|folder| folder.is_absolute() && folder.is_dir())
        .unwrap_or_else(|| "/tmp".into())
}

/// Folder and name of the dump that `.data` stands for. `state_dump_file` is a path, with a `/` at its end a
/// folder, and without one at its beginning in the folder of the dumps. `data_use_instance` puts the names of
/// the network namespace and of the instance before the extension.
pub(super) fn data_dump(options: &Options, settings: &Settings) -> (PathBuf, String) {
    let path = dump_folder().join(settings.state_dump_file.as_deref().unwrap_or_default());
    let is_folder =
        settings.state_dump_file.as_ref().is_none_or(|path| path.is_empty() || path.ends_with('/'));
    let name = path.file_name().filter(|_| !is_folder).map(|name| name.to_string_lossy().into_owned());
    let folder = if is_folder { path } else { path.parent().unwrap_or(&path).to_owned() };
    let name = name.unwrap_or_else(|| "keepalived.data".to_owned());
    let namespace = options.namespace.as_ref().or(settings.namespace.as_ref());
    let parts: Vec<&str> =
        [namespace, settings.instance.as_ref()].into_iter().flatten().map(String::as_str).collect();
    if !settings.data_use_instance || parts.is_empty() {
        return (folder, name);
    }
    let parts = parts.join("_");
    let name = match name.rsplit_once('.') {
        Some((stem, extension)) => format!("{stem}.{parts}.{extension}"),
        None => format!("{name}.{parts}"),
    };
    (folder, name)
}

/// Writes a dump, which the umask alone protects: keepalived's default lets its owner read it. A symbolic link
/// in its place is not followed.
pub(super) fn write_dump(folder: &Path, name: &str, text: &str) -> io::Result<PathBuf> {
    let path = folder.join(name);
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o666)
        .custom_flags(libc::O_NOFOLLOW)
        .open(&path)?;
    file.write_all(text.as_bytes())?;
    Ok(path)
}

/// Writes a dump under a temporary name and renames it, so that a reader never sees half of it.
pub(super) fn replace_dump(folder: &Path, name: &str, text: &str) -> io::Result<PathBuf> {
    let temporary = write_dump(folder, &format!("{name}.{}", std::process::id()), text)?;
    let path = folder.join(name);
    std::fs::rename(temporary, &path)?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn pid_files_are_where_keepalived_has_them() {
        let mut options = Options::default();
        let mut settings = Settings::default();
        let paths = |options: &Options, settings: &Settings| {
            let paths = PidPaths::new(options, settings);
            (paths.supervisor.display().to_string(), paths.worker.display().to_string())
        };
        let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
        assert_eq!(paths(&options, &settings), pair("/run/keepalived.pid", "/run/vrrp.pid"));
        settings.use_pid_dir = true;
        assert_eq!(
            paths(&options, &settings),
            pair("/run/keepalived/keepalived.pid", "/run/keepalived/vrrp.pid")
        );
        settings.instance = Some("blue".into());
        options.namespace = Some("red".into());
        assert_eq!(
            paths(&options, &settings),
            pair("/run/keepalived/red/keepalived_blue.pid", "/run/keepalived/red/vrrp_blue.pid")
        );
        options.pid_file = Some("/a".into());
        options.vrrp_pid_file = Some("/b".into());
        assert_eq!(paths(&options, &settings), pair("/a", "/b"));
    }

    #[test]
    fn data_dumps_are_where_they_are_asked_for() {
        let mut options = Options::default();
        let mut settings = Settings::default();
        let mut path = |file: Option<&str>, namespace: Option<&str>, instance: Option<&str>| {
            settings.state_dump_file = file.map(str::to_owned);
            options.namespace = namespace.map(str::to_owned);
            settings.instance = instance.map(str::to_owned);
            settings.data_use_instance = namespace.is_some() || instance.is_some();
            let (folder, name) = data_dump(&options, &settings);
            folder.join(name)
        };
        assert_eq!(path(None, None, None), dump_folder().join("keepalived.data"));
        assert_eq!(path(Some("/a/"), None, None), Path::new("/a/keepalived.data"));
        assert_eq!(path(Some("/a/b.txt"), None, None), Path::new("/a/b.txt"));
        assert_eq!(path(Some("b"), None, None), dump_folder().join("b"));
        assert_eq!(path(Some("b/"), None, Some("i")), dump_folder().join("b/keepalived.i.data"));
        assert_eq!(path(Some("/b.txt"), Some("n"), None), Path::new("/b.n.txt"));
        assert_eq!(path(Some("/b"), Some("n"), Some("i")), Path::new("/b.n_i"));
        settings.data_use_instance = false;
        assert_eq!(data_dump(&options, &settings).1, "b");
    }

    #[test]
    fn a_dump_does_not_follow_a_link() {
        let folder = std::env::temp_dir().join(format!("alived-dump-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("target"), "untouched").unwrap();
        std::os::unix::fs::symlink(folder.join("target"), folder.join("keepalived.data")).unwrap();
        assert!(write_dump(&folder, "keepalived.data", "x").is_err());
        assert_eq!(fs::read_to_string(folder.join("target")).unwrap(), "untouched");
        replace_dump(&folder, "keepalived.data", "x").unwrap();
        assert_eq!(fs::read_to_string(folder.join("target")).unwrap(), "untouched");
        assert_eq!(fs::read_to_string(folder.join("keepalived.data")).unwrap(), "x");
        write_dump(&folder, "keepalived.stats", "long").unwrap();
        write_dump(&folder, "keepalived.stats", "x").unwrap();
        assert_eq!(fs::read_to_string(folder.join("keepalived.stats")).unwrap(), "x");
        fs::remove_dir_all(folder).unwrap();
    }
}
