//! Services as containers of a Docker engine, with Docker Compose's names and labels.
//!
//! Nothing is asked of a registry for Kafka images: nodes run an image made of this very program.

pub mod container;
mod error;
mod exec;
mod folders;
pub mod image;
mod observe;
mod resources;
pub mod rootfs;
mod streams;

use crate::claim::Claims;
use crate::logline::{LogLine, LogOptions};
use crate::model::{Instance, Observed, PortSpec, ProjectSpec, ServiceSpec};
use crate::mounts;
use crate::plan::{Kind, Means, Step};
use crate::ports;
use crate::process::holder;
use crate::process::protocol::Event;
use crate::ready::{Findings, Look};
use crate::runtime::{ExecSpec, Listed, Outcome, Preflight, Result, Runtime, RuntimeError, Table};
use bollard::Docker;
use bollard::models::NetworkConnectRequest;
use bollard::query_parameters::{
    CreateContainerOptionsBuilder, CreateImageOptionsBuilder, DownloadFromContainerOptionsBuilder,
    EventsOptionsBuilder, InspectNetworkOptions, KillContainerOptionsBuilder, RemoveContainerOptionsBuilder,
    RemoveVolumeOptions, StartContainerOptions, StopContainerOptionsBuilder, UploadToContainerOptionsBuilder,
};
use container::PROJECT;
use error::{failed, not_pulled, status, unless, words};
use futures_util::future::BoxFuture;
use futures_util::stream::{BoxStream, StreamExt as _, TryStreamExt as _};
use image::{Content, Names};
use jackdaw_compose::HealthTest;
use jackdaw_conventions::Provider;
use std::collections::{BTreeMap, HashMap};
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// An engine that is there answers at once.
const PING_TIMEOUT: Duration = Duration::from_secs(2);
/// A healthcheck that is run to shorten a wait.
const CHECK_TIMEOUT: Duration = Duration::from_secs(5);
/// HTTP's "not modified": the container is so already.
const NOT_MODIFIED: u16 = 304;
const NOT_FOUND: u16 = 404;
const CONFLICT: u16 = 409;

/// A Docker engine.
#[derive(Debug, Clone)]
pub struct DockerRuntime {
    docker: Docker,
    names: Names,
    own: Arc<OnceLock<Own>>,
    claims: Claims,
}

/// The image of this program, read when it is first needed.
#[derive(Debug)]
struct Own {
    content: Content,
    image: String,
}

impl DockerRuntime {
    /// Connects to the engine of DOCKER_HOST, or of the usual socket; `names` are those that this program answers to.
    ///
    /// # Errors
    /// [`RuntimeError::Unavailable`] when none answers.
    pub async fn connect(names: Names) -> Result<Self> {
        let none = |why: String| RuntimeError::Unavailable(format!("no Docker engine answers: {why}"));
        let docker = Docker::connect_with_defaults().map_err(|error| none(words(&error)))?;
        let pinged = tokio::time::timeout(PING_TIMEOUT, docker.ping()).await;
        pinged.map_err(|_| none("no answer in time".into()))?.map_err(|error| none(words(&error)))?;
        let docker = docker.negotiate_version().await.map_err(|error| none(words(&error)))?;
        Ok(DockerRuntime { docker, names, own: Arc::default(), claims: Claims::default() })
    }

    fn own(&self) -> Result<&Own> {
        if let Some(own) = self.own.get() {
            return Ok(own);
        }
        let content = Content::of_this_program(&self.names)?;
        let image = content.reference();
        Ok(self.own.get_or_init(|| Own { content, image }))
    }

    /// Makes the image under that name, with what a convention (by default the environment's) runs in it.
    ///
    /// # Errors
    /// As the engine says.
    pub async fn import(&self, reference: &str, convention: Option<Provider>) -> Result<()> {
        let tar = self.own()?.content.tar().map_err(RuntimeError::io("the image"))?;
        let (repo, tag) = named(reference);
        let options = CreateImageOptionsBuilder::default()
            .from_src("-")
            .repo(repo)
            .tag(tag)
            .changes(image::changes(convention))
            .build();
        let told = self.docker.create_image(Some(options), Some(bollard::body_full(tar.into())), None);
        told.try_for_each(|_| std::future::ready(Ok(()))).await.map_err(failed)
    }

    /// The image's name, by its content.
    ///
    /// # Errors
    /// When this program cannot be read.
    pub fn own_image(&self) -> Result<&str> {
        Ok(&self.own()?.image)
    }

    async fn pull(&self, image: &str, services: &[String], platform: Option<&str>) -> Outcome {
        let options = CreateImageOptionsBuilder::default().from_image(&tagged(image));
        let options = options.platform(platform.unwrap_or_default()).build();
        let told = self.docker.create_image(Some(options), None, None);
        match told.try_for_each(|_| std::future::ready(Ok(()))).await {
            Ok(()) => Outcome::Done,
            Err(error) => Outcome::LeftOut(services.to_vec(), not_pulled(image, &error)),
        }
    }

    async fn create(&self, spec: &ProjectSpec, name: &str) -> Result<Outcome> {
        let service =
            spec.service(name).ok_or_else(|| RuntimeError::Failed(format!("{name} is not in the file")))?;
        if let (Some(node), true) = (&service.node, is_local()) {
            folders::make_missing(service, node)?;
        }
        let mut body = container::body(spec, service, &self.own()?.image, &self.names);
        if let Some(options) = body.host_config.as_mut().and_then(|host| host.security_opt.as_mut()) {
            with_profiles(&spec.working_dir, options)?;
        }
        let options = CreateContainerOptionsBuilder::default().name(&service.container);
        let options = options.platform(container::platform(service).unwrap_or_default()).build();
        let created = self.docker.create_container(Some(options), body).await;
        created.map_err(|error| match (status(&error), failed(error)) {
            (CONFLICT, why) => RuntimeError::Refused(format!("{name}: {why}")),
            (_, RuntimeError::Failed(why)) => RuntimeError::Failed(format!("{name}: {why}")),
            (_, gone) => gone,
        })?;
        if service.compose.network_mode.is_none() {
            for (network, settings) in container::endpoints(spec, service).into_iter().skip(1) {
                let connect = NetworkConnectRequest {
                    container: service.container.clone(),
                    endpoint_config: Some(settings),
                };
                self.docker.connect_network(&network, connect).await.map_err(failed)?;
            }
        }
        if let Some(tar) = container::texts(service).map_err(RuntimeError::io("secrets and configs"))? {
            self.upload(&service.container, tar).await?;
        }
        if let Some(node) = &service.node {
            if !service.compose.read_only {
                let tar = container::upload(service, node).map_err(RuntimeError::io(image::PROPERTIES))?;
                self.upload(&service.container, tar).await?;
            }
            let warnings = self.other_clusters(service, node).await;
            return Ok(if warnings.is_empty() { Outcome::Done } else { Outcome::Warned(warnings) });
        }
        Ok(Outcome::Done)
    }

    async fn upload(&self, container: &str, tar: Vec<u8>) -> Result<()> {
        let options = UploadToContainerOptionsBuilder::default().path("/").build();
        let body = bollard::body_full(tar.into());
        self.docker.upload_to_container(container, Some(options), body).await.map_err(failed)
    }

    async fn do_step(&self, spec: Option<&ProjectSpec>, step: &Step) -> Result<Outcome> {
        let no_file = || RuntimeError::Failed("this is made from a file, and there is none".into());
        match step {
            Step::ImportImage { image } => self.import(image, None).await?,
            Step::PullImage { image, services } => {
                let asks = services.iter().filter_map(|name| spec?.service(name));
                let platform = asks.filter_map(container::platform).next();
                return Ok(self.pull(image, services, platform).await);
            }
            Step::CreateNetwork { network: name } => {
                let spec = spec.ok_or_else(no_file)?;
                let wanted =
                    spec.networks.iter().find(|network| network.name == *name).ok_or_else(no_file)?;
                self.docker.create_network(container::network(spec, wanted)).await.map_err(failed)?;
            }
            Step::CreateVolume { volume: name } => {
                let spec = spec.ok_or_else(no_file)?;
                let wanted = spec.volumes.iter().find(|volume| volume.name == *name).ok_or_else(no_file)?;
                self.docker.create_volume(container::volume(spec, wanted)).await.map_err(failed)?;
            }
            Step::Create { service, .. } => return self.create(spec.ok_or_else(no_file)?, service).await,
            Step::Start { container, .. } => {
                let started = self.docker.start_container(container, None::<StartContainerOptions>).await;
                unless(started, &[NOT_MODIFIED])?;
            }
            Step::Stop { container, grace_ms, .. } => {
                let seconds = i32::try_from(grace_ms.div_ceil(1000)).unwrap_or(i32::MAX);
                let options = StopContainerOptionsBuilder::default().t(seconds).build();
                unless(
                    self.docker.stop_container(container, Some(options)).await,
                    &[NOT_MODIFIED, NOT_FOUND],
                )?;
            }
            Step::Kill { container, signal, .. } => {
                let options = KillContainerOptionsBuilder::default().signal(signal).build();
                self.docker.kill_container(container, Some(options)).await.map_err(failed)?;
            }
            Step::Pause { container, .. } => self.docker.pause_container(container).await.map_err(failed)?,
            Step::Unpause { container, .. } => {
                self.docker.unpause_container(container).await.map_err(failed)?;
            }
            Step::Remove { container, volumes, .. } => {
                let options = RemoveContainerOptionsBuilder::default().v(*volumes).force(true).build();
                unless(self.docker.remove_container(container, Some(options)).await, &[NOT_FOUND])?;
            }
            Step::RemoveNetwork { network } => {
                unless(self.docker.remove_network(network).await, &[NOT_FOUND])?
            }
            Step::RemoveVolume { volume } => {
                let removed = self.docker.remove_volume(volume, None::<RemoveVolumeOptions>).await;
                if removed.as_ref().is_err_and(|error| status(error) == CONFLICT) {
                    return Ok(Outcome::Kept(format!("the volume {volume} stays: a container has it")));
                }
                unless(removed, &[NOT_FOUND])?;
            }
            Step::LeaveOut(_) | Step::Wait { .. } => {}
        }
        Ok(Outcome::Done)
    }

    /// Networks that somebody else was to make.
    async fn check_external(&self, spec: &ProjectSpec, starting: &[&ServiceSpec], found: &mut Preflight) {
        let is_used = |key: &str| {
            starting.iter().any(|service| service.compose.networks.iter().any(|on| on.key.value == key))
        };
        for network in spec.networks.iter().filter(|network| network.external && is_used(&network.key)) {
            let name = &network.name;
            let asked = self.docker.inspect_network(name, None::<InspectNetworkOptions>).await;
            if asked.is_err_and(|error| status(&error) == NOT_FOUND) {
                let place =
                    network.compose.key.span.position().map(|at| format!("{at}: ")).unwrap_or_default();
                found.errors.push(format!(
                    "{place}the network {name} is external and is not there: `docker network create {name}` makes \
                     it, or remove `external: true`"
                ));
            }
        }
    }

    /// Volumes that somebody else was to make: the engine would make empty ones of those names.
    async fn check_external_volumes(
        &self,
        spec: &ProjectSpec,
        starting: &[&ServiceSpec],
        found: &mut Preflight,
    ) {
        let is_used = |name: &String| starting.iter().any(|service| service.mounts_volume(name));
        for volume in spec.volumes.iter().filter(|volume| volume.external && is_used(&volume.name)) {
            let name = &volume.name;
            if self.docker.inspect_volume(name).await.is_err_and(|error| status(&error) == NOT_FOUND) {
                let place =
                    volume.compose.key.span.position().map(|at| format!("{at}: ")).unwrap_or_default();
                found.errors.push(format!(
                    "{place}the volume {name} is external and is not there: `docker volume create {name}` makes it, \
                     or remove `external: true`"
                ));
            }
        }
    }

    fn archive(&self, container: &str, path: &str) -> BoxStream<'_, Result<Vec<u8>>> {
        let options = DownloadFromContainerOptionsBuilder::default().path(path).build();
        let pieces = self.docker.download_from_container(container, Some(options));
        pieces.map(|piece| piece.map(|bytes| bytes.to_vec()).map_err(failed)).boxed()
    }

    /// Ports of this machine that are taken by somebody else than this project.
    async fn check_ports(&self, starting: &[&ServiceSpec], observed: &Observed, found: &mut Preflight) {
        let ours: Vec<u16> =
            observed.instances.iter().flat_map(|i| i.ports.iter().map(|port| port.published)).collect();
        let containers = self.published().await;
        let mut claimed: HashMap<(Option<IpAddr>, u16), &str> = HashMap::new();
        for service in starting {
            for (port, published) in service.ports.iter().filter_map(|port| Some((port, port.published?))) {
                if let Some(other) = claimed.insert((port.host_ip, published), &service.name) {
                    found.errors.push(format!("{other} and {} both publish {published}", service.name));
                }
                if ours.contains(&published) || port.protocol != "tcp" {
                    continue;
                }
                let ip = port.host_ip.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
                let socket = SocketAddr::new(ip, published);
                let holder = match containers.get(&published) {
                    Some(container) => Some(format!("container {container}")),
                    None => taken(socket),
                };
                let told =
                    holder.map(|holder| format!("{}: port {socket} is taken by {holder}", service.name));
                found.errors.extend(told);
            }
        }
    }
}

/// Profiles of seccomp by their content: the engine reads no file for them.
fn with_profiles(working_dir: &Path, options: &mut [String]) -> Result<()> {
    for option in options {
        let Some(("seccomp", profile)) = option.split_once('=').or_else(|| option.split_once(':')) else {
            continue;
        };
        if matches!(profile, "unconfined" | "builtin") {
            continue;
        }
        let path = working_dir.join(profile);
        let text = std::fs::read_to_string(&path).map_err(RuntimeError::io(&path))?;
        let content: serde_json::Value = serde_json::from_str(&text)
            .map_err(|error| RuntimeError::Refused(format!("{}: {error}", path.display())))?;
        *option = format!("seccomp={content}");
    }
    Ok(())
}

/// Whether the engine is this machine's: another one has other ports and folders.
fn is_local() -> bool {
    std::env::var("DOCKER_HOST").map_or(true, |host| host.starts_with("unix:"))
}

/// Who keeps a socket of this machine from being bound, in words.
fn taken(socket: SocketAddr) -> Option<String> {
    let error = holder::probe(socket).err()?;
    (error.kind() == io::ErrorKind::AddrInUse).then(|| holder::told(socket))
}

/// The reference with a tag: without one the engine would pull every tag there is.
fn tagged(image: &str) -> String {
    let name = image.rsplit('/').next().unwrap_or(image);
    if name.contains(':') || name.contains('@') { image.to_owned() } else { format!("{image}:latest") }
}

/// Name and tag of a reference; a colon before the last slash is a port.
fn named(reference: &str) -> (&str, &str) {
    match reference.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => (name, tag),
        _ => (reference, "latest"),
    }
}

impl Runtime for DockerRuntime {
    fn kind(&self) -> Kind {
        Kind::Docker
    }

    fn means(&self) -> Result<Means> {
        let own_image = Some(self.own()?.image.clone());
        Ok(Means { kind: Kind::Docker, own_image, has_tools: !self.names.kafka.is_empty() })
    }

    fn observe<'a>(
        &'a self,
        project: &'a str,
        spec: Option<&'a ProjectSpec>,
    ) -> BoxFuture<'a, Result<Observed>> {
        Box::pin(self.look(project, spec))
    }

    fn settle_ports<'a>(
        &'a self,
        spec: &'a mut ProjectSpec,
        observed: &'a Observed,
    ) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            if !is_local() {
                // Another machine's ports cannot be tried: its engine chooses, and nothing here is advertised there.
                ports::recall(spec, observed);
                return Ok(());
            }
            let containers = self.published().await;
            let is_free = |port: &PortSpec, at: u16| {
                let ip = port.host_ip.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
                !containers.contains_key(&at) && taken(SocketAddr::new(ip, at)).is_none()
            };
            ports::settle(spec, observed, &is_free, &|at| self.claims.take(at)).map_err(RuntimeError::Refused)
        })
    }

    fn preflight<'a>(
        &'a self,
        spec: &'a ProjectSpec,
        starting: &'a [&'a ServiceSpec],
        observed: &'a Observed,
    ) -> BoxFuture<'a, Result<Preflight>> {
        Box::pin(async move {
            let mut found = Preflight::default();
            self.check_external(spec, starting, &mut found).await;
            self.check_external_volumes(spec, starting, &mut found).await;
            if is_local() {
                self.check_ports(starting, observed, &mut found).await;
                let nodes = starting.iter().filter_map(|service| Some((service, service.node.as_ref()?)));
                found.errors.extend(nodes.flat_map(|(service, node)| folders::unwritable(service, node)));
                starting.iter().for_each(|service| mounts::look(service, &mut found));
            }
            for service in starting.iter().filter(|service| service.reference.is_some()) {
                let name = &service.name;
                found.errors.push(format!("{name}: Apache Kafka is run as a process: use --runtime process"));
            }
            Ok(found)
        })
    }

    fn step<'a>(
        &'a self,
        _: &'a str,
        spec: Option<&'a ProjectSpec>,
        step: &'a Step,
    ) -> BoxFuture<'a, Result<Outcome>> {
        Box::pin(self.do_step(spec, step))
    }

    fn finish<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<()>> {
        Box::pin(std::future::ready(Ok(())))
    }

    fn logs<'a>(
        &'a self,
        _: &'a str,
        instance: &'a Instance,
        options: LogOptions,
    ) -> BoxStream<'static, LogLine> {
        streams::logs(&self.docker, &instance.name, options)
    }

    fn events<'a>(&'a self, project: &'a str) -> BoxFuture<'a, Result<BoxStream<'static, Event>>> {
        let filters = HashMap::from([
            ("label", vec![format!("{PROJECT}={project}")]),
            ("type", vec!["container".to_owned()]),
        ]);
        let options = EventsOptionsBuilder::default().filters(&filters).build();
        let events = self.docker.events(Some(options));
        let events = events
            .filter_map(|message| std::future::ready(message.ok().as_ref().and_then(streams::event)))
            .boxed();
        Box::pin(std::future::ready(Ok(events)))
    }

    fn exec<'a>(&'a self, _: &'a str, instance: &'a Instance, exec: ExecSpec) -> BoxFuture<'a, Result<i32>> {
        Box::pin(exec::run(&self.docker, &instance.name, exec))
    }

    fn top<'a>(&'a self, instance: &'a Instance) -> BoxFuture<'a, Result<Table>> {
        Box::pin(async move {
            let seen = self.docker.top_processes(&instance.name, None).await.map_err(failed)?;
            Ok((seen.titles.unwrap_or_default(), seen.processes.unwrap_or_default()))
        })
    }

    fn projects(&self) -> BoxFuture<'_, Result<Vec<Listed>>> {
        Box::pin(self.listed())
    }

    fn is_folder<'a>(
        &'a self,
        _: &'a str,
        instance: &'a Instance,
        path: &'a str,
    ) -> BoxFuture<'a, Result<bool>> {
        Box::pin(async move {
            // Its first entry says what it is; what is not there is no folder.
            let mut archive = self.archive(&instance.name, path);
            let Some(Ok(first)) = archive.next().await else { return Ok(false) };
            let mut entries = tar::Archive::new(&first[..]);
            let first = entries.entries().ok().and_then(|mut entries| entries.next());
            Ok(first
                .and_then(std::result::Result::ok)
                .is_some_and(|entry| entry.header().entry_type().is_dir()))
        })
    }

    fn copy_out<'a>(
        &'a self,
        _: &'a str,
        instance: &'a Instance,
        path: &'a str,
    ) -> BoxFuture<'a, Result<Vec<u8>>> {
        Box::pin(async move {
            let pieces: Vec<_> = self.archive(&instance.name, path).try_collect().await?;
            Ok(pieces.concat())
        })
    }

    fn copy_in<'a>(
        &'a self,
        _: &'a str,
        instance: &'a Instance,
        folder: &'a str,
        archive: Vec<u8>,
    ) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            let options = UploadToContainerOptionsBuilder::default().path(folder).build();
            let body = bollard::body_full(archive.into());
            self.docker.upload_to_container(&instance.name, Some(options), body).await.map_err(failed)
        })
    }

    fn capture<'a>(&'a self, instance: &'a Instance, command: Vec<String>) -> BoxFuture<'a, Result<String>> {
        Box::pin(exec::capture(&self.docker, &instance.name, command))
    }

    fn passes_check<'a>(
        &'a self,
        service: &'a ServiceSpec,
        instance: &'a Instance,
    ) -> BoxFuture<'a, Result<bool>> {
        Box::pin(async move {
            let Some(check) = &service.compose.healthcheck else { return Ok(false) };
            let words = match &check.test {
                _ if service.stands_in.is_some() && container::calls_missing(check, &self.names) => {
                    vec![image::BINARY.into(), "healthy".into()]
                }
                HealthTest::Command(words) => words.clone(),
                HealthTest::Shell(line) => vec!["/bin/sh".into(), "-c".into(), line.clone()],
                HealthTest::Disabled | HealthTest::Inherited => return Ok(false),
            };
            // A check that hangs, or a container that ends meanwhile, is not healthy yet.
            let asked =
                tokio::time::timeout(CHECK_TIMEOUT, exec::succeeds(&self.docker, &instance.name, words));
            Ok(asked.await.is_ok_and(|ended| ended.unwrap_or(false)))
        })
    }

    fn names(&self, _: &ProjectSpec, _: &ServiceSpec) -> BTreeMap<String, IpAddr> {
        BTreeMap::new()
    }

    fn look_from<'a>(
        &'a self,
        _: &'a ProjectSpec,
        from: &'a ServiceSpec,
        looks: Vec<Look>,
        timeout_ms: u64,
    ) -> BoxFuture<'a, Result<Findings>> {
        Box::pin(async move {
            let question =
                serde_json::to_string(&looks).map_err(|error| RuntimeError::Failed(error.to_string()))?;
            let words = vec![image::BINARY.into(), "await".into(), question, timeout_ms.to_string()];
            let answer = exec::capture(&self.docker, &from.container, words).await?;
            let unread = |_| RuntimeError::Failed(format!("{}: {}", from.container, answer.trim()));
            serde_json::from_str(&answer).map_err(unread)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::with_profiles;

    #[test]
    fn a_seccomp_profile_is_handed_over_by_its_content() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("p.json"), "{ \"a\": 1 }").unwrap();
        let mut options: Vec<String> =
            ["seccomp:p.json", "seccomp=unconfined", "no-new-privileges:true", "label=disable"]
                .map(str::to_owned)
                .to_vec();
        with_profiles(folder.path(), &mut options).unwrap();
        assert_eq!(
            options,
            ["seccomp={\"a\":1}", "seccomp=unconfined", "no-new-privileges:true", "label=disable"]
        );
        assert!(with_profiles(folder.path(), &mut ["seccomp=absent.json".into()]).is_err());
    }
}
