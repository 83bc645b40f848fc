//! Smoke run of `rederive-bench`: every measure with tiny numbers. Its figures are not judged; it fails
//! by itself when two sides derive different tables.

use std::fs;

use serde_json::Value;

use super::scratch::Scratch;
use crate::{
    postgres::Postgres,
    workspace::{cargo, run},
};

pub(crate) fn check(postgres: &mut Postgres) -> Result<(), String> {
    let scratch = Scratch::new("bench")?;
    for store in ["sqlite", "memory", "postgres"] {
        let (json, svg) = (scratch.path().join("bench.json"), scratch.path().join("bench.svg"));
        let mut bench = cargo();
        bench.args(["run", "--package", "rederive-bench", "--locked", "--"]);
        bench.args(["--smoke", "--store", store, "--json"]).arg(&json).arg("--svg").arg(&svg);
        if store == "postgres" {
            postgres.serve(&mut bench)?;
        }
        run(&mut bench)?;
        let text = fs::read_to_string(&json).map_err(|why| format!("{}: {why}", json.display()))?;
        let entries: Vec<Value> = serde_json::from_str(&text)
            .map_err(|why| format!("the JSON of the store {store}: {why}"))?;
        let complete = |entry: &Value| {
            ["name", "store", "ours", "unit"].iter().all(|field| !entry[field].is_null())
        };
        if entries.is_empty() || !entries.iter().all(complete) {
            return Err(format!("the JSON of the store {store} is not complete: {text}"));
        }
    }
    Ok(())
}
