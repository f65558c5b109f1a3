//! Ctrl-C and SIGTERM: stop at the next safe point, or at once if none comes.
//!
//! Every state on disk is safe to stop in, so that leaving at once is as good as leaving in order;
//! it only says less. A second signal does not wait at all.

#![allow(clippy::disallowed_methods)] // `exit`: a second signal does not wait for destructors

use std::sync::Once;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::time::Duration;

use signal_hook::consts::{SIGINT, SIGTERM, SIGXFSZ};
use signal_hook::iterator::Signals;

static RECEIVED: AtomicI32 = AtomicI32::new(0);
static TIDYING: AtomicBool = AtomicBool::new(false);
static WATCHED: Once = Once::new();

/// Starts to watch. Only what takes long needs it: before, the default action is right.
pub(crate) fn watch() {
    watch_and_say("stopped; what has arrived is kept, the same command goes on");
}

/// The same, with other last words. Whoever watches first has them.
pub(crate) fn watch_and_say(farewell: &'static str) {
    WATCHED.call_once(|| {
        // Without the watcher the default action still stops us.
        if let Ok(mut signals) = Signals::new([SIGINT, SIGTERM, SIGXFSZ]) {
            let _ = std::thread::Builder::new()
                .name("signals".to_owned())
                .stack_size(64 << 10)
                .spawn(move || {
                    for signal in signals.forever() {
                        if signal == SIGXFSZ {
                            // Whoever wrote too much gets an error, and can tidy up.
                            continue;
                        }
                        let again = RECEIVED.swap(signal, Ordering::SeqCst) != 0;
                        if !again {
                            std::thread::spawn(move || leave_soon(farewell));
                            continue;
                        }
                        std::process::exit(i32::from(exit_code()));
                    }
                });
        }
    });
}

/// Whether we were asked to stop.
pub(crate) fn received() -> bool {
    RECEIVED.load(Ordering::Relaxed) != 0
}

/// The main thread has noticed, and removes what it made: however long that takes, it is waited
/// for, unless a second signal comes.
pub(crate) fn tidying() {
    TIDYING.store(true, Ordering::SeqCst);
}

/// 143 for SIGTERM, else 130.
pub(crate) fn exit_code() -> u8 {
    match RECEIVED.load(Ordering::SeqCst) {
        SIGTERM => 143,
        _ => 130,
    }
}

/// For a main thread that waits for a server and cannot notice.
fn leave_soon(farewell: &str) {
    std::thread::sleep(GRACE);
    if TIDYING.load(Ordering::SeqCst) {
        return;
    }
    super::output::note(&format!("error: {farewell}"));
    std::process::exit(i32::from(exit_code()));
}

const GRACE: Duration = Duration::from_millis(800);
