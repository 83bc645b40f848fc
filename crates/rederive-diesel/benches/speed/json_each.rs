//! Another way to hand many rows to SQLite, which the store does not go.

use std::time::Duration;

use diesel::{RunQueryDsl, sql_query, sql_types::Text};

use crate::{SCHEMA, cpu, id, rate, support::Scratch};

pub(crate) fn for_comparison() {
    let scratch = Scratch::new(SCHEMA);
    for (name, sql) in [
        (
            "insert",
            "INSERT INTO accounts SELECT value->>0, value->>1, value->>2, value->>3 FROM json_each(?)",
        ),
        (
            "increment",
            "UPDATE accounts SET balance = balance + (v.value->>2) FROM json_each(?) AS v
             WHERE accounts.id = v.value->>0",
        ),
    ] {
        let (total, batch) = (200_000, 1000);
        let mut spent = Duration::ZERO;
        for from in (0..total).step_by(batch) {
            let rows: Vec<_> =
                (from..from + batch).map(|n| (id(n), format!("owner {n}"), 1, 0)).collect();
            let begun = cpu();
            let json = serde_json::to_string(&rows).unwrap();
            scratch.db.write(|conn| sql_query(sql).bind::<Text, _>(json).execute(conn)).unwrap();
            spent += cpu() - begun;
        }
        rate(&format!("json_each {name}, {batch} a transaction"), total, spent);
    }
}
