//! Builds the examples and says where their executables are.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Stdio;

use serde_json::Value;

use crate::workspace::{cargo, not_started};

/// Builds every example and returns the executables by name.
///
/// For the whole workspace and in the dev profile, as the tests are: the same features, so
/// nothing is compiled a second time.
pub(crate) fn build() -> Result<BTreeMap<String, PathBuf>, String> {
    let mut command = cargo();
    command
        .args(["build", "--workspace", "--examples", "--locked"])
        .arg("--message-format=json-render-diagnostics")
        .stderr(Stdio::inherit());
    let output = command.output().map_err(|why| not_started(&command, &why))?;
    if !output.status.success() {
        return Err(format!("the examples do not build: {}", output.status));
    }
    let messages = String::from_utf8_lossy(&output.stdout);
    Ok(messages.lines().filter_map(example_of_message).collect())
}

/// Builds every example and returns the executable of one.
pub(crate) fn build_one(name: &str) -> Result<PathBuf, String> {
    build()?.remove(name).ok_or_else(|| format!("the workspace has no example `{name}`"))
}

/// The example that a line of cargo's messages reports as built, if it is such a line.
fn example_of_message(line: &str) -> Option<(String, PathBuf)> {
    let message: Value = serde_json::from_str(line).ok()?;
    let target = message.get("target")?;
    let is_example = target.get("kind")?.as_array()?.iter().any(|kind| kind == "example");
    let executable = message.get("executable")?.as_str()?;
    is_example.then_some(())?;
    Some((target.get("name")?.as_str()?.to_owned(), PathBuf::from(executable)))
}
