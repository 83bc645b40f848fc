//! The example `notifier`, killed at random moments, with an SMTP server that is a process as well.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Child, ChildStdin, Command, Stdio},
    sync::mpsc::{self, Receiver, RecvTimeoutError},
    thread,
    time::Duration,
};

use rederive::diesel::SqliteDatabase;
use rederive_testkit::Seed;
use serde::{Deserialize, Serialize};

use crate::fixture::{PATIENCE, example};

/// As the example has it.
#[derive(Serialize, Deserialize)]
struct SignedUp {
    mail: String,
}

/// A process that is killed when this is dropped.
struct Process {
    child: Child,
    input: Option<ChildStdin>,
    lines: Receiver<String>,
}

impl Process {
    fn start(name: &str, args: &[&str]) -> Self {
        let mut child = Command::new(example(name))
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("it starts");
        let (send, lines) = mpsc::channel();
        let stdout = child.stdout.take().expect("it is piped");
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                let _ = send.send(line);
            }
        });
        let input = child.stdin.take();
        Self { child, input, lines }
    }

    fn notifier(database: &Path, server: &str) -> Self {
        let database = database.to_str().expect("it is text");
        let args = ["--database", database, "--smtp", server, "--lease", "0.3"];
        let notifier = Self::start("notifier", &args);
        assert_eq!(notifier.lines.recv_timeout(PATIENCE).as_deref(), Ok("ready"));
        notifier
    }

    /// Kills it with SIGKILL.
    fn kill(mut self) {
        self.child.kill().expect("it can be killed");
    }

    /// Ends it as its input ends.
    fn end(mut self) {
        self.input = None;
        assert!(self.child.wait().expect("it ends").success());
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The Message-Ids of the mails that each address has been sent, with repetitions.
type Mails = BTreeMap<String, Vec<String>>;

fn note(mails: &mut Mails, line: &str) {
    let (to, id) = line.split_once(' ').expect("an address and an id");
    mails.entry(to.to_owned()).or_default().push(id.to_owned());
}

#[test]
fn every_welcome_mail_is_sent_under_one_id_though_the_notifier_is_killed_and_none_for_history() {
    const PEOPLE: usize = 150;
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("people.db");
    let log = SqliteDatabase::open(&file).expect("it can be opened").event_log::<SignedUp>();
    let sign_up = |name: String| {
        let signed_up = SignedUp { mail: format!("{name}@example.org") };
        log.append_blocking(vec![signed_up]).expect("it can be appended");
    };
    (0..20).for_each(|number| sign_up(format!("old{number}")));
    let sink = Process::start("smtp_sink", &[]);
    let server = format!("127.0.0.1:{}", sink.lines.recv_timeout(PATIENCE).expect("its port"));

    let mut rng = Seed::from_env().rng();
    let mut mails = Mails::new();
    let mut running = Process::notifier(&file, &server);
    let input = running.input.as_mut().expect("it is open");
    writeln!(input, "typed@example.org").expect("it reads");
    (0..PEOPLE).for_each(|number| sign_up(format!("new{number}")));
    // Killed after some mails, which come faster than one by one.
    let mut kills = 0;
    while mails.len() < PEOPLE + 1 {
        let more = rng.range(1..25);
        for _ in 0..more {
            if mails.len() == PEOPLE + 1 {
                break;
            }
            let line = sink.lines.recv_timeout(PATIENCE).expect("another mail is sent");
            note(&mut mails, &line);
        }
        running = if rng.chance(0.5) {
            running.kill();
            Process::notifier(&file, &server)
        } else {
            // It is killed while another process stands by, which takes over once the lease ends.
            let successor = Process::notifier(&file, &server);
            running.kill();
            successor
        };
        kills += 1;
    }
    running.end();
    // Those that were on their way.
    loop {
        match sink.lines.recv_timeout(Duration::from_millis(100)) {
            Ok(line) => note(&mut mails, &line),
            Err(RecvTimeoutError::Timeout) => break,
            Err(other) => panic!("{other}"),
        }
    }
    let names = (0..PEOPLE).map(|number| format!("new{number}@example.org"));
    let expected: BTreeSet<_> = names.chain(["typed@example.org".to_owned()]).collect();
    assert_eq!(mails.keys().cloned().collect::<BTreeSet<_>>(), expected, "none for history");
    let mut ids = BTreeSet::new();
    for (to, sent) in &mails {
        assert!(sent.iter().all(|id| *id == sent[0]), "{to}: {sent:?}");
        assert!(ids.insert(&sent[0]), "the id of another mail: {}", sent[0]);
    }
    assert!(kills > 3, "killed only {kills} times");
}
