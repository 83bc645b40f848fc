//! [`Programs`]: where PostgreSQL's server programs are.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::URL_VARIABLE;

/// Where distributions put them, a `*` for any characters of one name. Within one of these the newest
/// version comes first.
const USUAL: &[&str] = &[
    // Debian and its kin
    "/usr/lib/postgresql/*/bin",
    // Fedora and its kin, from PostgreSQL's own packages
    "/usr/pgsql-*/bin",
    // SUSE, Alpine
    "/usr/lib/postgresql*/bin",
    "/usr/libexec/postgresql*",
    // Homebrew, on either processor
    "/opt/homebrew/opt/postgresql*/bin",
    "/usr/local/opt/postgresql*/bin",
    "/home/linuxbrew/.linuxbrew/opt/postgresql*/bin",
    // Postgres.app
    "/Applications/Postgres.app/Contents/Versions/*/bin",
    // Built from source
    "/usr/local/pgsql/bin",
];

/// A folder with PostgreSQL's server programs.
#[derive(Clone, Debug, PartialEq)]
pub struct Programs {
    folder: PathBuf,
}

impl Programs {
    /// Looks in `PATH`, then where the distributions put them, then where `pg_config` says.
    ///
    /// # Errors
    ///
    /// When there are none: a text that says how to get them.
    pub fn find() -> Result<Self, String> {
        let path = env::var_os("PATH").unwrap_or_default();
        let candidates = env::split_paths(&path)
            .chain(USUAL.iter().flat_map(|pattern| matching(pattern)))
            .chain(told_by_pg_config());
        Self::first_of(candidates).ok_or_else(|| {
            format!(
                "PostgreSQL's server programs (postgres, initdb) were found neither in PATH nor in \
                 the usual folders. Install them (Debian, Ubuntu: `sudo apt-get install \
                 postgresql`; Fedora: `sudo dnf install postgresql-server`; macOS: `brew install \
                 postgresql`), or name a server of yours: {URL_VARIABLE}=postgres://USER@HOST/DATABASE, \
                 of a role that may create databases"
            )
        })
    }

    fn first_of(folders: impl Iterator<Item = PathBuf>) -> Option<Self> {
        let has_both = |folder: &PathBuf| {
            ["postgres", "initdb"].iter().all(|name| folder.join(name).is_file())
        };
        folders.filter(|folder| folder.is_absolute()).find(has_both).map(|folder| Self { folder })
    }

    /// The folder that holds them.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    pub(crate) fn program(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }
}

fn told_by_pg_config() -> Option<PathBuf> {
    let output = Command::new("pg_config").arg("--bindir").output().ok()?;
    String::from_utf8(output.stdout).ok().map(|folder| folder.trim().into())
}

/// The folders that a pattern stands for, the newest version first.
fn matching(pattern: &str) -> Vec<PathBuf> {
    let mut found = vec![PathBuf::from("/")];
    for name in pattern.split('/').filter(|name| !name.is_empty()) {
        found = match name.split_once('*') {
            None => found.into_iter().map(|folder| folder.join(name)).collect(),
            Some((before, after)) => {
                found.iter().flat_map(|folder| entries(folder, before, after)).collect()
            }
        };
    }
    found.retain(|folder| folder.is_dir());
    found
}

/// What is in a folder and is named `before`, anything, `after`: those with the highest number first.
fn entries(folder: &Path, before: &str, after: &str) -> Vec<PathBuf> {
    let mut found: Vec<(Vec<u32>, PathBuf)> = fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            let version = name.strip_prefix(before)?.strip_suffix(after)?;
            Some((numbers(version), entry.path()))
        })
        .collect();
    found.sort();
    found.into_iter().rev().map(|(_, path)| path).collect()
}

/// The numbers in a version: 9.6 comes before 15, whatever letters are around.
fn numbers(version: &str) -> Vec<u32> {
    version.split(|c: char| !c.is_ascii_digit()).filter_map(|digits| digits.parse().ok()).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use std::fs;

    use super::*;

    /// A folder with these programs in these folders.
    fn installed(test: &str, folders: &[(&str, &[&str])]) -> PathBuf {
        let root = env::temp_dir().join(format!("rederive-{test}-{}", std::process::id()));
        for (folder, programs) in folders {
            fs::create_dir_all(root.join(folder)).unwrap();
            for program in *programs {
                fs::write(root.join(folder).join(program), "").unwrap();
            }
        }
        root
    }

    #[test]
    fn of_several_versions_the_newest_is_taken_that_has_a_server() {
        let both: &[&str] = &["initdb", "postgres"];
        let root = installed(
            "versions",
            &[("9.6/bin", both), ("15/bin", both), ("17/bin", both), ("18/bin", &["psql"])],
        );
        let folders = matching(&format!("{}/*/bin", root.display()));
        let names: Vec<_> = folders.iter().map(|at| at.strip_prefix(&root).unwrap()).collect();
        assert_eq!(names, ["18/bin", "17/bin", "15/bin", "9.6/bin"].map(Path::new));
        let found = Programs::first_of(folders.into_iter()).unwrap();
        assert_eq!(found.folder(), root.join("17/bin"));
        fs::remove_dir_all(root).unwrap();
    }

    #[test]
    fn a_pattern_matches_the_rest_of_a_name() {
        let root =
            installed("kegs", &[("postgresql@14/bin", &[]), ("postgresql@9/bin", &[]), ("x", &[])]);
        let folders = matching(&format!("{}/postgresql*/bin", root.display()));
        let names: Vec<_> = folders.iter().map(|at| at.strip_prefix(&root).unwrap()).collect();
        assert_eq!(names, ["postgresql@14/bin", "postgresql@9/bin"].map(Path::new));
        fs::remove_dir_all(root).unwrap();
    }
}
