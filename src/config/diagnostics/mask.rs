//! Secrets do not leave through error messages.

use crate::config::schema::is_secret_keyword;

/// What stands for a secret.
pub(super) const MASK: &str = "********";

/// Byte ranges of a source line that must not be shown: what follows a keyword that takes a secret, or a
/// word close to one (a mistyped keyword must not show its password), or a definition named like one.
pub(super) fn secret_ranges(line: &str) -> Vec<(usize, usize)> {
    let mut ranges = Vec::new();
    let mut expect_secret = false;
    for (start, word) in words(line) {
        if word.starts_with(['#', '!']) {
            // Even a comment may hold a line that was switched off.
            continue;
        }
        if expect_secret {
            ranges.push((start, line.trim_end_matches(['}', ' ', '\t']).len().max(start)));
            break;
        }
        if let Some((name, value)) = word.strip_prefix('$').and_then(|rest| rest.split_once('='))
            && looks_secret(name)
            && !value.is_empty()
        {
            ranges.push((start + word.len() - value.len(), line.len()));
            break;
        }
        expect_secret = is_secret_keyword(word);
    }
    ranges
}

fn looks_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    ["pass", "secret", "key"].iter().any(|part| name.contains(part))
}

fn words(line: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut rest = 0;
    std::iter::from_fn(move || {
        let tail = line.get(rest..)?;
        let lead = tail.find(|c: char| !c.is_ascii_whitespace() && !matches!(c, '{' | '}'))?;
        let start = rest + lead;
        let word = line.get(start..)?;
        let length = word.find(|c: char| c.is_ascii_whitespace()).unwrap_or(word.len());
        rest = start + length;
        Some((start, word.get(..length)?))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hidden(line: &str) -> Vec<&str> {
        secret_ranges(line).into_iter().map(|(a, b)| &line[a..b]).collect()
    }

    #[test]
    fn secrets_of_keywords_typos_and_definitions_are_found() {
        assert_eq!(hidden("  auth_pass secret12"), ["secret12"]);
        assert_eq!(hidden("  auth_pas  \"secret 12\" }"), ["\"secret 12\""]);
        assert_eq!(hidden("@b auth_pass x"), ["x"]);
        assert_eq!(hidden("# auth_pass x"), ["x"]);
        assert_eq!(hidden("$VRRP_PASSWORD=abc def"), ["abc def"]);
        assert_eq!(hidden("key 7 hex:00ff"), ["7 hex:00ff"]);
        assert!(hidden("virtual_router_id 51").is_empty());
    }
}
