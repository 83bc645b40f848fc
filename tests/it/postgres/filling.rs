//! A disk that is full.

use std::process::Command;

use rederive::Await;

use super::bank::Bank;
use crate::fixture::bank::Event;

/// Long names, so that every account needs room of its own.
fn accounts(count: usize, of: &str) -> Vec<Event> {
    let name = |number| format!("{number:04}-{of}-{}", "x".repeat(1000));
    (0..count).map(|number| Event::opened(&name(number))).collect()
}

/// A commit finds no room until there is some.
async fn commit_despite(bank: &Bank, fill: &str, make_room: &str, says: &str) {
    let handle = bank.start().await;
    let mut other = bank.connect();
    other.execute(fill);
    let recorded = bank.append(accounts(200, "late"));
    let said = bank.delayed(&handle, 3).await;
    assert!(said.contains(says), "{said}");
    other.execute(make_room);
    handle.wait(Await::events("accounts", &recorded)).await.expect("done");
    handle.stop().await;
}

#[actix_rt::test]
async fn a_full_disk_is_waited_for_until_there_is_room() {
    let bank = Bank::new();
    let Some(disk) = SmallDisk::mount(&bank).await else { return };
    let mut other = bank.connect();
    other.execute(&format!("CREATE TABLESPACE small LOCATION '{}'", disk.folder));
    other.execute("ALTER TABLE accounts SET TABLESPACE small");
    other.execute("CREATE TABLE filler (text text) TABLESPACE small");
    // Until not even a small row fits.
    let fill = "DO $$ BEGIN
            FOR size IN REVERSE 6..0 LOOP
                BEGIN
                    LOOP
                        INSERT INTO filler SELECT repeat('x', 7000) FROM generate_series(0, size * 20);
                    END LOOP;
                EXCEPTION WHEN disk_full THEN
                END;
            END LOOP;
        END $$";
    commit_despite(&bank, fill, "DROP TABLE filler", "No space left on device").await;
    let handle = bank.start().await;
    bank.check(handle).await;
    bank.connect().execute("ALTER TABLE accounts SET TABLESPACE pg_default");
    bank.connect().execute("DROP TABLESPACE small");
    disk.unmount();
}

#[actix_rt::test]
async fn an_error_of_the_class_of_a_full_disk_is_waited_for() {
    let bank = Bank::new();
    let full = "CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            RAISE EXCEPTION USING ERRCODE = '53100',
                MESSAGE = 'could not extend file \"base/1/2\": No space left on device';
        END $$;
        CREATE TRIGGER fail BEFORE INSERT ON accounts EXECUTE FUNCTION fail();";
    commit_despite(&bank, full, "DROP TRIGGER fail ON accounts", "could not extend file").await;
    let handle = bank.start().await;
    bank.check(handle).await;
}

/// A file system of a few megabytes in the folder of the cluster.
struct SmallDisk {
    folder: String,
}

impl SmallDisk {
    /// `None` where it cannot be had, as for anybody but root; there the error is injected alone.
    async fn mount(bank: &Bank) -> Option<Self> {
        let folder = bank.server(|cluster| cluster.create_folder("small").expect("new")).await;
        let owner = std::fs::metadata(&folder).expect("it is there");
        let (user, group) = {
            use std::os::unix::fs::MetadataExt as _;
            (owner.uid(), owner.gid())
        };
        let folder = folder.display().to_string();
        let options = format!("size=8m,mode=700,uid={user},gid={group}");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &options, "none", &folder])
            .output()
            .is_ok_and(|output| output.status.success());
        mounted.then_some(Self { folder })
    }

    fn unmount(self) {}
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: the server of a test that has failed still uses it.
        let _ = Command::new("umount").args(["-l", &self.folder]).output();
    }
}
