//! What a command will do, as data: made from what is wanted and what is there, printed by `--dry-run`,
//! executed by either runtime. No I/O.

use crate::model::{Instance, LeftOut, Observed, ProjectSpec, ServiceSpec, State, VolumeSpec};
use jackdaw_compose::Condition;
use serde::Serialize;
use std::fmt;

/// Which machinery carries a plan out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A Docker engine.
    Docker,
    /// Processes on loopback.
    Process,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::Docker => "docker",
            Kind::Process => "process",
        })
    }
}

/// One thing to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "do", rename_all = "snake_case")]
pub enum Step {
    /// Do not run a service.
    LeaveOut(LeftOut),
    /// Stream the running binary to the engine.
    ImportImage {
        /// The image's tag.
        image: String,
    },
    /// Pull an image; where that cannot be, leave its services out.
    PullImage {
        /// The image.
        image: String,
        /// Services that run it.
        services: Vec<String>,
    },
    /// Make a network.
    CreateNetwork {
        /// Its name.
        network: String,
    },
    /// Make a volume.
    CreateVolume {
        /// Its name.
        volume: String,
    },
    /// Ask to stop, then kill.
    Stop {
        /// Service.
        service: String,
        /// Container.
        container: String,
        /// Time between the two.
        grace_ms: u64,
    },
    /// Send a signal.
    Kill {
        /// Service.
        service: String,
        /// Container.
        container: String,
        /// Signal name.
        signal: String,
    },
    /// Freeze a container.
    Pause {
        /// Service.
        service: String,
        /// Container.
        container: String,
    },
    /// Let a frozen one go on.
    Unpause {
        /// Service.
        service: String,
        /// Container.
        container: String,
    },
    /// Remove a container.
    Remove {
        /// Service.
        service: String,
        /// Container.
        container: String,
        /// Why.
        reason: String,
        /// With its unnamed volumes.
        volumes: bool,
    },
    /// Make a container.
    Create {
        /// Service.
        service: String,
        /// Container.
        container: String,
        /// What it will be.
        summary: String,
        /// The spec's hash.
        hash: String,
    },
    /// Wait for a dependency.
    Wait {
        /// The service that waits.
        service: String,
        /// The service waited for.
        dependency: String,
        /// `service_healthy` or `service_completed_successfully`.
        condition: String,
        /// Whether its failure is this service's.
        required: bool,
    },
    /// Start a container.
    Start {
        /// Service.
        service: String,
        /// Container.
        container: String,
    },
    /// Remove a network.
    RemoveNetwork {
        /// Its name.
        network: String,
    },
    /// Remove a volume and its data.
    RemoveVolume {
        /// Its name.
        volume: String,
    },
}

impl Step {
    /// Whether two neighbouring steps may be done at the same time.
    pub fn goes_with(&self, other: &Step) -> bool {
        std::mem::discriminant(self) == std::mem::discriminant(other)
    }

    /// The container that it is about.
    pub fn container(&self) -> Option<&str> {
        match self {
            Step::Stop { container, .. }
            | Step::Kill { container, .. }
            | Step::Pause { container, .. }
            | Step::Unpause { container, .. }
            | Step::Remove { container, .. }
            | Step::Create { container, .. }
            | Step::Start { container, .. } => Some(container),
            _ => None,
        }
    }

    /// The service that it is for.
    pub fn service(&self) -> Option<&str> {
        match self {
            Step::Stop { service, .. }
            | Step::Kill { service, .. }
            | Step::Pause { service, .. }
            | Step::Unpause { service, .. }
            | Step::Remove { service, .. }
            | Step::Create { service, .. }
            | Step::Wait { service, .. }
            | Step::Start { service, .. } => Some(service),
            _ => None,
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Step::LeaveOut(out) => write!(f, "leave out  {}: {}", out.service, out.reason),
            Step::ImportImage { image } => write!(f, "import     image {image} (this program)"),
            Step::PullImage { image, services } => {
                write!(f, "pull       image {image} (else leave out {})", services.join(", "))
            }
            Step::CreateNetwork { network } => write!(f, "create     network {network}"),
            Step::CreateVolume { volume } => write!(f, "create     volume {volume}"),
            Step::Stop { container, grace_ms, .. } => {
                write!(f, "stop       container {container} (within {} s)", grace_ms.div_ceil(1000))
            }
            Step::Kill { container, signal, .. } => write!(f, "kill       container {container} ({signal})"),
            Step::Pause { container, .. } => write!(f, "pause      container {container}"),
            Step::Unpause { container, .. } => write!(f, "unpause    container {container}"),
            Step::Remove { container, reason, volumes, .. } => {
                let with = if *volumes { ", with its unnamed volumes" } else { "" };
                write!(f, "remove     container {container} ({reason}{with})")
            }
            Step::Create { container, summary, .. } => {
                write!(f, "create     container {container} ({summary})")
            }
            Step::Wait { service, dependency, condition, .. } => {
                write!(f, "wait       {dependency}: {condition}, for {service}")
            }
            Step::Start { container, .. } => write!(f, "start      container {container}"),
            Step::RemoveNetwork { network } => write!(f, "remove     network {network}"),
            Step::RemoveVolume { volume } => write!(f, "remove     volume {volume} and its data"),
        }
    }
}

/// Everything that a command will do, in order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Plan {
    /// The project.
    pub project: String,
    /// Where.
    pub runtime: Kind,
    /// What.
    pub steps: Vec<Step>,
}

impl Plan {
    /// Whether it changes nothing.
    pub fn is_empty(&self) -> bool {
        self.steps.iter().all(|step| matches!(step, Step::LeaveOut(_)))
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "project {} on {}", self.project, self.runtime)?;
        for step in &self.steps {
            writeln!(f, "  {step}")?;
        }
        if self.is_empty() {
            writeln!(f, "  nothing to do")?;
        }
        Ok(())
    }
}

/// What `up` was asked beside the services.
#[derive(Debug, Clone, Default)]
pub struct UpOptions {
    /// Make every container anew.
    pub force_recreate: bool,
    /// Leave changed containers as they are.
    pub no_recreate: bool,
    /// Make containers, start none.
    pub no_start: bool,
    /// Remove containers of services that the file no longer has.
    pub remove_orphans: bool,
    /// With new unnamed volumes.
    pub renew_anonymous: bool,
}

/// What a runtime tells the planner about itself.
#[derive(Debug, Clone)]
pub struct Means {
    /// Which one it is.
    pub kind: Kind,
    /// The image of this binary, where the runtime has images.
    pub own_image: Option<String>,
    /// Whether Kafka's tools are in it, for services that use an image for them.
    pub has_tools: bool,
}

impl Means {
    /// Whether it runs such a service.
    pub fn runs(&self, service: &ServiceSpec) -> bool {
        match (self.kind, service.stands_in) {
            _ if service.node.is_some() => true,
            (_, Some(_)) => self.has_tools,
            (Kind::Process, None) => false,
            (Kind::Docker, None) => true,
        }
    }
}

/// The plan of `up` for the selected services.
pub fn up(
    spec: &ProjectSpec,
    selected: &[&ServiceSpec],
    left_out: &[LeftOut],
    observed: &Observed,
    means: &Means,
    options: &UpOptions,
) -> Plan {
    let mut steps: Vec<Step> = left_out.iter().cloned().map(Step::LeaveOut).collect();
    let (runnable, refused): (Vec<&ServiceSpec>, Vec<&ServiceSpec>) =
        selected.iter().partition(|service| means.runs(service));
    steps.extend(refused.iter().map(|service| Step::LeaveOut(not_runnable(service))));
    let (lacking, runnable): (Vec<&ServiceSpec>, Vec<&ServiceSpec>) =
        runnable.into_iter().partition(|service| may_not_be_pulled(service, observed, means));
    steps.extend(lacking.iter().map(|service| {
        let reason = format!("{} is not here, and its pull_policy is never", service.image);
        Step::LeaveOut(LeftOut { service: service.name.clone(), reason })
    }));
    if options.remove_orphans {
        let orphans = orphans(spec, observed);
        steps.extend(orphans.iter().filter(|o| o.state.is_live()).map(|o| stop(o, None)));
        steps.extend(orphans.iter().map(|orphan| remove(orphan, "its service is gone from the file", false)));
    }
    steps.extend(images(&runnable, observed, means));
    steps.extend(surroundings(spec, &runnable, observed, means));
    let mut fates: Vec<Fate<'_>> =
        runnable.iter().map(|service| Fate::of(service, observed, options)).collect();
    steps.extend(restarted_with_others(&mut fates, observed));
    let replaced = || fates.iter().filter_map(|fate| Some((fate.replaces?, fate)));
    steps.extend(
        replaced().filter(|(old, _)| old.state.is_live()).map(|(old, fate)| stop(old, Some(fate.service))),
    );
    steps.extend(replaced().map(|(old, fate)| remove(old, fate.reason, options.renew_anonymous)));
    steps.extend(fates.iter().filter(|fate| fate.create).map(|fate| create(fate.service)));
    if !options.no_start {
        let out = |name: &str| !runnable.iter().any(|service| service.name == name);
        for fate in fates.iter().filter(|fate| fate.start) {
            steps.extend(waits(fate.service).filter(|step| match step {
                Step::Wait { dependency, .. } => !out(dependency),
                _ => true,
            }));
            steps.push(start(&fate.service.name, &fate.service.container));
        }
    }
    Plan { project: spec.name.clone(), runtime: means.kind, steps }
}

/// Why a service that starts no node cannot run there.
fn not_runnable(service: &ServiceSpec) -> LeftOut {
    let image = &service.image;
    let reason = match service.stands_in {
        Some(_) => {
            format!("it runs a command of its own in {image}, whose tools are not part of this program")
        }
        None => format!("{image} is not a Kafka image, and only a container engine can run it"),
    };
    LeftOut { service: service.name.clone(), reason }
}

/// Whether its image would have to be pulled, and the file forbids that.
fn may_not_be_pulled(service: &ServiceSpec, observed: &Observed, means: &Means) -> bool {
    means.kind == Kind::Docker
        && service.stands_in.is_none()
        && service.compose.pull_policy.as_deref() == Some("never")
        && !observed.images.contains(&service.image)
}

fn images(runnable: &[&ServiceSpec], observed: &Observed, means: &Means) -> Vec<Step> {
    let mut steps = Vec::new();
    let there = |image: &str| observed.images.iter().any(|have| have == image);
    if let Some(own) = means.own_image.as_ref().filter(|own| !there(own))
        && runnable.iter().any(|service| service.stands_in.is_some())
    {
        steps.push(Step::ImportImage { image: own.clone() });
    }
    let foreign: Vec<_> = runnable.iter().filter(|service| service.stands_in.is_none()).collect();
    let mut names: Vec<&str> = foreign.iter().map(|service| service.image.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    let policy = |service: &ServiceSpec| service.compose.pull_policy.clone().unwrap_or_default();
    for image in names {
        let users = || foreign.iter().filter(|service| service.image == image);
        if there(image) && !users().any(|service| policy(service) == "always") {
            continue;
        }
        let services = users();
        let services = services.map(|service| service.name.clone()).collect();
        steps.push(Step::PullImage { image: image.to_owned(), services });
    }
    steps
}

/// Networks and volumes that are missing. Processes need no network: loopback is there.
fn surroundings(
    spec: &ProjectSpec,
    runnable: &[&ServiceSpec],
    observed: &Observed,
    means: &Means,
) -> Vec<Step> {
    let used = |key: &str| {
        runnable.iter().any(|service| service.compose.networks.iter().any(|on| on.key.value == key))
    };
    let missing = spec
        .networks
        .iter()
        .filter(|net| means.kind == Kind::Docker && !net.external && used(&net.key))
        .filter(|net| !observed.networks.contains(&net.name))
        .map(|net| Step::CreateNetwork { network: net.name.clone() });
    let volumes = spec
        .volumes
        .iter()
        .filter(|volume| !volume.external && !observed.volumes.contains(&volume.name))
        .filter(|volume| runnable.iter().any(|service| service.mounts_volume(&volume.name)))
        .map(|volume| Step::CreateVolume { volume: volume.name.clone() });
    missing.chain(volumes).collect()
}

/// What becomes of one service.
struct Fate<'a> {
    service: &'a ServiceSpec,
    replaces: Option<&'a Instance>,
    reason: &'static str,
    create: bool,
    start: bool,
}

impl<'a> Fate<'a> {
    fn of(service: &'a ServiceSpec, observed: &'a Observed, options: &UpOptions) -> Self {
        let fate = |replaces, reason, create, start| Fate { service, replaces, reason, create, start };
        let Some(old) = observed.of(&service.name) else { return fate(None, "", true, true) };
        let changed = old.hash.as_deref() != Some(&service.hash) || old.name != service.container;
        if options.force_recreate {
            return fate(Some(old), "a new one was asked for", true, true);
        }
        if changed && !options.no_recreate {
            return fate(Some(old), "its configuration changed", true, true);
        }
        if old.state == State::Dead {
            return fate(Some(old), "it is dead", true, true);
        }
        if service.has_lost_its_port && !options.no_recreate {
            return fate(Some(old), "its host port is taken by now", true, true);
        }
        fate(None, "", false, !matches!(old.state, State::Running | State::Restarting))
    }
}

/// Services that the file restarts when one that they depend on is made anew (`depends_on` with `restart: true`): they
/// are stopped here, and started in their turn.
fn restarted_with_others(fates: &mut [Fate<'_>], observed: &Observed) -> Vec<Step> {
    let replaced: Vec<String> =
        fates.iter().filter(|fate| fate.replaces.is_some()).map(|fate| fate.service.name.clone()).collect();
    let mut stops = Vec::new();
    for fate in fates.iter_mut().filter(|fate| !fate.create && !fate.start) {
        let depends = &fate.service.compose.depends_on;
        let follows = depends.iter().any(|on| on.restart && replaced.contains(&on.service.value));
        if let (true, Some(instance)) = (follows, observed.of(&fate.service.name)) {
            stops.push(stop(instance, Some(fate.service)));
            fate.start = true;
        }
    }
    stops
}

fn create(service: &ServiceSpec) -> Step {
    Step::Create {
        service: service.name.clone(),
        container: service.container.clone(),
        summary: summary(service),
        hash: service.hash.clone(),
    }
}

/// `node 0, controller and broker, for bitnami/kafka:3.7.0, 9092 published on 61200`.
pub fn summary(service: &ServiceSpec) -> String {
    let mut text = match &service.node {
        Some(node) => {
            let by = service.reference.as_ref().map(|release| format!(", by {release}")).unwrap_or_default();
            format!("node {}, {}, for {}{by}", node.node_id, roles(node.roles), service.image)
        }
        None => service.image.clone(),
    };
    for port in service.ports.iter().filter(|port| port.open.is_some()) {
        text += &port.published.map(|at| format!(", {} published on {at}", port.target)).unwrap_or_default();
    }
    text
}

/// A node's roles in words.
pub fn roles(roles: jackdaw_conventions::Roles) -> &'static str {
    match (roles.controller, roles.broker) {
        (true, true) => "controller,broker",
        (true, false) => "controller",
        (false, true) => "broker",
        (false, false) => "none",
    }
}

fn waits(service: &ServiceSpec) -> impl Iterator<Item = Step> {
    let waited_for = service.compose.depends_on.iter().filter(|on| on.condition != Condition::Started);
    waited_for.map(|dependency| Step::Wait {
        service: service.name.clone(),
        dependency: dependency.service.value.clone(),
        condition: dependency.condition.to_string(),
        required: dependency.required,
    })
}

fn start(service: &str, container: &str) -> Step {
    Step::Start { service: service.to_owned(), container: container.to_owned() }
}

fn stop(instance: &Instance, service: Option<&ServiceSpec>) -> Step {
    let grace_ms = service.map_or(10_000, |service| service.stop_grace_ms);
    Step::Stop { service: instance.service.clone(), container: instance.name.clone(), grace_ms }
}

fn remove(instance: &Instance, reason: &str, volumes: bool) -> Step {
    Step::Remove {
        service: instance.service.clone(),
        container: instance.name.clone(),
        reason: reason.to_owned(),
        volumes,
    }
}

/// Instances whose service the file no longer has.
pub fn orphans<'a>(spec: &ProjectSpec, observed: &'a Observed) -> Vec<&'a Instance> {
    observed.instances.iter().filter(|instance| spec.service(&instance.service).is_none()).collect()
}

/// What `down` was asked.
#[derive(Debug, Clone, Default)]
pub struct DownOptions {
    /// With the volumes.
    pub volumes: bool,
    /// Also containers of services that the file does not have.
    pub remove_orphans: bool,
    /// Another grace period.
    pub grace_ms: Option<u64>,
}

/// The plan of `down`. Without a spec everything of the project goes.
pub fn down(
    project: &str,
    spec: Option<&ProjectSpec>,
    observed: &Observed,
    kind: Kind,
    options: &DownOptions,
) -> Plan {
    let known = |instance: &&Instance| {
        options.remove_orphans || spec.is_none_or(|spec| spec.service(&instance.service).is_some())
    };
    let mut going: Vec<&Instance> = observed.instances.iter().filter(known).collect();
    let place = |instance: &Instance| {
        let at = |spec: &ProjectSpec| spec.services.iter().position(|s| s.name == instance.service);
        spec.and_then(at)
    };
    going.sort_by_key(|instance| std::cmp::Reverse(place(instance)));
    let of_file = |instance: &Instance| spec.and_then(|spec| spec.service(&instance.service));
    let mut steps: Vec<Step> = going
        .iter()
        .filter(|instance| instance.state.is_live())
        .map(|instance| with_grace(stop(instance, of_file(instance)), options.grace_ms))
        .collect();
    steps.extend(going.iter().map(|instance| remove(instance, "down", options.volumes)));
    let foreign_network = |name: &String| {
        spec.is_some_and(|spec| spec.networks.iter().any(|network| network.external && network.name == *name))
    };
    // As in Docker Compose: with a file, what the file declares; data of a volume that it no longer has is kept.
    let own = |volume: &&VolumeSpec, name: &String| !volume.external && volume.name == *name;
    let foreign_volume =
        |name: &String| spec.is_some_and(|spec| !spec.volumes.iter().any(|volume| own(&volume, name)));
    let networks = observed.networks.iter().filter(|name| !foreign_network(name));
    steps.extend(networks.map(|name| Step::RemoveNetwork { network: name.clone() }));
    let volumes = observed.volumes.iter().filter(|name| options.volumes && !foreign_volume(name));
    steps.extend(volumes.map(|name| Step::RemoveVolume { volume: name.clone() }));
    Plan { project: project.to_owned(), runtime: kind, steps }
}

fn with_grace(step: Step, grace_ms: Option<u64>) -> Step {
    match (step, grace_ms) {
        (Step::Stop { service, container, .. }, Some(grace_ms)) => {
            Step::Stop { service, container, grace_ms }
        }
        (step, _) => step,
    }
}

/// What the smaller commands do to existing containers.
#[derive(Debug, Clone)]
pub enum Act {
    /// `stop`
    Stop {
        /// Another grace period.
        grace_ms: Option<u64>,
    },
    /// `start`
    Start,
    /// `restart`
    Restart {
        /// Another grace period.
        grace_ms: Option<u64>,
    },
    /// `kill`
    Kill {
        /// Signal name.
        signal: String,
    },
    /// `pause`
    Pause,
    /// `unpause`
    Unpause,
}

/// The plan of `stop`, `start` and their like for the named services (all, where none is named).
pub fn act(
    project: &str,
    spec: Option<&ProjectSpec>,
    observed: &Observed,
    kind: Kind,
    names: &[String],
    act: &Act,
) -> Plan {
    let mut names = names.to_vec();
    if let (Act::Restart { .. }, Some(spec)) = (act, spec) {
        names = with_followers(spec, names);
    }
    let wanted = |instance: &&Instance| names.is_empty() || names.contains(&instance.service);
    let mut targets: Vec<&Instance> = observed.instances.iter().filter(wanted).collect();
    let place = |instance: &Instance| spec?.services.iter().position(|s| s.name == instance.service);
    targets.sort_by_key(|instance| place(instance));
    let of_file = |instance: &Instance| spec.and_then(|spec| spec.service(&instance.service));
    let live = || targets.iter().filter(|instance| instance.state.is_live());
    let stops = |grace_ms: Option<u64>| {
        live().rev().map(move |i| with_grace(stop(i, of_file(i)), grace_ms)).collect::<Vec<_>>()
    };
    let steps = match act {
        Act::Stop { grace_ms } => stops(*grace_ms),
        Act::Start => {
            let down = targets.iter().filter(|instance| !instance.state.is_live());
            down.map(|instance| start(&instance.service, &instance.name)).collect()
        }
        Act::Restart { grace_ms } => {
            let starts = targets.iter().map(|instance| start(&instance.service, &instance.name));
            stops(*grace_ms).into_iter().chain(starts).collect()
        }
        Act::Kill { signal } => live()
            .map(|instance| Step::Kill {
                service: instance.service.clone(),
                container: instance.name.clone(),
                signal: signal.clone(),
            })
            .collect(),
        Act::Pause => in_state(&targets, State::Running)
            .map(|(service, container)| Step::Pause { service, container })
            .collect(),
        Act::Unpause => in_state(&targets, State::Paused)
            .map(|(service, container)| Step::Unpause { service, container })
            .collect(),
    };
    Plan { project: project.to_owned(), runtime: kind, steps }
}

/// Service and container of those in that state.
fn in_state(targets: &[&Instance], state: State) -> impl Iterator<Item = (String, String)> {
    let those = targets.iter().filter(move |instance| instance.state == state);
    those.map(|instance| (instance.service.clone(), instance.name.clone()))
}

/// The named services, and those that the file restarts with them.
fn with_followers(spec: &ProjectSpec, mut names: Vec<String>) -> Vec<String> {
    let mut at = 0;
    while let Some(name) = names.get(at).cloned() {
        let follows = |service: &&ServiceSpec| {
            service.compose.depends_on.iter().any(|on| on.restart && on.service.value == name)
        };
        let followers: Vec<String> =
            spec.services.iter().filter(follows).map(|service| service.name.clone()).collect();
        names.extend(followers.into_iter().filter(|follower| !names.contains(follower)).collect::<Vec<_>>());
        at += 1;
    }
    names
}

#[cfg(test)]
mod tests;
