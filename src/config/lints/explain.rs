//! What there is to know of a remark, beyond what its message says.

/// `# CODE` and its text, again and again.
static TEXTS: &str = include_str!("explanations.md");

/// The explanation of a code, if it has one.
pub fn explain(code: &str) -> Option<&'static str> {
    sections().find(|(name, _)| *name == code).map(|(_, text)| text)
}

/// The codes that are explained.
pub fn explained() -> impl Iterator<Item = &'static str> {
    sections().map(|(name, _)| name)
}

fn sections() -> impl Iterator<Item = (&'static str, &'static str)> {
    TEXTS.split("\n# ").filter_map(|section| {
        let (name, text) = section.trim_start_matches("# ").split_once('\n')?;
        Some((name.trim(), text.trim()))
    })
}
