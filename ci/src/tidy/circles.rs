//! The rooms of a crate know each other in one direction: whoever can be reached from a room does not lead back to it.
//!
//! A room is a folder or a file right below `src`; an arrow is a path `crate::ROOM` outside of tests.

use super::{Finding, is_test_file};
use std::collections::{BTreeMap, BTreeSet};

/// The crates whose rooms are held to it.
const CRATES: &[&str] = &[
    "broker/src/",
    "broker/metadata/src/",
    "broker/replication/src/",
    "settings/src/",
    "harness/src/",
    "harness/check/src/",
];

/// Which rooms each room names, and where it does so first.
#[derive(Default)]
pub struct Arrows(BTreeMap<&'static str, BTreeMap<String, BTreeMap<String, String>>>);

impl Arrows {
    /// Takes the arrows of a file.
    pub fn read(&mut self, name: &str, text: &str) {
        let Some((folder, inside)) = CRATES.iter().find_map(|c| Some((*c, name.strip_prefix(c)?))) else {
            return;
        };
        let room = inside.split('/').next().unwrap_or_default().trim_end_matches(".rs");
        if room == "lib" || is_test_file(name) {
            return;
        }
        let known = self.0.entry(folder).or_default().entry(room.to_owned()).or_default();
        for (index, line) in text.lines().enumerate() {
            if line.trim_start().starts_with("#[cfg(test)]") {
                break; // The tests stand at the end of a file.
            }
            let code = line.split("//").next().unwrap_or_default();
            for other in code.split("crate::").skip(1) {
                let end = other.find(|c: char| c != '_' && !c.is_ascii_alphanumeric()).unwrap_or(other.len());
                let other = &other[..end];
                if !other.is_empty() && other != room {
                    known.entry(other.to_owned()).or_insert_with(|| format!("{name}:{}", index + 1));
                }
            }
        }
    }

    /// The arrows that close a circle.
    pub fn check(&self, findings: &mut Vec<Finding>) {
        for rooms in self.0.values() {
            for (room, others) in rooms {
                for (other, place) in others {
                    if reached(rooms, other).contains(room.as_str()) {
                        findings.push(format!("{place}: `{room}` names `{other}`, which leads back to it"));
                    }
                }
            }
        }
    }
}

fn reached<'a>(rooms: &'a BTreeMap<String, BTreeMap<String, String>>, from: &'a str) -> BTreeSet<&'a str> {
    let mut reached = BTreeSet::new();
    let mut ahead = vec![from];
    while let Some(room) = ahead.pop() {
        if reached.insert(room) {
            ahead.extend(rooms.get(room).into_iter().flatten().map(|(other, _)| other.as_str()));
        }
    }
    reached
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_circle_of_rooms_is_found_with_its_places() {
        let mut arrows = Arrows::default();
        for (name, text) in [
            ("broker/src/apis/mod.rs", "//! Doc of crate::net.\nuse crate::replicas::{A, B};\n"),
            ("broker/src/replicas/fetch.rs", "use crate::clock;\n#[cfg(test)]\nuse crate::apis::T;\n"),
            ("broker/src/replicas/tests/one.rs", "use crate::apis::T;\n"),
        ] {
            arrows.read(name, text);
        }
        let mut findings = Vec::new();
        arrows.check(&mut findings);
        assert!(findings.is_empty(), "{findings:?}");
        arrows.read("broker/src/clock.rs", "\nfn f() -> crate::apis::T {}\n");
        arrows.check(&mut findings);
        assert_eq!(
            findings,
            [
                "broker/src/apis/mod.rs:2: `apis` names `replicas`, which leads back to it",
                "broker/src/clock.rs:2: `clock` names `apis`, which leads back to it",
                "broker/src/replicas/fetch.rs:1: `replicas` names `clock`, which leads back to it",
            ]
        );
    }
}
