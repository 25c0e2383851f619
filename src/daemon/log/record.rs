//! An event with its values, as the sinks write it and as the queue keeps it.

use std::cell::Cell;
use std::fmt;

use serde::Serialize;
use tracing::field::{Field, Value, Visit};
use tracing::{Event, Level, Metadata, dispatcher};

use crate::sys::clock;
use crate::time::WallTime;

/// The field that `tracing` keeps the text in.
const MESSAGE: &str = "message";

thread_local! {
    /// When the event that this thread writes happened; `None` = now.
    static HAPPENED: Cell<Option<WallTime>> = const { Cell::new(None) };
}

/// Has this thread write what happened at another time.
pub(super) fn at<T>(wall: WallTime, write: impl FnOnce() -> T) -> T {
    HAPPENED.set(Some(wall));
    let written = write();
    HAPPENED.set(None);
    written
}

/// A value of an event.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub(super) enum FieldValue {
    Bool(bool),
    Signed(i64),
    Unsigned(u64),
    Text(String),
}

impl FieldValue {
    fn as_value(&self) -> &dyn Value {
        match self {
            Self::Bool(value) => value,
            Self::Signed(value) => value,
            Self::Unsigned(value) => value,
            Self::Text(text) => text,
        }
    }
}

impl fmt::Display for FieldValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool(value) => value.fmt(f),
            Self::Signed(value) => value.fmt(f),
            Self::Unsigned(value) => value.fmt(f),
            Self::Text(text) => f.write_str(text),
        }
    }
}

/// Values by the fields they are of.
#[derive(Debug, Default)]
struct Values(Vec<(Field, FieldValue)>);

impl Visit for Values {
    fn record_bool(&mut self, field: &Field, value: bool) {
        self.0.push((field.clone(), FieldValue::Bool(value)));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.0.push((field.clone(), FieldValue::Signed(value)));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.0.push((field.clone(), FieldValue::Unsigned(value)));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.push((field.clone(), FieldValue::Text(value.to_owned())));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.0.push((field.clone(), FieldValue::Text(format!("{value:?}"))));
    }
}

/// What a sink writes.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Record {
    pub(super) wall: WallTime,
    pub(super) level: Level,
    /// The part of the daemon that it is of.
    pub(super) target: &'static str,
    pub(super) message: String,
    /// What else is known, for sinks that keep more than text.
    pub(super) fields: Vec<(&'static str, FieldValue)>,
}

impl Record {
    /// A text, of now.
    pub(super) fn new(level: Level, message: String) -> Self {
        Self { wall: clock::wall(), level, target: module_path!(), message, fields: Vec::new() }
    }

    /// An event as it is dispatched.
    pub(super) fn of(event: &Event<'_>) -> Self {
        let metadata = event.metadata();
        let mut values = Values::default();
        event.record(&mut values);
        let wall = HAPPENED.get().unwrap_or_else(clock::wall);
        let (level, target) = (*metadata.level(), metadata.target());
        let mut record = Self { wall, level, target, message: String::new(), fields: Vec::new() };
        for (field, value) in values.0 {
            match (field.name(), value) {
                (MESSAGE, FieldValue::Text(text)) => record.message = text,
                (name, value) => record.fields.push((name, value)),
            }
        }
        record
    }
}

/// An event that is kept, to be dispatched by another thread.
#[derive(Debug)]
pub(in crate::daemon) struct Kept {
    metadata: &'static Metadata<'static>,
    values: Values,
}

impl Kept {
    /// With copies of its values.
    pub(super) fn of(event: &Event<'_>) -> Self {
        let mut values = Values::default();
        event.record(&mut values);
        Self { metadata: event.metadata(), values }
    }

    /// Dispatches it where this thread's events go, if events of its kind are wanted there.
    pub(super) fn dispatch(&self) {
        let fields = self.metadata.fields();
        let mut values: Vec<Option<&dyn Value>> = vec![None; fields.len()];
        for (field, value) in &self.values.0 {
            values[field.index()] = Some(value.as_value());
        }
        dispatcher::get_default(|current| {
            if current.enabled(self.metadata) {
                current.event(&Event::new(self.metadata, &fields.value_set_all(&values)));
            }
        });
    }
}
