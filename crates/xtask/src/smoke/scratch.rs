//! A folder that lives as long as one smoke run.

use std::path::{Path, PathBuf};
use std::{env, fs, process};

/// A folder in the system's temporary directory, removed on drop.
pub(crate) struct Scratch {
    path: PathBuf,
}

impl Scratch {
    pub(crate) fn new(purpose: &str) -> Result<Self, String> {
        let path = env::temp_dir().join(format!("rederive-{purpose}-{}", process::id()));
        fs::create_dir(&path).map_err(|why| format!("cannot create {}: {why}", path.display()))?;
        Ok(Self { path })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What is left over lies in the temporary directory: the system sees to it.
        let _ = fs::remove_dir_all(&self.path);
    }
}
