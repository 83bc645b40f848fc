//! The documents tell the truth about the tests.

use std::{fs, path::Path};

/// The tests that a text names, as `file › test`.
fn named(text: &str) -> Vec<(&str, &str)> {
    text.split('`').filter_map(|quoted| quoted.split_once(" › ")).collect()
}

fn document(name: &str) -> String {
    fs::read_to_string(root().join("docs").join(name)).expect("it is there")
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("in the workspace")
}

/// Files without a folder are among the integration tests.
#[track_caller]
fn check(named: &[(&str, &str)]) {
    for (file, test) in named {
        let path =
            if file.contains('/') { root().join(file) } else { root().join("tests/it").join(file) };
        let code = fs::read_to_string(path);
        let code = code.unwrap_or_else(|error| panic!("{file}: {error}"));
        let exists = [format!("fn {test}("), format!("fn {test}<"), format!("{test},")];
        assert!(exists.iter().any(|text| code.contains(text)), "{file} has no test {test}");
    }
}

#[test]
fn every_test_that_semantics_names_exists() {
    let text = document("semantics.md");
    let named = named(&text);
    assert!(named.len() > 20, "only {} tests are named", named.len());
    check(&named);
}

#[test]
fn every_test_that_the_document_on_postgres_names_exists() {
    let text = document("postgres.md");
    let named = named(&text);
    assert!(!named.is_empty(), "no test is named");
    check(&named);
}

#[test]
fn every_part_test_and_fault_of_the_seed_has_a_test_here_or_a_reason() {
    let text = document("seed-parity.md");
    let is_row = |line: &&str| line.starts_with("| ") && !line.starts_with("| Derive");
    let rows: Vec<&str> = text.lines().filter(is_row).collect();
    assert!(rows.len() > 90, "only {} rows", rows.len());
    for row in rows {
        let tests = named(row);
        let has_reason = row.contains("| Not ported: ");
        assert!(has_reason || !tests.is_empty(), "neither a test nor a reason: {row}");
        check(&tests);
    }
}

#[test]
fn the_guide_shows_the_files_of_the_example_bank_as_they_are() {
    let guide = document("guide.md");
    for name in ["accounts.rs", "teller.rs", "main.rs", "tests.rs"] {
        let file = root().join("examples/bank").join(name);
        let code = fs::read_to_string(file).expect("it is there");
        let block = format!("**src/{name}**\n\n```rust,ignore\n{code}```\n");
        assert!(guide.contains(&block), "the guide does not show {name} as it is");
    }
}
