//! `-M`: the kernel's name for core files, of the whole host, while the daemon runs.

use std::fs;

const PATH: &str = "/proc/sys/kernel/core_pattern";

/// Has the name before put back when it is dropped.
#[derive(Debug)]
pub(super) struct CorePattern(Option<String>);

impl CorePattern {
    /// Sets another one, if there is one.
    pub(super) fn set(pattern: Option<&str>) -> Self {
        let Some(pattern) = pattern else { return Self(None) };
        let set = fs::read_to_string(PATH).and_then(|before| {
            fs::write(PATH, format!("{pattern}\n"))?;
            Ok(before)
        });
        match set {
            Ok(before) => Self(Some(before)),
            Err(error) => {
                tracing::warn!("-M: cannot set kernel.core_pattern to {pattern}: {error}");
                Self(None)
            }
        }
    }
}

impl Drop for CorePattern {
    fn drop(&mut self) {
        let Some(before) = &self.0 else { return };
        if let Err(error) = fs::write(PATH, before) {
            tracing::warn!("-M: cannot put kernel.core_pattern back to {}: {error}", before.trim_end());
        }
    }
}
