//! Where the process runtime keeps what it keeps. Names only: nothing is created here but on request.

use std::env;
use std::io;
use std::path::{Path, PathBuf};

/// The folder of all projects: `$JACKDAW_HOME`, else `$XDG_STATE_HOME/jackdaw`, else
/// `$HOME/.local/state/jackdaw` (XDG Base Directory specification).
pub fn home() -> Option<PathBuf> {
    let set = |name: &str| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    set("JACKDAW_HOME")
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

    /// The volumes of the project.
    pub fn volumes(&self) -> PathBuf {
        self.root.join("volumes")
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
