//! Every name of a tree, in the order of their paths' bytes.

use std::collections::HashMap;

use super::node::{Name, Node, NodeId, Tree};

/// One name.
#[derive(Clone, Debug)]
pub struct Visit<'a> {
    /// Components joined by `/`; empty for the root.
    pub path: Vec<u8>,
    /// What has it.
    pub node: Node<'a>,
    /// If the thing has come before: the path it had then.
    pub first: Option<Vec<u8>>,
}

impl Tree {
    /// Every name, the root first, in the order of the paths' bytes: a directory before what is in
    /// it, and the first name of a thing before its others.
    pub fn walk(&self) -> Walk<'_> {
        Walk {
            tree: self,
            path: Vec::new(),
            levels: Vec::new(),
            firsts: HashMap::new(),
            begun: false,
        }
    }
}

/// See [`Tree::walk`].
#[derive(Debug)]
pub struct Walk<'a> {
    tree: &'a Tree,
    /// The directory we are in, with a slash at its end unless it is the root.
    path: Vec<u8>,
    levels: Vec<Level<'a>>,
    firsts: HashMap<NodeId, Vec<u8>>,
    begun: bool,
}

/// A directory on the way. In the order of whole paths, `a` comes before `a-b`, and that before
/// `a/b`: what is in a directory does not follow right behind its name.
#[derive(Debug)]
struct Level<'a> {
    /// Names that are still to come.
    names: &'a [Name],
    /// Directories still to be entered, the next one last.
    folders: Vec<Name>,
    /// Bytes of the path that are above this directory's.
    above: usize,
}

impl Walk<'_> {
    fn enter(&mut self, id: NodeId, above: usize) {
        let tree = self.tree;
        let names = tree.names_in(id.0);
        let mut folders: Vec<Name> = names
            .iter()
            .copied()
            .filter(|name| !tree.names_in(name.node).is_empty())
            .collect();
        folders.sort_unstable_by(|a, b| {
            let (a, b) = (tree.name_of(a).iter(), tree.name_of(b).iter());
            b.chain([&b'/']).cmp(a.chain([&b'/']))
        });
        self.levels.push(Level {
            names,
            folders,
            above,
        });
    }
}

impl<'a> Iterator for Walk<'a> {
    type Item = Visit<'a>;

    fn next(&mut self) -> Option<Visit<'a>> {
        let tree = self.tree;
        if !self.begun {
            self.begun = true;
            self.enter(NodeId::ROOT, 0);
            return Some(Visit {
                path: Vec::new(),
                node: tree.root(),
                first: None,
            });
        }
        loop {
            let level = self.levels.last_mut()?;
            let before = |name: &Name, folder: &Name| {
                let folder = tree.name_of(folder).iter().chain([&b'/']);
                tree.name_of(name).iter().lt(folder)
            };
            match (level.names.split_first(), level.folders.last()) {
                (Some((name, rest)), folder) if folder.is_none_or(|it| before(name, it)) => {
                    level.names = rest;
                    let node = tree.node(NodeId(name.node));
                    let path = [&self.path, tree.name_of(name)].concat();
                    let mut first = None;
                    if node.names() > 1 {
                        first = self.firsts.get(&node.id()).cloned();
                        if first.is_none() {
                            self.firsts.insert(node.id(), path.clone());
                        }
                    }
                    return Some(Visit { path, node, first });
                }
                (_, Some(_)) => {
                    let Some(folder) = level.folders.pop() else {
                        continue;
                    };
                    let above = self.path.len();
                    self.path.extend_from_slice(tree.name_of(&folder));
                    self.path.push(b'/');
                    self.enter(NodeId(folder.node), above);
                }
                (_, None) => {
                    self.path.truncate(level.above);
                    self.levels.pop();
                }
            }
        }
    }
}
