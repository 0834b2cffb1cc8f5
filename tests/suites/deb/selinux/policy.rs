//! A compiled policy of SELinux, asked as the kernel would: what a port's type is, and what a domain may do.
//!
//! No kernel with SELinux is needed: `checkpolicy -d` loads a policy into libsepol, which decides as the kernel does, and answers
//! questions by number. It belongs to the package that compiles our module. setools would say the same with 10 MB of Python.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{Seek, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, ensure};

/// What a process of that domain runs as, and a file or port of that type has.
fn context(name: &str) -> String {
    let role = if name == "ctdbd_t" { "system_r" } else { "object_r" };
    format!("system_u:{role}:{name}:s0")
}

/// What stands between two answers.
const ASKS_AGAIN: &str = "Choose:  ";

/// How libsepol numbers the contexts that it comes upon.
type Sid = u32;

enum Question<'a> {
    /// Which number this type's context has.
    OfType(&'a str),
    /// Which number the context of this TCP port has.
    OfPort(u16),
    /// What the first may do with an object of that class that is the second's.
    Allowed(Sid, Sid, &'a str),
    /// What the first becomes when it runs the second.
    Becomes(Sid, Sid),
}

impl Question<'_> {
    /// As the menu of `checkpolicy -d` takes it.
    fn lines(&self) -> String {
        match self {
            Self::OfType(name) => format!("2\n{}\n", context(name)),
            Self::OfPort(port) => format!("9\ntcp\n{port}\n"),
            Self::Allowed(who, what, class) => format!("0\n{who}\n{what}\n{class}\n"),
            Self::Becomes(who, what) => format!("3\n{who}\n{what}\nprocess\n"),
        }
    }
}

/// A policy's file.
pub(super) struct Policy(PathBuf);

impl Policy {
    /// The one that a kernel would be given in this root.
    pub(super) fn of_root(root: &Path) -> anyhow::Result<Self> {
        let dir = root.join("etc/selinux/default/policy");
        let entries = fs::read_dir(&dir).with_context(|| format!("read {}", dir.display()))?;
        let files = entries.map(|entry| Ok(entry?.path())).collect::<anyhow::Result<Vec<_>>>()?;
        ensure!(files.len() == 1, "{}: not one policy but {files:?}", dir.display());
        Ok(Self(files.into_iter().next().context("no policy")?))
    }

    /// Those of these TCP ports to which a process of this domain may connect.
    pub(super) fn connects(&self, domain: &str, ports: &BTreeSet<u16>) -> anyhow::Result<BTreeSet<u16>> {
        let mut questions = vec![Question::OfType(domain)];
        questions.extend(ports.iter().map(|port| Question::OfPort(*port)));
        let sids = self.sids(&questions)?;
        let (from, to) = sids.split_first().context("no domain")?;
        // The numbers are the same again after the same questions.
        let types: Vec<Sid> = to.iter().copied().collect::<BTreeSet<_>>().into_iter().collect();
        questions.extend(types.iter().map(|to| Question::Allowed(*from, *to, "tcp_socket")));
        let answers = self.ask(&questions)?;
        let permissions: BTreeMap<Sid, bool> = types
            .iter()
            .zip(&answers[sids.len()..])
            .map(|(to, answer)| Ok((*to, allowed(answer)?.contains(&"name_connect"))))
            .collect::<anyhow::Result<_>>()?;
        Ok(ports.iter().zip(to).filter(|(_, to)| permissions.get(to) == Some(&true)).map(|(port, _)| *port).collect())
    }

    /// Whether this domain runs a program of this type, and stays what it is.
    pub(super) fn runs_as_itself(&self, domain: &str, program: &str) -> anyhow::Result<bool> {
        let mut questions = vec![Question::OfType(domain), Question::OfType(program)];
        let sids = self.sids(&questions)?;
        questions.extend([Question::Allowed(sids[0], sids[1], "file"), Question::Becomes(sids[0], sids[1])]);
        let answers = self.ask(&questions)?;
        let may = allowed(&answers[2])?;
        Ok(may.contains(&"execute") && may.contains(&"execute_no_trans") && sid(&answers[3])? == sids[0])
    }

    /// Asks questions whose answers are numbers.
    fn sids(&self, questions: &[Question<'_>]) -> anyhow::Result<Vec<Sid>> {
        self.ask(questions)?.iter().map(|answer| sid(answer)).collect()
    }

    /// An answer a question.
    fn ask(&self, questions: &[Question<'_>]) -> anyhow::Result<Vec<String>> {
        let mut lines = tempfile::tempfile()?;
        let text: String = questions.iter().map(Question::lines).collect();
        lines.write_all(format!("{text}q\n").as_bytes())?;
        lines.rewind()?;
        let mut checkpolicy = Command::new("checkpolicy");
        checkpolicy.args(["-d", "-M", "-b"]).arg(&self.0).stdin(Stdio::from(lines));
        let output = checkpolicy.output().context("run checkpolicy (package checkpolicy)")?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "checkpolicy: {}; {said}", output.status);
        let printed = String::from_utf8_lossy(&output.stdout);
        // The first piece is the menu, the last what follows the farewell.
        let answers: Vec<String> = printed.split(ASKS_AGAIN).skip(1).map(str::to_owned).take(questions.len()).collect();
        ensure!(answers.len() == questions.len(), "{} questions, {} answers: {said}", questions.len(), answers.len());
        Ok(answers)
    }
}

/// The number in an answer; there is none where the policy does not know what it was asked for.
fn sid(answer: &str) -> anyhow::Result<Sid> {
    let mut words = answer.split_whitespace().skip_while(|word| *word != "sid").skip(1);
    words.next().and_then(|word| word.parse().ok()).with_context(|| format!("not in this policy: {answer}"))
}

/// The permissions in an answer.
fn allowed(answer: &str) -> anyhow::Result<Vec<&str>> {
    let (_, list) = answer.split_once("allowed {").with_context(|| format!("no permissions: {answer}"))?;
    Ok(list.split('}').next().unwrap_or_default().split_whitespace().collect())
}
