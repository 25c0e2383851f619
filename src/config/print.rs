//! The configuration as it was understood, in canonical form.

use super::long_line;
use super::model::block::Canonical;
use super::model::{Block, Config};

/// What to print.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct PrintOptions {
    /// Add the defaults of keywords that were not written, as comments.
    pub defaults: bool,
    /// Show passwords and keys. Without it the text cannot be read back as the same configuration.
    pub show_secrets: bool,
}

/// Prints a configuration: one order of keywords, four blanks for each block, everything expanded. Reading
/// it gives the same configuration, and printing that the same text.
pub(crate) fn print(config: &Config, options: PrintOptions) -> String {
    print_noting_secrets(config, options).0
}

/// Prints a configuration without its secrets, and whether there are any: else this is all of it.
pub(crate) fn print_without_secrets(config: &Config) -> (String, bool) {
    print_noting_secrets(config, PrintOptions::default())
}

/// The text, and whether secrets are left out of it.
fn print_noting_secrets(config: &Config, options: PrintOptions) -> (String, bool) {
    let mut out = Canonical::default();
    (out.defaults, out.secrets) = (options.defaults, options.show_secrets);
    config.print_body(&mut out);
    let hides = out.hides;
    (long_line::shorten(out.into_text()), hides)
}

/// Writes keys that are in files as what these hold.
pub(crate) fn spell_out_keys(config: &mut Config) {
    let blocks = config.instances.iter_mut().filter_map(|instance| instance.auth_hmac.as_mut());
    blocks.flat_map(|block| &mut block.keys).for_each(|entry| entry.value.spell_out());
}

#[cfg(test)]
mod tests {
    use super::super::model::block::Sample;
    use super::super::{FakeHost, LoadOptions, load};
    use super::*;
    use crate::prng::Prng;

    const ALL: PrintOptions = PrintOptions { defaults: false, show_secrets: true };

    #[test]
    fn what_is_printed_reads_as_the_same_configuration() {
        for seed in 0..300 {
            let config = Config::sample(&mut Prng::new(seed));
            let text = print(&config, ALL);
            let loaded =
                load(&FakeHost::with_file("a.conf", text.as_str()), "a.conf", &LoadOptions::default());
            assert_eq!(loaded.config, config, "seed {seed}:\n{text}\n{}", loaded.render(Default::default()));
            assert_eq!(print(&loaded.config, ALL), text, "seed {seed}");
            let with_defaults = print(&config, PrintOptions { defaults: true, ..ALL });
            let loaded = load(
                &FakeHost::with_file("a.conf", with_defaults.as_str()),
                "a.conf",
                &LoadOptions::default(),
            );
            assert_eq!(loaded.config, config, "seed {seed} with defaults:\n{with_defaults}");
        }
    }

    #[test]
    fn what_has_no_secrets_is_printed_alike_with_and_without_them() {
        let mut hiding = 0;
        for seed in 0..300 {
            let config = Config::sample(&mut Prng::new(seed));
            let (text, hides) = print_without_secrets(&config);
            assert_eq!(text, print(&config, PrintOptions::default()), "seed {seed}");
            assert_eq!(hides, text != print(&config, ALL), "seed {seed}");
            hiding += usize::from(hides);
        }
        assert!((1..300).contains(&hiding), "{hiding}");
    }

    #[test]
    fn words_that_mean_something_at_the_beginning_of_a_line_are_quoted() {
        let text = "vrrp_sync_group G {\n group {\n A @ @node ~SEQ(N,3) $A=b include includem\n }\n}\n";
        let loaded = load(&FakeHost::with_file("a", text), "a", &LoadOptions::default());
        let printed = print(&loaded.config, ALL);
        let again = load(&FakeHost::with_file("a", printed.as_str()), "a", &LoadOptions::default());
        assert_eq!(again.config, loaded.config, "{printed}");
        assert_eq!(loaded.config.sync_groups[0].group.len(), 7);
        let text = "vrrp_track_process p {\n process \"sleep\u{c}\" \"a\u{b}b\" \"c\td\"\n}\n";
        let loaded = load(&FakeHost::with_file("a", text), "a", &LoadOptions::default());
        let printed = print(&loaded.config, ALL);
        assert_eq!(printed, text.replace(" process", "    process"));
    }

    #[test]
    fn lines_longer_than_what_is_read_come_back() {
        let mut random = Prng::new(11);
        let parts = [
            "a", "#", "!", "$", "${", "}", "{", " ", "      ", "\\", "${X}", "$A ", "$_L1 ", "${_L2}",
            "\u{fc}", "@b", "~", "'",
        ];
        for round in 0..200 {
            let mut word = |least: usize| {
                let mut word = String::from("x");
                while word.len() < least {
                    word.push_str(parts[random.below(parts.len() as u64) as usize]);
                }
                word
            };
            let (router, name, member) = (word(900 + round * 7), word(1000), word(2000));
            let text = |router: &str| {
                format!(
                    "global_defs {{\n router_id \"{router}\"\n}}\nvrrp_sync_group G {{\n group {{\n A\n }}\n}}\n"
                )
            };
            let mut config = load(&FakeHost::with_file("a", text("r")), "a", &LoadOptions::default()).config;
            config.global.as_mut().unwrap().router_id.as_mut().unwrap().value.0 = router.into();
            config.sync_groups[0].header.value.0 = name.into();
            config.sync_groups[0].group[0].value.0 = member.into();
            let printed = print(&config, ALL);
            assert!(printed.lines().all(|line| line.len() <= 1023), "{round}");
            let again = load(&FakeHost::with_file("a", printed.as_str()), "a", &LoadOptions::default());
            assert_eq!(again.config, config, "{round}: {printed}\n{}", again.render(Default::default()));
            assert_eq!(print(&again.config, ALL), printed, "{round}");
        }
    }

    #[test]
    fn very_long_lines_come_back() {
        let mut config =
            load(&FakeHost::with_file("a", "global_defs {\n router_id x\n}\n"), "a", &LoadOptions::default())
                .config;
        config.global.as_mut().unwrap().router_id.as_mut().unwrap().value.0 =
            "0123456789 #".repeat(20_000).into();
        let printed = print(&config, ALL);
        assert!(printed.lines().all(|line| line.len() <= 1023));
        let again = load(&FakeHost::with_file("a", printed.as_str()), "a", &LoadOptions::default());
        assert_eq!(again.config, config);
    }

    #[test]
    fn secrets_are_masked_unless_asked_for() {
        let text = "vrrp_instance V {\n authentication {\n auth_type PASS\n auth_pass hush1234\n }\n}\n";
        let loaded = load(&FakeHost::with_file("a", text), "a", &LoadOptions::default());
        assert!(!print(&loaded.config, PrintOptions::default()).contains("hush"));
        assert!(print(&loaded.config, ALL).contains("auth_pass hush1234"));
        assert!(!loaded.render(Default::default()).contains("hush"));
    }
}
