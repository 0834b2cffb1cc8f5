//! The answers to `--status`, `--health` and `--break`, for people and for machines.

use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::backend::{Broken, HolderReport, HolderState};
use crate::stderr::escape;

/// `--status`: a line a fact, or one JSON object. What others wrote into the store is escaped in both.
pub(crate) fn status(object: &str, report: &HolderReport, json: bool) -> String {
    let state = match report.state {
        HolderState::Free => "free",
        HolderState::Held => "held",
        HolderState::Unknown => "unknown",
    };
    if json {
        let mut whole = json!({ "object": object, "state": state, "store": escaped(&report.store) });
        if !report.holder.is_empty() {
            whole["holder"] = Value::Object(escaped(&report.holder));
        }
        if let Some(token) = &report.token {
            whole["token"] = token.as_str().into();
        }
        return format!("{whole}\n");
    }
    let mut text = format!("lock:   {}\nstate:  {state}\n", escape(object));
    for (group, facts) in [("holder", &report.holder), ("store", &report.store)] {
        if !facts.is_empty() {
            let facts: Vec<String> =
                facts.iter().map(|(key, value)| format!("{} {}", shown(key), plain(value))).collect();
            text.push_str(&format!("{:<8}{}\n", format!("{group}:"), facts.join(", ")));
        }
    }
    text
}

/// `--health`: one line.
pub(crate) fn health(object: &str, text: &str, took: Duration) -> String {
    format!("ok: {} answered in {:.1} ms: {}\n", escape(object), took.as_secs_f64() * 1e3, escape(text))
}

/// `--break`: one line, or one JSON object.
pub(crate) fn broken(object: &str, broken: &Broken, json: bool) -> String {
    let (outcome, text) = match broken {
        Broken::Done(text) => ("broken", text.as_str()),
        Broken::NotHeld => ("not_held", "that holding is not there any more; nothing was done"),
    };
    if json {
        return format!("{}\n", json!({ "object": object, "outcome": outcome, "text": escape(text) }));
    }
    let outcome = outcome.replace('_', " ");
    format!("{outcome}: {}: {}\n", escape(object), escape(text))
}

/// Longest fact: no host name is longer (RFC 1123).
const FACT_MAX: usize = 255;

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => shown(text),
        other => shown(&other.to_string()),
    }
}

/// What others wrote, so that it can neither drive a terminal nor fill it.
fn shown(text: &str) -> String {
    escape(&text.chars().take(FACT_MAX).collect::<String>())
}

/// JSON escapes control characters by itself, but neither those that reorder a terminal's text nor C1 ones.
fn escaped(facts: &Map<String, Value>) -> Map<String, Value> {
    facts
        .iter()
        .map(|(key, value)| match value {
            Value::String(text) => (shown(key), Value::String(shown(text))),
            other => (shown(key), other.clone()),
        })
        .collect()
}
