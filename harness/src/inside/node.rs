//! A node of this container: its settings made of the environment and written down, its data folders looked at, and
//! this process become the broker. What the settings mean is the conventions' business.

use super::words::{say, tell};
use crate::exit::{Exit, Result, Stop};
use jackdaw_beside::inside;
use jackdaw_compose::{Source, has_errors};
use jackdaw_conventions::{Files, Listener, NodePlan, OwnFiles, Provider, entrypoint};
use jackdaw_runtime::docker::container::READDRESSED;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

/// Where the settings go if their own place cannot be written (another user, a read-only container).
const SPARE_FOLDER: &str = "/tmp/jackdaw";

/// What the environment says; `more` are variables that win over it.
pub fn plan(provider: Provider, more: &[(String, String)]) -> NodePlan {
    let own = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .filter(|(name, _)| more.iter().all(|(other, _)| other != name));
    let mut plan = entrypoint(provider, own.chain(more.iter().cloned()), &Inside);
    readdressed().iter().for_each(|moved| plan.advertise(moved));
    plan
}

/// The files of the container, also where a process stands for it.
struct Inside;

impl Files for Inside {
    fn read(&self, path: &str) -> Option<Arc<Source>> {
        OwnFiles.read(&inside(path).to_string_lossy())
    }
}

/// Where the launcher published what the file left open.
fn readdressed() -> Vec<Listener> {
    let moved = std::env::var(READDRESSED).unwrap_or_default();
    moved.split(',').filter_map(Listener::parse).collect()
}

/// Says what there is to say, and writes the settings.
///
/// # Errors
/// Where the node cannot start with them, or there is no place for them.
pub fn configure(plan: &NodePlan) -> Result<PathBuf> {
    readable(plan.provider)?;
    tell(&plan.diagnostics);
    if has_errors(&plan.diagnostics) {
        return Err(Stop { exit: Exit::Failed, message: String::new() });
    }
    let place = &inside(plan.provider.layout().made_config);
    let text = plan.properties.to_text();
    match fs::write(place, &text) {
        Ok(()) => Ok(place.to_owned()),
        Err(first) => {
            let spare = spare(place);
            let written = fs::create_dir_all(inside(SPARE_FOLDER)).and_then(|()| fs::write(&spare, &text));
            let both = |error: io::Error| {
                Stop::failed(format!(
                    "the settings cannot be written to {} ({first}) nor to {} ({error}): with a read-only \
                     container, mount a tmpfs on /tmp",
                    place.display(),
                    spare.display(),
                ))
            };
            written.map_err(both)?;
            say(&format!(
                "{} cannot be written ({first}): the settings are in {}",
                place.display(),
                spare.display()
            ));
            Ok(spare)
        }
    }
}

/// A mounted configuration that cannot be read must not pass for one that is absent.
fn readable(provider: Provider) -> Result<()> {
    let mounted = inside(provider.layout().config_dir).join("server.properties");
    match fs::read(&mounted) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::IsADirectory => Err(Stop::failed(format!(
            "{} is a folder: the engine made it, as the file that is mounted there is missing on the host",
            mounted.display()
        ))),
        Err(error) => Err(Stop::failed(format!(
            "{} cannot be read: {error}; the node runs as {}:{}, and `chmod a+r` on the host's file lets it",
            mounted.display(),
            rustix::process::geteuid().as_raw(),
            rustix::process::getegid().as_raw(),
        ))),
    }
}

fn spare(place: &Path) -> PathBuf {
    inside(SPARE_FOLDER).join(place.file_name().unwrap_or_default())
}

/// Where [`configure`] left the settings, if it did.
pub fn configured(provider: Provider) -> Option<PathBuf> {
    let place = inside(provider.layout().made_config);
    [spare(&place), place].into_iter().find(|place| place.is_file())
}

/// Makes the data folders, or tells why the node cannot write them.
///
/// # Errors
/// With what to do about it.
pub fn ensure(plan: &NodePlan) -> Result<()> {
    for folder in plan.data_dirs.iter().map(|dir| inside(&dir.path)) {
        let folder = folder.as_path();
        let made = fs::create_dir_all(folder);
        if made.is_err() || !writable(folder) {
            let why = obstacle(folder).or_else(|| made.err().map(|error| error.to_string()));
            let why = why.unwrap_or_else(|| "no folder above it is there".into());
            return Err(Stop::failed(format!("data folder {} cannot be written: {why}", folder.display())));
        }
    }
    Ok(())
}

/// What keeps this process from writing there, and who could mend it; the nearest folder that exists decides.
fn obstacle(folder: &Path) -> Option<String> {
    let existing = folder.ancestors().find(|path| path.exists())?;
    let there = fs::metadata(existing).ok()?;
    let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    let existing = existing.display();
    if !there.is_dir() {
        return Some(format!("{existing} is not a folder"));
    }
    if uid == 0 || there.uid() == uid {
        return Some(format!(
            "{existing} is mounted read-only, or its mode {:o} forbids it",
            there.mode() & 0o7777
        ));
    }
    Some(format!(
        "{existing} belongs to {}:{} with mode {:o}, and the node runs as {uid}:{gid}; on the host, \
         `sudo chown -R {uid}:{gid}` the folder that is mounted there, or name a volume in place of a folder",
        there.uid(),
        there.gid(),
        there.mode() & 0o7777,
    ))
}

fn writable(folder: &Path) -> bool {
    let wanted = rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK;
    rustix::fs::accessat(rustix::fs::CWD, folder, wanted, rustix::fs::AtFlags::EACCESS).is_ok()
}

/// Becomes the broker; returns only where that fails.
///
/// # Errors
/// As the system says.
pub fn become_broker(plan: &NodePlan, properties: &Path, flags: &[String]) -> Result {
    let mut command = broker(plan, properties, flags)?;
    Err(Stop::failed(format!("the node cannot be started: {}", command.exec())))
}

fn broker(plan: &NodePlan, properties: &Path, flags: &[String]) -> Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg0("jackdaw").arg("broker");
    if let Some(id) = &plan.cluster_id {
        command.args(["--cluster-id", &id.value]);
    }
    for (from, to) in readdressed().iter().filter_map(|moved| plan.beside(moved)) {
        command.args(["--forward", &format!("{from}={to}")]);
    }
    if let Some(hosts) = std::env::var_os(jackdaw_beside::HOSTS) {
        command.arg("--hosts").arg(hosts);
    }
    command.arg(properties);
    let mut flags = flags.iter();
    while let Some(flag) = flags.next() {
        let setting = match flag.as_str() {
            "--override" => flags.next().cloned(),
            "-daemon" => return Err(Stop::bad_input("-daemon: the node is this container's first process")),
            other => other.strip_prefix("--override=").map(str::to_owned),
        };
        let Some(setting) = setting else {
            return Err(Stop::bad_input(format!("the node takes --override KEY=VALUE, not `{flag}`")));
        };
        command.args(["--override", &setting]);
    }
    Ok(command)
}
