//! The name of a process that has not been given one, and what it tells of the process.

use std::{
    fs,
    hash::{BuildHasher, RandomState},
    io, process,
};

/// A name that no other process has, nor another supervisor of this one: the host and the process are
/// for people, the random number is what makes it so. Where the system tells, there is also what is
/// needed to see that the process [has died](has_died).
pub(crate) fn unique() -> String {
    // Keyed at random, unlike those that follow it in the same thread, which only count on.
    let random = RandomState::new().hash_one(process::id());
    name(process::id(), random)
}

fn name(pid: u32, random: u64) -> String {
    let host = gethostname::gethostname();
    let host = host.to_string_lossy();
    match (place(), started(pid)) {
        (Some(place), Ok(Some(started))) => {
            format!("{host}-{pid}-{place}.{started}-{random:016x}")
        }
        _ => format!("{host}-{pid}-{random:016x}"),
    }
}

/// Whether the process of that name has died: certain when true. False also of a name that was given
/// to it, and of a process that cannot be seen from here, as on another machine.
pub(crate) fn has_died(name: &str) -> bool {
    died(name).unwrap_or(false)
}

fn died(name: &str) -> Option<bool> {
    let (name, _random) = name.rsplit_once('-')?;
    let (name, life) = name.rsplit_once('-')?;
    let (_host, pid) = name.rsplit_once('-')?;
    let (lived_in, since) = life.rsplit_once('.')?;
    let (pid, since): (u32, u64) = (pid.parse().ok()?, since.parse().ok()?);
    if place()? != lived_in {
        return None;
    }
    Some(started(pid).ok()? != Some(since))
}

/// Among which processes this one can be seen, and sees all there are: those of one boot of one
/// machine, in one namespace, of one user (others may be hidden). Known on Linux.
fn place() -> Option<String> {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let boot = boot.trim().get(..8)?;
    let pids = namespace("pid")?;
    // In which times are told; there was none on old systems.
    let times = namespace("time").unwrap_or(0);
    Some(format!("{boot}.{pids:x}.{times:x}.{}", user()?))
}

fn namespace(kind: &str) -> Option<u64> {
    let link = fs::read_link(format!("/proc/self/ns/{kind}")).ok()?;
    let number = link.to_str()?.split_once('[')?.1.strip_suffix(']')?;
    number.parse().ok()
}

#[cfg(unix)]
fn user() -> Option<u32> {
    use std::os::unix::fs::MetadataExt;
    Some(fs::metadata("/proc/self").ok()?.uid())
}

#[cfg(not(unix))]
fn user() -> Option<u32> {
    None
}

/// When the process began, in ticks since the machine did: with its number, this tells it from all
/// others. `None` if there is no such process, or only what its parent has not yet taken note of.
fn started(pid: u32) -> io::Result<Option<u64>> {
    let stat = match fs::read_to_string(format!("/proc/{pid}/stat")) {
        Ok(stat) => stat,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    // The program's name stands in parentheses and may hold anything.
    let (_, rest) = stat.rsplit_once(')').unwrap_or_default();
    let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
    let (&[state, ..], Some(threads), Some(started)) =
        (&fields[..], fields.get(17), fields.get(19).and_then(|field| field.parse().ok()))
    else {
        return Err(io::ErrorKind::InvalidData.into());
    };
    let is_over = matches!(state, "Z" | "X") && matches!(*threads, "0" | "1");
    Ok(Some(started).filter(|_| !is_over))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_names_of_one_process_differ() {
        let (one, other) = (unique(), unique());
        assert_ne!(one, other);
        assert!(one.contains(&process::id().to_string()), "{one}");
    }

    #[test]
    fn whoever_is_alive_or_unknown_is_not_said_to_have_died() {
        assert!(!has_died(&unique()));
        for name in
            ["", "ledger", "ledger-0", "host-1-0123456789abcdef", "a-1-b.2-c", "----", "-.-"]
        {
            assert!(!has_died(name), "{name}");
        }
    }

    #[cfg(target_os = "linux")]
    mod on_linux {
        use std::process::Command;

        use super::*;

        #[test]
        fn a_process_that_was_killed_is_seen_to_have_died() {
            let mut child = Command::new("sleep").arg("3600").spawn().expect("it runs");
            let name = name(child.id(), 7);
            assert!(!has_died(&name), "{name}");
            child.kill().expect("it can be killed");
            // Nobody has asked what became of it: until then, its number is not given to another.
            while !has_died(&name) {
                std::thread::yield_now();
            }
            child.wait().expect("it has ended");
            assert!(has_died(&name), "{name}");
        }

        #[test]
        fn another_process_of_the_same_number_is_not_taken_for_the_one_that_died() {
            let started = started(process::id()).expect("it can be read").expect("we live");
            let (before, now) = (started - 1, started);
            let named = |since: u64| {
                format!("host-{}-{}.{since}-0", process::id(), place().expect("it is known"))
            };
            assert!(has_died(&named(before)));
            assert!(!has_died(&named(now)));
        }

        #[test]
        fn nothing_is_said_of_a_process_of_another_machine_or_namespace_or_user() {
            let here = place().expect("it is known");
            let mut parts: Vec<&str> = here.split('.').collect();
            for number in 0..parts.len() {
                let part = std::mem::replace(&mut parts[number], "0123");
                let elsewhere = parts.join(".");
                // There is no such process here.
                assert!(!has_died(&format!("host-4194305-{elsewhere}.1-0")), "{elsewhere}");
                parts[number] = part;
            }
            assert!(has_died(&format!("host-4194305-{here}.1-0")), "{here}");
        }
    }
}
