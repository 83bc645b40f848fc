//! The documents tell the truth about the tests.

use std::{fs, path::Path};

#[test]
fn every_test_that_semantics_names_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("in the workspace");
    let text = fs::read_to_string(root.join("docs/semantics.md")).expect("it is there");
    let named: Vec<(&str, &str)> =
        text.split('`').filter_map(|quoted| quoted.split_once(" › ")).collect();
    assert!(named.len() > 20, "only {} tests are named", named.len());
    for (file, test) in named {
        let code = fs::read_to_string(root.join("tests/it").join(file));
        let code = code.unwrap_or_else(|error| panic!("{file}: {error}"));
        assert!(code.contains(&format!("fn {test}(")), "{file} has no test {test}");
    }
}
