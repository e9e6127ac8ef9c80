//! Small files, and what Docker Compose v2.40.3 made of each (`config --format json`), recorded with
//! `docker-compose config` in a folder that is called DIR here, with SET=val, EMPTY= and _U=u in the environment.
//! Where we differ, the table below tells why.

use std::collections::BTreeMap;
use std::path::PathBuf;

use jackdaw_compose::{LoadOptions, has_errors, load, to_config_json};
use serde_json::Value;

/// What is meant to be another answer, or is not the same yet.
const DIFFERENCES: [(&str, &str); 9] = [
    ("v13", "a path that is no absolute one is taken as it is, and only an engine refuses it"),
    ("rest3", "a policy that no engine knows is taken as it is, and only an engine refuses it"),
    ("vol", "the key of the volume is one letter, which Compose takes for a drive of Windows"),
    ("vol ext name", "as vol"),
    ("vol bad", "as vol"),
    ("name bad", "Compose makes another name of it without a word"),
    ("none", "nothing can be started of it"),
    ("svc num", "the key is taken for a text"),
    ("octal", "a time is taken for a text"),
];

#[derive(Default)]
struct Words {
    files: Vec<PathBuf>,
    profiles: Vec<String>,
    env_files: Vec<PathBuf>,
}

fn words(snippet: &Value) -> Words {
    let args: Vec<&str> =
        snippet["args"].as_array().expect("a list").iter().filter_map(Value::as_str).collect();
    let mut words = Words::default();
    for pair in args.chunks(2) {
        match pair[0] {
            "-f" => words.files.push(pair[1].into()),
            "--profile" => words.profiles.push(pair[1].into()),
            "--env-file" => words.env_files.push(pair[1].into()),
            other => panic!("{other}"),
        }
    }
    words
}

/// The document that `config --format json` prints; none where the file is refused.
fn answer(snippet: &Value) -> Option<Value> {
    let above = tempfile::tempdir().expect("a temporary folder");
    let folder = above.path().join("p");
    for (path, text) in snippet["files"].as_object().expect("a mapping") {
        let path = folder.join(path);
        std::fs::create_dir_all(path.parent().expect("files have a parent")).expect("a folder");
        std::fs::write(path, text.as_str().expect("a text")).expect("a file");
    }
    let words = words(snippet);
    let env = [("SET", "val"), ("EMPTY", ""), ("_U", "u"), ("HOME", "/home/me")];
    let loaded = load(&LoadOptions {
        files: words.files,
        profiles: words.profiles,
        env_files: words.env_files,
        env: env.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
        working_dir: folder.clone(),
        ..LoadOptions::default()
    });
    let project = loaded.project.filter(|_| !has_errors(&loaded.diagnostics))?;
    let above = |text: String| text.replace(&folder.display().to_string(), "DIR");
    let text = above(to_config_json(&project)).replace(&above_of(&folder), "ABOVE");
    Some(serde_json::from_str(&text).expect("a document"))
}

fn above_of(folder: &std::path::Path) -> String {
    folder.parent().expect("a folder has one above").display().to_string()
}

#[test]
fn each_file_comes_to_what_docker_compose_makes_of_it() {
    let recorded = include_str!("../../../../fixtures/docker-compose-2.40.3/snippets.json");
    let recorded: Vec<Value> = serde_json::from_str(recorded).expect("a list");
    assert!(recorded.len() >= 250, "{} are few", recorded.len());
    let known: BTreeMap<&str, &str> = DIFFERENCES.into();
    let mut wrong = Vec::new();
    for snippet in &recorded {
        let name = snippet["name"].as_str().expect("a name");
        let expected = snippet.get("answer").cloned();
        let got = answer(snippet);
        match (got == expected, known.get(name)) {
            (true, None) | (false, Some(_)) => {}
            (true, Some(why)) => wrong.push(format!("{name}: is the same, but is said to differ: {why}")),
            (false, None) => wrong.push(format!("{name}:\n  wanted {expected:?}\n  got    {got:?}")),
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), recorded.len(), wrong.join("\n"));
}
