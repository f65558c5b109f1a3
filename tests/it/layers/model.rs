//! Thousands of small images by chance: what merging gives is what applying layer after layer gives.

use std::collections::{BTreeMap, BTreeSet};

use distro_fetch::tree::Layer;

use super::kit::{self, merged};

/// What a path is: a directory with a mode, or a file with a number that its names share.
#[derive(Clone, Debug, PartialEq)]
enum Thing {
    Folder(u32),
    File(usize),
    Link,
}

type State = BTreeMap<String, Thing>;

/// Numbers by chance, the same each time.
struct Chance(u64);

impl Chance {
    fn below(&mut self, most: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).unwrap() % most
    }
}

fn parent(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(above, _)| above)
}

fn join(above: &str, name: &str) -> String {
    if above.is_empty() {
        name.to_owned()
    } else {
        format!("{above}/{name}")
    }
}

fn remove_below(state: &mut State, path: &str) {
    let prefix = if path.is_empty() {
        String::new()
    } else {
        format!("{path}/")
    };
    state.retain(|it, _| !it.starts_with(&prefix));
}

fn remove(state: &mut State, path: &str) {
    state.remove(path);
    remove_below(state, path);
}

/// One layer: its lines, and what is left when it has been applied.
fn layer(chance: &mut Chance, lower: &State, files: &mut usize) -> (Vec<String>, State) {
    let mut lines = Vec::new();
    let mut upper = lower.clone();
    let mut own: Vec<(String, Thing, bool)> = Vec::new();
    grow(chance, "", 3, &mut own);
    let folders: Vec<String> = std::iter::once(String::new())
        .chain(
            own.iter()
                .filter(|(_, thing, _)| matches!(thing, Thing::Folder(_)))
                .map(|(path, ..)| path.clone()),
        )
        .collect();
    let is_leaf = |path: &str| {
        own.iter()
            .any(|(it, thing, _)| it == path && !matches!(thing, Thing::Folder(_)))
    };
    let paths: BTreeSet<String> = own.iter().map(|(path, ..)| path.clone()).collect();
    // Marks: in directories of this layer, and in others.
    for _ in 0..chance.below(4) {
        let above = if chance.below(3) == 0 {
            join("", ["a", "b/a", "c/b"][chance.below(3)])
        } else {
            folders[chance.below(folders.len())].clone()
        };
        let mut ways = vec![above.clone()];
        while !ways.last().unwrap().is_empty() {
            ways.push(parent(ways.last().unwrap()).to_owned());
        }
        let covered = ways.iter().any(|it| is_leaf(it));
        let seen = ways
            .iter()
            .all(|it| it.is_empty() || matches!(lower.get(it), Some(Thing::Folder(_))));
        if chance.below(4) == 0 {
            lines.push(format!("f {}", join(&above, ".wh..wh..opq")));
            if seen && !covered {
                remove_below(&mut upper, &above);
            }
        } else {
            let name = ["a", "b", "c"][chance.below(3)];
            lines.push(format!("f {}", join(&above, &format!(".wh.{name}"))));
            if seen && !covered {
                remove(&mut upper, &join(&above, name));
            }
        }
    }
    for (path, thing, named) in own {
        let thing = match thing {
            Thing::Folder(mode) => {
                let mode = match upper.get(&path) {
                    Some(Thing::Folder(old)) if !named => *old,
                    _ if named => mode,
                    _ => 0o755,
                };
                if named {
                    lines.push(format!("d{mode:o} {path}"));
                }
                if !matches!(upper.get(&path), Some(Thing::Folder(_))) {
                    remove(&mut upper, &path);
                }
                upper.insert(path, Thing::Folder(mode));
                continue;
            }
            Thing::Link => {
                lines.push(format!("l {path}->x"));
                Thing::Link
            }
            Thing::File(_) => {
                // Sometimes another name of what a lower layer has.
                let lower: Vec<_> = lower
                    .iter()
                    .filter(|(it, thing)| matches!(thing, Thing::File(_)) && **it != path)
                    .collect();
                if chance.below(3) == 0
                    && let Some((to, Thing::File(number))) =
                        lower.get(chance.below(lower.len().max(1)))
                    && !paths.contains(*to)
                {
                    lines.push(format!("h {path}->{to}"));
                    Thing::File(*number)
                } else {
                    *files += 1;
                    lines.push(format!("f {path}={files}"));
                    Thing::File(*files)
                }
            }
        };
        remove(&mut upper, &path);
        upper.insert(path, thing);
    }
    (lines, upper)
}

/// A tree that does not contradict itself, parents first. Directories that are not named are only
/// there for what is in them.
fn grow(chance: &mut Chance, above: &str, depth: usize, own: &mut Vec<(String, Thing, bool)>) {
    for name in ["a", "b", "c"] {
        let path = join(above, name);
        match chance.below(7) {
            0 => own.push((path, Thing::File(0), true)),
            1 => own.push((path, Thing::Link, true)),
            2 | 3 if depth > 0 => {
                let at = own.len();
                let mode = [0o700, 0o711, 0o755][chance.below(3)];
                let named = chance.below(2) == 0;
                own.push((path.clone(), Thing::Folder(mode), named));
                grow(chance, &path, depth - 1, own);
                if own.len() == at + 1 && !named {
                    own.pop();
                }
            }
            _ => {}
        }
    }
}

fn words(state: &State) -> Vec<String> {
    let mut first = BTreeMap::new();
    let words = state.iter().map(|(path, thing)| match thing {
        Thing::Folder(0o755) => format!("d {path}"),
        Thing::Folder(mode) => format!("d{mode:o} {path}"),
        Thing::Link => format!("l {path}->x"),
        Thing::File(number) => {
            if let Some(first) = first.get(number) {
                return format!("h {path}->{first}");
            }
            first.insert(*number, path.clone());
            format!("f {path}={number}")
        }
    });
    words.collect()
}

/// An image by chance: its layers, and what they make.
fn image(chance: &mut Chance) -> (Vec<Vec<String>>, State) {
    let mut state = State::new();
    let mut files = 0;
    let mut layers: Vec<Vec<String>> = Vec::new();
    for _ in 0..=chance.below(4) {
        let (lines, next) = layer(chance, &state, &mut files);
        layers.push(lines);
        state = next;
    }
    (layers, state)
}

fn lines(layer: &[String]) -> Vec<&str> {
    layer.iter().map(String::as_str).collect()
}

#[test]
fn merging_is_applying_one_after_the_other() {
    let mut chance = Chance(0x9e37_79b9_7f4a_7c15);
    for round in 0..3000 {
        let (layers, state) = image(&mut chance);
        let lines: Vec<_> = layers.iter().map(|it| lines(it)).collect();
        let lines: Vec<&[&str]> = lines.iter().map(Vec::as_slice).collect();
        assert_eq!(merged(&lines), words(&state), "round {round}: {lines:#?}");
    }
}

#[test]
fn an_overlay_directory_is_its_layer() {
    let mut chance = Chance(0x2545_f491_4f6c_dd1d);
    let mut there_and_back = 0;
    for round in 0..2000 {
        let (layers, state) = image(&mut chance);
        let again: Vec<Layer> = layers
            .iter()
            .map(|it| {
                let layer = kit::layer(&lines(it)).unwrap();
                let Some(unsaid) = layer.unsaid() else {
                    return layer;
                };
                there_and_back += 1;
                Layer::of_overlay(layer.overlay().unwrap(), &unsaid).unwrap()
            })
            .collect();
        let merged = Layer::merge(&again).unwrap();
        assert_eq!(
            kit::words(&merged.tree),
            words(&state),
            "round {round}: {layers:#?}"
        );
    }
    assert!(there_and_back > 2000, "{there_and_back}");
    let layer = kit::layer(&["f a"]).unwrap();
    let tree = layer.overlay().unwrap();
    for path in ["b", "a", "a/b"] {
        assert!(
            Layer::of_overlay(tree.clone(), &[path.into()]).is_err(),
            "{path}"
        );
    }
}
