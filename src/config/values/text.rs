//! Words: names, paths, interface names, one of several, masks.

use super::words::{Args, Argument, Printed};
use crate::config::lints;
use crate::net::InterfaceName;
#[cfg(test)]
use crate::prng::Prng;
use crate::secret::Secret;

/// Any one word.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Text(pub Box<str>);

impl Argument for Text {
    fn parse(args: &mut Args<'_>) -> Option<Self> {
        args.required().map(|(text, _)| Self(text.into()))
    }

    fn print(&self, out: &mut Printed) {
        out.word(&self.0);
    }

    #[cfg(test)]
    fn sample(random: &mut Prng) -> Self {
        let words = ["www.example.net", "/etc/x/y", "two words", "a#b", "x{y}", "\u{fc}nicode", "semi;colon"];
        Self(words[random.below(words.len() as u64) as usize].into())
    }
}

/// Any one word that nobody may see.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct SecretText(pub Secret<Box<str>>);

impl Argument for SecretText {
    fn parse(args: &mut Args<'_>) -> Option<Self> {
        let (text, at) = args.required()?;
        lints::cut(args.reading, args.name(), at);
        lints::sample(args.reading, args.name(), text, at);
        Some(Self(Secret::new(text.into())))
    }

    fn print(&self, out: &mut Printed) {
        out.word(self.0.expose());
    }

    #[cfg(test)]
    fn sample(random: &mut Prng) -> Self {
        Self(Secret::new(Text::sample(random).0))
    }
}

/// A word, or nothing.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct OptionalText(pub Option<Box<str>>);

impl Argument for OptionalText {
    fn parse(args: &mut Args<'_>) -> Option<Self> {
        Some(Self(args.next().map(|(text, _)| text.into())))
    }

    fn print(&self, out: &mut Printed) {
        if let Some(text) = &self.0 {
            out.word(text);
        }
    }

    #[cfg(test)]
    fn sample(random: &mut Prng) -> Self {
        Self(random.chance(1, 2).then(|| Text::sample(random).0))
    }
}

/// A name of at most `MAX` bytes; 0 = no limit. Longer ones are rejected.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct Name<const MAX: usize>(pub Box<str>);

impl<const MAX: usize> Argument for Name<MAX> {
    fn parse(args: &mut Args<'_>) -> Option<Self> {
        let (text, at) = args.required()?;
        if MAX > 0 && text.len() > MAX {
            args.reject(
                at,
                format!("`{text}` is too long: `{}` takes at most {MAX} characters", args.name()),
            );
            return None;
        }
        Some(Self(text.into()))
    }

    fn print(&self, out: &mut Printed) {
        out.word(&self.0);
    }

    #[cfg(test)]
    fn sample(random: &mut Prng) -> Self {
        Self(format!("name{}", random.below(1000)).into())
    }
}

/// All words of a line, at least one.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Words<const MIN: usize, const MAX: usize>(pub Box<[Box<str>]>);

impl<const MIN: usize, const MAX: usize> Argument for Words<MIN, MAX> {
    fn parse(args: &mut Args<'_>) -> Option<Self> {
        let mut words = Vec::new();
        while words.len() < MAX {
            let word = if words.len() < MIN { Some(args.required()?) } else { args.next() };
            match word {
                Some((text, _)) => words.push(text.into()),
                None => break,
            }
        }
        Some(Self(words.into()))
    }

    fn print(&self, out: &mut Printed) {
        for word in &self.0 {
            out.word(word);
        }
    }

    #[cfg(test)]
    fn sample(random: &mut Prng) -> Self {
        let count = random.between(MIN as u64, MAX.min(MIN + 3) as u64);
        Self((0..count).map(|_| Text::sample(random).0).collect())
    }
}

/// The name of a network interface.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct Interface(pub InterfaceName);

impl Argument for Interface {
    fn parse(args: &mut Args<'_>) -> Option<Self> {
        let word = args.required()?;
        interface(args, word).map(Self)
    }

    fn print(&self, out: &mut Printed) {
        out.word(self.0.as_str());
    }

    #[cfg(test)]
    fn sample(random: &mut Prng) -> Self {
        Self(format!("eth{}", random.below(4)).parse().unwrap())
    }
}

/// A word as the name of an interface.
pub(super) fn interface(args: &Args<'_>, (text, at): super::words::Word<'_>) -> Option<InterfaceName> {
    match text.parse() {
        Ok(name) => Some(name),
        Err(error) => {
            args.reject(at, format!("`{text}` cannot be an interface: {error}"));
            None
        }
    }
}

/// A choice among words of the language.
macro_rules! choices {
    ($($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $word:literal $(| $synonym:literal)*),* $(,)? })*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
        pub(crate) enum $name { $($(#[$variant_doc])* $variant,)* }

        impl $name {
            /// The words, in the order of the variants.
            pub(crate) const WORDS: &'static [&'static str] = &[$($word),*];

            /// The word of the language.
            pub(crate) const fn word(self) -> &'static str {
                match self { $(Self::$variant => $word),* }
            }

            /// The choice of a word.
            pub(crate) fn from_word(word: &str) -> Option<Self> {
                match word { $($word $(| $synonym)* => Some(Self::$variant),)* _ => None }
            }
        }

        impl $crate::config::values::Argument for $name {
            fn parse(args: &mut $crate::config::values::Args<'_>) -> Option<Self> {
                let word = args.required()?;
                let choice = Self::from_word(word.0);
                if choice.is_none() {
                    args.reject_choice(word, Self::WORDS);
                }
                choice
            }

            fn print(&self, out: &mut $crate::config::values::Printed) {
                out.value(self.word());
            }

            #[cfg(test)]
            fn sample(random: &mut $crate::prng::Prng) -> Self {
                let words = Self::WORDS;
                Self::from_word(words[random.below(words.len() as u64) as usize]).unwrap()
            }
        }
    )*};
}
pub(in crate::config) use choices;

/// The words of the language for a type that somebody else owns.
macro_rules! words_of {
    ($($type:ty { $($value:ident = $word:literal $(| $synonym:literal)*),* $(,)? })*) => {$(
        impl $crate::config::values::Argument for $type {
            fn parse(args: &mut $crate::config::values::Args<'_>) -> Option<Self> {
                let word = args.required()?;
                match word.0 {
                    $($word $(| $synonym)* => Some(Self::$value),)*
                    _ => {
                        args.reject_choice(word, &[$($word),*]);
                        None
                    }
                }
            }

            fn print(&self, out: &mut $crate::config::values::Printed) {
                out.value(match self { $(Self::$value => $word),* });
            }

            #[cfg(test)]
            fn sample(random: &mut $crate::prng::Prng) -> Self {
                let values = [$(Self::$value),*];
                values[random.below(values.len() as u64) as usize]
            }
        }
    )*};
}
pub(in crate::config) use words_of;

/// A file mode mask: a number, or names of bits joined by `|`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Umask(pub u32);

const BITS: [(&str, u32); 12] = [
    ("IRUSR", 0o400),
    ("IWUSR", 0o200),
    ("IXUSR", 0o100),
    ("IRWXU", 0o700),
    ("IRGRP", 0o040),
    ("IWGRP", 0o020),
    ("IXGRP", 0o010),
    ("IRWXG", 0o070),
    ("IROTH", 0o004),
    ("IWOTH", 0o002),
    ("IXOTH", 0o001),
    ("IRWXO", 0o007),
];

impl Umask {
    /// Reads `0177`, `127`, `0x7f`, `IXUSR|IRWXG|IRWXO`.
    pub(crate) fn from_text(text: &str) -> Option<Self> {
        let mask = match super::parse::c_integer(text) {
            Some(number) => u32::try_from(number).ok()?,
            None => text.split('|').try_fold(0, |mask, name| {
                BITS.iter().find(|(bit, _)| *bit == name.trim()).map(|(_, value)| mask | value)
            })?,
        };
        (mask <= 0o777).then_some(Self(mask))
    }
}

impl Argument for Umask {
    fn parse(args: &mut Args<'_>) -> Option<Self> {
        let (first, at) = args.required()?;
        let mut text = first.to_owned();
        let mut whole = at;
        while let Some((more, span)) = args.next() {
            text.push_str(more);
            whole = whole.to(span);
        }
        let mask = Self::from_text(&text);
        if mask.is_none() {
            args.reject(whole, format!("`{text}` is no mask: write 0177 or IXUSR|IRWXG|IRWXO"));
        }
        mask
    }

    fn print(&self, out: &mut Printed) {
        out.value(format_args!("0{:o}", self.0));
    }

    #[cfg(test)]
    fn sample(random: &mut Prng) -> Self {
        Self(u32::try_from(random.below(0o1000)).unwrap())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_are_numbers_or_names() {
        assert_eq!(Umask::from_text("0177"), Some(Umask(0o177)));
        assert_eq!(Umask::from_text("IXUSR|IRWXG|IRWXO"), Some(Umask(0o177)));
        assert_eq!(Umask::from_text("0x7f"), Some(Umask(0o177)));
        assert_eq!(Umask::from_text("NONSENSE"), None);
        assert_eq!(Umask::from_text("07777"), None);
    }
}
