//! The catalog's file: read whole, judged, replaced whole.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, anyhow};
use distro_fetch::catalog::Rules;
use distro_fetch::{Catalog, sys};

/// What becomes of the new text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    Write,
    Check,
    DryRun,
}

/// The text of the catalog and what it says.
pub(crate) fn read(path: &Path, rules: Rules) -> Result<(String, Catalog)> {
    let name = path.display();
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {name}"))?;
    let catalog = Catalog::parse(&text, rules).map_err(|fault| anyhow!("{name}:{fault}"))?;
    Ok((text, catalog))
}

/// Brings the new text into the file, as far as `mode` goes; whether that is a change.
pub(crate) fn write(
    path: &Path,
    old: &str,
    new: &str,
    mode: Mode,
    out: &mut Vec<u8>,
) -> Result<bool> {
    if new == old {
        return Ok(false);
    }
    match mode {
        Mode::Write => replace(path, new)?,
        Mode::Check => writeln!(out, "{}: would change", path.display())?,
        Mode::DryRun => out.extend(difference(old, new).bytes()),
    }
    Ok(true)
}

/// The old file, or the whole new one: never a part of it, whatever happens in between.
fn replace(path: &Path, text: &str) -> Result<()> {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(format!(".{}.tmp", sys::unique_suffix()));
    let temporary = PathBuf::from(temporary);
    let write = || {
        let mut file = sys::create_public(&temporary)?;
        file.write_all(text.as_bytes())?;
        file.set_permissions(fs::metadata(path)?.permissions())?;
        file.sync_all()?;
        sys::rename_over(&temporary, path)
    };
    write()
        .inspect_err(|_| {
            let _ = sys::remove_file_if_any(&temporary);
        })
        .with_context(|| format!("cannot write {}", path.display()))
}

/// The lines between the common beginning and the common end of two texts, as `diff` marks them.
fn difference(old: &str, new: &str) -> String {
    let (old, new): (Vec<_>, Vec<_>) = (old.lines().collect(), new.lines().collect());
    let same = |(a, b): &(&&str, &&str)| a == b;
    let head = old.iter().zip(&new).take_while(same).count();
    let (old, new) = (&old[head..], &new[head..]);
    let tail = old.iter().rev().zip(new.iter().rev());
    let tail = tail.take_while(same).count();
    let (old, new) = (&old[..old.len() - tail], &new[..new.len() - tail]);
    let mut text = format!(
        "@@ -{},{} +{},{} @@\n",
        head + 1,
        old.len(),
        head + 1,
        new.len()
    );
    for (mark, lines) in [('-', old), ('+', new)] {
        for line in lines {
            text.push(mark);
            text.push_str(line);
            text.push('\n');
        }
    }
    text
}

#[cfg(test)]
#[allow(clippy::unwrap_used)] // a panic is a failed test
mod tests {
    use super::*;

    const SCRAMBLED: &str = r#"{ "schema": 1, "origins": {}, "images": {} }"#;
    const CANONICAL: &str = "{\n  \"images\": {},\n  \"origins\": {},\n  \"schema\": 1\n}\n";

    fn canonical(path: &Path, mode: Mode, report: &mut Vec<u8>) -> Result<bool> {
        let (old, catalog) = read(path, Rules::Embedded)?;
        write(path, &old, &catalog.to_json(), mode, report)
    }

    /// Writes `text` into a file, refreshes it, and gives back what was said and what is there.
    fn run(name: &str, text: &str, mode: Mode) -> (Result<bool>, String, String) {
        let folder = std::env::temp_dir().join(format!("df-refresh-{}-{name}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let path = folder.join("catalog.json");
        fs::write(&path, text).unwrap();
        let mut report = Vec::new();
        let outcome = canonical(&path, mode, &mut report);
        let left = fs::read_to_string(&path).unwrap();
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1, "nothing beside");
        fs::remove_dir_all(&folder).unwrap();
        (outcome, String::from_utf8(report).unwrap(), left)
    }

    #[test]
    fn only_write_writes() {
        for (mode, left) in [
            (Mode::Write, CANONICAL),
            (Mode::Check, SCRAMBLED),
            (Mode::DryRun, SCRAMBLED),
        ] {
            let (outcome, report, now) = run(&format!("{mode:?}"), SCRAMBLED, mode);
            assert!(outcome.unwrap(), "{mode:?}: a change");
            assert_eq!(report.is_empty(), mode == Mode::Write, "{mode:?}");
            assert_eq!(now, left, "{mode:?}");
        }
    }

    #[test]
    fn an_unchanged_world_gives_an_unchanged_file() {
        for mode in [Mode::Write, Mode::Check, Mode::DryRun] {
            let (outcome, report, now) = run(&format!("same-{mode:?}"), CANONICAL, mode);
            assert!(!outcome.unwrap());
            assert_eq!((report.as_str(), now.as_str()), ("", CANONICAL));
        }
    }

    #[test]
    fn a_dry_run_shows_what_would_change() {
        let swapped = CANONICAL
            .replace("  \"images\": {},\n", "")
            .replace("  \"schema\": 1\n", "  \"schema\": 1,\n  \"images\": {}\n");
        let (_, report, _) = run("diff", &swapped, Mode::DryRun);
        assert_eq!(
            report,
            "@@ -2,3 +2,3 @@\n-  \"origins\": {},\n-  \"schema\": 1,\n-  \"images\": {}\n\
             +  \"images\": {},\n+  \"origins\": {},\n+  \"schema\": 1\n"
        );
    }

    #[test]
    fn a_refusal_names_file_line_and_column() {
        let bad = SCRAMBLED.replace("\"images\"", "\n \"schema\": 1, \"images\"");
        let (outcome, _, now) = run("bad", &bad, Mode::Write);
        let error = outcome.unwrap_err().to_string();
        assert!(
            error.ends_with("catalog.json:2:2: duplicate key \"schema\""),
            "{error}"
        );
        assert_eq!(now, bad, "what is refused is not touched");
        let missing = read(Path::new("/nonexistent/c.json"), Rules::Embedded);
        let error = missing.unwrap_err().to_string();
        assert_eq!(error, "cannot read /nonexistent/c.json");
    }
}
