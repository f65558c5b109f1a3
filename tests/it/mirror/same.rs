//! The same pins make the same mirror, wherever, whenever and by whomever it is made.

use std::process::Command;

use super::kit::{World, tree};
use crate::harness::said;

#[test]
fn a_mirror_is_a_function_of_its_pins() {
    let world = World::new();
    let mut trees = Vec::new();
    for (name, umask) in [("one", "077"), ("two", "000"), ("three", "027")] {
        let folder = world.lab.path(name);
        world.forget_cache();
        let run = world.command_into(&folder, &["--all", "--blobs", "--url", "https://m/"]);
        let mut command = Command::new("sh");
        command.args(["-c", "umask $1; shift; exec \"$@\"", "sh", umask]);
        command.arg(run.get_program()).args(run.get_args());
        command.env("TZ", "Pacific/Kiritimati");
        let said = said(&mut command);
        assert_eq!(said.code, Some(0), "{said:?}");
        trees.push(tree(&folder));
    }
    for other in &trees[1..] {
        let (one, names): (Vec<_>, Vec<_>) = (trees[0].keys().collect(), other.keys().collect());
        assert_eq!(one, names);
        for (name, file) in &trees[0] {
            assert!(other[name] == *file, "{name}");
        }
    }
    // One step at a time, and in another order, makes the same one.
    let folder = world.lab.path("four");
    for image in [
        "ubuntu-26.04-raw",
        "alpine-3.21",
        "ubuntu-26.04-cloud",
        "alpine-3.20-minirootfs",
    ] {
        let arguments = [image, "--blobs", "--url", "https://m/"];
        let said = said(&mut world.command_into(&folder, &arguments));
        assert_eq!(said.code, Some(0), "{said:?}");
    }
    assert!(tree(&folder) == trees[0]);
}
