//! Templates of names: `{arch}`, `{uname}`, `{point}`, `{snapshot}`.

use distro_fetch::Arch;

/// Fills in what is known of the architecture.
pub(super) fn for_arch(template: &str, arch: Arch) -> String {
    template
        .replace("{arch}", arch.as_str())
        .replace("{uname}", arch.uname())
}

/// Fills in a snapshot, and the point release that it begins with.
pub(super) fn for_snapshot(template: &str, snapshot: &str) -> String {
    template
        .replace("{snapshot}", snapshot)
        .replace("{point}", point(snapshot))
}

/// The point release in a snapshot: `10.2` of `10.2-20260526.0`.
pub(super) fn point(snapshot: &str) -> &str {
    snapshot.split('-').next().unwrap_or(snapshot)
}

/// What stands for `{name}` in `text`, where `text` is the template filled in; each occurrence
/// has to be the same.
pub(super) fn capture(template: &str, name: &str, text: &str) -> Option<String> {
    let hole = format!("{{{name}}}");
    let (before, after) = template.split_once(&hole)?;
    let rest = text.strip_prefix(before)?;
    // The first hole is as long as it has to be for the whole to fit.
    let holes = 1 + after.matches(&hole).count();
    let fixed = template.len() - holes * hole.len();
    let spare = text.len().checked_sub(fixed)?;
    if spare == 0 || spare % holes != 0 {
        return None;
    }
    let value = rest.get(..spare / holes)?;
    (template.replace(&hole, value) == text && !value.contains('/')).then(|| value.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_is_read_backwards() {
        for (template, text, expect) in [
            ("kali-{snapshot}", "kali-2026.2", Some("2026.2")),
            ("{snapshot}", "20260712-2537", Some("20260712-2537")),
            ("a-{snapshot}.img", "a-1.2.img", Some("1.2")),
            ("a-{snapshot}.img", "a-.img", None),
            ("a-{snapshot}.img", "b-1.2.img", None),
            ("a-{snapshot}.img", "a-1.2.img.asc", None),
            ("{snapshot}/a-{snapshot}", "7.1/a-7.1", Some("7.1")),
            ("{snapshot}/a-{snapshot}", "7.1/a-7.2", None),
            ("none", "none", None),
        ] {
            assert_eq!(
                capture(template, "snapshot", text).as_deref(),
                expect,
                "{template} {text}"
            );
        }
    }
}
