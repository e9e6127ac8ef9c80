//! What the workspace depends on: nothing unused, no duplicate without a reason, known licences.
//!
//! Reads `cargo metadata` of the locked versions; asks no registry.

use crate::tidy::root;
use anyhow::Context as _;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Command;

/// Licences that may be linked into an Apache-2.0 binary.
const LICENCES: &[&str] = &[
    "0BSD",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "ISC",
    "MIT",
    "MIT-0",
    "Unicode-3.0",
    "Unlicense",
    "WTFPL",
    "Zlib",
    "bzip2-1.0.6",
];

/// Crates of which two versions may be built, each with its reason.
const DUPLICATES: &[(&str, &str)] = &[
    ("darling", "brush's builders and its caches derive with 0.24 and 0.20; build time only"),
    ("darling_core", "of darling"),
    ("darling_macro", "of darling"),
    ("fancy-regex", "brush matches with 0.17, sed with 0.18"),
    ("hashbrown", "brush's caches keep 0.16"),
    ("nom", "brush reads terminfo with 7, tr its sets with 8"),
    ("phf", "terminfo's tables are of 0.11, sed's of 0.14"),
    ("phf_codegen", "of phf"),
    ("phf_generator", "of phf"),
    ("phf_shared", "of phf"),
    ("rand", "terminfo's tables are generated with 0.8; build time only"),
    ("rand_core", "of rand"),
    ("syn", "miette's and num_enum's derives are still on syn 2; build time only"),
    ("uucore", "brush keeps coreutils at 0.8, sed's own releases are further"),
    ("uucore_procs", "of uucore"),
    ("unicode-width", "miette measures with 0.1, its wrapper textwrap with 0.2"),
];

/// The `dependencies` step.
pub fn run() -> crate::Outcome {
    let metadata = metadata()?;
    let mut findings = unused(&metadata)?;
    findings.extend(unknown_licences(&metadata));
    findings.extend(duplicates(&metadata));
    findings.iter().for_each(|finding| eprintln!("   {finding}"));
    anyhow::ensure!(findings.is_empty(), "{} finding(s)", findings.len());
    Ok(String::new())
}

fn metadata() -> anyhow::Result<Value> {
    let output = Command::new(env!("CARGO"))
        .args([
            "metadata",
            "--format-version",
            "1",
            "--locked",
            "--filter-platform",
            "x86_64-unknown-linux-gnu",
        ])
        .current_dir(root())
        .output()?;
    anyhow::ensure!(output.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
    Ok(serde_json::from_slice(&output.stdout)?)
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}

fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value[key].as_array().map(Vec::as_slice).unwrap_or_default()
}

/// Direct dependencies that no source file of their crate names, and entries of the version table
/// that no crate takes.
fn unused(metadata: &Value) -> anyhow::Result<Vec<String>> {
    let members: BTreeSet<&str> =
        list(metadata, "workspace_members").iter().filter_map(Value::as_str).collect();
    let mut findings = Vec::new();
    let mut taken = BTreeSet::new();
    for package in list(metadata, "packages").iter().filter(|p| members.contains(text(p, "id"))) {
        let manifest = Path::new(text(package, "manifest_path"));
        let folder = manifest.parent().context("a manifest lies in a folder")?;
        let mut code = String::new();
        for sources in ["src", "tests", "benches", "examples"] {
            read_code(&folder.join(sources), &mut code)?;
        }
        for dependency in list(package, "dependencies") {
            let name = text(dependency, "name");
            taken.insert(name);
            if !code.contains(&name.replace('-', "_")) {
                findings.push(format!("{}: `{name}` is not used", text(package, "name")));
            }
        }
    }
    let table = fs::read_to_string(root().join("Cargo.toml"))?;
    let names = table.lines().skip_while(|line| *line != "[workspace.dependencies]").skip(1);
    for line in names.take_while(|line| !line.starts_with('[')) {
        if let Some((name, _)) = line.split_once(" = ")
            && !taken.contains(name)
        {
            findings.push(format!("Cargo.toml: no crate takes `{name}` from the version table"));
        }
    }
    Ok(findings)
}

fn read_code(folder: &Path, code: &mut String) -> anyhow::Result<()> {
    if !folder.is_dir() {
        return Ok(());
    }
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            read_code(&path, code)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            code.push_str(&fs::read_to_string(&path)?);
        }
    }
    Ok(())
}

/// Packages none of whose offered licences is in [`LICENCES`].
fn unknown_licences(metadata: &Value) -> Vec<String> {
    list(metadata, "packages")
        .iter()
        .filter(|package| !licence_is_known(text(package, "license")))
        .map(|package| {
            format!(
                "{} {}: licence `{}`",
                text(package, "name"),
                text(package, "version"),
                text(package, "license")
            )
        })
        .collect()
}

/// `A OR B` (or the older `A/B`) offers a choice; of `A AND B` each must be known.
fn licence_is_known(expression: &str) -> bool {
    let plain = expression.replace(['(', ')'], "");
    let conjunction = |choice: &str| choice.split(" AND ").all(|one| LICENCES.contains(&one.trim()));
    plain.split(" AND ").all(|part| part.split(" OR ").flat_map(|c| c.split('/')).any(conjunction))
}

/// Crates that the build holds in two versions, but for those of [`DUPLICATES`].
fn duplicates(metadata: &Value) -> Vec<String> {
    let linked: BTreeSet<&str> =
        list(&metadata["resolve"], "nodes").iter().map(|node| text(node, "id")).collect();
    let mut versions: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for package in list(metadata, "packages").iter().filter(|p| linked.contains(text(p, "id"))) {
        versions.entry(text(package, "name")).or_default().insert(text(package, "version"));
    }
    let doubled = |name: &str| versions.get(name).is_some_and(|found| found.len() > 1);
    let stale = DUPLICATES
        .iter()
        .filter(|(name, _)| !doubled(name))
        .map(|(name, _)| format!("`{name}` is no longer doubled: take it off the list"));
    versions
        .iter()
        .filter(|(name, found)| found.len() > 1 && !DUPLICATES.iter().any(|(known, _)| known == *name))
        .map(|(name, found)| {
            let found = found.iter().copied().collect::<Vec<_>>().join(", ");
            format!("`{name}` is built in versions {found}")
        })
        .chain(stale)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn licences_are_read_as_spdx_choices() {
        for (expression, known) in [
            ("MIT", true),
            ("MIT/Apache-2.0", true),
            ("GPL-3.0 OR MIT", true),
            ("GPL-3.0", false),
            ("(MIT OR Apache-2.0) AND Unicode-3.0", true),
            ("MIT AND GPL-3.0", false),
            ("", false),
        ] {
            assert_eq!(licence_is_known(expression), known, "{expression}");
        }
    }
}
