//! The configuration as it was understood, in canonical form.

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
pub fn print(config: &Config, options: PrintOptions) -> String {
    let mut out = Canonical::default();
    (out.defaults, out.secrets) = (options.defaults, options.show_secrets);
    config.print_body(&mut out);
    out.into_text()
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
    fn secrets_are_masked_unless_asked_for() {
        let text = "vrrp_instance V {\n authentication {\n auth_type PASS\n auth_pass hush1234\n }\n}\n";
        let loaded = load(&FakeHost::with_file("a", text), "a", &LoadOptions::default());
        assert!(!print(&loaded.config, PrintOptions::default()).contains("hush"));
        assert!(print(&loaded.config, ALL).contains("auth_pass hush1234"));
        assert!(!loaded.render(Default::default()).contains("hush"));
    }
}
