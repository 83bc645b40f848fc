//! The example `git_history`, killed at random moments: the tables are those of a run that was left
//! in peace, and equal git's.

use std::{
    io::Write as _,
    path::Path,
    process::{Command, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

use diesel::{QueryableByName, RunQueryDsl as _, sql_types::Text};
use rederive_testkit::{Rng, Seed};

use crate::fixture::{
    database::{Database, Opened, on_every_database},
    example,
};

const KILLS: usize = 10;

on_every_database! {
    killed_ten_times_it_derives_the_same_tables_as_undisturbed,
    a_rebuild_killed_at_random_moments_is_never_taken_for_complete_and_goes_on,
    a_rewritten_history_is_refused_and_nothing_is_changed,
}

fn killed_ten_times_it_derives_the_same_tables_as_undisturbed(peaceful: Database) {
    let mut rng = Seed::from_env().rng();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let repository = folder.path().join("repository");
    make_history(&repository, commits(&peaceful), &mut rng);

    let begun = Instant::now();
    let output = run(&repository, &peaceful).output().expect("it starts");
    let undisturbed = begun.elapsed();
    verified(&output);

    let disturbed = peaceful.another();
    for _ in 0..KILLS {
        let mut process = run(&repository, &disturbed)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("it starts");
        // Any moment will do, the earliest and those when it is done already included.
        let moment = undisturbed.as_micros() as usize * 3 / 4;
        thread::sleep(Duration::from_micros(rng.range(0..moment) as u64));
        process.kill().expect("it is killed");
        process.wait().expect("it ends");
    }
    // What a server still records for the last one, this one would find in its way.
    disturbed.wait_until_only(&[]);
    verified(&run(&repository, &disturbed).output().expect("it starts"));
    for query in [FILES, AUTHORS, EVENTS] {
        assert_eq!(rows(&disturbed, query), rows(&peaceful, query));
    }
}

fn a_rebuild_killed_at_random_moments_is_never_taken_for_complete_and_goes_on(database: Database) {
    let mut rng = Seed::from_env().rng();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let repository = folder.path().join("repository");
    make_history(&repository, commits(&database), &mut rng);
    verified(&run(&repository, &database).output().expect("it starts"));
    let tables = || [FILES, AUTHORS].map(|query| rows(&database, query));
    let complete = tables();
    let rebuild = |arguments: &[&str]| {
        let mut command = run(&repository, &database);
        command.args(["--portion", "50"]).args(arguments);
        command
    };
    let begun = Instant::now();
    verified(&rebuild(&["--rebuild"]).output().expect("it starts"));
    let undisturbed = begun.elapsed();
    assert_eq!(tables(), complete);

    let (mut in_the_middle, mut tries) = ([0, 0], 0);
    while in_the_middle.contains(&0) || tries < KILLS {
        tries += 1;
        assert!(tries < 20 * KILLS, "never in the middle: {in_the_middle:?}");
        // Every other time, the run after a kill is killed as well.
        let arguments: &[&str] = if tries % 2 == 0 { &["--rebuild"] } else { &[] };
        let mut process = rebuild(arguments)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("it starts");
        thread::sleep(Duration::from_micros(rng.range(0..undisturbed.as_micros() as usize) as u64));
        process.kill().expect("it is killed");
        process.wait().expect("it ends");
        // A server may still commit what it had asked for.
        database.wait_until_only(&[]);
        let stored = |reducer| database.stored(reducer).rebuilding.is_none();
        let is_complete = ["files", "authors"].map(stored);
        let tables = tables();
        for table in 0..2 {
            if is_complete[table] {
                assert_eq!(tables[table], complete[table], "taken for complete");
            } else if tables[table] != complete[table] && !tables[table].is_empty() {
                in_the_middle[table] += 1;
            }
        }
    }
    #[allow(clippy::print_stdout, reason = "a test's output is where its reader looks")]
    {
        println!("killed {tries} times, {in_the_middle:?} of them in the middle of a rebuild");
    }
    verified(&rebuild(&[]).output().expect("it starts"));
    assert_eq!(tables(), complete);
}

fn a_rewritten_history_is_refused_and_nothing_is_changed(database: Database) {
    let mut rng = Seed(7).rng();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (first, second) = (folder.path().join("first"), folder.path().join("second"));
    make_history(&first, commits(&database), &mut rng);
    make_history(&second, commits(&database), &mut rng);
    verified(&run(&first, &database).output().expect("it starts"));
    let before = rows(&database, EVENTS);
    let output = run(&second, &database).output().expect("it starts");
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("Nothing was changed"), "{said}");
    assert_eq!(rows(&database, EVENTS), before);
    verified(&run(&first, &database).output().expect("it starts"));
}

/// How long the history is: a server takes its time over each start of a program, and each commit.
fn commits(database: &Database) -> usize {
    if database.outlives_its_programs() { 500 } else { 1500 }
}

fn run(repository: &Path, database: &Database) -> Command {
    let mut command = Command::new(example("git_history"));
    command.arg(repository).arg("--database").arg(database.argument("git_history"));
    command
}

#[track_caller]
fn verified(output: &Output) {
    let (stdout, stderr) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(0), "{stdout}{stderr}");
    let last = stdout.lines().last().unwrap_or_default();
    assert!(last.starts_with("verified: "), "{stdout}");
}

const FILES: &str = "SELECT json_array(path, mode, blob, changes, created_commit, last_commit,
    last_author, last_time) AS line FROM files ORDER BY path";
const AUTHORS: &str = "SELECT json_array(author, changes, commits, first_time, last_time) AS line
    FROM authors ORDER BY author";
/// Without their numbers: PostgreSQL gives none twice, also when it was not recorded.
const EVENTS: &str = "SELECT json_array(data) AS line FROM rederive_events ORDER BY id";

#[derive(QueryableByName)]
struct Line {
    #[diesel(sql_type = Text)]
    line: String,
}

fn rows(database: &Database, query: &str) -> Vec<String> {
    let lines = match database.open() {
        Opened::Sqlite(db) => {
            db.read(|conn| diesel::sql_query(query).load::<Line>(conn)).expect("it can be read")
        }
        Opened::Postgres(db) => {
            let query = query.replace("json_array", "json_build_array");
            let query = query.replace(" AS line", "::text AS line");
            db.read(|conn| diesel::sql_query(query).load::<Line>(conn)).expect("it can be read")
        }
    };
    lines.into_iter().map(|line| line.line).collect()
}

/// A bare repository of commits that add, change and delete files, by `git fast-import`.
fn make_history(repository: &Path, commits: usize, rng: &mut Rng) {
    let git = |arguments: &[&str]| {
        let mut command = Command::new("git");
        command.arg("--git-dir").arg(repository).args(arguments);
        command
    };
    let made = git(&["init", "--quiet", "--bare"]).status().expect("git starts");
    assert!(made.success());
    let mut import =
        git(&["fast-import", "--quiet"]).stdin(Stdio::piped()).spawn().expect("git starts");
    let mut stream = Vec::new();
    let mut there = [false; 60];
    for commit in 0..commits {
        let author = rng.range(0..9);
        stream.extend(
            format!(
                "commit HEAD\nauthor A{author} <a@example.org> {commit} +0000\n\
                 committer C <c@example.org> {commit} +0000\ndata 0\n\n"
            )
            .bytes(),
        );
        for _ in 0..rng.range(1..6) {
            let file = rng.range(0..there.len());
            there[file] = !there[file] || rng.chance(0.8);
            let change = if there[file] {
                let text = format!("{commit} {}", rng.number());
                format!("M 100644 inline d{}/f{file}\ndata {}\n{text}\n", file % 7, text.len())
            } else {
                format!("D d{}/f{file}\n", file % 7)
            };
            stream.extend(change.bytes());
        }
    }
    import.stdin.take().expect("piped").write_all(&stream).expect("git reads");
    assert!(import.wait().expect("git ends").success());
}
