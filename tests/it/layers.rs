//! The shape of the workspace: who may depend on whom, and what every file keeps to.

#![allow(clippy::expect_used, reason = "a broken assumption of a test is a failed test")]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use serde_json::Value;

/// A package and what it may know.
struct Layer {
    package: &'static str,
    /// The packages of ours it may depend on.
    below: &'static [&'static str],
    /// The families of crates it must not know, not even in its own tests.
    unknown: &'static [&'static str],
}

const ACTIX: &str = "actix";
const DIESEL: &str = "diesel";
const TOKIO: &str = "tokio";
const TESTKIT: &str = "rederive-testkit";
const TEST_POSTGRES: &str = "test-postgres";

/// Lowest first. docs/architecture.md says why.
const LAYERS: &[Layer] = &[
    Layer { package: "rederive-core", below: &[], unknown: &[ACTIX, DIESEL, TOKIO] },
    Layer { package: TESTKIT, below: &["rederive-core"], unknown: &[ACTIX, DIESEL] },
    Layer { package: "rederive-actix", below: &["rederive-core"], unknown: &[DIESEL] },
    Layer { package: "rederive-diesel", below: &["rederive-core"], unknown: &[ACTIX] },
    Layer {
        package: "rederive",
        below: &["rederive-core", "rederive-actix", "rederive-diesel", TESTKIT],
        unknown: &[],
    },
    // The examples are written as a user would write them: through the front door.
    Layer { package: "rederive-examples", below: &["rederive", TESTKIT], unknown: &[] },
    Layer {
        package: "rederive-tests",
        below: &[
            "rederive-core",
            TESTKIT,
            "rederive-actix",
            "rederive-diesel",
            "rederive",
            "rederive-examples",
            TEST_POSTGRES,
        ],
        unknown: &[],
    },
    Layer { package: "rederive-bench", below: &["rederive", TEST_POSTGRES], unknown: &[] },
    Layer { package: TEST_POSTGRES, below: &[], unknown: &[ACTIX, DIESEL, TOKIO] },
    Layer { package: "xtask", below: &[TEST_POSTGRES], unknown: &[ACTIX, DIESEL, TOKIO] },
];

const LIBRARIES: &[&str] =
    &["rederive-core", "rederive-actix", "rederive-diesel", "rederive", TESTKIT];

const LONGEST_FILE: usize = 500;

#[test]
fn every_package_has_its_place_in_the_layers() {
    let mut packages: Vec<String> = packages().into_iter().map(|package| package.name).collect();
    let mut placed: Vec<&str> = LAYERS.iter().map(|layer| layer.package).collect();
    packages.sort_unstable();
    placed.sort_unstable();
    assert_eq!(packages, placed, "give a new package its place in LAYERS");
}

#[test]
fn a_package_depends_only_on_the_layers_below_it() {
    let ours = |name: &str| LAYERS.iter().any(|layer| layer.package == name);
    assert_none(dependencies_where(|layer, dependency| {
        let is_workshop =
            dependency.is_dev && [TESTKIT, TEST_POSTGRES].contains(&dependency.name.as_str());
        let is_below = layer.below.contains(&dependency.name.as_str()) || is_workshop;
        // A package that names itself turns on features for its own tests.
        let is_itself = dependency.is_dev && dependency.name == layer.package;
        ours(&dependency.name) && !is_below && !is_itself
    }));
}

#[test]
fn heavy_dependencies_stay_out_of_the_packages_that_must_not_know_them() {
    assert_none(dependencies_where(|layer, dependency| {
        layer.unknown.iter().any(|family| is_of_family(family, &dependency.name))
    }));
}

#[test]
fn no_library_needs_the_testkit_outside_tests() {
    assert_none(dependencies_where(|layer, dependency| {
        let for_tests = dependency.is_dev || dependency.is_optional;
        LIBRARIES.contains(&layer.package) && dependency.name == TESTKIT && !for_tests
    }));
}

#[test]
fn every_package_inherits_the_lints_of_the_workspace() {
    let inherits = |manifest: &str| {
        let mut section = manifest.lines().skip_while(|line| line.trim() != "[lints]").skip(1);
        section
            .by_ref()
            .take_while(|line| !line.starts_with('['))
            .any(|line| line.replace(' ', "") == "workspace=true")
    };
    assert_none(packages().into_iter().filter_map(|package| {
        let manifest = fs::read_to_string(&package.manifest).expect("a manifest is readable");
        (!inherits(&manifest)).then_some(package.name)
    }));
}

#[test]
fn no_source_file_is_longer_than_a_reader_can_hold() {
    let mut files = Vec::new();
    for package in fs::read_dir(root().join("crates")).expect("crates/ is a folder").flatten() {
        rust_files_below(&package.path().join("src"), &mut files);
    }
    assert!(!files.is_empty(), "no source file found: is the folder still called crates?");
    assert_none(files.iter().filter_map(|file| {
        let lines = fs::read_to_string(file).expect("a source file is readable").lines().count();
        (lines > LONGEST_FILE)
            .then(|| format!("{}: {lines} lines, at most {LONGEST_FILE}", file.display()))
    }));
}

#[test]
fn no_tracked_file_names_a_folder_of_the_machine_it_was_written_on() {
    // In pieces, or this file would be the first to be found.
    let needles = [["/work", "/main"], ["/work", "/shared"], ["..", "/shared"]].map(|n| n.concat());
    if !root().join(".git").exists() {
        return; // An archive of the sources: git is not there to say what is tracked.
    }
    let tracked = stdout(Command::new("git").args(["ls-files", "-z"]));
    assert_none(tracked.split('\0').filter_map(|file| {
        // A file deleted but not yet committed is still tracked.
        let content = fs::read(root().join(file)).ok()?;
        let text = String::from_utf8_lossy(&content);
        let needle = needles.iter().find(|needle| text.contains(needle.as_str()))?;
        Some(format!("{file} names {needle}"))
    }));
}

struct Package {
    name: String,
    manifest: PathBuf,
    dependencies: Vec<Dependency>,
}

struct Dependency {
    name: String,
    is_dev: bool,
    /// Only there when a feature asks for it.
    is_optional: bool,
}

/// The members of the workspace, as cargo sees them.
fn packages() -> Vec<Package> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(["metadata", "--format-version", "1", "--no-deps", "--offline"]);
    let metadata: Value = serde_json::from_str(&stdout(&mut command)).expect("metadata is JSON");
    list(&metadata["packages"]).iter().map(package).collect()
}

fn package(value: &Value) -> Package {
    let dependency = |value: &Value| Dependency {
        name: text(&value["name"]).to_owned(),
        is_dev: value["kind"] == "dev",
        is_optional: value["optional"] == true,
    };
    Package {
        name: text(&value["name"]).to_owned(),
        manifest: PathBuf::from(text(&value["manifest_path"])),
        dependencies: list(&value["dependencies"]).iter().map(dependency).collect(),
    }
}

/// `PACKAGE -> DEPENDENCY` for every dependency of a placed package that is `offending`.
fn dependencies_where(offending: impl Fn(&Layer, &Dependency) -> bool) -> Vec<String> {
    let mut found = Vec::new();
    for package in packages() {
        let Some(layer) = LAYERS.iter().find(|layer| layer.package == package.name) else {
            continue; // The first test reports it.
        };
        for dependency in package.dependencies.iter().filter(|one| offending(layer, one)) {
            let kind = if dependency.is_dev { " (dev)" } else { "" };
            found.push(format!("{} -> {}{kind}", package.name, dependency.name));
        }
    }
    found
}

/// Whether a crate is `family`, one of its satellites (`actix-web`) or speaks for it.
fn is_of_family(family: &str, name: &str) -> bool {
    let is_satellite = name
        .strip_prefix(family)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('-') || rest.starts_with('_'));
    is_satellite || family == DIESEL && matches!(name, "libsqlite3-sys" | "r2d2" | "pq-sys")
}

fn rust_files_below(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a source folder is readable").flatten() {
        let path = entry.path();
        if path.is_dir() {
            rust_files_below(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

/// The folder of the workspace's `Cargo.toml`.
fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the tests are a member of a workspace")
}

/// What `command` prints when it is run in the root of the workspace.
fn stdout(command: &mut Command) -> String {
    let output = command.current_dir(root()).output().expect("the command starts");
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().expect("metadata has a list here")
}

fn text(value: &Value) -> &str {
    value.as_str().expect("metadata has a text here")
}

/// Fails with one offender a line.
fn assert_none(offenders: impl IntoIterator<Item = String>) {
    let offenders: Vec<String> = offenders.into_iter().collect();
    assert!(offenders.is_empty(), "not allowed:\n{}", offenders.join("\n"));
}
