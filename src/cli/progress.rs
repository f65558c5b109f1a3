//! How it is going, on stderr.

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::ops::ControlFlow;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use distro_fetch::base::HumanBytes;
use distro_fetch::event::{Event, Observer, What};
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::json;

use super::args::ProgressMode;
use super::context::Context;
use super::output::{self, Color, harmless};
use super::signals;

/// Shows events, and turns Ctrl-C into a cancellation.
pub(crate) struct Reporter {
    mode: Mode,
    verbose: u8,
    color: Color,
    jobs: Mutex<BTreeMap<String, Job>>,
}

enum Mode {
    Bar(MultiProgress),
    Plain,
    Json,
    Silent,
}

struct Job {
    bar: Option<ProgressBar>,
    said: Instant,
    started: Instant,
    from: u64,
    waiting: bool,
}

impl Reporter {
    pub(crate) fn new(context: &Context) -> Self {
        let global = &context.global;
        let bar = || {
            Mode::Bar(MultiProgress::with_draw_target(
                ProgressDrawTarget::stderr_with_hz(10),
            ))
        };
        let mode = match global.progress {
            _ if global.quiet => Mode::Silent,
            ProgressMode::Auto if std::io::stderr().is_terminal() => bar(),
            ProgressMode::Bar => bar(),
            ProgressMode::Auto | ProgressMode::Plain => Mode::Plain,
            ProgressMode::Json => Mode::Json,
            ProgressMode::None => Mode::Silent,
        };
        Self {
            mode,
            verbose: global.verbose,
            color: context.color,
            jobs: Mutex::default(),
        }
    }

    /// Takes the bars of what did not finish off the terminal.
    pub(crate) fn finish(&self) {
        let jobs = std::mem::take(&mut *self.jobs.lock().unwrap_or_else(PoisonError::into_inner));
        for bar in jobs.into_values().filter_map(|job| job.bar) {
            bar.finish_and_clear();
        }
    }

    fn say(&self, text: &str) {
        let text = harmless(text);
        match &self.mode {
            Mode::Bar(bars) => bars.suspend(|| output::note(&text)),
            Mode::Plain => output::note(&text),
            Mode::Json | Mode::Silent => {}
        }
    }

    fn warn(&self, subject: &str, text: &str) {
        self.say(&format!("{subject}: {text}"));
    }

    fn show(&self, event: Event<'_>) {
        let Event { subject, what } = event;
        match what {
            What::Waiting {
                lock,
                holder,
                since,
            } => self.waiting(subject, lock, holder, since),
            What::Unlocked { reason } => self.warn(
                subject,
                &format!("locks do not work here ({reason}); another process may fetch the same"),
            ),
            What::Source {
                url,
                resumed,
                total,
            } => self.source(subject, url, resumed, total),
            What::Progress { received, total } => self.progress(subject, received, total),
            What::Retry {
                url,
                verdict,
                pause,
            } => self.warn(
                subject,
                &format!("{url}: {verdict}; again in {:.1} s", pause.as_secs_f64()),
            ),
            // The last failure is part of what is said in the end.
            What::Failed { next: None, .. } => self.forget(subject),
            What::Failed { url, verdict, .. } => self.warn(subject, &format!("{url}: {verdict}")),
            What::Quarantined { path, reason } => self.warn(
                subject,
                &format!("the cached copy is damaged ({reason}); it is now {path}"),
            ),
            What::MadeFolder { path, layer } => self.warn(
                subject,
                &format!(
                    "{path} is no directory in a lower layer, but layer {} has something in it: \
                     it is one now",
                    layer + 1
                ),
            ),
            What::Unpacking { read, total } => self.progress(subject, read, total),
            What::Converting { done, total } => self.progress(subject, done, Some(total)),
            What::Writing { written, total } => self.progress(subject, written, total),
            What::Done { cached, size } => self.done(subject, cached, size),
            _ => {}
        }
    }

    /// One line, and not before it is worth one.
    fn waiting(&self, subject: &str, lock: &str, holder: Option<u32>, since: Duration) {
        if since < PATIENCE {
            return;
        }
        let first = self.with_job(subject, 0, |job| !std::mem::replace(&mut job.waiting, true));
        if first {
            let who = holder.map_or_else(
                || "another process".to_owned(),
                |pid| format!("process {pid}"),
            );
            self.warn(subject, &format!("waiting for {who}, which holds {lock}"));
        }
    }

    fn source(&self, subject: &str, url: &str, resumed: u64, total: Option<u64>) {
        let size = total.map_or_else(
            || "size unknown".to_owned(),
            |size| HumanBytes(size).to_string(),
        );
        let from = if resumed > 0 {
            format!(", {} of it kept from before", HumanBytes(resumed))
        } else {
            String::new()
        };
        if matches!(self.mode, Mode::Plain) || self.verbose > 0 {
            self.warn(subject, &format!("{url} ({size}{from})"));
        }
        self.with_job(subject, resumed, |job| {
            if let Some(bar) = &job.bar {
                bar.set_length(total.unwrap_or(0));
                bar.set_position(resumed);
            }
        });
    }

    fn progress(&self, subject: &str, received: u64, total: Option<u64>) {
        let line = self.with_job(subject, received, |job| {
            if let Some(bar) = &job.bar {
                if bar.length() == Some(0)
                    && let Some(total) = total
                {
                    bar.set_length(total);
                }
                bar.set_position(received);
                return None;
            }
            if job.said.elapsed() < LINE_EVERY {
                return None;
            }
            job.said = Instant::now();
            let seconds = job.started.elapsed().as_secs().max(1);
            let rate = HumanBytes(received.saturating_sub(job.from) / seconds);
            Some(match total.filter(|total| *total > 0) {
                Some(total) => format!(
                    "{} of {} ({} %), {rate}/s",
                    HumanBytes(received),
                    HumanBytes(total),
                    received.saturating_mul(100) / total
                ),
                None => format!("{}, {rate}/s", HumanBytes(received)),
            })
        });
        if let Some(line) = line {
            self.warn(subject, &line);
        }
    }

    fn done(&self, subject: &str, cached: bool, size: u64) {
        self.forget(subject);
        if !cached {
            self.warn(subject, &format!("verified, {}", HumanBytes(size)));
        } else if self.verbose > 0 {
            self.warn(subject, "cached");
        }
    }

    fn forget(&self, subject: &str) {
        let job = self
            .jobs
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(subject);
        if let Some(bar) = job.and_then(|job| job.bar) {
            bar.finish_and_clear();
        }
    }

    fn with_job<T>(&self, subject: &str, from: u64, work: impl FnOnce(&mut Job) -> T) -> T {
        let mut jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        if !jobs.contains_key(subject) {
            let job = Job {
                bar: match &self.mode {
                    Mode::Bar(bars) => Some(bars.add(bar(subject, self.color))),
                    _ => None,
                },
                said: Instant::now(),
                started: Instant::now(),
                from,
                waiting: false,
            };
            jobs.insert(subject.to_owned(), job);
        }
        match jobs.get_mut(subject) {
            Some(job) => work(job),
            None => unreachable!("it was inserted above"),
        }
    }
}

impl Observer for Reporter {
    fn on(&self, event: Event<'_>) -> ControlFlow<()> {
        match event.what {
            What::Source { .. } | What::Waiting { .. } => signals::watch(),
            What::Unpacking { .. } | What::Converting { .. } | What::Writing { .. } => {
                signals::watch_and_say("stopped; nothing is left of what was being made");
            }
            _ => {}
        }
        match &self.mode {
            Mode::Silent => {}
            Mode::Json => self.json(event),
            Mode::Bar(_) | Mode::Plain => self.show(event),
        }
        if signals::received() {
            if matches!(
                event.what,
                What::Unpacking { .. } | What::Converting { .. } | What::Writing { .. }
            ) {
                signals::tidying();
            }
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    }
}

impl Reporter {
    fn is_due(&self, subject: &str, done: u64, total: Option<u64>) -> bool {
        self.with_job(subject, done, |job| {
            let due = job.said.elapsed() >= Duration::from_millis(100) || total == Some(done);
            if due {
                job.said = Instant::now();
            }
            due
        })
    }

    /// One object per line; progress at most ten times a second and image.
    fn json(&self, event: Event<'_>) {
        let Event { subject, what } = event;
        let mut line = match what {
            What::Waiting {
                lock,
                holder,
                since,
            } => {
                json!({ "event": "waiting", "lock": lock, "holder": holder, "seconds": since.as_secs() })
            }
            What::Unlocked { reason } => json!({ "event": "unlocked", "reason": reason }),
            What::Source {
                url,
                resumed,
                total,
            } => {
                json!({ "event": "source", "url": url, "resumed": resumed, "total": total })
            }
            What::Progress { received, total } => {
                if !self.is_due(subject, received, total) {
                    return;
                }
                json!({ "event": "progress", "received": received, "total": total })
            }
            What::MadeFolder { path, layer } => {
                json!({ "event": "made-folder", "path": path, "layer": layer })
            }
            What::Unpacking { read, total } => {
                if !self.is_due(subject, read, total) {
                    return;
                }
                json!({ "event": "unpacking", "read": read, "total": total })
            }
            What::Converting { done, total } => {
                if !self.is_due(subject, done, Some(total)) {
                    return;
                }
                json!({ "event": "converting", "done": done, "total": total })
            }
            What::Writing { written, total } => {
                if !self.is_due(subject, written, total) {
                    return;
                }
                json!({ "event": "writing", "written": written, "total": total })
            }
            What::Retry {
                url,
                verdict,
                pause,
            } => {
                json!({ "event": "retry", "url": url, "verdict": verdict, "pause_seconds": pause.as_secs_f64() })
            }
            What::Failed { url, verdict, next } => {
                json!({ "event": "failed", "url": url, "verdict": verdict, "next": next })
            }
            What::Quarantined { path, reason } => {
                json!({ "event": "quarantined", "path": path, "reason": reason })
            }
            What::Part { digest, size } => {
                json!({ "event": "part", "digest": digest, "size": size })
            }
            What::Done { cached, size } => {
                json!({ "event": "done", "cached": cached, "size": size })
            }
            _ => return,
        };
        line["subject"] = json!(subject);
        output::note(&line.to_string());
    }
}

fn bar(subject: &str, color: Color) -> ProgressBar {
    let bar = ProgressBar::new(0);
    let line = "{prefix} {wide_bar} {bytes}/{total_bytes} {bytes_per_sec} {eta}";
    if let Ok(style) = ProgressStyle::with_template(line) {
        bar.set_style(style.progress_chars("=> "));
    }
    bar.set_prefix(color.cyan(&harmless(subject)));
    bar
}

/// How long somebody else may hold a lock before we say that we wait.
const PATIENCE: Duration = Duration::from_secs(2);

/// How often plain progress gets a line: a log is not a bar.
const LINE_EVERY: Duration = Duration::from_secs(5);
