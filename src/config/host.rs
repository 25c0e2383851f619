//! The one door from the configuration to the host: files, environment, users, interfaces, randomness.

use crate::net::{InterfaceName, Prefix};

/// What the configuration asks of the host. `daemon` and `cli` implement it on the real one; tests and the
/// fuzzer fake it.
pub trait Host {
    /// Reads a whole regular file of at most `limit` bytes.
    ///
    /// # Errors
    /// Why it cannot be read.
    fn read_file(&self, path: &str, limit: u64) -> Result<Vec<u8>, ReadError>;

    /// Paths that match a shell pattern with `* ? [ ] { , }`, sorted. A pattern without wildcard gives itself
    /// when it exists.
    ///
    /// # Errors
    /// When a directory cannot be read.
    fn glob(&self, pattern: &str) -> Result<Vec<String>, String>;

    /// A path without `.`, `..` and symbolic links; the path itself when it cannot be resolved.
    fn canonical_path(&self, path: &str) -> String;

    /// A variable of the environment.
    fn environment(&self, name: &str) -> Option<String>;

    /// The node's name (`uname -n`).
    fn node_name(&self) -> String;

    /// A seed for `${_RANDOM}`.
    fn random_seed(&self) -> u64;

    /// How long the host has been up, in microseconds.
    fn uptime_us(&self) -> u64;

    /// The interfaces of this host; `None` when the text is judged without a host.
    fn interfaces(&self) -> Option<Vec<HostInterface>>;

    /// User and primary group of a name; `None` when the text is judged without a host.
    fn user(&self, name: &str) -> Option<Lookup<User>>;

    /// Group of a name; `None` when the text is judged without a host.
    fn group(&self, name: &str) -> Option<Lookup<u32>>;

    /// What a path is, symbolic links not followed; `None` when the text is judged without a host.
    fn path(&self, path: &str) -> Option<Lookup<PathMetadata>>;
}

/// An answer of the host.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Lookup<T> {
    /// It exists.
    Found(T),
    /// It does not.
    Missing,
}

/// Why a file cannot be read.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum ReadError {
    /// There is none.
    NotFound,
    /// It is something else than a regular file; says what.
    NotRegular(&'static str),
    /// A regular file with an execute permission, which keepalived does not include.
    Executable,
    /// Larger than allowed; says how large.
    TooLarge(u64),
    /// The operating system's words.
    Other(String),
}

/// A network interface of the host.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct HostInterface {
    /// Its name.
    pub name: InterfaceName,
    /// Largest packet in bytes.
    pub mtu: u32,
    /// Whether it takes multicast.
    pub multicast: bool,
    /// `ARPHRD_LOOPBACK`.
    pub loopback: bool,
    /// `ARPHRD_ETHER`.
    pub ethernet: bool,
    /// It is like an interface of our own, which a killed daemon may have left.
    pub virtual_link: bool,
    /// Its addresses.
    pub addresses: Vec<Prefix>,
}

/// A user of the host.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct User {
    /// User number.
    pub uid: u32,
    /// Primary group.
    pub gid: u32,
}

/// What a path is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PathMetadata {
    /// Kind of file.
    pub kind: PathKind,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Permission bits with set-user-id, set-group-id and sticky (`07777`).
    pub mode: u32,
}

/// Kind of a file.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum PathKind {
    /// Regular file.
    File,
    /// Directory.
    Directory,
    /// Symbolic link and where it points.
    SymbolicLink(String),
    /// FIFO, socket or device.
    Other,
}
