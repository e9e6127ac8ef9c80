//! What an engine holds of a project, by Docker Compose's labels.

use super::DockerRuntime;
use super::container::{CONFIG_HASH, PROJECT, SERVICE, STANDS_IN_FOR};
use super::error::failed;
use crate::clock;
use crate::model::{BoundPort, Instance, Observed, ProjectSpec, State};
use crate::runtime::{Listed, Result};
use bollard::models::{ContainerInspectResponse, ContainerStateStatusEnum, HealthStatusEnum};
use bollard::query_parameters::{
    InspectContainerOptions, ListContainersOptionsBuilder, ListNetworksOptionsBuilder,
    ListVolumesOptionsBuilder,
};
use futures_util::future::join_all;
use std::collections::{BTreeMap, HashMap};

/// Docker's words for ports that no address was given for.
const ANY: &str = "0.0.0.0";

impl DockerRuntime {
    pub(super) async fn look(&self, project: &str, spec: Option<&ProjectSpec>) -> Result<Observed> {
        let filters = HashMap::from([("label", vec![format!("{PROJECT}={project}")])]);
        let options = ListContainersOptionsBuilder::default().all(true).filters(&filters).build();
        let listed = self.docker.list_containers(Some(options)).await.map_err(failed)?;
        let ids: Vec<String> = listed.into_iter().filter_map(|container| container.id).collect();
        let inspected =
            join_all(ids.iter().map(|id| self.docker.inspect_container(id, None::<InspectContainerOptions>)))
                .await;
        // One that vanished since it was listed is not there.
        let mut instances: Vec<Instance> =
            inspected.into_iter().filter_map(std::result::Result::ok).filter_map(instance).collect();
        instances.sort_by_key(|instance| instance.created_ms);

        let options = ListNetworksOptionsBuilder::default().filters(&filters).build();
        let networks = self.docker.list_networks(Some(options)).await.map_err(failed)?;
        let options = ListVolumesOptionsBuilder::default().filters(&filters).build();
        let volumes =
            self.docker.list_volumes(Some(options)).await.map_err(failed)?.volumes.unwrap_or_default();
        Ok(Observed {
            instances,
            networks: networks.into_iter().filter_map(|network| network.name).collect(),
            volumes: volumes.into_iter().map(|volume| volume.name).collect(),
            images: self.images(spec).await,
        })
    }

    /// Docker Compose's projects, by the labels of their containers.
    pub(super) async fn listed(&self) -> Result<Vec<Listed>> {
        let filters = HashMap::from([("label", vec![PROJECT.to_owned()])]);
        let options = ListContainersOptionsBuilder::default().all(true).filters(&filters).build();
        let mut found: BTreeMap<String, Listed> = BTreeMap::new();
        for container in self.docker.list_containers(Some(options)).await.map_err(failed)? {
            let labels = container.labels.unwrap_or_default();
            let Some(name) = labels.get(PROJECT) else { continue };
            let files = labels.get("com.docker.compose.project.config_files").cloned().unwrap_or_default();
            let listed = found
                .entry(name.clone())
                .or_insert_with(|| Listed { name: name.clone(), ..Listed::default() });
            listed.states.extend(container.state.map(|state| state.to_string()));
            listed.config_files = files;
        }
        Ok(found.into_values().collect())
    }

    /// Of the images that the spec needs, those that are there.
    async fn images(&self, spec: Option<&ProjectSpec>) -> Vec<String> {
        let Some(spec) = spec else { return Vec::new() };
        let mut wanted: Vec<&str> = spec
            .services
            .iter()
            .filter(|s| s.stands_in.is_none())
            .map(|service| service.image.as_str())
            .collect();
        wanted.extend(self.own.get().map(|own| own.image.as_str()));
        let found = join_all(wanted.iter().map(|image| self.docker.inspect_image(image))).await;
        let there = wanted.into_iter().zip(found).filter(|(_, found)| found.is_ok());
        there.map(|(image, _)| image.to_owned()).collect()
    }

    /// Published ports of all containers of the engine, with the container's name.
    pub(super) async fn published(&self) -> BTreeMap<u16, String> {
        let options = ListContainersOptionsBuilder::default().build();
        let listed = self.docker.list_containers(Some(options)).await.unwrap_or_default();
        let mut ports = BTreeMap::new();
        for container in listed {
            let name = container.names.unwrap_or_default().into_iter().next().unwrap_or_default();
            let published =
                container.ports.unwrap_or_default().into_iter().filter_map(|port| port.public_port);
            ports.extend(published.map(|port| (port, name.trim_start_matches('/').to_owned())));
        }
        ports
    }
}

fn instance(seen: ContainerInspectResponse) -> Option<Instance> {
    let config = seen.config.unwrap_or_default();
    let labels = config.labels.unwrap_or_default();
    let state = seen.state.unwrap_or_default();
    let networks = seen.network_settings.unwrap_or_default();
    let bindings = seen.host_config.and_then(|host| host.port_bindings);
    let ms =
        |time: Option<String>| time.and_then(|time| clock::parse_rfc3339(&time)).map(|ns| ns / 1_000_000);
    let address =
        networks.networks.unwrap_or_default().into_values().find_map(|on| on.ip_address?.parse().ok());
    let command: Vec<String> = seen.path.into_iter().chain(seen.args.unwrap_or_default()).collect();
    let health = state.health.and_then(|health| health.status);
    Some(Instance {
        id: seen.id?,
        name: seen.name?.trim_start_matches('/').to_owned(),
        service: labels.get(SERVICE)?.clone(),
        image: labels.get(STANDS_IN_FOR).cloned().or(config.image).unwrap_or_default(),
        state: match state.status {
            Some(ContainerStateStatusEnum::RUNNING | ContainerStateStatusEnum::STOPPING) => State::Running,
            Some(ContainerStateStatusEnum::PAUSED) => State::Paused,
            Some(ContainerStateStatusEnum::RESTARTING) => State::Restarting,
            Some(ContainerStateStatusEnum::EXITED) => State::Exited,
            Some(ContainerStateStatusEnum::REMOVING | ContainerStateStatusEnum::DEAD) => State::Dead,
            Some(ContainerStateStatusEnum::CREATED | ContainerStateStatusEnum::EMPTY) | None => {
                State::Created
            }
        },
        exit_code: state.exit_code,
        health: match health {
            Some(HealthStatusEnum::NONE | HealthStatusEnum::EMPTY) | None => None,
            Some(other) => Some(other.to_string()),
        },
        hash: labels.get(CONFIG_HASH).cloned(),
        created_ms: ms(seen.created).unwrap_or_default(),
        started_ms: ms(state.started_at),
        finished_ms: ms(state.finished_at),
        restarts: seen.restart_count.and_then(|count| u32::try_from(count).ok()).unwrap_or(0),
        ports: ports(networks.ports.unwrap_or_default()),
        publishes: ports(bindings.unwrap_or_default()),
        address,
        pid: state.pid.filter(|pid| *pid > 0).and_then(|pid| i32::try_from(pid).ok()),
        error: state.error.filter(|error| !error.is_empty()),
        command: command.join(" "),
    })
}

fn ports(map: bollard::models::PortMap) -> Vec<BoundPort> {
    let mut ports: Vec<BoundPort> = map
        .into_iter()
        .filter_map(|(target, bindings)| Some((target, bindings?)))
        .flat_map(|(target, bindings)| {
            let (port, protocol) = target.split_once('/').unwrap_or((&target, "tcp"));
            let (port, protocol) = (port.parse().unwrap_or(0), protocol.to_owned());
            let bound = bindings.into_iter().filter_map(move |binding| {
                Some(BoundPort {
                    ip: binding
                        .host_ip
                        .filter(|ip| !ip.is_empty())
                        .unwrap_or_else(|| ANY.into())
                        .parse()
                        .ok()?,
                    published: binding.host_port?.parse().ok()?,
                    target: port,
                    protocol: protocol.clone(),
                })
            });
            bound.collect::<Vec<_>>()
        })
        .collect();
    ports.sort_by_key(|port| (port.target, port.published, port.ip));
    ports
}
