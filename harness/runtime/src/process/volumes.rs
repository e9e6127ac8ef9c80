//! Volumes of the process runtime: where the one of a name lies, who made it, and who has it. As on an engine, a name
//! is one volume, whichever project says it; what is removed is only what nobody holds and the project may remove.
//! It must not touch a folder of the host that a volume is bound to.

use super::instance::Saved;
use super::paths::ProjectDir;
use super::supervisor;
use crate::model::{MountSource, ProjectSpec, ServiceSpec, VolumeSpec};
use crate::runtime::{Outcome, Preflight, Result, RuntimeError};
use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

/// Where the volume of that name lies, or is to be made. One that is named after its project lies in that project's
/// folder, any other beside the projects.
pub fn folder(dir: &ProjectDir, name: &str) -> PathBuf {
    let own = dir.volumes().join(name);
    let shared = dir.shared_volumes().join(name);
    let begins_with_project = name.strip_prefix(&dir.name()).is_some_and(|rest| rest.starts_with('_'));
    if is_there(&own) || (begins_with_project && !is_there(&shared)) {
        return own;
    }
    if is_there(&shared) {
        return shared;
    }
    let others = dir.others().into_iter().map(|other| other.volumes().join(name));
    others.into_iter().find(|path| is_there(path)).unwrap_or(shared)
}

/// A bound folder that is gone leaves its link.
fn is_there(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}

/// Whether an engine would take it as a volume's name. Nothing else becomes a part of a path.
fn is_name(name: &str) -> bool {
    let good = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
    name.starts_with(|c: char| c.is_ascii_alphanumeric()) && name.chars().all(good)
}

fn named(name: &str) -> Result<()> {
    let refused = || {
        RuntimeError::Refused(format!(
            "`{name}` is no name for a volume: letters, digits, `_`, `.` and `-`, a letter or digit first"
        ))
    };
    if is_name(name) { Ok(()) } else { Err(refused()) }
}

/// Volumes that are the project's: those that it made, and those that its file names.
pub fn of_project(dir: &ProjectDir, spec: Option<&ProjectSpec>) -> Vec<String> {
    let entries = |folder: PathBuf| {
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        entries.filter_map(|entry| entry.file_name().into_string().ok()).collect::<Vec<_>>()
    };
    let mut names = entries(dir.volumes());
    let made =
        entries(dir.makers()).into_iter().filter(|name| maker(dir, name).as_ref() == Some(&dir.name()));
    names.extend(made);
    let told = spec.into_iter().flat_map(|spec| &spec.volumes).map(|volume| &volume.name);
    names.extend(told.filter(|name| is_name(name) && is_there(&folder(dir, name))).cloned());
    names.sort();
    names.dedup();
    names
}

/// The project that made a volume beside the projects.
fn maker(dir: &ProjectDir, name: &str) -> Option<String> {
    fs::read_to_string(dir.makers().join(name)).ok()
}

/// Makes it: a folder, or a link to the one that its options bind.
pub fn create(dir: &ProjectDir, volume: &str, wanted: Option<&VolumeSpec>) -> Result<()> {
    named(volume)?;
    let path = folder(dir, volume);
    let above = path.parent().map_or(Ok(()), fs::create_dir_all);
    let made = match wanted.and_then(|wanted| wanted.compose.bound_folder()) {
        // What is removed with the volume is the link; the folder is the user's.
        Some(folder) => above.and_then(|()| symlink(folder, &path)),
        None => fs::create_dir_all(&path),
    };
    made.map_err(RuntimeError::io(&path))?;
    if path.starts_with(dir.shared_volumes()) {
        let maker = dir.makers().join(volume);
        let noted = fs::create_dir_all(dir.makers()).and_then(|()| fs::write(&maker, dir.name()));
        noted.map_err(RuntimeError::io(maker))?;
    }
    Ok(())
}

/// Removes it and its data, unless somebody has it.
pub fn remove(dir: &ProjectDir, volume: &str) -> Result<Outcome> {
    named(volume)?;
    if let Some(holder) = holder(dir, volume) {
        return Ok(Outcome::Kept(format!("the volume {volume} stays: {holder} has it")));
    }
    let path = folder(dir, volume);
    let gone = match fs::symlink_metadata(&path) {
        Ok(there) if there.is_dir() => fs::remove_dir_all(&path),
        Ok(_) => fs::remove_file(&path),
        Err(error) => Err(error),
    };
    let absent = |error: io::Error| if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) };
    gone.or_else(absent).map_err(RuntimeError::io(path))?;
    let maker = dir.makers().join(volume);
    fs::remove_file(&maker).or_else(absent).map_err(RuntimeError::io(maker))?;
    let _ = (fs::remove_dir(dir.makers()), fs::remove_dir(dir.shared_volumes()));
    Ok(Outcome::Done)
}

/// A container, of whatever project, that mounts it.
fn holder(dir: &ProjectDir, volume: &str) -> Option<String> {
    let all = std::iter::once(dir.clone()).chain(dir.others());
    all.into_iter().find_map(|project| {
        let kept = supervisor::read_state(&project);
        let holds = |saved: &&Saved| saved.spec.volumes.iter().any(|name| name == volume);
        let saved = kept.values().find(holds)?;
        Some(format!("the container {} of project {}", saved.spec.name, project.name()))
    })
}

/// The names of the volumes that a service mounts.
pub fn mounted(service: &ServiceSpec) -> Vec<String> {
    let names = service.mounts.iter().filter_map(|mount| match &mount.source {
        MountSource::Volume(name) => Some(name.clone()),
        _ => None,
    });
    names.collect()
}

/// What keeps the volumes of those services from being what the file says.
pub fn check(dir: &ProjectDir, spec: &ProjectSpec, starting: &[&ServiceSpec], found: &mut Preflight) {
    let is_used = |name: &str| starting.iter().any(|service| service.mounts_volume(name));
    for volume in spec.volumes.iter().filter(|volume| is_used(&volume.name)) {
        let place = volume.compose.key.span.position().map(|at| format!("{at}: ")).unwrap_or_default();
        let (errors, warnings) = what_is_wrong(dir, volume);
        found.errors.extend(errors.map(|why| format!("{place}{why}")));
        found.warnings.extend(warnings.map(|why| format!("{place}{why}")));
    }
}

fn what_is_wrong(dir: &ProjectDir, volume: &VolumeSpec) -> (Option<String>, Option<String>) {
    let (key, name) = (&volume.key, &volume.name);
    if let Err(error) = named(name) {
        return (Some(error.to_string()), None);
    }
    let path = folder(dir, name);
    if volume.external {
        let error = format!(
            "the volume {name} is external and is not there: `mkdir -p {}` makes it, or remove `external: true`",
            path.display()
        );
        return ((!path.is_dir()).then_some(error), None);
    }
    if let Some(other) = unknown_kind(volume) {
        let error = format!(
            "the volume {key} asks for {other}, which only a container engine has: the data would lie elsewhere; \
             take that out, or bind a folder (`type: none`, `o: bind`, `device: FOLDER`)"
        );
        return (Some(error), None);
    }
    if let Some(bound) = volume.compose.bound_folder() {
        let shown = bound.display();
        if !bound.is_absolute() || !bound.is_dir() {
            let error = format!(
                "the volume {key} is the folder {shown}, which is not there: `mkdir -p {shown}` makes it"
            );
            return (Some(error), None);
        }
        if let Err(error) = super::host::writable(&bound) {
            return (Some(format!("the volume {key} is {shown}, which cannot be written: {error}")), None);
        }
    }
    (None, made_otherwise(dir, volume, &path))
}

/// A driver, or a file system, that is not here.
fn unknown_kind(volume: &VolumeSpec) -> Option<String> {
    let compose = &volume.compose;
    if let Some(driver) = compose.driver.as_ref().filter(|driver| !matches!(driver.as_str(), "" | "local")) {
        return Some(format!("the driver {driver}"));
    }
    let option = |key: &str| {
        let (_, value) = compose.driver_opts.iter().find(|(name, _)| name == key)?;
        Some(value.as_str()).filter(|value| !value.is_empty())
    };
    let kind = option("type").filter(|kind| *kind != "tmpfs");
    let asked = kind.or(option("device").filter(|_| option("type").is_none()))?;
    compose.bound_folder().is_none().then(|| format!("`{asked}`"))
}

/// A volume that is there already, and is not what this file would make.
fn made_otherwise(dir: &ProjectDir, volume: &VolumeSpec, path: &Path) -> Option<String> {
    if !is_there(path) {
        return None;
    }
    let (key, name) = (&volume.key, &volume.name);
    let bound = volume.compose.bound_folder();
    let there = fs::read_link(path).ok();
    if bound.is_some() && there != bound {
        let shown = bound.unwrap_or_default();
        return Some(format!(
            "the volume {key} was made before the file said {}: its data stays in {} until `down -v`",
            shown.display(),
            path.display()
        ));
    }
    let own = path.starts_with(dir.root());
    let maker = maker(dir, name).or_else(|| {
        let other = dir.others().into_iter().find(|other| path.starts_with(other.root()))?;
        Some(other.name())
    });
    (!own && maker.as_ref() != Some(&dir.name())).then(|| {
        let by = maker.map_or_else(
            || "was not made by a project".into(),
            |maker| format!("was made for project {maker}"),
        );
        format!("the volume {name} is there already and {by}: say `external: true` to use one that is there")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::spec_in;

    fn file(volume: &str) -> String {
        format!(
            "services:
  tool: {{image: 'bitnami/kafka:3.7.0', command: [kafka-topics.sh], volumes: ['kd:/bitnami/kafka']}}
volumes:
  kd: {volume}
"
        )
    }

    fn told(home: &Path, volume: &str) -> String {
        let project = tempfile::tempdir().unwrap();
        let spec = spec_in(project.path(), &file(volume));
        let services: Vec<&ServiceSpec> = spec.services.iter().collect();
        let mut found = Preflight::default();
        check(&ProjectDir::new(home, "seed"), &spec, &services, &mut found);
        [found.errors, found.warnings].concat().join("\n")
    }

    #[test]
    fn a_name_is_one_volume_for_every_project() {
        let home = tempfile::tempdir().unwrap();
        let (one, other) = (ProjectDir::new(home.path(), "one"), ProjectDir::new(home.path(), "other"));
        create(&one, "shared", None).unwrap();
        fs::write(folder(&one, "shared").join("file"), "kept").unwrap();
        assert_eq!(fs::read_to_string(folder(&other, "shared").join("file")).unwrap(), "kept");
        assert_eq!(of_project(&one, None), ["shared"]);
        assert!(of_project(&other, None).is_empty(), "who made it is known");

        create(&one, "one_data", None).unwrap();
        assert_eq!(folder(&other, "one_data"), one.volumes().join("one_data"), "by its whole name");
        assert_eq!(folder(&other, "data"), other.shared_volumes().join("data"));
        assert_eq!(remove(&one, "shared").unwrap(), Outcome::Done);
        assert!(!folder(&other, "shared").exists() && of_project(&one, None) == ["one_data"]);
    }

    #[test]
    fn what_another_made_is_told_and_what_is_not_here_is_refused() {
        let home = tempfile::tempdir().unwrap();
        let other = ProjectDir::new(home.path(), "other");
        create(&other, "shared", None).unwrap();
        create(&other, "other_own", None).unwrap();
        for (volume, expected) in [
            ("{}", ""),
            ("{name: fresh}", ""),
            ("{name: shared}", "was made for project other"),
            ("{name: shared, external: true}", ""),
            ("{name: other_own, external: true}", ""),
            ("{name: missing, external: true}", "is external and is not there: `mkdir -p "),
            ("{name: ../../elsewhere}", "is no name for a volume"),
            ("{driver: rexray/ebs}", "asks for the driver rexray/ebs"),
            ("{driver_opts: {type: nfs, o: 'addr=192.0.2.7', device: ':/x'}}", "asks for `nfs`"),
            ("{driver_opts: {device: /dev/sdb1}}", "asks for `/dev/sdb1`"),
            ("{driver_opts: {type: tmpfs, device: tmpfs, o: size=1m}}", ""),
        ] {
            let told = told(home.path(), volume);
            assert!(told.contains(expected) && told.is_empty() == expected.is_empty(), "{volume}: {told}");
        }
    }

    #[test]
    fn a_volume_that_no_name_can_be_is_never_removed() {
        let home = tempfile::tempdir().unwrap();
        let dir = ProjectDir::new(home.path(), "one");
        fs::create_dir_all(home.path().join("theirs")).unwrap();
        fs::create_dir_all(dir.volumes()).unwrap();
        for name in ["../../theirs", "..", "", "a/b"] {
            assert!(remove(&dir, name).is_err() && create(&dir, name, None).is_err(), "{name}");
        }
        assert!(home.path().join("theirs").exists());
    }
}
