//! From files and variables to one merged tree: search, `.env`, interpolation, `extends`, `include`, merging.
//! It must not judge the merged project; [`crate::check`] does.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::canonical::{canonicalize, clean, first_line};
use crate::codes::Code;
use crate::diagnostic::Diagnostic;
use crate::dotenv;
use crate::interpolate::Interpolation;
use crate::merge::{merge, merge_service, settle};
use crate::source::{Source, Span, Spanned};
use crate::suggest::nearest;
use crate::yaml::{Entry, Kind, Node, parse};
use crate::{LoadOptions, Loaded};

const FILE_NAMES: [&str; 4] = ["compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml"];
const OVERRIDE_NAMES: [&str; 4] = [
    "compose.override.yml",
    "compose.override.yaml",
    "docker-compose.override.yml",
    "docker-compose.override.yaml",
];

/// Files include each other no deeper than this.
const MAX_INCLUDE_DEPTH: usize = 32;

pub(crate) type Env = BTreeMap<String, String>;

/// Reads a whole project.
pub(crate) fn load(options: &LoadOptions) -> Loaded {
    let mut loader = Loader {
        home: options.env.get("HOME").map(PathBuf::from),
        diagnostics: Vec::new(),
        said: Vec::new(),
    };
    let project = loader.project(options);
    let mut diagnostics = loader.diagnostics;
    crate::diagnostic::sort(&mut diagnostics);
    Loaded { project, diagnostics }
}

/// A file that was read: what the user called it, and where it is.
struct Named {
    path: PathBuf,
    source: Arc<Source>,
}

pub(crate) struct Loader {
    home: Option<PathBuf>,
    pub(crate) diagnostics: Vec<Diagnostic>,
    /// Unset variables that were warned about.
    said: Vec<String>,
}

impl Loader {
    fn project(&mut self, options: &LoadOptions) -> Option<crate::Project> {
        let mut env = options.env.clone();
        let start = options.project_directory.clone().map(|dir| options.working_dir.join(dir));
        let first = options.files.first().map(|file| options.working_dir.join(file));
        let first_dir = first.as_deref().and_then(Path::parent).map(Path::to_path_buf);
        let env_dir = start.clone().or(first_dir).unwrap_or_else(|| options.working_dir.clone());
        self.env_files(options, &env_dir, &mut env);

        let files = self.find_files(options, &env)?;
        let first_dir = files.first().and_then(|file| file.path.parent().map(Path::to_path_buf));
        let project_dir = clean(&start.or(first_dir).unwrap_or_else(|| options.working_dir.clone()));
        let name = self.project_name(options, &files, &project_dir, &env)?;
        env.insert(String::from("COMPOSE_PROJECT_NAME"), name.value.clone());

        let paths: Vec<PathBuf> = files.iter().map(|f| f.path.clone()).collect();
        let mut root = self.model(files, &project_dir, &env, &mut Vec::new())?;
        settle(&mut root);
        let mut profiles = options.profiles.clone();
        let more = env.get("COMPOSE_PROFILES").map(String::as_str).unwrap_or("").split(',');
        profiles.extend(more.map(str::trim).filter(|p| !p.is_empty()).map(str::to_owned));
        crate::complete::complete(self, root, name, project_dir, paths, &profiles, &env)
    }

    fn read(&mut self, path: &Path, shown: &str, said_by: &Span) -> Option<Arc<Source>> {
        let text = if shown == "-" {
            std::io::read_to_string(std::io::stdin())
        } else {
            std::fs::read_to_string(path)
        };
        match text {
            Ok(text) => Some(Source::new(if shown == "-" { "<stdin>" } else { shown }, text)),
            Err(error) => {
                let message = format!("{shown} cannot be read: {error}");
                self.diagnostics
                    .push(Diagnostic::new(Code::FileNotFound, message, said_by).label("named here"));
                None
            }
        }
    }

    /// `.env`, or what `--env-file` and COMPOSE_ENV_FILES name. What the process has set wins.
    fn env_files(&mut self, options: &LoadOptions, dir: &Path, env: &mut Env) {
        let mut named = options.env_files.clone();
        if named.is_empty()
            && let Some(list) = env.get("COMPOSE_ENV_FILES")
        {
            named = list.split(',').filter(|p| !p.is_empty()).map(PathBuf::from).collect();
        }
        let default = dir.join(".env");
        let files: Vec<(PathBuf, String)> = if named.is_empty() {
            if !default.is_file()
                || env.get("COMPOSE_DISABLE_ENV_FILE").is_some_and(|v| v == "1" || v == "true")
            {
                return;
            }
            vec![(default, String::from(".env"))]
        } else {
            named.iter().map(|p| (options.working_dir.join(p), p.display().to_string())).collect()
        };
        let mut from_files = Env::new();
        for (path, shown) in files {
            let Some(source) = self.read(&path, &shown, &Span::default()) else { continue };
            let lookup = |name: &str| env.get(name).or_else(|| from_files.get(name)).cloned();
            let read = dotenv::parse(&source, false, &lookup, &mut self.diagnostics);
            from_files.extend(read.into_iter().map(|(key, value)| (key.value, value.value)));
        }
        for (name, value) in from_files {
            env.entry(name).or_insert(value);
        }
    }

    fn find_files(&mut self, options: &LoadOptions, env: &Env) -> Option<Vec<Named>> {
        let mut shown: Vec<PathBuf> = options.files.clone();
        if shown.is_empty()
            && let Some(list) = env.get("COMPOSE_FILE").filter(|list| !list.is_empty())
        {
            let separator = env.get("COMPOSE_PATH_SEPARATOR").map_or(":", String::as_str);
            shown = list.split(separator).map(PathBuf::from).collect();
        }
        let mut dir = options.working_dir.clone();
        if shown.is_empty() {
            dir = options.project_directory.as_ref().map_or(dir, |d| options.working_dir.join(d));
            loop {
                let here = |names: &[&str]| names.iter().find(|n| dir.join(n).is_file()).map(PathBuf::from);
                if let Some(file) = here(&FILE_NAMES) {
                    shown.push(file);
                    shown.extend(here(&OVERRIDE_NAMES));
                    break;
                }
                if !dir.pop() {
                    let place = options.working_dir.display();
                    let message = format!("no compose file in {place} or in a folder above it");
                    let help = format!("name one with -f, or add one of: {}", FILE_NAMES.join(", "));
                    self.diagnostics
                        .push(Diagnostic::new(Code::FileNotFound, message, &Span::default()).help(help));
                    return None;
                }
            }
        }
        let mut files = Vec::new();
        for file in shown {
            let path = dir.join(&file);
            let source = self.read(&path, &file.display().to_string(), &Span::default())?;
            files.push(Named { path, source });
        }
        Some(files)
    }

    /// Docker Compose's rule: `-p`, COMPOSE_PROJECT_NAME, the last file's `name`, the directory's name.
    fn project_name(
        &mut self,
        options: &LoadOptions,
        files: &[Named],
        dir: &Path,
        env: &Env,
    ) -> Option<Spanned<String>> {
        let given = options.project_name.clone().or_else(|| env.get("COMPOSE_PROJECT_NAME").cloned());
        if let Some(given) = given.filter(|name| !name.is_empty()) {
            return self.checked_name(Spanned::nowhere(given));
        }
        for file in files.iter().rev() {
            // What is wrong with the file is said when it is loaded; here only the name matters.
            let documents = parse(&file.source, &mut Vec::new()).unwrap_or_default();
            let Some(name) = documents.iter().rev().find_map(|root| root.get("name").cloned()) else {
                continue;
            };
            let lookup = |name: &str| env.get(name).cloned();
            let mut filled = name;
            Interpolation { lookup: &lookup, said: Vec::new() }.apply(&mut filled, &mut Vec::new());
            if let Some(text) = filled.as_str().filter(|text| !text.is_empty()) {
                return self.checked_name(Spanned::new(text.to_owned(), filled.span.clone()));
            }
        }
        let base = dir.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let name = normalized(&base);
        if name.is_empty() {
            let message = format!("no project name can be made of the folder's name `{base}`");
            let help = "give one with -p, with COMPOSE_PROJECT_NAME or with `name:` at the top of the file";
            self.diagnostics
                .push(Diagnostic::new(Code::InvalidProjectName, message, &Span::default()).help(help));
            return None;
        }
        Some(Spanned::nowhere(name))
    }

    fn checked_name(&mut self, name: Spanned<String>) -> Option<Spanned<String>> {
        if normalized(&name) == name.value {
            return Some(name);
        }
        let message = format!("`{}` cannot be a project's name", name.value);
        let help = format!("write `{}`: lower-case letters, digits, - and _", normalized(&name));
        self.diagnostics.push(Diagnostic::new(Code::InvalidProjectName, message, &name.span).help(help));
        None
    }

    /// Several files as one tree: each is interpolated, checked and completed by `extends`, then merged over
    /// the ones before it; what it includes comes in at the end.
    fn model(
        &mut self,
        files: Vec<Named>,
        base_dir: &Path,
        env: &Env,
        included: &mut Vec<PathBuf>,
    ) -> Option<Node> {
        let mut merged: Option<Node> = None;
        let mut complete = true;
        for file in files {
            included.push(clean(&file.path));
            let Some(mut root) = self.file(&file, base_dir, env) else {
                complete = false;
                continue;
            };
            self.extend_services(&mut root, &file, env);
            let includes = root.remove("include");
            for include in includes.iter().flat_map(|node| node.items()) {
                self.include(&mut root, include, base_dir, env, included);
            }
            merged = Some(match merged {
                Some(base) => merge(base, root),
                None => root,
            });
        }
        if complete { merged } else { None }
    }

    /// One file: text to canonical tree. Several documents in it count as several files.
    fn file(&mut self, file: &Named, base_dir: &Path, env: &Env) -> Option<Node> {
        let documents = parse(&file.source, &mut self.diagnostics)?;
        let mut merged: Option<Node> = None;
        for document in documents {
            let root = self.document(document, base_dir, env);
            merged = Some(match merged {
                Some(base) => {
                    let message = "a second document starts in this file: it is merged over the first";
                    self.diagnostics.push(
                        Diagnostic::new(Code::MultipleDocuments, message, &first_line(&root.span))
                            .label("second document"),
                    );
                    merge(base, root)
                }
                None => root,
            });
        }
        if merged.is_none() {
            let message = format!("{} is empty", file.source.name());
            let span = Span::new(&file.source, 0, 0);
            self.diagnostics
                .push(Diagnostic::new(Code::NotAMapping, message, &span).help("start with `services:`"));
        }
        merged
    }

    fn document(&mut self, mut root: Node, base_dir: &Path, env: &Env) -> Node {
        let lookup = |name: &str| env.get(name).cloned();
        let mut interpolation = Interpolation { lookup: &lookup, said: std::mem::take(&mut self.said) };
        interpolation.apply(&mut root, &mut self.diagnostics);
        self.said = interpolation.said;
        let mut root = canonicalize(root, &clean(base_dir), self.home.as_deref(), &mut self.diagnostics);
        crate::merge::enforce_unique(&mut root);
        if let Some(Entry { key, .. }) = root.entries().iter().find(|e| e.key.value == "version") {
            let message = "`version` is ignored by every Compose of today: the line may be removed";
            self.diagnostics
                .push(Diagnostic::new(Code::ObsoleteVersion, message, &key.span).label("no effect"));
        }
        root.remove("version");
        root
    }

    fn extend_services(&mut self, root: &mut Node, file: &Named, env: &Env) {
        let Some(services) = root.get("services").cloned() else { return };
        for entry in services.entries() {
            if entry.value.get("extends").is_some() {
                let mut chain = Vec::new();
                let extended = self.extended(&entry.key.value, &services, &file.path, env, &mut chain);
                if let (Some(extended), Some(services)) = (extended, root.get_mut("services")) {
                    services.set(&entry.key.value, extended);
                }
            }
        }
    }

    /// A service with everything that it extends, however far.
    fn extended(
        &mut self,
        name: &str,
        services: &Node,
        path: &Path,
        env: &Env,
        chain: &mut Vec<(PathBuf, String)>,
    ) -> Option<Node> {
        let mut service = services.get(name)?.clone();
        let Some(extends) = service.remove("extends") else { return Some(service) };
        let target = extends
            .get("service")
            .and_then(|n| n.as_str().map(|t| Spanned::new(t.to_owned(), n.span.clone())))?;
        let link = (clean(path), name.to_owned());
        if chain.contains(&link) {
            let message = format!("`{name}` extends itself through other services");
            self.diagnostics
                .push(Diagnostic::new(Code::ExtendsCycle, message, &target.span).label("leads back to it"));
            return None;
        }
        chain.push(link);
        let other;
        let mut other_path = path.to_path_buf();
        let base_services = match extends.get("file").and_then(Node::as_str) {
            None => services,
            Some(file) => {
                other_path = PathBuf::from(file);
                let span = extends.get("file").map(|n| n.span.clone()).unwrap_or_default();
                let shown = if span.text().trim_matches(['"', '\'']).is_empty() {
                    file
                } else {
                    span.text().trim_matches(['"', '\''])
                };
                let source = self.read(&other_path, shown, &span)?;
                let dir = other_path.parent().unwrap_or(Path::new("/")).to_path_buf();
                let named = Named { path: other_path.clone(), source };
                other = self
                    .file(&named, &dir, env)?
                    .get("services")
                    .cloned()
                    .unwrap_or_else(|| Node::new(Kind::Map(Vec::new()), &span));
                &other
            }
        };
        if base_services.get(&target).is_none() {
            let message = format!("`{name}` extends `{}`, which is not there", target.value);
            let near = nearest(&target, base_services.entries().iter().map(|e| e.key.value.as_str()));
            self.diagnostics.push(
                Diagnostic::new(Code::ExtendsMissing, message, &target.span)
                    .label("no such service")
                    .maybe_help(near.map(|near| format!("did you mean `{near}`?"))),
            );
            return None;
        }
        let base = self.extended(&target, base_services, &other_path, env, chain)?;
        Some(merge_service(base, service))
    }

    fn include(&mut self, root: &mut Node, include: &Node, base_dir: &Path, env: &Env, included: &[PathBuf]) {
        let paths: Vec<&Node> = include.get("path").map(|p| p.items().iter().collect()).unwrap_or_default();
        let mut files = Vec::new();
        for node in paths {
            let Some(shown) = node.as_str() else { continue };
            let path = clean(&base_dir.join(shown));
            if included.contains(&path) || included.len() > MAX_INCLUDE_DEPTH {
                let message = format!("{shown} includes itself through other files");
                self.diagnostics.push(Diagnostic::new(Code::IncludeCycle, message, &node.span));
                return;
            }
            let Some(source) = self.read(&path, shown, &node.span) else { return };
            files.push(Named { path, source });
        }
        let Some(first) = files.first() else { return };
        let own_dir = first.path.parent().unwrap_or(Path::new("/")).to_path_buf();
        let dir = match include.get("project_directory").and_then(Node::as_str) {
            Some(dir) => clean(&base_dir.join(dir)),
            None => own_dir,
        };
        let env = self.include_env(include, base_dir, &dir, env);
        let mut chain = included.to_vec();
        if let Some(model) = self.model(files, &dir, &env, &mut chain) {
            self.import(root, model);
        }
    }

    fn include_env(&mut self, include: &Node, base_dir: &Path, dir: &Path, env: &Env) -> Env {
        let named: Vec<(PathBuf, String, Span)> = match include.get("env_file") {
            Some(list) => {
                let named = list.items().iter().filter_map(|n| Some((n.as_str()?, n.span.clone())));
                named.map(|(p, span)| (base_dir.join(p), p.to_owned(), span)).collect()
            }
            None => {
                let default = dir.join(".env");
                let shown = default.display().to_string();
                if default.is_file() { vec![(default, shown, Span::default())] } else { Vec::new() }
            }
        };
        let mut out = env.clone();
        for (path, shown, span) in named {
            let Some(source) = self.read(&path, &shown, &span) else { continue };
            let lookup = |name: &str| env.get(name).cloned();
            let read = dotenv::parse(&source, false, &lookup, &mut self.diagnostics);
            for (key, value) in read {
                out.entry(key.value).or_insert(value.value);
            }
        }
        out
    }

    fn import(&mut self, root: &mut Node, model: Node) {
        for section in ["services", "volumes", "networks", "secrets", "configs", "models"] {
            let Some(imported) = model.get(section) else { continue };
            if root.get(section).is_none() {
                root.set(section, Node::new(Kind::Map(Vec::new()), &imported.span));
            }
            let Some(own) = root.get_mut(section) else { continue };
            for entry in imported.entries() {
                match own.entries().iter().find(|e| e.key.value == entry.key.value) {
                    None => own.set(&entry.key.value, entry.value.clone()),
                    Some(earlier) if earlier.value == entry.value => {}
                    Some(earlier) => {
                        let message = format!(
                            "`{section}.{}` is declared here and in an included file",
                            entry.key.value
                        );
                        self.diagnostics.push(
                            Diagnostic::new(Code::DuplicateKey, message, &earlier.key.span)
                                .label("declared here")
                                .related(&entry.key.span, "and included from here"),
                        );
                    }
                }
            }
        }
    }

    /// The labels of a service's label files, later files over earlier ones.
    pub(crate) fn label_files(&mut self, files: &Node) -> Vec<Entry> {
        let mut out: Vec<Entry> = Vec::new();
        for (path, span) in files.items().iter().filter_map(|file| Some((file.as_str()?, &file.span))) {
            let Some(source) = self.read(Path::new(path), path, span) else { continue };
            let known: Env =
                out.iter().filter_map(|e| Some((e.key.value.clone(), e.value.scalar_text()?))).collect();
            let lookup = |name: &str| known.get(name).cloned();
            for (key, value) in dotenv::parse(&source, false, &lookup, &mut self.diagnostics) {
                out.retain(|e| e.key.value != key.value);
                out.push(Entry { value: Node::str(value.value, &value.span), key });
            }
        }
        out
    }

    /// `env_file`s of a service as variables, later files over earlier ones; and those that are missing.
    pub(crate) fn service_env_files(
        &mut self,
        files: &Node,
        env: &Env,
    ) -> (Vec<Entry>, Vec<Spanned<String>>) {
        let (mut out, mut missing): (Vec<Entry>, Vec<Spanned<String>>) = Default::default();
        for file in files.items() {
            let Some((path, span)) = file.get("path").and_then(|n| Some((n.as_str()?, &n.span))) else {
                continue;
            };
            let required = file.get("required").is_none_or(|n| n.kind != Kind::Bool(false));
            if !Path::new(path).is_file() {
                if required {
                    let written = span.text().trim_matches(['"', '\'']);
                    let shown = if written.is_empty() || written.contains('\n') { path } else { written };
                    let message = format!("the env file {shown} does not exist ({path})");
                    let place = first_line(span);
                    missing.push(Spanned::new(shown.to_owned(), place.clone()));
                    self.diagnostics.push(
                        Diagnostic::new(Code::EnvFileNotFound, message, &place)
                            .label("no such file")
                            .help("create it, or write it in long form with `required: false`"),
                    );
                }
                continue;
            }
            let raw = file.get("format").and_then(Node::as_str) == Some("raw");
            let Some(source) = self.read(Path::new(path), path, span) else { continue };
            let lookup = |name: &str| env.get(name).cloned();
            for (key, value) in dotenv::parse(&source, raw, &lookup, &mut self.diagnostics) {
                out.retain(|e| e.key.value != key.value);
                out.push(Entry { value: Node::str(value.value, &value.span), key });
            }
        }
        (out, missing)
    }
}

fn normalized(name: &str) -> String {
    let good = |c: &char| c.is_ascii_lowercase() || c.is_ascii_digit() || "_-".contains(*c);
    let kept: String = name.to_lowercase().chars().filter(good).collect();
    kept.trim_start_matches(['_', '-']).to_owned()
}
