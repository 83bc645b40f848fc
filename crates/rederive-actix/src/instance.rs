//! The name of a process that has not been given one.

use std::{
    hash::{BuildHasher, RandomState},
    process,
};

/// A name that no other process has, nor another supervisor of this one: the host and the process are
/// for people, the random number is what makes it so.
pub(crate) fn unique() -> String {
    // Keyed at random, unlike those that follow it in the same thread, which only count on.
    let random = RandomState::new().hash_one(process::id());
    let host = gethostname::gethostname();
    format!("{}-{}-{random:016x}", host.to_string_lossy(), process::id())
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
}
