//! The order of what a commit does: what a power cut may drop was not needed yet (HOSTILE 74).

use std::path::Path;

use super::bench::Bench;
use super::strace::{self, Call};

/// A recorded sequence, asked for positions.
struct Tape(Vec<Call>);

impl Tape {
    /// Every position of a successful call that fits.
    fn all(&self, fits: impl Fn(&Call) -> bool) -> Vec<usize> {
        let calls = self.0.iter().enumerate();
        calls
            .filter(|(_, it)| it.succeeded() && fits(it))
            .map(|(at, _)| at)
            .collect()
    }

    /// The only position.
    fn only(&self, what: &str, fits: impl Fn(&Call) -> bool) -> usize {
        let all = self.all(fits);
        assert_eq!(
            all.len(),
            1,
            "{what}: {:?}",
            all.iter().map(|at| &self.0[*at]).collect::<Vec<_>>()
        );
        all[0]
    }

    fn last(&self, what: &str, fits: impl Fn(&Call) -> bool) -> usize {
        *self
            .all(fits)
            .last()
            .unwrap_or_else(|| panic!("{what} does not happen"))
    }

    fn synced_between(&self, path: &Path, from: usize, to: usize) -> bool {
        let synced = |it: &Call| {
            matches!(&*it.name, "fsync" | "fdatasync") && it.descriptor().as_deref() == Some(path)
        };
        self.all(synced).iter().any(|at| (from..to).contains(at))
    }
}

fn ends(path: Option<&Path>, end: &str) -> bool {
    path.is_some_and(|path| path.to_string_lossy().ends_with(end))
}

#[test]
fn a_commit_syncs_before_it_names_and_names_last() {
    if !strace::works() {
        return;
    }
    let bench = Bench::new();
    let output = bench.cold(&[]);
    assert!(output.status.success(), "{output:?}");
    bench.is_right(&output, "recorded");
    let tape = Tape(strace::calls(&bench.log()));
    let end = tape.0.len();
    let changes = |it: &Call| {
        matches!(
            &*it.name,
            "write" | "pwrite64" | "writev" | "ftruncate" | "fchmod" | "copy_file_range"
        )
    };
    let renames = |it: &Call| matches!(&*it.name, "rename" | "renameat" | "renameat2");

    // The moment at which the entry exists.
    let file = std::path::PathBuf::from(String::from_utf8(output.stdout).unwrap().trim_end());
    let folder = file.parent().unwrap();
    let unveil = tape.only("the rename to the entry's name", |it| {
        renames(it) && it.quoted().last().is_some_and(|to| to == folder)
    });
    let staging = tape.0[unveil].quoted()[0].clone();
    assert_eq!(
        staging.parent(),
        folder.parent(),
        "the same directory, so the same file system"
    );
    assert!(
        tape.0[unveil].rest.contains("RENAME_NOREPLACE"),
        "nothing is replaced"
    );

    // The data: written, synced, then linked.
    let part = |it: &Call| ends(it.descriptor().as_deref(), ".part");
    let written = tape.last("writing the data", |it| changes(it) && part(it));
    let partial = tape.0[written].descriptor().unwrap();
    let linked = tape.only("the link", |it| {
        it.name == "linkat" && it.quoted().first() == Some(&partial)
    });
    assert!(
        tape.synced_between(&partial, written, linked),
        "data before its name"
    );
    assert!(linked < unveil);

    // The record: written, synced, renamed; then the staging directory.
    let record = staging.join("entry.json");
    let named = tape.only("the record's name", |it| {
        renames(it) && it.quoted().last() == Some(&record)
    });
    let temporary = tape.0[named].quoted()[0].clone();
    let recorded = tape.last("writing the record", |it| {
        changes(it) && it.descriptor().as_ref() == Some(&temporary)
    });
    assert!(
        tape.synced_between(&temporary, recorded, named),
        "the record before its name"
    );
    assert!(
        tape.synced_between(&staging, named.max(linked), unveil),
        "both names before theirs"
    );

    // Every parent that is new, after the rename and before success is told.
    let told = tape.last("the path on stdout", |it| {
        it.name == "write" && it.rest.starts_with("1<")
    });
    for parent in folder
        .ancestors()
        .skip(1)
        .take_while(|it| it.starts_with(bench.lab.cache()))
    {
        assert!(
            tape.synced_between(parent, unveil, told),
            "{}",
            parent.display()
        );
    }

    // The old name goes last: before that, a crash loses no byte.
    let gone = tape.only("the end of the partial", |it| {
        it.name == "unlink" && it.quoted().first() == Some(&partial)
    });
    assert!(tape.synced_between(folder.parent().unwrap(), unveil, gone));

    // Nothing under the final name is touched, then or later.
    let late = tape.all(|it| {
        let below = |path: &Path| path.starts_with(folder) || path.starts_with(&staging);
        let opens =
            it.name == "openat" && (it.rest.contains("O_WRONLY") || it.rest.contains("O_RDWR"));
        let named =
            renames(it) || opens || matches!(&*it.name, "linkat" | "unlink" | "mkdir" | "unlinkat");
        (changes(it) && it.descriptor().is_some_and(|path| below(&path)))
            || (named && it.quoted().iter().any(|path| below(path)))
    });
    let late: Vec<_> = late
        .into_iter()
        .filter(|at| (unveil + 1..end).contains(at))
        .collect();
    assert!(
        late.is_empty(),
        "{:?}",
        late.iter().map(|at| &tape.0[*at]).collect::<Vec<_>>()
    );
}
