//! A project of text files in a folder of its own, and what loading it says.
//! It must not hold expectations.

use std::collections::BTreeMap;
use std::path::Path;

use jackdaw_compose::{LoadOptions, Loaded, load};

/// A folder with files; the compose files are those that are named `*.yml` in `main`.
pub struct Folder {
    pub dir: tempfile::TempDir,
    pub options: LoadOptions,
}

impl Folder {
    /// Files by relative path; options look for `compose.yml` there, in a project named `p`.
    pub fn new(files: &[(&str, &str)]) -> Self {
        let dir = tempfile::tempdir().expect("a temporary folder");
        for (path, text) in files {
            let path = dir.path().join(path);
            std::fs::create_dir_all(path.parent().expect("files have a parent")).expect("a folder");
            std::fs::write(path, text).expect("a file");
        }
        let options = LoadOptions {
            working_dir: dir.path().to_path_buf(),
            project_name: Some(String::from("p")),
            env: BTreeMap::from([(String::from("HOME"), String::from("/home/me"))]),
            ..LoadOptions::default()
        };
        Self { dir, options }
    }

    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.options.env.insert(name.to_owned(), value.to_owned());
        self
    }

    pub fn files(mut self, files: &[&str]) -> Self {
        self.options.files = files.iter().map(|file| Path::new(file).to_path_buf()).collect();
        self
    }

    pub fn load(&self) -> Loaded {
        load(&self.options)
    }

    /// Text without the folder's own path.
    pub fn portable(&self, text: &str) -> String {
        text.replace(&self.dir.path().display().to_string(), "DIR")
    }

    /// The diagnostics, one a line.
    pub fn said(&self) -> String {
        let lines: Vec<String> = self.load().diagnostics.iter().map(ToString::to_string).collect();
        self.portable(&lines.join("\n"))
    }

    /// The `config` rendering, after the diagnostics.
    pub fn config(&self) -> String {
        let loaded = self.load();
        let said: String = loaded.diagnostics.iter().map(|d| format!("# {d}\n")).collect();
        let config = loaded.project.as_ref().map(jackdaw_compose::to_config_yaml).unwrap_or_default();
        self.portable(&(said + &config))
    }
}
