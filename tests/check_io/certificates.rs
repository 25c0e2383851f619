//! Certificates of an authority of the test's own, made by openssl.

use std::fs;
use std::process::{Command, Stdio};

use alived::drill::Folder;

/// A folder with them.
pub(crate) struct Certificates {
    folder: Folder,
}

/// What a certificate is to be like.
#[derive(Clone, Copy)]
pub(crate) struct Request<'a> {
    /// A DNS name, or `IP:` and an address.
    pub(crate) name: &'a str,
    /// From now on; less than 0 = it is over.
    pub(crate) days: i32,
}

/// The files of one.
pub(crate) struct Certificate {
    pub(crate) certificate: String,
    pub(crate) key: String,
    /// When it becomes invalid, in seconds since the Unix epoch.
    pub(crate) ends: u64,
}

impl Certificates {
    pub(crate) fn new() -> Self {
        let certificates = Self { folder: Folder::create().unwrap() };
        let settings = "[req]\ndistinguished_name=n\n[n]\n[authority]\nbasicConstraints=critical,CA:TRUE\n";
        fs::write(certificates.path("settings"), settings).unwrap();
        certificates.openssl(
            "req -x509 -config settings -extensions authority -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout \
             authority.key -out authority.pem -days 30 -subj /CN=authority",
        );
        certificates
    }

    /// The certificate of the authority.
    pub(crate) fn authority(&self) -> String {
        self.path("authority.pem")
    }

    /// One that the authority has signed.
    pub(crate) fn signed(&self, file: &str, request: &Request<'_>) -> Certificate {
        let name = match request.name.strip_prefix("IP:") {
            Some(_) => request.name.to_owned(),
            None => format!("DNS:{}", request.name),
        };
        fs::write(self.path("extensions"), format!("basicConstraints=CA:FALSE\nsubjectAltName={name}\n"))
            .unwrap();
        self.openssl(&format!(
            "req -new -config settings -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout {file}.key -out \
             {file}.request -subj /CN=served"
        ));
        self.openssl(&format!(
            "x509 -req -in {file}.request -CA authority.pem -CAkey authority.key -CAcreateserial -days {} -extfile \
             extensions -out {file}.pem",
            request.days
        ));
        self.made(file)
    }

    /// A self-signed one of version 1.
    pub(crate) fn self_signed_v1(&self, file: &str, bits: u32) -> Certificate {
        self.openssl(&format!(
            "req -new -config settings -newkey rsa:{bits} -nodes -keyout {file}.key -out {file}.request -subj /CN=weak"
        ));
        self.openssl(&format!(
            "x509 -req -in {file}.request -signkey {file}.key -sha1 -days 30 -out {file}.pem"
        ));
        self.made(file)
    }

    /// A key, encrypted with a password.
    pub(crate) fn encrypted(&self, key: &str, number: usize, way: &[&str], password: &str) -> String {
        let way = way.join(" ");
        let file = format!("encrypted{number}.key");
        self.openssl(&format!("pkcs8 -topk8 -in {key} -out {file} -passout pass:{password} {way}"));
        self.path(&file)
    }

    fn made(&self, file: &str) -> Certificate {
        let said = self.openssl(&format!("x509 -in {file}.pem -noout -enddate"));
        let date = said.trim().strip_prefix("notAfter=").unwrap();
        let seconds = Command::new("date").args(["-u", "+%s", "-d", date]).output().unwrap();
        Certificate {
            certificate: self.path(&format!("{file}.pem")),
            key: self.path(&format!("{file}.key")),
            ends: String::from_utf8(seconds.stdout).unwrap().trim().parse().unwrap(),
        }
    }

    fn path(&self, file: &str) -> String {
        self.folder.path().join(file).to_str().unwrap().to_owned()
    }

    fn openssl(&self, words: &str) -> String {
        let mut command = Command::new("openssl");
        command.args(words.split_whitespace()).current_dir(self.folder.path()).stdin(Stdio::null());
        let output = command.output().unwrap();
        assert!(output.status.success(), "openssl {words}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }
}
