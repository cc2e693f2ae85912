//! Programs that measure something themselves, and print it as `NAME: FIGURE`.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};

use super::build;
use super::contender::{RAW, RUNTIMES, Runtime, in_search_path};
use super::options::Options;

/// The scripts for Node.
const SCRIPTS: &[(&str, &str)] =
    &[("spawning", include_str!("node/spawning.js")), ("traffic", include_str!("node/traffic.js"))];

/// One such program in one of its forms.
pub(super) struct Tool {
    /// Who made it: a runtime, Node, or bare system calls.
    pub(super) name: String,
    path: PathBuf,
    args: Vec<String>,
}

impl Tool {
    /// All forms of the tool `what` that take part.
    pub(super) fn all(what: &str, place: &Path, options: &Options) -> Result<Vec<Self>> {
        let tool = |name: &str, path, args| Self { name: name.to_owned(), path, args };
        let mut all = Vec::new();
        all.extend(Self::raw(what, options)?);
        for Runtime { name, package, .. } in RUNTIMES {
            if options.admits(name) {
                let path = build::kept(place, package, what);
                all.push(tool(name, path, Vec::new()));
            }
        }
        let script = SCRIPTS.iter().find(|script| script.0 == what);
        if let (Some(node), Some((_, text))) = (in_search_path("node"), script)
            && options.admits("node")
        {
            let file = place.join(format!("{what}.js"));
            fs::write(&file, text).with_context(|| file.display().to_string())?;
            all.push(tool("node", node, vec![file.display().to_string()]));
        }
        Ok(all)
    }

    /// The tool `what` with bare system calls.
    pub(super) fn raw(what: &str, options: &Options) -> Result<Option<Self>> {
        let args = vec!["bench-raw".to_owned(), what.to_owned()];
        let raw = Self { name: RAW.to_owned(), path: env::current_exe()?, args };
        Ok(options.admits(RAW).then_some(raw))
    }

    /// Runs it with `args`, and gives what it printed.
    pub(super) fn run(&self, args: &[String]) -> Result<Vec<(String, f64)>> {
        let output = Command::new(&self.path)
            .args(&self.args)
            .args(args)
            .stdin(Stdio::null())
            .stderr(Stdio::inherit())
            .output()?;
        let shown = || format!("{} {:?}", self.path.display(), self.args);
        ensure!(output.status.success(), "{}: {}", shown(), output.status);
        Ok(figures(&String::from_utf8(output.stdout)?))
    }
}

fn figures(text: &str) -> Vec<(String, f64)> {
    let figure = |line: &str| {
        let (name, figure) = line.split_once(": ")?;
        Some((name.to_owned(), figure.trim().parse().ok()?))
    };
    text.lines().filter_map(figure).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_stand_behind_names() {
        let text = "round trip: 2.5\nhello\nerror: none\nout with handles: 7\n";
        let expected = [("round trip".to_owned(), 2.5), ("out with handles".to_owned(), 7.0)];
        assert_eq!(figures(text), expected);
    }
}
