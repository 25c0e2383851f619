//! Where the daemon's files are, under keepalived's names.

use std::fs::{DirBuilder, File, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::configuration::Settings;
use super::options::Options;

/// Paths of the pid files.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct PidPaths {
    pub(super) supervisor: PathBuf,
    pub(super) vrrp: PathBuf,
    pub(super) lvs: PathBuf,
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
            vrrp: options.vrrp_pid_file.clone().unwrap_or_else(|| named("vrrp")),
            lvs: options.checkers_pid_file.clone().unwrap_or_else(|| named("checkers")),
        }
    }
}

/// The control socket of the worker with this pid file: beside it.
pub(super) fn control_socket(worker_pid_file: &Path) -> PathBuf {
    worker_pid_file.with_extension("sock")
}

/// Folder of the dumps: `$TMPDIR` if that is an absolute path of a folder, else `/tmp`.
pub(super) fn dump_folder() -> PathBuf {
    std::env::var_os("TMPDIR")
        .map(PathBuf::from)
        .filter(|folder| folder.is_absolute() && folder.is_dir())
        .unwrap_or_else(|| "/tmp".into())
}

/// What `-g` without a name means.
pub fn default_log_file() -> PathBuf {
    dump_folder().join("keepalived.log")
}

/// Folder and name of the dump that `.data` stands for. `state_dump_file` is a path, with a `/` at its end a
/// folder, and without one at its beginning in the folder of the dumps. `data_use_instance` puts the names of
/// the network namespace and of the instance before the extension, after `of` (`_parent`), which says whose it is.
pub(super) fn data_dump(options: &Options, settings: &Settings, of: &str) -> (PathBuf, String) {
    let path = dump_folder().join(settings.state_dump_file.as_deref().unwrap_or_default());
    let is_folder =
        settings.state_dump_file.as_ref().is_none_or(|path| path.is_empty() || path.ends_with('/'));
    let name = path.file_name().filter(|_| !is_folder).map(|name| name.to_string_lossy().into_owned());
    let folder = if is_folder { path } else { path.parent().unwrap_or(&path).to_owned() };
    let name = name.unwrap_or_else(|| "keepalived.data".to_owned());
    let namespace = options.namespace.as_ref().or(settings.namespace.as_ref());
    let parts: Vec<&str> =
        [namespace, settings.instance.as_ref()].into_iter().flatten().map(String::as_str).collect();
    let parts = match parts.join("_") {
        parts if settings.data_use_instance && !parts.is_empty() => format!(".{parts}"),
        _ => String::new(),
    };
    let name = match name.rsplit_once('.') {
        Some((stem, extension)) => format!("{stem}{of}{parts}.{extension}"),
        None => format!("{name}{of}{parts}"),
    };
    (folder, name)
}

/// Writes a file under a random new name, with at most the rights of `mode` that the umask leaves, and renames
/// it: a reader never sees half of it, and what stood in its place (a link, a FIFO, somebody else's file) is
/// neither followed nor opened nor written to. Gives its path.
pub(super) fn replace(folder: &Path, name: &str, text: &str, mode: u32) -> io::Result<PathBuf> {
    let path = folder.join(name);
    rename_into(&path, mode, |file| file.write_all(text.as_bytes()))?;
    Ok(path)
}

/// Writes a file of our own, for its owner alone, as [`replace`] does.
pub(super) fn write_own(path: &Path, text: &str) -> io::Result<()> {
    rename_into(path, 0o600, |file| file.write_all(text.as_bytes()))
}

/// Makes a folder for its owner alone, where there is none; those above it must be there. The umask, which is meant for
/// files, does not take the right to enter it.
pub(super) fn make_folder(path: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(0o700).create(path) {
        Ok(()) => {
            let flags = libc::O_DIRECTORY | libc::O_NOFOLLOW;
            let folder = File::options().read(true).custom_flags(flags).open(path)?;
            folder.set_permissions(Permissions::from_mode(0o700))
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
}

/// Adds text to a file as [`replace`] writes one, for its owner alone: what it had is kept if it is a regular file of
/// this user or of root. Descriptors and devices (`/dev/stdout`, `/dev/null`) are written to.
///
/// # Errors
/// When the file system refuses.
pub(crate) fn append(path: &Path, text: &str) -> io::Result<()> {
    if names_a_device(path) {
        return File::options().append(true).open(path)?.write_all(text.as_bytes());
    }
    let before = open_own(path);
    rename_into(path, 0o600, |file| {
        if let Ok(mut before) = before {
            io::copy(&mut before, file)?;
        }
        file.write_all(text.as_bytes())
    })
}

/// Whether a path is in a folder of `/dev` or `/proc` that others cannot write to (`/dev/shm` is one that they can).
fn names_a_device(path: &Path) -> bool {
    let is_below = ["/dev", "/proc"].iter().any(|root| path.starts_with(root));
    is_below && path.parent().and_then(|folder| folder.metadata().ok()).is_some_and(|f| f.mode() & 0o022 == 0)
}

fn rename_into(path: &Path, mode: u32, fill: impl FnOnce(&mut File) -> io::Result<()>) -> io::Result<()> {
    let name = path.file_name().ok_or(io::ErrorKind::InvalidFilename)?;
    let folder =
        path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    let mut file = tempfile::Builder::new()
        .prefix(&format!(".{}.", name.to_string_lossy()))
        .permissions(Permissions::from_mode(mode))
        .tempfile_in(folder)?;
    fill(file.as_file_mut())?;
    file.persist(path).map_err(|error| error.error)?;
    Ok(())
}

/// Reads a file that a daemon of this user or of root wrote, of at most `longest` bytes.
pub(super) fn read_own(path: &Path, longest: u64) -> io::Result<String> {
    let mut text = String::new();
    open_own(path)?.take(longest).read_to_string(&mut text)?;
    Ok(text)
}

/// Opens a regular file of this user or of root. What else may stand there (a link, a FIFO, somebody else's file) is
/// neither followed nor waited for nor believed.
fn open_own(path: &Path) -> io::Result<File> {
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_NOCTTY;
    let file = File::options().read(true).custom_flags(flags).open(path)?;
    let metadata = file.metadata()?;
    let owners = [0, nix::unistd::geteuid().as_raw()];
    if metadata.is_file() && owners.contains(&metadata.uid()) {
        Ok(file)
    } else {
        Err(io::ErrorKind::PermissionDenied.into())
    }
}

/// Writes a dump. keepalived's default umask lets its owner alone read it, and another one says who else may.
pub(super) fn write_dump(folder: &Path, name: &str, text: &str) -> io::Result<PathBuf> {
    replace(folder, name, text, 0o666)
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
            [paths.supervisor, paths.vrrp, paths.lvs].map(|path| path.display().to_string())
        };
        let three = |folder: &str, suffix: &str| {
            ["keepalived", "vrrp", "checkers"].map(|name| format!("{folder}/{name}{suffix}.pid"))
        };
        assert_eq!(paths(&options, &settings), three("/run", ""));
        settings.use_pid_dir = true;
        assert_eq!(paths(&options, &settings), three("/run/keepalived", ""));
        settings.instance = Some("blue".into());
        options.namespace = Some("red".into());
        assert_eq!(paths(&options, &settings), three("/run/keepalived/red", "_blue"));
        options.pid_file = Some("/a".into());
        options.vrrp_pid_file = Some("/b".into());
        options.checkers_pid_file = Some("/c".into());
        assert_eq!(paths(&options, &settings), ["/a", "/b", "/c"]);
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
            let (folder, name) = data_dump(&options, &settings, "");
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
        assert_eq!(data_dump(&options, &settings, "").1, "b");
        assert_eq!(data_dump(&options, &settings, "_parent").1, "b_parent");
        settings.state_dump_file = None;
        assert_eq!(data_dump(&options, &settings, "_parent").1, "keepalived_parent.data");
        settings.data_use_instance = true;
        assert_eq!(data_dump(&options, &settings, "_parent").1, "keepalived_parent.n_i.data");
    }

    /// Does something in a folder of its own, once for each thing that may stand in the place of `path` there;
    /// `target`, which links lead to, must stay as it is.
    fn in_each_place(test: &str, name: &str, act: impl Fn(&Path)) {
        use std::os::unix::fs::symlink;
        let folder = std::env::temp_dir().join(format!("alived-{test}-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let (target, path) = (folder.join("target"), folder.join(name));
        fs::write(&target, "untouched").unwrap();
        let places: [&dyn Fn(); 6] = [
            &|| {},
            &|| symlink(&target, &path).unwrap(),
            &|| symlink(folder.join("nowhere"), &path).unwrap(),
            &|| fs::hard_link(&target, &path).unwrap(),
            &|| fifo(&path),
            &|| drop(std::os::unix::net::UnixListener::bind(&path).unwrap()),
        ];
        for place in places {
            let _ = fs::remove_file(&path);
            place();
            act(&path);
            let written = fs::symlink_metadata(&path).unwrap();
            assert!(written.is_file() && written.nlink() == 1);
            assert_eq!(fs::read_to_string(&target).unwrap(), "untouched");
            assert_eq!(fs::read_dir(&folder).unwrap().count(), 2, "something is left lying about");
        }
        fs::remove_dir_all(folder).unwrap();
    }

    fn fifo(path: &Path) {
        nix::unistd::mkfifo(path, nix::sys::stat::Mode::from_bits_truncate(0o666)).unwrap();
    }

    #[test]
    fn what_stands_in_the_place_of_a_dump_is_replaced_and_not_touched() {
        in_each_place("dump", "keepalived.data", |path| {
            for text in ["longer", "x"] {
                write_dump(path.parent().unwrap(), "keepalived.data", text).unwrap();
                assert_eq!(fs::read_to_string(path).unwrap(), text);
            }
        });
    }

    #[test]
    fn what_is_appended_to_is_replaced_and_keeps_what_it_had() {
        in_each_place("append", "log", |path| {
            append(path, "one\n").unwrap();
            append(path, "two\n").unwrap();
            let text = fs::read_to_string(path).unwrap();
            // A hard link is a file of ours too.
            assert!(["one\ntwo\n", "untouchedone\ntwo\n"].contains(&&*text), "{text}");
            assert_eq!(fs::metadata(path).unwrap().mode() & 0o777, 0o600);
        });
        append(Path::new("/dev/null"), "x").unwrap();
        assert!(!fs::metadata("/dev/null").unwrap().is_file());
    }

    #[test]
    fn a_folder_is_not_replaced() {
        let folder = std::env::temp_dir().join(format!("alived-folder-{}", std::process::id()));
        fs::create_dir_all(folder.join("keepalived.stats")).unwrap();
        assert!(write_dump(&folder, "keepalived.stats", "x").is_err());
        assert!(append(&folder.join("keepalived.stats"), "x").is_err());
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1, "something is left lying about");
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn only_own_regular_files_are_read() {
        use std::os::unix::fs::symlink;
        let folder = std::env::temp_dir().join(format!("alived-read-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let path = |name: &str| folder.join(name);
        fs::write(path("file"), "text").unwrap();
        symlink(path("file"), path("link")).unwrap();
        fifo(&path("fifo"));
        assert_eq!(read_own(&path("file"), 100).unwrap(), "text");
        assert_eq!(read_own(&path("file"), 3).unwrap(), "tex");
        for name in ["link", "fifo", "none", ""] {
            assert!(read_own(&path(name), 100).is_err(), "{name}");
        }
        if nix::unistd::geteuid().is_root() {
            nix::unistd::chown(&path("file"), Some(65534.into()), None).unwrap();
            assert!(read_own(&path("file"), 100).is_err(), "somebody else's");
        }
        fs::remove_dir_all(folder).unwrap();
    }
}
