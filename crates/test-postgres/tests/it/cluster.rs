//! [`Cluster`] from its start to its end.

use std::{net::TcpStream, process::Command};

use test_postgres::Cluster;

use crate::client::Client;

/// What the tests below need of a server; they must start one each.
fn cluster() -> Cluster {
    Cluster::start().unwrap()
}

fn one(cluster: &Cluster, sql: &str) -> String {
    Client::connect(cluster.port()).unwrap().query(sql).unwrap().remove(0)
}

fn is_running(process: &str) -> bool {
    let kill = Command::new("sh").args(["-c", &format!("kill -s 0 {process}")]).output();
    kill.unwrap().status.success()
}

#[test]
fn it_answers_on_loopback_and_nothing_is_left_of_it() {
    let cluster = cluster();
    assert_eq!(one(&cluster, "SELECT 1 + 1"), "2");
    assert_eq!(one(&cluster, "SHOW listen_addresses"), "127.0.0.1");
    assert!(cluster.url("bank").ends_with(&format!("@127.0.0.1:{}/bank", cluster.port())));
    let (folder, port) = (cluster.folder().to_owned(), cluster.port());
    drop(cluster);
    assert!(!folder.exists());
    assert!(TcpStream::connect(("127.0.0.1", port)).is_err());
}

#[test]
fn it_is_as_careful_as_in_production_and_sorts_by_language() {
    let cluster = cluster();
    for setting in ["fsync", "synchronous_commit", "full_page_writes"] {
        assert_eq!(one(&cluster, &format!("SHOW {setting}")), "on");
    }
    assert_eq!(one(&cluster, "SHOW max_connections"), "200");
    let sql = "SELECT CASE WHEN current_setting('server_version_num')::int < 150000
               OR NOT EXISTS (SELECT FROM pg_collation WHERE collprovider = 'i')
               OR 'a' < 'B' THEN 'by language' ELSE 'by bytes' END";
    assert_eq!(one(&cluster, sql), "by language");
}

#[test]
fn stopped_killed_and_started_again_it_has_what_was_committed() {
    let mut cluster = cluster();
    one(&cluster, "CREATE TABLE t (n int); SELECT 'created'");
    let port = cluster.port();
    for (round, how) in (1..).zip(["stop", "stop immediate", "kill"]) {
        let mut client = Client::connect(port).unwrap();
        client.query(&format!("INSERT INTO t VALUES ({round})")).unwrap();
        client.query(&format!("BEGIN; INSERT INTO t VALUES (-{round})")).unwrap();
        let server = cluster.process().unwrap().to_string();
        assert!(is_running(&server));
        match how {
            "stop" => cluster.stop(),
            "kill" => cluster.kill(),
            _ => cluster.stop_immediate(),
        }
        .unwrap();
        assert_eq!(cluster.process(), None);
        assert!(TcpStream::connect(("127.0.0.1", port)).is_err());
        assert!(client.query("SELECT 1").is_err());
        assert!(!is_running(&server));
        cluster.start_again().unwrap();
        assert_eq!(one(&cluster, "SELECT string_agg(n::text, ' ' ORDER BY n) FROM t"), {
            (1..=round).map(|n: i32| n.to_string()).collect::<Vec<_>>().join(" ")
        });
    }
    assert_eq!(cluster.port(), port);
    assert!(cluster.start_again().unwrap_err().contains("runs already"));
}

#[test]
fn as_a_stand_by_it_can_be_read_only_until_it_is_promoted() {
    let mut cluster = cluster();
    one(&cluster, "CREATE TABLE t (n int); SELECT 'created'");
    cluster.stop_immediate().unwrap();
    cluster.start_as_stand_by().unwrap();
    let mut client = Client::connect(cluster.port()).unwrap();
    assert_eq!(client.query("SELECT count(*) FROM t").unwrap(), ["0"]);
    let refused = client.query("INSERT INTO t VALUES (1)").unwrap_err().to_string();
    assert!(refused.contains("read-only"), "{refused}");
    assert_eq!(client.query("SELECT pg_promote()").unwrap(), ["t"]);
    client.query("INSERT INTO t VALUES (1)").unwrap();
}

#[test]
fn two_clusters_do_not_meet_while_one_of_them_is_down() {
    let mut one_of_them = cluster();
    one_of_them.stop().unwrap();
    let other = cluster();
    assert_ne!(one_of_them.port(), other.port());
    one_of_them.start_again().unwrap();
}

#[test]
fn settings_hold_from_the_next_start_on() {
    let mut cluster = Cluster::start_with(&[("max_connections", "7")]).unwrap();
    assert_eq!(one(&cluster, "SHOW max_connections"), "7");
    cluster.set("max_connections", "8");
    cluster.stop().unwrap();
    cluster.start_again().unwrap();
    assert_eq!(one(&cluster, "SHOW max_connections"), "8");
}

#[test]
fn a_server_that_does_not_start_says_why() {
    let refused = Cluster::start_with(&[("max_connections", "none")]).map(drop).unwrap_err();
    assert!(refused.contains("invalid value for parameter \"max_connections\""), "{refused}");
}

#[test]
fn a_folder_beside_the_data_is_the_servers() {
    let cluster = cluster();
    let folder = cluster.create_folder("space").unwrap();
    let mut client = Client::connect(cluster.port()).unwrap();
    client.query(&format!("CREATE TABLESPACE space LOCATION '{}'", folder.display())).unwrap();
}
