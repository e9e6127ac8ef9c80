//! Where the process runtime keeps what it keeps. Names only: nothing is created here but on request.

use std::env;
use std::io;
use std::path::{Path, PathBuf};

/// The folder of all projects: `$JACKDAW_HOME`, else `$XDG_STATE_HOME/jackdaw`, else
/// `$HOME/.local/state/jackdaw` (XDG Base Directory specification).
pub fn home() -> Option<PathBuf> {
    let set = |name: &str| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    // The supervisor and the nodes have working folders of their own.
    set("JACKDAW_HOME")
        .map(|path| std::path::absolute(&path).unwrap_or(path))
        .or_else(|| set("XDG_STATE_HOME").filter(|path| path.is_absolute()).map(|path| path.join("jackdaw")))
        .or_else(|| set("HOME").map(|home| home.join(".local/state/jackdaw")))
}

/// The folder of one project.
#[derive(Debug, Clone)]
pub struct ProjectDir {
    root: PathBuf,
}

impl ProjectDir {
    /// The project's folder under `home`.
    pub fn new(home: &Path, project: &str) -> Self {
        ProjectDir { root: home.join(project) }
    }

    /// A project's folder by its own path.
    pub fn at(root: PathBuf) -> Self {
        ProjectDir { root }
    }

    /// The project's name.
    pub fn name(&self) -> String {
        self.root.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
    }

    /// The other projects that keep anything here, by name.
    pub fn others(&self) -> Vec<ProjectDir> {
        let entries = self.root.parent().and_then(|home| std::fs::read_dir(home).ok());
        let mut roots: Vec<PathBuf> =
            entries.into_iter().flatten().flatten().map(|entry| entry.path()).collect();
        // No project's name begins with a dot.
        let is_other = |root: &PathBuf| {
            *root != self.root
                && root.file_name().is_some_and(|name| !name.to_string_lossy().starts_with('.'))
        };
        roots.retain(is_other);
        roots.sort();
        roots.into_iter().map(ProjectDir::at).collect()
    }

    /// The folder itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Held under an exclusive lock for as long as the supervisor lives.
    pub fn lock(&self) -> PathBuf {
        self.root.join("supervisor.lock")
    }

    /// The supervisor's own narration.
    pub fn supervisor_log(&self) -> PathBuf {
        self.root.join("supervisor.log")
    }

    /// What the supervisor holds, so that its successor can go on.
    pub fn state(&self) -> PathBuf {
        self.root.join("state.json")
    }

    /// Loopback addresses by service.
    pub fn addresses(&self) -> PathBuf {
        self.root.join("addresses.json")
    }

    /// The control socket. Use [`short_socket`] to bind or connect.
    pub fn socket(&self) -> PathBuf {
        self.root.join("control.sock")
    }

    /// The log of one instance.
    pub fn log(&self, instance: &str) -> PathBuf {
        self.root.join("logs").join(format!("{instance}.log"))
    }

    /// What one instance gets: server.properties, hosts, and the volumes without a name.
    pub fn instance(&self, instance: &str) -> PathBuf {
        self.root.join("instances").join(instance)
    }

    /// The volumes that are named after the project.
    pub fn volumes(&self) -> PathBuf {
        self.root.join("volumes")
    }

    /// The volumes that the file gives another name: they are the same for every project.
    pub fn shared_volumes(&self) -> PathBuf {
        self.root.with_file_name(".volumes")
    }

    /// Which project made each of them.
    pub fn makers(&self) -> PathBuf {
        self.shared_volumes().join(".made-by")
    }
}

/// A path to `path` that fits a socket address (108 bytes) however deep the folder lies, through a
/// descriptor of the folder; the descriptor must live as long as the path is used.
pub fn short_socket(path: &Path) -> io::Result<(rustix::fd::OwnedFd, PathBuf)> {
    use rustix::fd::AsRawFd as _;
    use rustix::fs::{Mode, OFlags};
    let folder = path.parent().unwrap_or(Path::new("."));
    let name = path.file_name().unwrap_or_default();
    let fd = rustix::fs::open(folder, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    let short = PathBuf::from(format!("/proc/self/fd/{}", fd.as_raw_fd())).join(name);
    Ok((fd, short))
}
