//! [`Floors`]: what ours is held against on each database.

use crate::{
    floor::{
        apply::How,
        postgres::{apply::How as HowOnPostgres, clients::By},
    },
    job::Work,
};

/// The floors of a database; of several, the best counts.
pub(crate) struct Floors {
    /// Of rebuilds of so many tables by ops that are data.
    pub(crate) set_based: fn(usize) -> Vec<Work>,
    pub(crate) folded: Vec<Work>,
    pub(crate) by_statement: Vec<Work>,
    /// By how much fewer events are enough where each takes a statement.
    pub(crate) fewer_statements: u64,
    pub(crate) one_client: Vec<Work>,
    pub(crate) many_clients: Vec<Work>,
    /// What is to be reached with many clients, and what is aimed at.
    pub(crate) wanted_of_many: (f64, f64),
    pub(crate) start: Work,
    /// Of rebuilds of one table, the one that is beside the growth of our cost.
    pub(crate) growth: Work,
}

impl Floors {
    /// On SQLite.
    pub(crate) fn sqlite() -> Self {
        let folded = |how, size| Work::FloorFolded { how, size };
        let by_statement =
            |size, ahead| Work::FloorRebuild { tables: 1, how: How::Statements, size, ahead };
        Self {
            set_based: |tables| {
                let floor = |how, size, ahead| Work::FloorRebuild { tables, how, size, ahead };
                vec![
                    floor(How::Json, 1000, true),
                    floor(How::Json, 10_000, false),
                    floor(How::Json, 10_000, true),
                    floor(How::Values(1), 10_000, true),
                    floor(How::Values(64), 10_000, true),
                ]
            },
            folded: vec![
                folded(How::Values(64), 1000),
                folded(How::Values(64), 10_000),
                folded(How::Json, 10_000),
            ],
            by_statement: vec![
                by_statement(1000, true),
                by_statement(10_000, false),
                by_statement(10_000, true),
            ],
            fewer_statements: 1,
            one_client: vec![Work::FloorGroup { split: true }],
            many_clients: vec![Work::FloorGroup { split: false }],
            wanted_of_many: (0.6, 0.9),
            start: Work::FloorStart,
            growth: Work::FloorRebuild {
                tables: 1,
                how: How::Values(64),
                size: 10_000,
                ahead: true,
            },
        }
    }

    /// On PostgreSQL.
    pub(crate) fn postgres() -> Self {
        let by_statement = |size, ahead| {
            let how = HowOnPostgres::Statements;
            Work::PostgresRebuild { tables: 1, how, size, ahead }
        };
        let clients = |by| Work::PostgresClients { by };
        Self {
            set_based: |tables| {
                let floor = |how, size, ahead| Work::PostgresRebuild { tables, how, size, ahead };
                vec![
                    floor(HowOnPostgres::Upsert, 1000, true),
                    floor(HowOnPostgres::Upsert, 10_000, false),
                    floor(HowOnPostgres::Upsert, 10_000, true),
                    floor(HowOnPostgres::Update, 10_000, true),
                ]
            },
            folded: vec![
                Work::PostgresFolded { size: 1000 },
                Work::PostgresFolded { size: 10_000 },
            ],
            by_statement: vec![by_statement(1000, true), by_statement(10_000, true)],
            fewer_statements: 10,
            one_client: vec![clients(By::Two)],
            many_clients: vec![clients(By::One)],
            wanted_of_many: (1.5, 3.0),
            start: Work::PostgresStart,
            growth: Work::PostgresRebuild {
                tables: 1,
                how: HowOnPostgres::Update,
                size: 10_000,
                ahead: true,
            },
        }
    }
}
