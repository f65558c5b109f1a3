//! One at a time.

use std::time::{Duration, Instant};

use super::Publisher;
use crate::error::{Error, Kind, Result};
use crate::event::{Event, Observer, What};
use crate::sys::{self, FileLock, Locked};

/// Keeps others from changing the tree as long as it lives. Where locks do not work, it does not:
/// readers still see whole documents.
#[derive(Debug)]
pub(super) struct Lock(#[allow(dead_code)] Option<FileLock>);

impl Lock {
    /// Waits for it.
    ///
    /// # Errors
    /// [`Kind::Local`] if the lock file cannot be made; [`Kind::Cancelled`] if the observer does not
    /// want to wait.
    pub(super) fn of(publisher: &Publisher, observer: &dyn Observer) -> Result<Self> {
        let path = publisher.root.join(NAME);
        let mut file = sys::open_append(&path)
            .map_err(|error| Error::local("cannot open the lock file", &path, error))?;
        let subject = &*publisher.root.to_string_lossy();
        let lock = &*path.to_string_lossy();
        let start = Instant::now();
        loop {
            let what = match FileLock::try_exclusive(file) {
                Locked::Held(lock) => return Ok(Self(Some(lock))),
                Locked::Unsupported(_, error) => {
                    let reason = &error.to_string();
                    let what = What::Unlocked { reason };
                    let _ = observer.on(Event { subject, what });
                    return Ok(Self(None));
                }
                Locked::Busy(back) => {
                    file = back;
                    What::Waiting {
                        lock,
                        holder: None,
                        since: start.elapsed(),
                    }
                }
            };
            if observer.on(Event { subject, what }).is_break() {
                let message = format!("stopped while waiting for {lock}");
                return Err(Error::new(Kind::Cancelled, message));
            }
            std::thread::sleep(POLL);
        }
    }
}

/// Its name in the root. It stays: whoever removes it takes it from under somebody who waits.
const NAME: &str = ".publish.lock";

const POLL: Duration = Duration::from_millis(20);
