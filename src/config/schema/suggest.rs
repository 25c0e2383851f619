//! "Did you mean".

/// The name nearest to a mistyped one, if it is near enough to be meant.
pub(crate) fn nearest<'a>(word: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if word.is_empty() || word.len() > 40 {
        return None;
    }
    let allowed = (word.chars().count() / 3).clamp(1, 3);
    names
        .into_iter()
        .filter(|name| name.len().abs_diff(word.len()) <= allowed)
        .map(|name| (distance(&word.to_ascii_lowercase(), &name.to_ascii_lowercase()), name))
        .filter(|(distance, _)| *distance <= allowed)
        .min()
        .map(|(_, name)| name)
}

/// Insertions, deletions, replacements and swaps of neighbours that lead from one word to the other
/// (optimal string alignment).
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i; b.len() + 1];
        for j in 1..=b.len() {
            let same = usize::from(a[i - 1] != b[j - 1]);
            row[j] = (last[j] + 1).min(row[j - 1] + 1).min(last[j - 1] + same);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                row[j] = row[j].min(before[j - 2] + 1);
            }
        }
        before = core::mem::replace(&mut last, row);
    }
    last.last().copied().unwrap_or(0)
}

/// Whether a word is a keyword whose argument is a secret, or so near to one that it may be a typing error.
pub(crate) fn is_secret_keyword(word: &str) -> bool {
    ["auth_pass", "key", "password"].into_iter().any(|secret| {
        word == secret
            || secret.len() > 4 && word.len().abs_diff(secret.len()) <= 2 && distance(word, secret) <= 2
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_words_are_found_and_far_ones_are_not() {
        let names = ["priority", "interface", "state", "virtual_router_id"];
        assert_eq!(nearest("prioirty", names), Some("priority"));
        assert_eq!(nearest("virtual_router", names), Some("virtual_router_id"));
        assert_eq!(nearest("Interface", names), Some("interface"));
        assert_eq!(nearest("banana", names), None);
    }

    #[test]
    fn mistyped_secrets_count_as_secrets() {
        assert!(is_secret_keyword("auth_pas"));
        assert!(is_secret_keyword("key"));
        assert!(!is_secret_keyword("priority"));
    }
}
