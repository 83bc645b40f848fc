//! Random histories: the changes fold to what git lists, from any commit on.

use std::collections::HashMap;

use proptest::prelude::*;

use super::repo::{EXECUTABLE, FILE, LINK, New, Repo, commit};
use super::{folded, listed, read};
use crate::event::{Batches, HistoryEvent};
use crate::fold::Fold;

/// Paths that get into each other's way: files where others need a folder, names that are
/// escapes of each other.
const PATHS: [&[u8]; 10] =
    [b"a", b"a/b", b"a/b/c", b"a/\xff", br"a/\xff", b"\xff", b"\xff/x", b"n\nl", b"\"", b"z"];

#[derive(Clone, Debug)]
enum Step {
    Put(&'static str, &'static [u8], u8),
    Submodule(&'static [u8], u8),
    Delete(&'static [u8]),
}

fn step() -> impl Strategy<Value = Step> {
    let path = || prop::sample::select(PATHS.to_vec());
    prop_oneof![
        6 => (prop::sample::select(vec![FILE, EXECUTABLE, LINK]), path(), 0..3u8)
            .prop_map(|(mode, path, content)| Step::Put(mode, path, content)),
        1 => (path(), 1..3u8).prop_map(|(path, id)| Step::Submodule(path, id)),
        3 => path().prop_map(Step::Delete),
    ]
}

/// A commit on `main` or `side`, perhaps a merge of the other branch.
fn new_commit() -> impl Strategy<Value = (bool, bool, usize, Vec<Step>)> {
    (any::<bool>(), prop::bool::weighted(0.3), 0..3usize, prop::collection::vec(step(), 0..5))
}

fn made(repo: &mut Repo, (on_side, merge, author, steps): (bool, bool, usize, Vec<Step>)) {
    let (branch, other) = if on_side { ("side", "main") } else { ("main", "side") };
    let author =
        [&b"Ann <a@example.org>"[..], b"B\xf6b <b@example.org>", b"<c@example.org>"][author];
    let mut new: New = commit().on(branch).by(author);
    if merge && repo.has(branch) && repo.has(other) {
        new = new.merging(other);
    }
    for step in steps {
        new = match step {
            Step::Put(mode, path, content) => new.put(mode, path, &content.to_string()),
            Step::Submodule(path, id) => new.submodule(path, &id.to_string().repeat(40)),
            Step::Delete(path) => new.delete(path),
        };
    }
    repo.commit(new);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn the_changes_fold_to_the_files_of_every_commit(
        commits in prop::collection::vec(new_commit(), 1..12),
        cut in any::<prop::sample::Index>(),
        size in 1..8usize,
    ) {
        let mut repo = Repo::new();
        repo.commit(commit());
        for new in commits {
            made(&mut repo, new);
        }
        let repository = repo.open();
        let head = repository.resolve("HEAD").unwrap();
        let whole = read(&repository, None, &head).unwrap();
        for (n, commit) in whole.iter().enumerate() {
            prop_assert_eq!(folded(&whole[..=n]), listed(&repository, &commit.id));
        }

        let (first, rest) = whole.split_at(cut.index(whole.len()) + 1);
        let resumed = read(&repository, Some(&first[first.len() - 1].id), &head).unwrap();
        prop_assert_eq!(&resumed[..], rest);

        let mut fold = Fold::default();
        for batch in Batches::new(whole.iter().cloned().map(Ok), size) {
            batch.unwrap().events.into_iter().for_each(|event: HistoryEvent| fold.apply(event));
        }
        let files: HashMap<_, _> = listed(&repository, &head).into_iter().collect();
        let derived: HashMap<_, _> = fold.files.into_iter().map(|(p, f)| (p, f.entry)).collect();
        prop_assert_eq!(derived, files);
        let commits: i64 = fold.authors.values().map(|author| author.commits).sum();
        prop_assert_eq!(commits, i64::try_from(whole.len()).unwrap());
    }
}
