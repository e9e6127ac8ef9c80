//! The process runtime as commands see it: files are written here, processes are the supervisor's.

use super::address::{self, AddressBook};
use super::client;
use super::health::HealthSpec;
use super::holder;
use super::inside;
use super::layout;
use super::logs::LogReader;
use super::paths::{self, ProjectDir};
use super::protocol::{Event, Forward, InstanceSpec, Reply, Request};
use super::reference::Release;
use super::supervisor;
use super::top;
use super::volumes;
use crate::archive;
use crate::claim::Claims;
use crate::clock;
use crate::docker::container;
use crate::docker::rootfs::Names;
use crate::logline::{LogLine, LogOptions};
use crate::model::{Instance, Observed, PortSpec, ProjectSpec, ServiceSpec};
use crate::mounts;
use crate::plan::{Kind, Means, Step};
use crate::ports;
use crate::ready::{Findings, Look, until_ready};
use crate::runtime::{ExecSpec, Listed, Outcome, Preflight, Result, Runtime, RuntimeError, Table};
use crate::signal;
use crate::volume::other_cluster;
use futures_util::future::BoxFuture;
use futures_util::stream::{self, BoxStream, StreamExt as _};
use jackdaw_beside::ADDRESS;
use jackdaw_conventions::{ClusterIdOrigin, NodePlan};
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// How often a followed log file is looked at.
const FOLLOW_REST: Duration = Duration::from_millis(40);

/// The kernel's TIME-WAIT, and a little.
const MOST_CLOSING: Duration = Duration::from_secs(62);
/// How often a port that is about to be free is looked at.
const CLOSING_REST: Duration = Duration::from_millis(500);

/// Services as processes of this machine.
#[derive(Debug, Clone)]
pub struct ProcessRuntime {
    home: PathBuf,
    program: PathBuf,
    broker: Vec<String>,
    names: Names,
    /// The addresses that this run found for a project (by its folder). Looking for them means listening on them for a
    /// moment, so it is done once: a second look, at the same time, could take the first for somebody else.
    found: Arc<Mutex<BTreeMap<PathBuf, AddressBook>>>,
    claims: Claims,
}

impl ProcessRuntime {
    /// A runtime whose nodes run `program broker …`; `$JACKDAW_BROKER` names another program to run in
    /// their place, with the same arguments. `names` are those that this program answers to.
    ///
    /// # Errors
    /// When there is no folder to keep things in, or this program cannot be found.
    pub fn new(names: Names) -> Result<Self> {
        let no_home =
            || RuntimeError::Unavailable("no folder to keep volumes in: set JACKDAW_HOME, or HOME".into());
        let home = paths::home().ok_or_else(no_home)?;
        let program = std::env::current_exe().map_err(RuntimeError::io("/proc/self/exe"))?;
        let broker = match std::env::var("JACKDAW_BROKER") {
            Ok(other) if !other.is_empty() => vec![other],
            _ => vec![program.display().to_string(), "broker".into()],
        };
        Ok(ProcessRuntime { home, program, broker, names, found: Arc::default(), claims: Claims::default() })
    }

    /// A runtime for tests, which keeps its things there.
    #[cfg(test)]
    pub fn at(home: PathBuf, names: Names) -> Self {
        let (program, broker) = (PathBuf::from("/jackdaw"), vec!["/jackdaw".into(), "broker".into()]);
        ProcessRuntime { home, program, broker, names, found: Arc::default(), claims: Claims::default() }
    }

    /// The folder of a project.
    pub fn dir(&self, project: &str) -> ProjectDir {
        ProjectDir::new(&self.home, project)
    }

    /// Where a path of an instance's container lies.
    fn inside(&self, project: &str, instance: &Instance, path: &str) -> PathBuf {
        inside::root(&self.dir(project), &instance.name).join(path.trim_start_matches('/'))
    }

    async fn instances(&self, dir: &ProjectDir) -> Vec<Instance> {
        if let Ok(Reply::Instances { instances }) = client::ask(dir, &Request::List).await {
            return instances;
        }
        let mut kept: Vec<_> = supervisor::read_state(dir).into_values().collect();
        kept.iter_mut().for_each(supervisor::buried);
        kept.sort_by_key(|saved| saved.spec.created_ms);
        kept.into_iter().map(|saved| saved.seen).collect()
    }

    async fn ask(&self, dir: &ProjectDir, request: Request) -> Result<()> {
        match client::ask(dir, &request).await {
            Err(RuntimeError::Unavailable(_)) => {
                client::ensure(dir, &self.program).await?;
                client::ask(dir, &request).await.map(drop)
            }
            answer => answer.map(drop),
        }
    }

    async fn create(&self, project: &str, spec: &ProjectSpec, name: &str) -> Result<()> {
        let dir = self.dir(project);
        let instance = self.instance(&dir, spec, name)?;
        self.ask(&dir, Request::Create(Box::new(instance))).await
    }

    /// What the supervisor has to run for a service; its files are written.
    pub(crate) fn instance(&self, dir: &ProjectDir, spec: &ProjectSpec, name: &str) -> Result<InstanceSpec> {
        let service =
            spec.service(name).ok_or_else(|| RuntimeError::Failed(format!("{name} is not in the file")))?;
        let book = self.addresses(dir, spec).map_err(RuntimeError::Refused)?;
        address::write(dir, &book).map_err(RuntimeError::io(dir.addresses()))?;
        let folder = dir.instance(&service.container);
        fs::create_dir_all(&folder).map_err(RuntimeError::io(&folder))?;
        let hosts = folder.join("hosts");
        fs::write(&hosts, layout::hosts_file(&layout::names(spec, service, &book)))
            .map_err(RuntimeError::io(&hosts))?;
        let root = inside::root(dir, &service.container);
        inside::make(dir, service, &self.names, &self.program).map_err(RuntimeError::io(&root))?;
        layout::write_texts(dir, service)?;
        let mut env = environment(service);
        env.extend(inside::variables(dir, service, &hosts));
        let own = layout::own_address(service, &book);
        let (command, forwards, cwd, health) = match &service.node {
            Some(node) if inside::starts_its_own_way(service) => {
                env.extend(self.own_way(dir, spec, service, node, own));
                let command = inside::words(&env, &inside::whole_command(service));
                let by_hand = |_: &String| command.iter().any(|word| word.contains("kafka-server-start"));
                let path = node.config_file.clone().filter(by_hand);
                let path = path.unwrap_or_else(|| node.provider.layout().made_config.to_owned());
                let properties = inside::words(&env, &[path]).remove(0);
                let health = self.health(dir, service, &env, Path::new(&properties));
                (command, forwards(service, own), inside::working_dir(dir, service), health)
            }
            Some(node) => {
                let properties = folder.join("server.properties");
                let text = layout::properties(dir, service, node, own);
                fs::write(&properties, text).map_err(RuntimeError::io(&properties))?;
                let command = self.node_command(dir, spec, service, node, &hosts, &properties)?;
                let health = self.health(dir, service, &env, &properties);
                (command, forwards(service, own), folder.clone(), health)
            }
            None => {
                let command = inside::words(&env, &inside::command(service));
                let health = self.health(dir, service, &env, Path::new("none"));
                (command, Vec::new(), inside::working_dir(dir, service), health)
            }
        };
        Ok(InstanceSpec {
            name: service.container.clone(),
            service: service.name.clone(),
            image: service.image.clone(),
            hash: service.hash.clone(),
            command,
            env,
            cwd,
            inside: inside::working_dir(dir, service),
            address: own,
            ports: service.ports.clone(),
            forwards,
            health,
            starts_others: service.node.is_none() || inside::starts_its_own_way(service),
            volumes: volumes::mounted(service),
            restart: service.restart,
            stop_signal: signal::number(&service.stop_signal).unwrap_or(signal::TERM),
            stop_grace_ms: service.stop_grace_ms,
            created_ms: clock::now_ms(),
            config_files: spec.config_files.clone(),
        })
    }

    /// What a node finds in its environment whose own command starts it: what the launcher would tell it otherwise.
    fn own_way(
        &self,
        dir: &ProjectDir,
        spec: &ProjectSpec,
        service: &ServiceSpec,
        node: &NodePlan,
        own: IpAddr,
    ) -> BTreeMap<String, String> {
        let mut more = BTreeMap::from([(ADDRESS.to_owned(), own.to_string())]);
        let variable = container::cluster_id_variable(node.provider);
        if let Some(id) =
            self.cluster_id(dir, spec, service, node).filter(|_| service.compose.env(variable).is_none())
        {
            more.insert(variable.to_owned(), id);
        }
        if !service.readdressed.is_empty() {
            more.insert(container::READDRESSED.to_owned(), container::readdressed(service));
        }
        more
    }

    fn node_command(
        &self,
        dir: &ProjectDir,
        spec: &ProjectSpec,
        service: &ServiceSpec,
        node: &NodePlan,
        hosts: &Path,
        properties: &Path,
    ) -> Result<Vec<String>> {
        for data in layout::data_dirs(dir, service, node) {
            fs::create_dir_all(&data).map_err(RuntimeError::io(&data))?;
        }
        let mut command = match &service.reference {
            None => self.broker.clone(),
            Some(release) => {
                let libs = release.libs()?.display().to_string();
                vec![self.program.display().to_string(), "apache-kafka".into(), "--libs".into(), libs]
            }
        };
        command.extend(["--hosts".into(), hosts.display().to_string()]);
        if let Some(id) = self.cluster_id(dir, spec, service, node) {
            command.extend(["--cluster-id".into(), id]);
        }
        command.push(properties.display().to_string());
        Ok(command)
    }

    /// The file's healthcheck as it is run here, where there is one.
    fn health(
        &self,
        dir: &ProjectDir,
        service: &ServiceSpec,
        env: &BTreeMap<String, String>,
        properties: &Path,
    ) -> Option<HealthSpec> {
        let check = service.compose.healthcheck.as_ref()?;
        let own =
            || vec![self.program.display().to_string(), "healthy".into(), properties.display().to_string()];
        // Apache Kafka's process does not look at itself.
        let command = inside::health_command(check, &self.names, service.reference.is_none().then(own))?;
        let cwd = inside::working_dir(dir, service);
        Some(HealthSpec::of(check, inside::words(env, &command), env.clone(), cwd))
    }

    /// The id that a fresh folder is formatted with: what the file says; where it says none, what another
    /// volume of the same quorum has; else the derived one.
    fn cluster_id(
        &self,
        dir: &ProjectDir,
        spec: &ProjectSpec,
        own: &ServiceSpec,
        node: &NodePlan,
    ) -> Option<String> {
        let id = node.cluster_id.as_ref()?;
        if id.origin != ClusterIdOrigin::Derived {
            return Some(id.value.clone());
        }
        let same_quorum = spec.nodes().filter(|(other, _)| other.quorum == own.quorum);
        let mut folders = same_quorum.flat_map(|(service, other)| layout::data_dirs(dir, service, other));
        folders.find_map(|folder| layout::cluster_id_on(&folder)).or_else(|| Some(id.value.clone()))
    }

    async fn check_ports(&self, starting: &[&ServiceSpec], observed: &Observed, found: &mut Preflight) {
        let ours: Vec<SocketAddr> = observed
            .instances
            .iter()
            .flat_map(|instance| instance.ports.iter().map(|port| SocketAddr::new(port.ip, port.published)))
            .collect();
        let all = holder::host_addresses();
        let mut claimed: BTreeMap<SocketAddr, &str> = BTreeMap::new();
        for service in starting.iter().filter(|service| service.node.is_some()) {
            for (port, published) in service.ports.iter().filter_map(|port| Some((port, port.published?))) {
                if port.protocol != "tcp" {
                    continue;
                }
                let sockets = layout::sockets(port, published, &all);
                for socket in &sockets {
                    if let Some(other) = claimed.insert(*socket, &service.name) {
                        found.errors.push(format!("{other} and {} both publish {socket}", service.name));
                    }
                }
                let free = sockets.iter().filter(|socket| !ours.contains(socket));
                for socket in free.clone() {
                    let waited = until_closed(*socket).await;
                    found.warnings.extend(waited.map(|why| format!("{}: {why}", service.name)));
                }
                let refusal = free.filter_map(|at| refusal(*at, port.host_ip == Some(at.ip()))).next();
                found.errors.extend(refusal.map(|why| format!("{}: {why}", service.name)));
            }
        }
    }

    fn check_folders(&self, dir: &ProjectDir, starting: &[&ServiceSpec], found: &mut Preflight) {
        for (service, node) in starting.iter().filter_map(|service| Some((service, service.node.as_ref()?))) {
            for folder in layout::data_dirs(dir, service, node) {
                if let Err(error) = writable(&folder) {
                    let shown = folder.display();
                    found
                        .errors
                        .push(format!("{}: data folder {shown} cannot be written: {error}", service.name));
                }
                let there = layout::cluster_id_on(&folder);
                found.warnings.extend(there.and_then(|there| other_cluster(&service.name, node, &there)));
            }
        }
    }

    /// Addresses of all nodes, as they are or as they would be given now. One that was given to a node stays while
    /// anything of the project is there: the other nodes know it by that address.
    fn addresses(&self, dir: &ProjectDir, spec: &ProjectSpec) -> std::result::Result<AddressBook, String> {
        let nodes: Vec<&ServiceSpec> =
            spec.services.iter().filter(|service| service.node.is_some()).collect();
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        let before = found.get(dir.root());
        let mut book = before.cloned().unwrap_or_else(|| address::read(dir));
        let stays = before.is_some() || !supervisor::read_state(dir).is_empty();
        let is_free = |at: SocketAddr| holder::probe(at).is_ok();
        let is_claimed = |ip: IpAddr| self.claims.take(ip);
        address::assign(&spec.name, &nodes, &mut book, stays, &is_free, &is_claimed)?;
        found.insert(dir.root().to_owned(), book.clone());
        Ok(book)
    }

    async fn do_step(&self, project: &str, spec: Option<&ProjectSpec>, step: &Step) -> Result<Outcome> {
        let dir = self.dir(project);
        match step {
            Step::Create { service, .. } => {
                let no_file = || RuntimeError::Failed("a container is made from a file".into());
                self.create(project, spec.ok_or_else(no_file)?, service).await?;
            }
            Step::CreateVolume { volume } => {
                let wanted = spec.and_then(|spec| spec.volumes.iter().find(|other| other.name == *volume));
                volumes::create(&dir, volume, wanted)?;
            }
            Step::RemoveVolume { volume } => return volumes::remove(&dir, volume),
            Step::Start { container, .. } => {
                self.ask(&dir, Request::Start { name: container.clone() }).await?;
            }
            Step::Stop { container, grace_ms, .. } => {
                self.ask(&dir, Request::Stop { name: container.clone(), grace_ms: Some(*grace_ms) }).await?;
            }
            Step::Kill { container, signal, .. } => {
                let unknown = || RuntimeError::Refused(format!("{signal} is not a signal"));
                let signal = signal::number(signal).ok_or_else(unknown)?;
                self.ask(&dir, Request::Kill { name: container.clone(), signal }).await?;
            }
            Step::Pause { container, .. } => {
                self.ask(&dir, Request::Pause { name: container.clone() }).await?;
            }
            Step::Unpause { container, .. } => {
                self.ask(&dir, Request::Unpause { name: container.clone() }).await?;
            }
            Step::Remove { container, volumes, .. } => {
                self.ask(&dir, Request::Remove { name: container.clone() }).await?;
                if *volumes {
                    let path = dir.instance(container);
                    fs::remove_dir_all(&path).or_else(absent).map_err(RuntimeError::io(path))?;
                }
            }
            Step::ImportImage { .. } | Step::PullImage { .. } => {}
            Step::CreateNetwork { .. } | Step::RemoveNetwork { .. } => {}
            Step::LeaveOut(_) | Step::Wait { .. } => {}
        }
        Ok(Outcome::Done)
    }

    /// Once nothing is left, the supervisor goes and its folder keeps nothing but volumes.
    async fn tidy(&self, project: &str) -> Result<()> {
        let dir = self.dir(project);
        if !self.instances(&dir).await.is_empty() || !dir.root().exists() {
            return Ok(());
        }
        let _ = client::ask(&dir, &Request::Quit).await;
        client::end(&dir).await?;
        for gone in [dir.root().join("instances"), dir.root().join("logs")] {
            fs::remove_dir_all(&gone).or_else(absent).map_err(RuntimeError::io(gone))?;
        }
        for gone in [dir.state(), dir.addresses(), dir.socket(), dir.supervisor_log(), dir.lock()] {
            fs::remove_file(&gone).or_else(absent).map_err(RuntimeError::io(gone))?;
        }
        // Volumes keep their folder, and with it the project's.
        let _ = (fs::remove_dir(dir.volumes()), fs::remove_dir(dir.root()));
        Ok(())
    }
}

fn absent(error: io::Error) -> io::Result<()> {
    if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) }
}

/// Why a port cannot be opened; `is_named` where the file says that very address, which may be gone otherwise.
fn refusal(socket: SocketAddr, is_named: bool) -> Option<String> {
    let error = holder::probe(socket).err()?;
    if error.kind() == io::ErrorKind::AddrNotAvailable && !is_named {
        return None;
    }
    Some(match error.kind() {
        io::ErrorKind::AddrInUse => format!("port {socket} is taken by {}", holder::told(socket)),
        io::ErrorKind::AddrNotAvailable => format!("{} is not an address of this machine", socket.ip()),
        io::ErrorKind::PermissionDenied => format!("port {socket} may not be opened by this user"),
        _ => format!("port {socket}: {error}"),
    })
}

/// Waits while nothing but a connection that has ended holds a port; what was waited for.
async fn until_closed(socket: SocketAddr) -> Option<String> {
    let began = std::time::Instant::now();
    let in_use = || holder::probe(socket).is_err_and(|error| error.kind() == io::ErrorKind::AddrInUse);
    while in_use() && holder::of(socket).is_none() && began.elapsed() < MOST_CLOSING {
        let left = holder::closing(socket)?;
        tokio::time::sleep(left.clamp(FOLLOW_REST, CLOSING_REST)).await;
    }
    let waited = began.elapsed().as_secs();
    (waited > 0).then(|| {
        format!(
            "port {socket} was held by a connection that had ended (TIME-WAIT): it was waited for, {waited} s"
        )
    })
}

pub(super) fn writable(folder: &Path) -> io::Result<()> {
    let mut existing = folder;
    while !existing.exists() {
        existing = existing.parent().ok_or(io::ErrorKind::NotFound)?;
    }
    if !existing.is_dir() {
        return Err(io::ErrorKind::NotADirectory.into());
    }
    rustix::fs::access(existing, rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK)?;
    Ok(())
}

/// The service's environment as the file says it.
fn environment(service: &ServiceSpec) -> BTreeMap<String, String> {
    let said = service.compose.environment.iter();
    said.filter_map(|var| Some((var.name.value.clone(), var.value.as_ref()?.value.clone()))).collect()
}

/// A process has the user of whoever started it; another one would be promised and not given.
fn refused_user(user: &str) -> Option<String> {
    let own = rustix::process::geteuid().as_raw();
    let name = user.split(':').next().unwrap_or_default();
    let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let of_name = users.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next()? == name).then(|| fields.nth(1)?.parse::<u32>().ok()).flatten()
    });
    let wanted = name.parse::<u32>().ok().or(of_name);
    (wanted != Some(own)).then(|| {
        format!("a command beside a process runs as user {own}, as the process does, and not as {user}: leave the user out")
    })
}

/// Why a node is not one that can be run here: never another one than was asked for.
fn other_node(service: &ServiceSpec) -> Option<String> {
    let node = service.node.as_ref().filter(|_| inside::starts_its_own_way(service))?;
    let name = &service.name;
    if let Some(release) = &service.reference {
        return Some(format!(
            "{name}: it has a command or scripts of its own, and apache-kafka:{release} is started without them: leave \
             --provider out for it"
        ));
    }
    node.is_made_by_command.then(|| {
        format!(
            "{name}: its command makes the settings that its node starts on, so which node that is cannot be known \
             before: mount the file, or run it with --runtime docker"
        )
    })
}

fn forwards(service: &ServiceSpec, own: IpAddr) -> Vec<Forward> {
    if address::is_on_host(service) {
        return Vec::new();
    }
    let all = holder::host_addresses();
    let mut forwards = Vec::new();
    for port in service.ports.iter().filter(|port| port.protocol == "tcp") {
        let Some(published) = port.published else { continue };
        let to = SocketAddr::new(own, port.target);
        forwards.extend(layout::sockets(port, published, &all).into_iter().map(|from| Forward { from, to }));
    }
    let beside = service.readdressed.iter().filter_map(|moved| service.node.as_ref()?.beside(moved));
    forwards.extend(
        beside.map(|(from, to)| Forward { from: SocketAddr::new(own, from), to: SocketAddr::new(own, to) }),
    );
    forwards
}

impl Runtime for ProcessRuntime {
    fn kind(&self) -> Kind {
        Kind::Process
    }

    fn means(&self) -> Result<Means> {
        Ok(Means { kind: Kind::Process, own_image: None, has_tools: !self.names.kafka.is_empty() })
    }

    fn observe<'a>(
        &'a self,
        project: &'a str,
        spec: Option<&'a ProjectSpec>,
    ) -> BoxFuture<'a, Result<Observed>> {
        Box::pin(async move {
            let dir = self.dir(project);
            let volumes = volumes::of_project(&dir, spec);
            let instances = self.instances(&dir).await;
            Ok(Observed { instances, networks: Vec::new(), volumes, images: Vec::new() })
        })
    }

    fn settle_ports<'a>(
        &'a self,
        spec: &'a mut ProjectSpec,
        observed: &'a Observed,
    ) -> BoxFuture<'a, Result<()>> {
        let all = holder::host_addresses();
        let is_free = |port: &PortSpec, at: u16| {
            layout::sockets(port, at, &all).into_iter().all(|socket| holder::probe(socket).is_ok())
        };
        let settled = ports::settle(spec, observed, &is_free, &|at| self.claims.take(at))
            .map_err(RuntimeError::Refused);
        Box::pin(std::future::ready(settled))
    }

    fn preflight<'a>(
        &'a self,
        spec: &'a ProjectSpec,
        starting: &'a [&'a ServiceSpec],
        observed: &'a Observed,
    ) -> BoxFuture<'a, Result<Preflight>> {
        Box::pin(async move {
            let dir = self.dir(&spec.name);
            let mut found = Preflight::default();
            found.errors.extend(starting.iter().filter_map(|service| other_node(service)));
            volumes::check(&dir, spec, starting, &mut found);
            for release in starting.iter().filter_map(|service| service.reference.as_ref()) {
                Release::java()?;
                release.libs()?;
            }
            self.check_folders(&dir, starting, &mut found);
            starting.iter().for_each(|service| mounts::look(service, &mut found));
            self.check_ports(starting, observed, &mut found).await;
            if found.errors.is_empty() && !starting.is_empty() {
                found.errors.extend(self.addresses(&dir, spec).err());
            }
            Ok(found)
        })
    }

    fn step<'a>(
        &'a self,
        project: &'a str,
        spec: Option<&'a ProjectSpec>,
        step: &'a Step,
    ) -> BoxFuture<'a, Result<Outcome>> {
        Box::pin(self.do_step(project, spec, step))
    }

    fn finish<'a>(&'a self, project: &'a str) -> BoxFuture<'a, Result<()>> {
        Box::pin(self.tidy(project))
    }

    fn logs<'a>(
        &'a self,
        project: &'a str,
        instance: &'a Instance,
        options: LogOptions,
    ) -> BoxStream<'static, LogLine> {
        let path = self.dir(project).log(&instance.name);
        let (reader, lines) = LogReader::open(&path, &options);
        let old = stream::iter(lines);
        if !options.follow {
            return old.boxed();
        }
        let new = stream::unfold(reader, move |mut reader| {
            let folder = path.parent().map(Path::to_owned);
            async move {
                loop {
                    let lines = reader.more();
                    if !lines.is_empty() {
                        return Some((stream::iter(lines), reader));
                    }
                    if folder.as_ref().is_some_and(|folder| !folder.exists()) {
                        return None;
                    }
                    tokio::time::sleep(FOLLOW_REST).await;
                }
            }
        });
        old.chain(new.flatten()).boxed()
    }

    fn events<'a>(&'a self, project: &'a str) -> BoxFuture<'a, Result<BoxStream<'static, Event>>> {
        Box::pin(async move { client::events(&self.dir(project)).await })
    }

    fn exec<'a>(
        &'a self,
        project: &'a str,
        instance: &'a Instance,
        exec: ExecSpec,
    ) -> BoxFuture<'a, Result<i32>> {
        Box::pin(async move {
            if let Some(why) = exec.user.as_deref().and_then(refused_user) {
                return Err(RuntimeError::Refused(why));
            }
            let dir = self.dir(project);
            let gone = || RuntimeError::Failed(format!("{} is gone", instance.name));
            let spec = supervisor::read_state(&dir).remove(&instance.name).ok_or_else(gone)?.spec;
            let words = inside::words(&spec.env, &exec.command);
            let (program, arguments) =
                words.split_first().ok_or_else(|| RuntimeError::Refused("no command".into()))?;
            let root = inside::root(&dir, &instance.name);
            let folder = exec.working_dir.map_or(spec.inside, |path| {
                let inside = root.join(path.trim_start_matches('/'));
                if inside.is_dir() { inside } else { PathBuf::from(path) }
            });
            let mut command = tokio::process::Command::new(program);
            command.args(arguments).env_clear().envs(&spec.env).env("PWD", &folder);
            command.envs(exec.env.iter().filter_map(|pair| pair.split_once('=')));
            // As with Docker, a name alone stands for the caller's own variable.
            let named = exec.env.iter().filter(|pair| !pair.contains('='));
            command.envs(named.filter_map(|name| Some((name, std::env::var_os(name)?))));
            command.envs(std::env::var_os("TERM").filter(|_| exec.tty).map(|term| ("TERM", term)));
            command.current_dir(folder);
            if !exec.interactive {
                command.stdin(std::process::Stdio::null());
            }
            let mut child = command.spawn().map_err(RuntimeError::io(program))?;
            if exec.detach {
                return Ok(0);
            }
            let status = child.wait().await.map_err(RuntimeError::io(program))?;
            Ok(status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0)))
        })
    }

    fn top<'a>(&'a self, instance: &'a Instance) -> BoxFuture<'a, Result<Table>> {
        let rows = instance.pid.map(top::rows).unwrap_or_default();
        Box::pin(std::future::ready(Ok((top::TITLES.map(str::to_owned).to_vec(), rows))))
    }

    fn projects(&self) -> BoxFuture<'_, Result<Vec<Listed>>> {
        Box::pin(async move {
            let mut found = Vec::new();
            for dir in self.dir(".projects").others() {
                let instances = self.instances(&dir).await;
                let kept = supervisor::read_state(&dir);
                let files =
                    kept.values().next().map(|saved| saved.spec.config_files.clone()).unwrap_or_default();
                let files: Vec<String> = files.iter().map(|file| file.display().to_string()).collect();
                let states = instances.iter().map(|instance| instance.state.word().to_owned()).collect();
                found.push(Listed { name: dir.name(), states, config_files: files.join(",") });
            }
            Ok(found)
        })
    }

    fn is_folder<'a>(
        &'a self,
        project: &'a str,
        instance: &'a Instance,
        path: &'a str,
    ) -> BoxFuture<'a, Result<bool>> {
        Box::pin(std::future::ready(Ok(self.inside(project, instance, path).is_dir())))
    }

    fn copy_out<'a>(
        &'a self,
        project: &'a str,
        instance: &'a Instance,
        path: &'a str,
    ) -> BoxFuture<'a, Result<Vec<u8>>> {
        let place = self.inside(project, instance, path);
        let name = path.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
        let packed = archive::pack(&place, if name.is_empty() { "root" } else { name });
        Box::pin(std::future::ready(packed.map_err(RuntimeError::io(path))))
    }

    fn copy_in<'a>(
        &'a self,
        project: &'a str,
        instance: &'a Instance,
        folder: &'a str,
        archive: Vec<u8>,
    ) -> BoxFuture<'a, Result<()>> {
        let place = self.inside(project, instance, folder);
        let unpacked = tar::Archive::new(archive.as_slice()).unpack(&place);
        Box::pin(std::future::ready(unpacked.map_err(RuntimeError::io(folder))))
    }

    fn capture<'a>(&'a self, _: &'a Instance, command: Vec<String>) -> BoxFuture<'a, Result<String>> {
        Box::pin(async move {
            let (program, arguments) =
                command.split_first().ok_or_else(|| RuntimeError::Refused("no command".into()))?;
            let output = tokio::process::Command::new(program).args(arguments).output().await;
            Ok(String::from_utf8_lossy(&output.map_err(RuntimeError::io(program))?.stdout).into_owned())
        })
    }

    fn passes_check<'a>(&'a self, _: &'a ServiceSpec, _: &'a Instance) -> BoxFuture<'a, Result<bool>> {
        Box::pin(std::future::ready(Ok(false)))
    }

    fn names(&self, spec: &ProjectSpec, service: &ServiceSpec) -> BTreeMap<String, IpAddr> {
        layout::names(spec, service, &address::read(&self.dir(&spec.name)))
    }

    fn look_from<'a>(
        &'a self,
        spec: &'a ProjectSpec,
        from: &'a ServiceSpec,
        looks: Vec<Look>,
        timeout_ms: u64,
    ) -> BoxFuture<'a, Result<Findings>> {
        Box::pin(async move {
            let names = self.names(spec, from);
            Ok(until_ready(&looks, &names, Duration::from_millis(timeout_ms)).await)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::MountSource;
    use crate::testing::spec_in;

    /// A tool with a volume that is a folder of the host, a part of a volume, and a text.
    const FILE: &str = "services:
  tool:
    image: bitnami/kafka:3.7.0
    command: [kafka-topics.sh]
    volumes: ['bound:/bound', {type: volume, source: plain, target: /part, volume: {subpath: a/b}}]
    configs: [text]
volumes:
  plain: {}
  bound: {driver: local, driver_opts: {type: none, o: bind, device: ./data}}
configs: {text: {content: hello}}
";

    #[tokio::test]
    async fn a_volume_is_the_folder_that_its_options_name_and_goes_without_it() {
        let folder = tempfile::tempdir().unwrap();
        let spec = spec_in(folder.path(), FILE);
        let runtime = ProcessRuntime::at(folder.path().join("home"), Names::default());
        let dir = runtime.dir(&spec.name);
        let services: Vec<&ServiceSpec> = spec.services.iter().collect();
        let mut found = Preflight::default();
        volumes::check(&dir, &spec, &services, &mut found);
        assert!(found.errors[0].contains("the volume bound is the folder"), "{found:?}");

        let data = folder.path().join("data");
        fs::create_dir(&data).unwrap();
        for volume in ["seed_bound", "seed_plain"] {
            let step = Step::CreateVolume { volume: volume.into() };
            runtime.do_step("seed", Some(&spec), &step).await.unwrap();
        }
        runtime.instance(&dir, &spec, "tool").unwrap();
        let root = inside::root(&dir, "seed-tool-1");
        fs::write(root.join("bound/file"), "kept").unwrap();
        fs::write(root.join("part/file"), "part").unwrap();
        assert_eq!(fs::read_to_string(root.join("text")).unwrap(), "hello");
        assert!(dir.volumes().join("seed_plain/a/b/file").exists());
        let mut found = Preflight::default();
        volumes::check(&dir, &spec, &services, &mut found);
        assert!(found.errors.is_empty() && found.warnings.is_empty(), "{found:?}");

        let step = Step::RemoveVolume { volume: "seed_bound".into() };
        runtime.do_step("seed", None, &step).await.unwrap();
        assert!(!dir.volumes().join("seed_bound").exists());
        assert_eq!(fs::read_to_string(data.join("file")).unwrap(), "kept", "the folder is the user's");

        fs::create_dir(dir.volumes().join("seed_bound")).unwrap();
        let mut found = Preflight::default();
        volumes::check(&dir, &spec, &services, &mut found);
        assert!(found.warnings[0].contains("was made before the file said"), "{found:?}");
        assert!(spec.services[0].mounts.iter().any(|m| matches!(m.source, MountSource::Text { .. })));
    }
}
