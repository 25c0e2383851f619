//! The text format of Prometheus, version 0.0.4.

use core::fmt::{self, Write as _};
use std::collections::BTreeSet;

/// A text that grows.
#[derive(Debug, Default)]
pub(super) struct Exposition {
    text: String,
}

/// What a family's values mean.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Kind {
    /// It only grows, but for a start at 0.
    Counter,
    /// It comes and goes.
    Gauge,
    /// Cumulative counts of classes.
    Histogram,
    /// A counter under a name that does not say so, because others know it by that.
    Untyped,
}

impl Kind {
    const fn word(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
            Self::Untyped => "untyped",
        }
    }
}

/// A label and its value.
pub(super) type Label<'a> = (&'a str, &'a str);

/// A value.
#[derive(Clone, Copy, Debug)]
pub(super) enum Value {
    /// A count.
    Whole(u64),
    /// Microseconds, told in seconds.
    Us(u64),
}

impl From<u64> for Value {
    fn from(value: u64) -> Self {
        Self::Whole(value)
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Whole(value.into())
    }
}

/// Exactly: numbers beyond 2^53 are rounded by who reads them, not here.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Whole(value) => value.fmt(f),
            Self::Us(us) if us % 1_000_000 == 0 => (us / 1_000_000).fmt(f),
            Self::Us(us) => {
                let digits = format!("{}.{:06}", us / 1_000_000, us % 1_000_000);
                f.write_str(digits.trim_end_matches('0'))
            }
        }
    }
}

impl Exposition {
    /// Begins a family. All its samples come before the next one's. Of samples with the same labels the first one counts:
    /// readers refuse the whole text otherwise.
    pub(super) fn family(&mut self, name: &'static str, kind: Kind, help: &str) -> Family<'_> {
        // Writing to a String cannot fail.
        let _ = writeln!(
            self.text,
            "# HELP {name} {}\n# TYPE {name} {}",
            help.replace('\\', "\\\\").replace('\n', "\\n"),
            kind.word()
        );
        Family { text: &mut self.text, name, told: BTreeSet::new() }
    }

    pub(super) fn into_text(self) -> String {
        self.text
    }
}

/// A family whose samples are added.
#[derive(Debug)]
pub(super) struct Family<'a> {
    text: &'a mut String,
    name: &'static str,
    told: BTreeSet<Box<str>>,
}

impl Family<'_> {
    /// Adds a sample.
    pub(super) fn add(&mut self, labels: &[Label<'_>], value: impl Into<Value>) {
        self.add_named("", labels, value.into());
    }

    fn add_named(&mut self, suffix: &str, labels: &[Label<'_>], value: Value) {
        let mut sample = String::from(suffix);
        for (position, (label, value)) in labels.iter().enumerate() {
            sample.push(if position == 0 { '{' } else { ',' });
            sample.push_str(label);
            sample.push_str("=\"");
            escape(value, &mut sample);
            sample.push('"');
        }
        if !labels.is_empty() {
            sample.push('}');
        }
        // Writing to a String cannot fail.
        let _ = writeln!(self.text, "{}{sample} {value}", self.name);
        if !self.told.insert(sample.into_boxed_str()) {
            let length = self.text.len();
            let line = self.text[..length - 1].rfind('\n').map_or(0, |end| end + 1);
            self.text.truncate(line);
        }
    }

    /// Adds a histogram: the upper bounds of its classes in microseconds with their counts, the count of what was above all
    /// of them, and the sum of all in microseconds.
    pub(super) fn add_histogram(
        &mut self,
        labels: &[Label<'_>],
        classes: impl Iterator<Item = (u64, u64)>,
        above: u64,
        sum_us: u64,
    ) {
        let mut count = 0_u64;
        let mut add = |bound: &str, count: u64| {
            let mut labels = labels.to_vec();
            labels.push(("le", bound));
            self.add_named("_bucket", &labels, count.into());
        };
        for (bound_us, of_class) in classes {
            count = count.saturating_add(of_class);
            add(&Value::Us(bound_us).to_string(), count);
        }
        let count = count.saturating_add(above);
        add("+Inf", count);
        self.add_named("_sum", labels, Value::Us(sum_us));
        self.add_named("_count", labels, count.into());
    }
}

/// Any text is a label's value.
fn escape(value: &str, to: &mut String) {
    for letter in value.chars() {
        match letter {
            '\\' => to.push_str("\\\\"),
            '"' => to.push_str("\\\""),
            '\n' => to.push_str("\\n"),
            letter => to.push(letter),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_text_is_told_in_one_line_and_each_sample_once() {
        let mut exposition = Exposition::default();
        let mut family = exposition.family("a_total", Kind::Counter, "What\nit \\ counts.");
        family.add(&[("name", "quote \" line \n back \\ end")], 7);
        family.add(&[("name", "ü{}=,")], u64::MAX);
        family.add(&[("name", "ü{}=,")], 8);
        exposition.family("b_seconds", Kind::Gauge, "Time.").add(&[], Value::Us(1_500_000));
        exposition.family("c", Kind::Untyped, "None.");
        assert_eq!(
            exposition.into_text(),
            "# HELP a_total What\\nit \\\\ counts.\n# TYPE a_total counter\n\
             a_total{name=\"quote \\\" line \\n back \\\\ end\"} 7\na_total{name=\"ü{}=,\"} 18446744073709551615\n\
             # HELP b_seconds Time.\n# TYPE b_seconds gauge\nb_seconds 1.5\n\
             # HELP c None.\n# TYPE c untyped\n"
        );
    }

    #[test]
    fn classes_of_a_histogram_are_cumulative() {
        let mut exposition = Exposition::default();
        let classes = [(64, 2), (128, 0), (2_000_000, 3)].into_iter();
        exposition.family("h", Kind::Histogram, "H.").add_histogram(&[("a", "b")], classes, 1, 5_000_064);
        let text = exposition.into_text();
        let lines: Vec<&str> = text.lines().skip(2).collect();
        assert_eq!(
            lines,
            [
                "h_bucket{a=\"b\",le=\"0.000064\"} 2",
                "h_bucket{a=\"b\",le=\"0.000128\"} 2",
                "h_bucket{a=\"b\",le=\"2\"} 5",
                "h_bucket{a=\"b\",le=\"+Inf\"} 6",
                "h_sum{a=\"b\"} 5.000064",
                "h_count{a=\"b\"} 6",
            ]
        );
    }
}
