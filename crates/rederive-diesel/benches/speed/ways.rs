//! Other ways to hand many rows to PostgreSQL, each in a transaction of its own.

use std::time::{Duration, Instant};

use diesel::{
    PgConnection, QueryResult, RunQueryDsl, sql_query,
    sql_types::{Array, BigInt, Text},
};

use crate::{ON_POSTGRES, id, rate, support::PostgresScratch};

/// Each over rows that a way provides.
const STATEMENTS: [(&str, &str); 3] = [
    ("insert", "INSERT INTO accounts SELECT * FROM {rows}"),
    (
        "upsert",
        "INSERT INTO accounts SELECT * FROM {rows} ON CONFLICT (id) DO UPDATE SET
            owner = excluded.owner, balance = excluded.balance, postings = excluded.postings",
    ),
    (
        "increment",
        "UPDATE accounts AS t SET balance = t.balance + v.balance FROM {rows} WHERE t.id = v.id",
    ),
];

#[derive(Clone, Copy, Debug)]
enum Way {
    /// An array for each column.
    Unnest,
    /// One text.
    JsonToRecordset,
    /// Each value by itself.
    Values,
}

pub(crate) fn on_postgres() {
    for (total, batch) in [(50_000, 1000), (100_000, 10_000)] {
        let scratch = PostgresScratch::new(ON_POSTGRES);
        for way in [Way::Unnest, Way::JsonToRecordset, Way::Values] {
            scratch.execute("DELETE FROM accounts");
            for (name, text) in STATEMENTS {
                let mut spent = Duration::ZERO;
                for from in (0..total).step_by(batch) {
                    let numbers = from..from + batch;
                    let ids: Vec<String> = numbers.clone().map(id).collect();
                    let owners: Vec<String> =
                        numbers.map(|number| format!("owner {number}")).collect();
                    let begun = Instant::now();
                    let text = text.replace("{rows}", &way.rows(batch));
                    let done = scratch.db.write(|conn| way.execute(conn, &text, &ids, &owners));
                    assert_eq!(done.unwrap(), batch);
                    spent += begun.elapsed();
                }
                rate(&format!("{way:?}: {name}, {batch} a transaction"), total, spent);
            }
        }
    }
}

impl Way {
    /// The rows, as SQL has them.
    fn rows(self, count: usize) -> String {
        match self {
            Way::Unnest => "unnest($1, $2, $3, $4) AS v (id, owner, balance, postings)".to_owned(),
            Way::JsonToRecordset => "json_to_recordset($1::json)
                AS v (id text, owner text, balance bigint, postings bigint)"
                .to_owned(),
            Way::Values => {
                let row = |row: usize| {
                    let [id, owner, balance, postings] = [1, 2, 3, 4].map(|at| row * 4 + at);
                    format!(
                        "(${id}::text, ${owner}::text, ${balance}::bigint, ${postings}::bigint)"
                    )
                };
                let rows = (0..count).map(row).collect::<Vec<_>>().join(",");
                format!("(VALUES {rows}) AS v (id, owner, balance, postings)")
            }
        }
    }

    fn execute(
        self,
        conn: &mut PgConnection,
        text: &str,
        ids: &[String],
        owners: &[String],
    ) -> QueryResult<usize> {
        match self {
            Way::Unnest => sql_query(text)
                .bind::<Array<Text>, _>(ids)
                .bind::<Array<Text>, _>(owners)
                .bind::<Array<BigInt>, _>(vec![1_i64; ids.len()])
                .bind::<Array<BigInt>, _>(vec![0_i64; ids.len()])
                .execute(conn),
            Way::JsonToRecordset => {
                let row = |(id, owner)| serde_json::json!({ "id": id, "owner": owner, "balance": 1, "postings": 0 });
                let rows: Vec<serde_json::Value> = ids.iter().zip(owners).map(row).collect();
                let json = serde_json::to_string(&rows).unwrap();
                sql_query(text).bind::<Text, _>(json).execute(conn)
            }
            Way::Values => {
                let mut query = sql_query(text).into_boxed();
                for (id, owner) in ids.iter().zip(owners) {
                    query = query
                        .bind::<Text, _>(id)
                        .bind::<Text, _>(owner)
                        .bind::<BigInt, _>(1)
                        .bind::<BigInt, _>(0);
                }
                query.execute(conn)
            }
        }
    }
}
