//! What a container is to the commands of a service that runs as a process: a folder that stands for its root, with the
//! tools of the image as links and the service's mounts where it has them; the variables by which the shell and the
//! tools find them; and words of the file as they have to be here.
//!
//! Only names are moved: no process is confined to that folder.

use super::layout::on_host;
use super::paths::ProjectDir;
use crate::docker::rootfs::{BINARY, FOLDERS, Names, changeable, links};
use crate::model::{MountSource, ServiceSpec};
use jackdaw_beside::{HOSTS, PLACES, ROOT, is_placed};
use jackdaw_compose::{HealthTest, Healthcheck};
use jackdaw_conventions::Provider;
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

/// Beginnings of paths that every container of ours has.
const OF_EVERY_CONTAINER: [&str; 19] = [
    "/__cacert_entrypoint.sh",
    "/bin/bash",
    "/bin/sh",
    "/bitnami",
    "/docker-entrypoint-initdb.d",
    "/etc/confluent",
    "/etc/kafka",
    "/home/appuser",
    "/mnt/shared",
    "/opt/bitnami",
    "/opt/kafka",
    "/tmp",
    "/usr/bin/bash",
    "/usr/bin/cub",
    "/usr/bin/env",
    BINARY,
    "/usr/bin/kafka-",
    "/usr/bin/sh",
    "/var/lib/kafka",
];

/// The settings that were made of a node's file, in the folder of its instance.
pub const PROPERTIES: &str = "server.properties";

/// The folder that stands for the root of a container.
pub fn root(dir: &ProjectDir, container: &str) -> PathBuf {
    dir.instance(container).join("root")
}

/// Makes it anew.
///
/// # Errors
/// As the file system says.
pub fn make(dir: &ProjectDir, service: &ServiceSpec, names: &Names, program: &Path) -> io::Result<()> {
    let root = root(dir, &service.container);
    match fs::remove_dir_all(&root) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    fs::create_dir_all(root.join("usr/bin"))?;
    mount_all(dir, service, &root)?;
    let is_mounted =
        |path: &str| service.mounts.iter().any(|mount| Path::new("/").join(path).starts_with(&mount.target));
    for data in service.node.iter().flat_map(|node| &node.data_dirs) {
        let there = on_host(dir, service, &data.path);
        let path = data.path.trim_start_matches('/');
        if !is_mounted(path) && !path.is_empty() {
            fs::create_dir_all(&there)?;
            link(&root.join(path), &there)?;
        }
    }
    let made = service.node.as_ref().map(|node| node.provider.layout().made_config.trim_start_matches('/'));
    if let Some(made) = made.filter(|made| !is_mounted(made) && !starts_its_own_way(service)) {
        link(&root.join(made), &dir.instance(&service.container).join(PROPERTIES))?;
    }
    let called = links(names).into_iter().chain([(BINARY.trim_start_matches('/').into(), BINARY.into())]);
    for (from, to) in called.filter(|(from, _)| !is_mounted(from)) {
        let target = match to.strip_prefix('/') {
            _ if to == BINARY => program.to_owned(),
            Some(inside) => root.join(inside),
            None => to.into(),
        };
        link(&root.join(from), &target)?;
    }
    for (folder, ..) in FOLDERS.into_iter().filter(|(folder, ..)| !is_mounted(folder)) {
        let folder = root.join(folder);
        if !folder.exists() {
            fs::create_dir_all(folder)?;
        }
    }
    for (path, text) in changeable().filter(|(path, _)| !is_mounted(path)) {
        // The kernel reads the first line, and knows nothing of the folder.
        let text = text.replacen("#!/bin/bash", &format!("#!{}/usr/bin/bash", root.display()), 1);
        let path = root.join(path);
        fs::write(&path, text)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
    }
    fs::create_dir_all(working_dir(dir, service))
}

fn mount_all(dir: &ProjectDir, service: &ServiceSpec, root: &Path) -> io::Result<()> {
    let mut mounts: Vec<_> = service.mounts.iter().collect();
    mounts.sort_by_key(|mount| mount.target.len());
    for mount in mounts {
        let there = on_host(dir, service, &mount.target);
        let is_folder = Path::new(&mount.target).extension().is_none();
        match mount.source {
            // A folder of the host that cannot be made is missed by whoever looks into it.
            MountSource::Bind(_) if mount.create && is_folder => drop(fs::create_dir_all(&there)),
            // A text is a file, which is written when all folders are there.
            MountSource::Bind(_) | MountSource::Text { .. } => {}
            // What only an engine can mount is not there, and was said to be missing.
            MountSource::Other(..) => continue,
            _ => fs::create_dir_all(&there)?,
        }
        link(&root.join(mount.target.trim_start_matches('/')), &there)?;
    }
    Ok(())
}

/// Whether a node's file has a command of its own, or scripts that run before it: then it goes the image's way, step by
/// step. Any other is started at once, on the settings that were made of its file.
pub fn starts_its_own_way(service: &ServiceSpec) -> bool {
    let (Some(node), Some(provider)) = (&service.node, service.stands_in) else { return false };
    let layout = provider.layout();
    let is_own = whole_command(service) == [layout.entrypoint, layout.command].concat();
    let holds_scripts =
        |folder: &str| service.mounts.iter().any(|mount| Path::new(&mount.target).starts_with(folder));
    let has_scripts = node.init_scripts_dir.is_some_and(holds_scripts);
    (!is_own && !node.ignores_command) || has_scripts
}

/// What is there already stays: a mount inside of another lies in it.
fn link(from: &Path, to: &Path) -> io::Result<()> {
    if let Some(folder) = from.parent() {
        fs::create_dir_all(folder)?;
    }
    match symlink(to, from) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        done => done,
    }
}

/// The folder in which a command of the service starts.
pub fn working_dir(dir: &ProjectDir, service: &ServiceSpec) -> PathBuf {
    let layout = service.stands_in.map(Provider::layout);
    let named = service.compose.working_dir.as_deref();
    let path = named.or(layout.map(|layout| layout.working_dir)).unwrap_or("/");
    root(dir, &service.container).join(path.trim_start_matches('/'))
}

/// The variables by which what runs beside a service finds the service's names and paths.
pub fn variables(dir: &ProjectDir, service: &ServiceSpec, hosts: &Path) -> BTreeMap<String, String> {
    let root = root(dir, &service.container).display().to_string();
    let mut places: Vec<&str> = OF_EVERY_CONTAINER.to_vec();
    let data = service.node.iter().flat_map(|node| &node.data_dirs).map(|data| data.path.as_str());
    let targets = service.mounts.iter().map(|mount| mount.target.as_str()).chain(data);
    places.extend(service.compose.working_dir.as_deref().filter(|path| path.starts_with('/')));
    places.extend(targets.map(|target| target.trim_end_matches('/')).filter(|target| !target.is_empty()));
    let mut folders: Vec<String> = Vec::new();
    if let Some(layout) = service.stands_in.map(Provider::layout).filter(|layout| layout.bin_on_path) {
        folders.push(format!("{root}{}", layout.bin_dir));
    }
    folders.push(format!("{root}/usr/bin"));
    // As far as the file's own PATH, the container's folders come before this machine's.
    let given = service.compose.env("PATH").map(|path| path.value.as_str()).unwrap_or_default();
    let own = given.split(':').filter(|part| part.starts_with('/'));
    let is_inside = |part: &&str| is_placed(part, &OF_EVERY_CONTAINER.join(":"));
    folders.extend(own.filter(is_inside).map(|part| format!("{root}{part}")));
    folders.extend(std::env::var("PATH"));
    let hostname = service.compose.hostname.as_ref().map_or(&service.container, |name| &name.value);
    [
        ("PATH", folders.join(":")),
        ("HOSTNAME", hostname.clone()),
        ("HOME", home(service, &root)),
        (ROOT, root),
        (PLACES, places.join(":")),
        (HOSTS, hosts.display().to_string()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into()
}

/// The home folder of the user that the image runs as.
fn home(service: &ServiceSpec, root: &str) -> String {
    let named = service.compose.env("HOME").map(|home| home.value.clone());
    let is_appuser = service.stands_in.is_some_and(|provider| provider.layout().user_name == "appuser");
    named.unwrap_or_else(|| if is_appuser { format!("{root}/home/appuser") } else { root.to_owned() })
}

/// Words of a command as they have to be here; `variables` are those of [`variables`].
pub fn words(variables: &BTreeMap<String, String>, words: &[String]) -> Vec<String> {
    let of = |name: &str| variables.get(name).map(String::as_str).unwrap_or_default();
    jackdaw_beside::words(of(ROOT), of(PLACES), words)
}

/// What the file says that a service runs: its entrypoint and its command. The images' own entrypoints become any command
/// that is not their start script.
pub fn command(service: &ServiceSpec) -> Vec<String> {
    let given = |words: &Option<jackdaw_compose::Spanned<Vec<String>>>| {
        words.as_ref().map(|words| words.value.clone()).unwrap_or_default()
    };
    given(&service.compose.entrypoint).into_iter().chain(given(&service.compose.command)).collect()
}

/// What a container of the service runs, with what its image adds.
pub fn whole_command(service: &ServiceSpec) -> Vec<String> {
    let Some(layout) = service.stands_in.map(Provider::layout) else { return command(service) };
    let owned = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<String>>();
    // As Docker has it: an entrypoint of the file's own leaves no command of the image's.
    match (&service.compose.entrypoint, &service.compose.command) {
        (Some(_), _) => command(service),
        (None, Some(command)) => [owned(layout.entrypoint), command.value.clone()].concat(),
        (None, None) => owned(&[layout.entrypoint, layout.command].concat()),
    }
}

/// What a healthcheck runs, as words; none where the file leaves it to the image. A tool of Kafka's that is not here is
/// answered for by our `own` look, if there can be one.
pub fn health_command(check: &Healthcheck, names: &Names, own: Option<Vec<String>>) -> Option<Vec<String>> {
    let words = match &check.test {
        HealthTest::Disabled | HealthTest::Inherited => return None,
        HealthTest::Command(words) => words.clone(),
        HealthTest::Shell(line) => vec!["/bin/sh".into(), "-c".into(), line.clone()],
    };
    if crate::docker::container::calls_missing(check, names) { own } else { Some(words) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::spec_of;

    const FILE: &str = "services:
  init:
    image: bitnami/kafka:3.7.0
    hostname: setup
    volumes: ['./scripts:/scripts', 'data:/data']
    entrypoint: [/bin/sh, -c]
    command: ['/scripts/topics.sh && cub']
volumes: {data: {}}
";

    #[test]
    fn a_command_of_the_file_finds_its_paths_and_tools() {
        let (home, program) = (tempfile::tempdir().unwrap(), Path::new("/proc/self/exe"));
        let spec = spec_of(FILE);
        let service = &spec.services[0];
        let dir = ProjectDir::new(home.path(), "seed");
        let names = Names { shell: vec!["bash".into()], kafka: vec!["kafka-topics.sh".into()] };
        make(&dir, service, &names, program).unwrap();
        let root = root(&dir, &service.container);
        for there in ["bin/bash", "opt/bitnami/kafka/bin/kafka-topics.sh", "scripts", "data"] {
            assert!(root.join(there).exists(), "{there}");
        }
        let script = root.join("scripts/topics.sh");
        fs::write(&script, "#!/bin/bash\n").unwrap();
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
        let variables = variables(&dir, service, Path::new("/hosts"));
        assert_eq!(variables["HOSTNAME"], "setup");
        let shown = |line: &[&str]| {
            let line: Vec<String> = line.iter().map(|word| (*word).to_owned()).collect();
            words(&variables, &line).join(" ").replace(&root.display().to_string(), "ROOT")
        };
        assert_eq!(shown(&["/scripts/topics.sh", "-x"]), "ROOT/usr/bin/bash ROOT/scripts/topics.sh -x");
        assert_eq!(shown(&["/bin/sh", "-c", "/scripts/x"]), "ROOT/bin/sh -c ROOT/scripts/x");
        assert_eq!(shown(&["/usr/bin/kafka-topics", "/scripts2"]), "ROOT/usr/bin/kafka-topics /scripts2");
        assert_eq!(command(service), ["/bin/sh", "-c", "/scripts/topics.sh && cub"]);
        make(&dir, service, &names, program).unwrap();
        assert!(script.exists(), "what is mounted is not what is made anew");
    }
    #[test]
    fn a_check_by_a_tool_that_is_not_here_is_our_own_look_or_none() {
        let names = Names { shell: Vec::new(), kafka: vec!["kafka-topics.sh".into()] };
        let own = || Some(vec!["own".to_owned()]);
        for (tool, own, expected) in [
            ("kafka-topics.sh", own(), Some("/bin/sh -c kafka-topics.sh --list")),
            ("kafka-acls.sh", own(), Some("own")),
            ("kafka-acls.sh", None, None),
        ] {
            let file = format!("services: {{one: {{image: 'x', healthcheck: {{test: '{tool} --list'}}}}}}");
            let spec = spec_of(&file);
            let check = spec.services[0].compose.healthcheck.as_ref().unwrap();
            let found = health_command(check, &names, own).map(|words| words.join(" "));
            assert_eq!(found.as_deref(), expected, "{tool}");
        }
    }
}
