//! What a container is given: its variables with their places, and the files it can see.
//! It must not know any image.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use jackdaw_compose::{Code, Diagnostic, FileContent, MountKind, Project, Service, Source, Span, Spanned};

/// One variable that is set.
#[derive(Clone, Debug)]
pub struct Variable {
    /// Its name.
    pub name: Spanned<String>,
    /// Its value.
    pub value: Spanned<String>,
}

/// Files as the container sees them.
pub trait Files {
    /// The text of a file, by its path in the container. None if it is not there or cannot be read.
    fn read(&self, path: &str) -> Option<Arc<Source>>;
}

/// The files of the machine we run on: what an entrypoint inside a container sees.
#[derive(Clone, Copy, Debug, Default)]
pub struct OwnFiles;

impl Files for OwnFiles {
    fn read(&self, path: &str) -> Option<Arc<Source>> {
        std::fs::read_to_string(path).ok().map(|text| Source::new(path, text))
    }
}

/// The files that a service's container will see: bind mounts, secrets and configs. What is inside volumes
/// is not known before it runs.
#[derive(Debug)]
pub(crate) struct MountedFiles<'a> {
    pub(crate) project: &'a Project,
    pub(crate) service: &'a Service,
}

impl Files for MountedFiles<'_> {
    fn read(&self, path: &str) -> Option<Arc<Source>> {
        self.mounted_object(path).or_else(|| {
            let host = self.host_path(path)?;
            let shown = host.strip_prefix(&self.project.working_dir).unwrap_or(&host).display().to_string();
            std::fs::read_to_string(&host).ok().map(|text| Source::new(shown, text))
        })
    }
}

impl MountedFiles<'_> {
    /// Files of the host that are mounted and are not there: an engine makes a folder in the place of each.
    pub(crate) fn missing(&self) -> Vec<Diagnostic> {
        let lacking = self.service.mounts.iter().filter_map(|mount| {
            let MountKind::Bind { source, .. } = &mount.kind else { return None };
            let is_file = Path::new(&mount.target).extension().is_some();
            (is_file && !source.exists()).then_some((mount, source))
        });
        let told = lacking.map(|(mount, source)| {
            let shown = source.strip_prefix(&self.project.working_dir).unwrap_or(source).display();
            let name = &self.service.name.value;
            let message =
                format!("`{name}` mounts {shown}, which is not there: it finds no {}", mount.target);
            Diagnostic::new(Code::MissingMount, message, &crate::lint::first_line(&mount.span))
                .label("no such file")
                .help("it comes from beside the compose file, as a rule from the same repository")
        });
        told.collect()
    }

    fn host_path(&self, path: &str) -> Option<PathBuf> {
        let mounts = self.service.mounts.iter().filter(|mount| below(path, &mount.target).is_some());
        let mount = mounts.max_by_key(|mount| mount.target.len())?;
        let MountKind::Bind { source, .. } = &mount.kind else { return None };
        let rest = below(path, &mount.target)?;
        Some(if rest.is_empty() { source.clone() } else { source.join(rest) })
    }

    fn mounted_object(&self, path: &str) -> Option<Arc<Source>> {
        let secrets = self.service.secrets.iter().map(|mount| (mount, &self.project.secrets));
        let configs = self.service.configs.iter().map(|mount| (mount, &self.project.configs));
        let (mount, objects) = secrets.chain(configs).find(|(mount, _)| mount.target == path)?;
        let object = objects.iter().find(|object| object.key.value == mount.source.value)?;
        let text = match &object.content {
            FileContent::File(file) => std::fs::read_to_string(file).ok()?,
            FileContent::Environment(_, value) => value.clone()?,
            FileContent::Inline(text) => text.clone(),
            FileContent::External => return None,
        };
        Some(Source::new(path, text))
    }
}

/// The rest of a container path below a folder; empty for the folder itself.
pub(crate) fn below<'a>(path: &'a str, dir: &str) -> Option<&'a str> {
    let path = Path::new(path).strip_prefix(dir).ok()?;
    path.to_str()
}

/// Everything that an image's entrypoint decides by.
pub(crate) struct Input<'a> {
    variables: Vec<Variable>,
    pub(crate) files: &'a dyn Files,
    /// Major and minor version of the image's tag, where it has one.
    pub(crate) version: Option<(u32, u32)>,
}

impl<'a> Input<'a> {
    pub(crate) fn new(variables: Vec<Variable>, files: &'a dyn Files) -> Self {
        Self { variables, files, version: None }
    }

    pub(crate) fn of_version(self, version: Option<(u32, u32)>) -> Self {
        Self { version, ..self }
    }

    /// A variable that is set and not empty: the images' scripts treat an empty one as absent.
    pub(crate) fn get(&self, name: &str) -> Option<&Variable> {
        self.variables.iter().find(|v| v.name.value == name && !v.value.value.is_empty())
    }

    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.get(name).map(|v| v.value.value.as_str())
    }

    pub(crate) fn variables(&self) -> &[Variable] {
        &self.variables
    }

    /// Sets a variable, keeping its place if it was there.
    pub(crate) fn set(&mut self, variable: Variable) {
        match self.variables.iter_mut().find(|v| v.name.value == variable.name.value) {
            Some(earlier) => *earlier = variable,
            None => self.variables.push(variable),
        }
    }
}

/// The variables of a service that are set.
pub(crate) fn variables_of(service: &Service) -> Vec<Variable> {
    let set = service.environment.iter().filter_map(|var| {
        let value = var.value.clone()?;
        Some(Variable { name: var.name.clone(), value })
    });
    set.collect()
}

/// The variables of a process, which were written nowhere.
pub(crate) fn variables_from(env: impl IntoIterator<Item = (String, String)>) -> Vec<Variable> {
    let named = |(name, value)| Variable {
        name: Spanned::new(name, Span::default()),
        value: Spanned::new(value, Span::default()),
    };
    env.into_iter().map(named).collect()
}
