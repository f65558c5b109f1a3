//! Advisory locks (`flock`), by fs2's maintained continuation.
//!
//! The kernel holds them, so they die with their holder and never need cleaning up. They are an
//! optimisation everywhere: where a file system does not support them, work goes on without.

use std::fs::File;
use std::io;
use std::time::{Duration, Instant};

use fs2::FileExt;

/// A lock that is held as long as this value lives.
#[derive(Debug)]
#[must_use = "the lock is released when this value is dropped"]
pub struct FileLock {
    file: File,
}

/// Outcome of an attempt that does not wait.
#[derive(Debug)]
pub enum Locked {
    /// We have it.
    Held(FileLock),
    /// Somebody else has it; here is the file back.
    Busy(File),
    /// Locks do not work on this file system.
    Unsupported(File, io::Error),
}

impl FileLock {
    /// Tries to be the only one.
    pub fn try_exclusive(file: File) -> Locked {
        let outcome = FileExt::try_lock(&file);
        Self::judge(file, outcome)
    }

    /// Tries to be the only one, and looks again for a moment: a process that starts another one
    /// hands its locks to the child until that has become another program, and a lock that was
    /// just given back is then still held.
    pub fn exclusive_in_a_moment(mut file: File) -> Locked {
        let start = Instant::now();
        loop {
            match Self::try_exclusive(file) {
                Locked::Busy(back) if start.elapsed() < MOMENT => file = back,
                outcome => return outcome,
            }
            std::thread::sleep(MOMENT / 10);
        }
    }

    /// Tries to be one of several readers.
    pub fn try_shared(file: File) -> Locked {
        let outcome = FileExt::try_lock_shared(&file);
        Self::judge(file, outcome)
    }

    /// The locked file.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Lets go of the lock when the file is dropped or locked otherwise.
    pub fn into_file(self) -> File {
        self.file
    }

    fn judge(file: File, outcome: Result<(), fs2::TryLockError>) -> Locked {
        match outcome {
            Ok(()) => Locked::Held(Self { file }),
            Err(fs2::TryLockError::WouldBlock) => Locked::Busy(file),
            // ENOLCK, ENOSYS, EOPNOTSUPP: whatever the reason, waiting would not help.
            Err(fs2::TryLockError::Error(error)) => Locked::Unsupported(file, error),
        }
    }
}

/// Longer than from fork to exec.
const MOMENT: Duration = Duration::from_millis(50);
