//! Bounds on what a configuration may cost. Each is named in the error that it causes.

use serde::{Deserialize, Deserializer, Serialize, de};

/// Each block is a level of recursion.
const BLOCK_DEPTH_MAX: usize = 200;

/// The bounds. Any may be raised.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Limits {
    /// `file-bytes`: largest file that is read.
    pub file_bytes: u64,
    /// `total-bytes`: all files together.
    pub total_bytes: u64,
    /// `include-depth`: files that include files.
    pub include_depth: usize,
    /// `files`: how many files are read.
    pub files: u32,
    /// `expanded-lines`: lines that definitions, `~SEQ` and `~LST` give.
    pub expanded_lines: u64,
    /// `expanded-bytes`: bytes of these lines.
    pub expanded_bytes: usize,
    /// `expansion-depth`: definitions that refer to definitions, and loops within loops.
    pub expansion_depth: usize,
    /// `block-depth`: blocks within blocks, at most 200.
    #[serde(deserialize_with = "block_depth")]
    pub block_depth: usize,
    /// `block-lines`: statements of one block with all in it.
    pub block_lines: usize,
    /// `diagnostics`: how many errors, and how many warnings and hints, are kept; the rest are counted.
    pub diagnostics: usize,
    /// `errors`: how many errors end reading.
    pub errors: usize,
}

impl Limits {
    /// For a text that was read within limits before: as printed it may be longer than as it was written.
    pub const NONE: Self = Self {
        file_bytes: u64::MAX,
        total_bytes: u64::MAX,
        include_depth: usize::MAX,
        files: u32::MAX,
        expanded_lines: u64::MAX,
        expanded_bytes: usize::MAX,
        expansion_depth: usize::MAX,
        block_depth: BLOCK_DEPTH_MAX,
        block_lines: usize::MAX,
        diagnostics: usize::MAX,
        errors: usize::MAX,
    };

    /// Names and meanings, for help texts.
    pub const NAMES: [(&'static str, &'static str); 11] = [
        ("file-bytes", "largest file that is read"),
        ("total-bytes", "all files together"),
        ("include-depth", "files that include files"),
        ("files", "how many files are read"),
        ("expanded-lines", "lines that definitions, ~SEQ and ~LST give"),
        ("expanded-bytes", "bytes of these lines"),
        ("expansion-depth", "definitions within definitions, loops within loops"),
        ("block-depth", "blocks within blocks"),
        ("block-lines", "statements of one block with all in it"),
        ("diagnostics", "how many errors, and how many warnings, are shown"),
        ("errors", "how many errors end reading"),
    ];

    /// Sets a limit from `NAME=NUMBER`.
    ///
    /// # Errors
    /// A sentence for the operator.
    pub fn set(&mut self, text: &str) -> Result<(), String> {
        let (name, value) = text.split_once('=').ok_or_else(|| {
            format!("`{text}` is no limit: write NAME=NUMBER, for example expanded-lines=2000000")
        })?;
        let number: u64 =
            value.parse().map_err(|_| format!("`{value}` is no number for the limit {name}"))?;
        let size = usize::try_from(number).unwrap_or(usize::MAX);
        match name {
            "file-bytes" => self.file_bytes = number,
            "total-bytes" => self.total_bytes = number,
            "include-depth" => self.include_depth = size,
            "files" => self.files = u32::try_from(number).unwrap_or(u32::MAX),
            "expanded-lines" => self.expanded_lines = number,
            "expanded-bytes" => self.expanded_bytes = size,
            "expansion-depth" => self.expansion_depth = size,
            "block-depth" if size > BLOCK_DEPTH_MAX => {
                return Err(format!("the limit block-depth can be {BLOCK_DEPTH_MAX} at most"));
            }
            "block-depth" => self.block_depth = size,
            "block-lines" => self.block_lines = size,
            "diagnostics" => self.diagnostics = size,
            "errors" => self.errors = size,
            _ => {
                let names: Vec<&str> = Self::NAMES.iter().map(|(name, _)| *name).collect();
                return Err(format!("there is no limit named `{name}`; there are {}", names.join(", ")));
            }
        }
        Ok(())
    }
}

/// Limits set one by one, which win over whatever others there are.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct LimitOverrides {
    words: Vec<String>,
}

impl LimitOverrides {
    /// Adds one from `NAME=NUMBER`.
    ///
    /// # Errors
    /// A sentence for the operator.
    pub fn add(&mut self, text: String) -> Result<(), String> {
        Limits::default().set(&text)?;
        self.words.push(text);
        Ok(())
    }

    /// These over `limits`.
    pub fn over(&self, mut limits: Limits) -> Limits {
        for word in &self.words {
            // Each was good when it was added.
            let _ = limits.set(word);
        }
        limits
    }
}

/// How the reader of a refusal raises a limit.
pub(super) fn advice(name: &str) -> String {
    format!("raise the limit with --limit {name}=NUMBER, or {name} = NUMBER under [limits] in alived.toml")
}

fn block_depth<'de, D: Deserializer<'de>>(deserializer: D) -> Result<usize, D::Error> {
    match usize::deserialize(deserializer)? {
        depth @ ..=BLOCK_DEPTH_MAX => Ok(depth),
        _ => Err(de::Error::custom(format!("block-depth can be {BLOCK_DEPTH_MAX} at most"))),
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            file_bytes: 64 << 20,
            total_bytes: 256 << 20,
            include_depth: 32,
            files: 10_000,
            expanded_lines: 1_000_000,
            expanded_bytes: 64 << 20,
            expansion_depth: 32,
            block_depth: 32,
            block_lines: 2_000_000,
            diagnostics: 10_000,
            errors: 100_000,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_named_limit_can_be_set() {
        for (name, _) in Limits::NAMES {
            let mut limits = Limits::default();
            limits.set(&format!("{name}=7")).unwrap();
            assert_ne!(limits, Limits::default(), "{name}");
        }
        assert!(Limits::default().set("nonsense=1").is_err());
        assert!(Limits::default().set("files=x").is_err());
        assert!(Limits::default().set("block-depth=201").is_err());
    }
}
