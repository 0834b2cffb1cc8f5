//! How the verdicts are said: words on a terminal, stable lines in a pipe, JSON, TAP 14.

use std::cell::RefCell;
use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use mutex_core::escape;
use serde_json::{Value, json};

use super::rule::{Needs, Rule, Verdict};
use crate::say::{self, Voice};

/// The widest line that every terminal shows in one row.
const COLUMNS: usize = 78;

/// In which form.
#[derive(Clone, Copy)]
pub(super) enum Form {
    Said(Voice),
    Tap,
}

/// What was counted.
#[derive(Default)]
pub(super) struct Count {
    pub(super) ok: usize,
    pub(super) not_ok: usize,
    pub(super) advice: usize,
    pub(super) skipped: usize,
}

impl Form {
    pub(super) fn new(json: bool, tap: bool) -> Self {
        if tap { Self::Tap } else { Self::Said(Voice::new(json)) }
    }

    /// What shows that the test waits: on a terminal, where words are.
    pub(super) fn progress(self) -> Progress {
        Progress { shown: matches!(self, Self::Said(Voice::Words)), of: RefCell::default() }
    }

    /// What is going to happen.
    pub(super) fn plan(self, lock: &str, rules: usize, words: &[String]) {
        match self {
            Self::Tap => {
                say::print("TAP version 14\n");
                words.iter().for_each(|line| say::print(&format!("# {}\n", escape(line))));
                say::print(&format!("1..{rules}\n"));
            }
            Self::Said(Voice::Words) => {
                say::print(&format!("{}\n\n", words.iter().map(|line| escape(line)).collect::<Vec<_>>().join("\n")))
            }
            Self::Said(voice) => voice.event("plan", &[("lock", json!(lock)), ("rules", json!(rules))], ""),
        }
    }

    /// One rule is through.
    pub(super) fn verdict(self, number: usize, rule: &Rule, verdict: &Verdict, time: Option<Duration>, killed: &[u32]) {
        // Milliseconds are what a machine can promise to measure.
        let seconds = time.map(|time| (time.as_secs_f64() * 1000.0).round() / 1000.0);
        let why = match (verdict.why(), killed) {
            (None, []) => None,
            (Some(why), []) => Some(why.to_owned()),
            (why, killed) => {
                let list = killed.iter().map(u32::to_string).collect::<Vec<_>>().join(", ");
                Some(format!(
                    "{}had to kill what it left running: {list}",
                    why.map(|why| format!("{why}; ")).unwrap_or_default()
                ))
            }
        };
        match self {
            Self::Tap => say::print(&tap(number, rule, verdict, seconds, why.as_deref())),
            Self::Said(Voice::Words) => say::print(&words(rule, verdict, seconds, why.as_deref())),
            Self::Said(voice) => {
                let mut facts = vec![("id", json!(rule.id)), ("verdict", json!(verdict.word()))];
                facts.extend(seconds.map(|seconds| ("seconds", json!(seconds))));
                facts.push(("rule", json!(rule.sentence)));
                facts.extend(why.as_ref().map(|why| ("why", json!(why))));
                voice.event("rule", &facts, "");
            }
        }
    }

    /// All are through.
    pub(super) fn end(self, count: &Count) {
        let Count { ok, not_ok, advice, skipped } = count;
        let words = format!("{ok} ok, {not_ok} not ok, {advice} advice, {skipped} skipped");
        match self {
            Self::Tap => say::print(&format!("# {words}\n")),
            Self::Said(Voice::Words) => say::print(&format!("\n{words}\n")),
            Self::Said(voice) => {
                let facts = [("ok", *ok), ("not_ok", *not_ok), ("advice", *advice), ("skipped", *skipped)];
                let facts = facts.map(|(name, count)| (name, Value::from(count)));
                voice.event("result", &facts, "");
            }
        }
    }

    /// The rules there are.
    pub(super) fn list(self, rules: &[Rule]) {
        let Self::Said(voice) = self else { return };
        for Rule { id, sentence, needs, advice, .. } in rules {
            let facts = [
                ("id", json!(id)),
                ("needs", json!(needs.options())),
                ("advice", json!(advice)),
                ("rule", json!(sentence)),
            ];
            let needs = if *needs == Needs::Nothing { String::new() } else { format!(" (needs {})", needs.options()) };
            let advice = if *advice { " (advice)" } else { "" };
            voice.event("rule", &facts, &format!("{id:20}  {sentence}{needs}{advice}"));
        }
    }

    /// It goes no further.
    pub(super) fn bail_out(self, why: &str) {
        if matches!(self, Self::Tap) {
            say::print(&format!("Bail out! {}\n", escape(why)));
        }
    }
}

/// A row, and another for what is wrong; of a rule that was not tried the reason alone.
fn words(rule: &Rule, verdict: &Verdict, seconds: Option<f64>, why: Option<&str>) -> String {
    let time = seconds.map_or_else(String::new, |seconds| format!("{seconds:.2} s"));
    let why = why.map(escape);
    let (text, more) = match (verdict, why) {
        (Verdict::Skipped(_), Some(why)) => (why, String::new()),
        (_, Some(why)) => (rule.sentence.to_owned(), format!("{:8}{why}\n", "")),
        (_, None) => (rule.sentence.to_owned(), String::new()),
    };
    format!("{:8}{:20} {time:>7}  {text}\n{more}", verdict.word(), rule.id)
}

fn tap(number: usize, rule: &Rule, verdict: &Verdict, seconds: Option<f64>, why: Option<&str>) -> String {
    let (result, directive) = match verdict {
        Verdict::Ok => ("ok", String::new()),
        Verdict::NotOk(_) => ("not ok", String::new()),
        // What TAP calls a point that may fail.
        Verdict::Advice(why) => ("not ok", format!(" # TODO {}", escape(why))),
        Verdict::Skipped(why) => ("ok", format!(" # SKIP {}", escape(why))),
    };
    let mut text = format!("{result} {number} - {} {}{directive}\n", rule.id, tap_text(rule.sentence));
    let yaml = [
        seconds.map(|seconds| format!("  seconds: {seconds}\n")),
        // JSON's quotes are YAML's.
        why.filter(|_| directive.is_empty()).map(|why| format!("  why: {}\n", Value::from(escape(why)))),
    ];
    let yaml: String = yaml.into_iter().flatten().collect();
    if !yaml.is_empty() {
        text.push_str(&format!("  ---\n{yaml}  ...\n"));
    }
    text
}

/// Without what TAP gives a meaning to.
fn tap_text(text: &str) -> String {
    escape(text).replace('\\', "\\\\").replace('#', "\\#")
}

/// On a terminal: the rule that is being tried, and for how long.
pub(super) struct Progress {
    shown: bool,
    of: RefCell<Option<Tried>>,
}

struct Tried {
    of: (&'static str, &'static str),
    since: Instant,
    shown_at: Option<u64>,
}

impl Progress {
    /// A rule begins.
    pub(super) fn begin(&self, rule: &Rule) {
        *self.of.borrow_mut() = Some(Tried { of: (rule.id, rule.sentence), since: Instant::now(), shown_at: None });
        self.tick();
    }

    /// Time has passed.
    pub(super) fn tick(&self) {
        let mut of = self.of.borrow_mut();
        let Some(tried) = of.as_mut().filter(|_| self.shown) else { return };
        let seconds = tried.since.elapsed().as_secs();
        if tried.shown_at != Some(seconds) {
            tried.shown_at = Some(seconds);
            let (id, sentence) = tried.of;
            let line: String = format!("{:8}{id:20} {seconds:>5} s  {sentence}", "…").chars().take(COLUMNS).collect();
            say::print(&format!("\r\x1b[K{line}"));
        }
    }

    /// It is over: the row is free for its verdict.
    pub(super) fn end(&self) {
        if self.of.borrow_mut().take().is_some() && self.shown {
            say::print("\r\x1b[K");
        }
    }
}

/// Asks on the terminal whether to go on; not where there is nobody to ask.
pub(super) fn agreed() -> bool {
    if !io::stdin().is_terminal() || !io::stdout().is_terminal() {
        return true;
    }
    let mut stderr = io::stderr();
    let _ = write!(stderr, "Go on? [y/N] ").and_then(|()| stderr.flush());
    let mut answer = String::new();
    let _ = io::stdin().read_line(&mut answer);
    matches!(answer.trim(), "y" | "Y" | "yes")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Rule, Verdict, tap};

    #[test]
    fn tap_has_its_number_its_directive_and_its_reason() {
        let rule = Rule::new("id", "a # sentence", |_| Ok(Duration::ZERO));
        assert_eq!(
            tap(1, &rule, &Verdict::Ok, Some(0.5), None),
            "ok 1 - id a \\# sentence\n  ---\n  seconds: 0.5\n  ...\n"
        );
        let broken = Verdict::NotOk("said \"3\"".to_owned());
        assert_eq!(
            tap(2, &rule, &broken, None, broken.why()),
            "not ok 2 - id a \\# sentence\n  ---\n  why: \"said \\\"3\\\"\"\n  ...\n"
        );
        let skipped = Verdict::Skipped("no --break".to_owned());
        assert_eq!(tap(3, &rule, &skipped, None, skipped.why()), "ok 3 - id a \\# sentence # SKIP no --break\n");
        let advice = Verdict::Advice("looks once".to_owned());
        assert_eq!(tap(4, &rule, &advice, None, advice.why()), "not ok 4 - id a \\# sentence # TODO looks once\n");
    }
}
