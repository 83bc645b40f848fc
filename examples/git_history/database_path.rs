//! Where the database lives when the user names none.

use std::path::{Path, PathBuf};

use etcetera::BaseStrategy as _;

use crate::git::Repository;

/// The database of `repository` in the user's cache folder (`$XDG_CACHE_HOME`, `~/.cache` or
/// what the system has instead); `None` if there is no home folder. The same repository always
/// gets the same file; two work trees of one repository get one each, as their HEADs differ.
pub(crate) fn default_for(repository: &Repository) -> Option<PathBuf> {
    let cache = etcetera::choose_base_strategy().ok()?.cache_dir();
    let file = file_name(&repository.name(), repository.git_dir());
    Some(cache.join("rederive").join("git_history").join(file))
}

/// A name people recognise, and a hash that keeps repositories of the same name apart.
fn file_name(name: &str, git_dir: &Path) -> String {
    let harmless = |c: char| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '_' };
    let name: String = name.chars().take(40).map(harmless).collect();
    format!("{name}-{:016x}.db", fnv1a(git_dir.as_os_str().as_encoded_bytes()))
}

/// 64-bit FNV-1a: short, and the same in every build (the standard library's hash may change).
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repositories_of_the_same_name_have_different_files() {
        let (a, b) = (Path::new("/a/web/.git"), Path::new("/b/web/.git"));
        assert_ne!(file_name("web", a), file_name("web", b));
        assert_eq!(file_name("web", a), file_name("web", a));
    }

    #[test]
    fn the_name_is_safe_on_every_file_system() {
        let name = file_name("../ä b:c", Path::new("x"));
        assert_eq!(name, format!("..___b_c-{:016x}.db", fnv1a(b"x")));
        assert!(file_name(&"x".repeat(300), Path::new("x")).len() < 64);
    }

    #[test]
    fn the_hash_is_the_published_one() {
        assert_eq!(fnv1a(b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(fnv1a(b"foobar"), 0x8594_4171_f739_67e8);
    }
}
