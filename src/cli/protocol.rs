//! `alived protocol`: the JSON schema of the control protocol, for other programs.

use std::process::ExitCode;

use clap::Args;
use schemars::{JsonSchema, SchemaGenerator, generate::SchemaSettings};
use serde_json::{Value, json};

use crate::control::{Answer, LogLevels, Ordered, Planned, Recorded, Reloaded, Request, Restarted, VERSION};
use crate::status::{EventRecord, MaintenanceStatus, Orders, Status};

/// Print the JSON schema of the control protocol
///
/// For programs that ask the daemon themselves: one request a line to its socket, one answer a line back. The schema has
/// the form of requests, of answers, and of the result of each command.
#[derive(Debug, Args)]
pub(super) struct Arguments {}

/// Events that are kept, of `events`.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "only its form is asked for")]
struct Events {
    /// The oldest first.
    events: Vec<EventRecord>,
}

/// Whether maintenance holds, of `maintenance` without a change or with its end.
#[derive(JsonSchema)]
#[expect(dead_code, reason = "only its form is asked for")]
struct Maintenance {
    /// What holds.
    maintenance: Option<MaintenanceStatus>,
}

/// Runs the subcommand.
pub(super) fn run(_: &Arguments) -> ExitCode {
    super::print(&text());
    ExitCode::SUCCESS
}

/// The schema, as it is in docs/control-protocol.json.
fn text() -> String {
    let mut generator = SchemaSettings::draft2020_12().into_generator();
    let mut of = |schema: fn(&mut SchemaGenerator) -> schemars::Schema| schema(&mut generator);
    let results = json!({
        "status": of(SchemaGenerator::subschema_for::<Status>),
        "events": of(SchemaGenerator::subschema_for::<Events>),
        "plan": of(SchemaGenerator::subschema_for::<Planned>),
        "failover": of(SchemaGenerator::subschema_for::<Ordered>),
        "failback": of(SchemaGenerator::subschema_for::<Ordered>),
        "maintenance": { "anyOf": [
            of(SchemaGenerator::subschema_for::<Maintenance>),
            of(SchemaGenerator::subschema_for::<Ordered>),
        ] },
        "drain": of(SchemaGenerator::subschema_for::<Orders>),
        "weight": of(SchemaGenerator::subschema_for::<Orders>),
        "restore": of(SchemaGenerator::subschema_for::<Orders>),
        "orders": of(SchemaGenerator::subschema_for::<Orders>),
        "record": of(SchemaGenerator::subschema_for::<Recorded>),
        "reload": of(SchemaGenerator::subschema_for::<Reloaded>),
        "restart": of(SchemaGenerator::subschema_for::<Restarted>),
        "log-level": of(SchemaGenerator::subschema_for::<LogLevels>),
    });
    let (request, answer) =
        (of(SchemaGenerator::subschema_for::<Request>), of(SchemaGenerator::subschema_for::<Answer>));
    let event = of(SchemaGenerator::subschema_for::<EventRecord>);
    let definitions: Value = generator.take_definitions(true).into();
    let whole = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "alived control protocol",
        "description": "One JSON object a line in each direction, over the worker's Unix socket.",
        "version": VERSION,
        "request": request,
        "answer": answer,
        "result": results,
        "event": event,
        "$defs": definitions,
    });
    // Only maps with keys that are no strings cannot be written, and there are none.
    serde_json::to_string_pretty(&whole).unwrap_or_default() + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[allow(clippy::disallowed_methods)]
    fn the_schema_in_the_docs_is_that_of_the_code() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/control-protocol.json");
        let kept = std::fs::read_to_string(path).unwrap_or_default();
        assert!(kept == text(), "cargo run -q -- protocol > docs/control-protocol.json");
    }
}
