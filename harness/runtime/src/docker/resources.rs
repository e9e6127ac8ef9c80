//! Keys of a service that only an engine knows (resources, namespaces, devices, the network's fine print), from the
//! file's canonical form to the engine's words, as Docker Compose's `create.go` puts them. No I/O.

use crate::model::{MountSource, MountSpec, ProjectSpec, ServiceSpec};
use bollard::models::{
    DeviceMapping, DeviceRequest, HostConfig, HostConfigLogConfig, Mount, MountBindOptions,
    MountImageOptions, MountTmpfsOptions, MountType, MountVolumeOptions, ResourcesBlkioWeightDevice,
    ThrottleDevice,
};
use serde_json::Value;
use std::collections::HashMap;

/// A mapping of the canonical form.
struct Keys<'a>(&'a Value);

impl<'a> Keys<'a> {
    fn below(&self, keys: &[&str]) -> Keys<'a> {
        Keys(keys.iter().fold(self.0, |value, key| &value[*key]))
    }

    /// A number; sizes are texts there.
    fn int(&self, key: &str) -> Option<i64> {
        let value = &self.0[key];
        value.as_i64().or_else(|| value.as_str()?.parse().ok())
    }

    /// As [`Keys::int`], where zero says nothing.
    fn limit(&self, key: &str) -> Option<i64> {
        self.int(key).filter(|number| *number != 0)
    }

    fn text(&self, key: &str) -> Option<String> {
        self.0[key].as_str().map(str::to_owned)
    }

    fn items(&self, key: &str) -> impl Iterator<Item = Keys<'a>> + use<'a> {
        self.0[key].as_array().into_iter().flatten().map(Keys)
    }

    fn texts(&self, key: &str) -> Option<Vec<String>> {
        let list = self.0[key].as_array()?.iter();
        let list: Vec<String> =
            list.map(|item| item.as_str().map_or_else(|| item.to_string(), str::to_owned)).collect();
        (!list.is_empty()).then_some(list)
    }

    fn pairs(&self, key: &str) -> Option<HashMap<String, String>> {
        let pairs = self.0[key].as_object()?.iter();
        let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let pairs: HashMap<String, String> = pairs.map(|(key, value)| (key.clone(), text(value))).collect();
        (!pairs.is_empty()).then_some(pairs)
    }
}

/// Puts them into the words that are there already.
pub(super) fn fill(host: &mut HostConfig, spec: &ProjectSpec, service: &ServiceSpec) {
    let keys = Keys(&service.compose.canonical);
    limits(host, &keys);
    devices(host, &keys);
    let shared = |key: &str| keys.text(key).map(|mode| shared_with(spec, &mode));
    host.annotations = keys.pairs("annotations");
    host.cgroupns_mode = keys.text("cgroup").and_then(|mode| mode.parse().ok());
    host.dns_options = keys.texts("dns_opt");
    host.dns_search = keys.texts("dns_search");
    host.ipc_mode = shared("ipc");
    host.isolation = keys.text("isolation").and_then(|mode| mode.parse().ok());
    host.links = links(spec, service);
    host.log_config = service.compose.logging.as_ref().map(|logging| HostConfigLogConfig {
        typ: logging.driver.clone(),
        config: Some(logging.options.iter().cloned().collect()),
    });
    host.oom_score_adj = keys.limit("oom_score_adj");
    host.pid_mode = shared("pid");
    host.runtime = keys.text("runtime");
    host.storage_opt = keys.pairs("storage_opt");
    host.userns_mode = keys.text("userns_mode");
    host.uts_mode = keys.text("uts");
    host.volumes_from = keys.texts("volumes_from").map(|list| {
        let from = |entry: &String| match entry.strip_prefix("container:") {
            Some(container) => container.to_owned(),
            None => {
                let (name, mode) =
                    entry.split_once(':').map_or((entry.as_str(), ""), |(name, mode)| (name, mode));
                let container = spec.service(name).map_or(name, |other| &other.container);
                if mode.is_empty() { container.to_owned() } else { format!("{container}:{mode}") }
            }
        };
        list.iter().map(from).collect()
    });
    if keys.texts("security_opt").is_some_and(|list| list.iter().any(|word| word == UNCONFINED)) {
        host.masked_paths = Some(Vec::new());
        host.readonly_paths = Some(Vec::new());
        host.security_opt =
            host.security_opt.take().map(|list| list.into_iter().filter(|word| word != UNCONFINED).collect());
    }
}

/// The option that is no option of the engine's: it opens what is hidden of `/proc` and `/sys`.
const UNCONFINED: &str = "systempaths=unconfined";

/// `service:NAME` as the container of that service.
pub(super) fn shared_with(spec: &ProjectSpec, mode: &str) -> String {
    match mode.strip_prefix("service:").and_then(|other| spec.service(other)) {
        Some(other) => format!("container:{}", other.container),
        None => mode.to_owned(),
    }
}

fn limits(host: &mut HostConfig, keys: &Keys<'_>) {
    let resources = keys.below(&["deploy", "resources"]);
    let (most, reserved) = (resources.below(&["limits"]), resources.below(&["reservations"]));
    host.cgroup_parent = keys.text("cgroup_parent");
    host.cpu_count = keys.limit("cpu_count");
    host.cpu_percent = keys.0["cpu_percent"].as_f64().map(|percent| (percent * 100.0) as i64);
    host.cpu_period = keys.limit("cpu_period");
    host.cpu_quota = keys.limit("cpu_quota");
    host.cpu_realtime_period = keys.limit("cpu_rt_period");
    host.cpu_realtime_runtime = keys.limit("cpu_rt_runtime");
    host.cpu_shares = keys.limit("cpu_shares");
    host.cpuset_cpus = keys.text("cpuset");
    host.memory_reservation = reserved.limit("memory").or_else(|| keys.limit("mem_reservation"));
    host.memory_swap = keys.limit("memswap_limit");
    host.memory_swappiness = keys.limit("mem_swappiness");
    host.oom_kill_disable = keys.0["oom_kill_disable"].as_bool();
    host.pids_limit = most.limit("pids").filter(|most| *most > 0).or_else(|| keys.limit("pids_limit"));
    let blkio = keys.below(&["blkio_config"]);
    host.blkio_weight = blkio.int("weight").and_then(|weight| u16::try_from(weight).ok());
    let weights = blkio.items("weight_device").map(|device| ResourcesBlkioWeightDevice {
        path: device.text("path"),
        weight: device.int("weight").and_then(|weight| usize::try_from(weight).ok()),
    });
    host.blkio_weight_device = some(weights.collect());
    let rates = |key: &str| {
        let devices = blkio.items(key);
        some(
            devices.map(|device| ThrottleDevice { path: device.text("path"), rate: rate(&device) }).collect(),
        )
    };
    host.blkio_device_read_bps = rates("device_read_bps");
    host.blkio_device_read_iops = rates("device_read_iops");
    host.blkio_device_write_bps = rates("device_write_bps");
    host.blkio_device_write_iops = rates("device_write_iops");
}

/// A number, or a size such as `12mb`.
fn rate(device: &Keys<'_>) -> Option<i64> {
    device.int("rate").or_else(|| jackdaw_compose::bytes(device.0["rate"].as_str()?))
}

fn devices(host: &mut HostConfig, keys: &Keys<'_>) {
    host.device_cgroup_rules = keys.texts("device_cgroup_rules");
    let (mut mapped, mut named) = (Vec::new(), Vec::new());
    for device in keys.items("devices") {
        let (source, target) = (device.text("source"), device.text("target"));
        match &source {
            // A device by the name that its vendor gives it (CDI).
            Some(name) if source == target && name.contains('=') => named.push(name.clone()),
            _ => mapped.push(DeviceMapping {
                path_in_container: target.or_else(|| source.clone()),
                path_on_host: source,
                cgroup_permissions: device.text("permissions").or_else(|| Some("rwm".into())),
            }),
        }
    }
    host.devices = some(mapped);
    let mut requests = Vec::new();
    if let Some(named) = some(named) {
        let driver = Some("cdi".into());
        requests.push(DeviceRequest { driver, device_ids: Some(named), ..DeviceRequest::default() });
    }
    requests.extend(keys.items("gpus").map(|gpu| request(&gpu, Some("gpu"))));
    let reserved = keys.below(&["deploy", "resources", "reservations"]);
    requests.extend(reserved.items("devices").map(|device| request(&device, None)));
    host.device_requests = some(requests);
}

fn request(device: &Keys<'_>, capability: Option<&str>) -> DeviceRequest {
    let mut capabilities = device.texts("capabilities").unwrap_or_default();
    capabilities.extend(capability.map(str::to_owned));
    let count = match device.0["count"].as_str() {
        Some("all") => Some(-1),
        _ => device.int("count"),
    };
    DeviceRequest {
        driver: device.text("driver"),
        count,
        device_ids: device.texts("device_ids"),
        capabilities: Some(vec![capabilities]),
        options: device.pairs("options"),
    }
}

/// Each link under the names that Docker Compose gives it; those to containers of others as they are written.
pub(super) fn links(spec: &ProjectSpec, service: &ServiceSpec) -> Option<Vec<String>> {
    let mut links = Vec::new();
    for (other, name) in &service.compose.links {
        let container = spec.service(other).map_or(other.as_str(), |other| &other.container);
        let names = [name.clone(), format!("{other}-1"), format!("{}-{other}-1", spec.name)];
        links.extend(names.map(|name| format!("{container}:{name}")));
    }
    let outside = Keys(&service.compose.canonical).texts("external_links").unwrap_or_default();
    links.extend(outside.into_iter().map(|link| match link.contains(':') {
        true => link,
        false => format!("{link}:{link}"),
    }));
    some(links)
}

/// The keys of an attachment that have no field of their own: driver options, gateway priority, link-local addresses
/// and the hardware address.
pub(super) struct Endpoint {
    pub(super) driver_opts: Option<HashMap<String, String>>,
    pub(super) gw_priority: Option<i64>,
    pub(super) link_local_ips: Option<Vec<String>>,
    pub(super) mac_address: Option<String>,
}

impl Endpoint {
    pub(super) fn of(canonical: &Value) -> Self {
        let keys = Keys(canonical);
        let mut driver_opts = keys.pairs("driver_opts");
        if let Some(name) = keys.text("interface_name") {
            let options = driver_opts.get_or_insert_default();
            options.entry("com.docker.network.endpoint.ifname".into()).or_insert(name);
        }
        Endpoint {
            driver_opts,
            gw_priority: keys.int("gw_priority"),
            link_local_ips: keys.texts("link_local_ips"),
            mac_address: keys.text("mac_address"),
        }
    }
}

/// The hardware address that a service asks for on its first network.
pub(super) fn mac_address(service: &ServiceSpec) -> Option<String> {
    Keys(&service.compose.canonical).text("mac_address")
}

/// What a service is mounted by the older way, `SOURCE:TARGET:OPTIONS`, which makes missing folders.
pub(super) fn binds(service: &ServiceSpec) -> Vec<String> {
    let bind = |mount: &MountSpec| {
        let source = match &mount.source {
            _ if needs_mount(mount) => return None,
            MountSource::Volume(name) => name.clone(),
            MountSource::Bind(source) => source.display().to_string(),
            MountSource::Anonymous => return Some(mount.target.clone()),
            _ => return None,
        };
        let options = &mount.options;
        let words = [
            mount.read_only.then_some("ro"),
            options.selinux.as_deref(),
            options.propagation.as_deref(),
            options.nocopy.then_some("nocopy"),
        ];
        let words: Vec<&str> = words.into_iter().flatten().collect();
        let words = if words.is_empty() { String::new() } else { format!(":{}", words.join(",")) };
        Some(format!("{source}:{}{words}", mount.target))
    };
    service.mounts.iter().filter_map(bind).collect()
}

/// What the older way cannot say.
fn needs_mount(mount: &MountSpec) -> bool {
    let options = &mount.options;
    match &mount.source {
        MountSource::Bind(_) => !mount.create || options.recursive.is_some(),
        MountSource::Volume(_) => options.subpath.is_some() || !options.labels.is_empty(),
        MountSource::Anonymous => mount.read_only || options.nocopy || !options.labels.is_empty(),
        MountSource::Tmpfs { options, .. } => options.is_none(),
        MountSource::Other(..) => true,
        MountSource::Text { .. } => false,
    }
}

/// The rest.
pub(super) fn mounts(service: &ServiceSpec) -> Vec<Mount> {
    service.mounts.iter().filter(|mount| needs_mount(mount)).map(mount).collect()
}

fn mount(mount: &MountSpec) -> Mount {
    let options = &mount.options;
    let of = |kind: MountType, source: Option<String>| Mount {
        target: Some(mount.target.clone()),
        source,
        typ: Some(kind),
        read_only: Some(mount.read_only),
        ..Mount::default()
    };
    match &mount.source {
        MountSource::Bind(source) => Mount {
            bind_options: Some(MountBindOptions {
                propagation: options.propagation.as_deref().and_then(|word| word.parse().ok()),
                create_mountpoint: Some(mount.create),
                non_recursive: (options.recursive.as_deref() == Some("disabled")).then_some(true),
                read_only_non_recursive: (options.recursive.as_deref() == Some("writable")).then_some(true),
                read_only_force_recursive: (options.recursive.as_deref() == Some("readonly")).then_some(true),
            }),
            ..of(MountType::BIND, Some(source.display().to_string()))
        },
        MountSource::Tmpfs { size_bytes, mode, .. } => Mount {
            tmpfs_options: Some(MountTmpfsOptions {
                size_bytes: size_bytes.map(|bytes| bytes as i64),
                mode: mode.map(i64::from),
                options: None,
            }),
            ..of(MountType::TMPFS, None)
        },
        MountSource::Other(kind, source) => Mount {
            image_options: options
                .subpath
                .clone()
                .map(|subpath| MountImageOptions { subpath: Some(subpath) }),
            ..of(kind.parse().unwrap_or(MountType::VOLUME), Some(source.clone()))
        },
        MountSource::Volume(_) | MountSource::Anonymous | MountSource::Text { .. } => Mount {
            volume_options: Some(MountVolumeOptions {
                no_copy: Some(options.nocopy),
                labels: Some(options.labels.iter().cloned().collect()),
                driver_config: None,
                subpath: options.subpath.clone(),
            }),
            ..of(
                MountType::VOLUME,
                match &mount.source {
                    MountSource::Volume(name) => Some(name.clone()),
                    _ => None,
                },
            )
        },
    }
}

/// Ports that a service exposes beside those that it publishes, `PORT/PROTOCOL`.
pub(super) fn exposed(service: &ServiceSpec) -> Vec<String> {
    let mut out = Vec::new();
    for text in service.compose.expose.iter().map(|entry| &entry.value) {
        let (ports, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
        let (first, last) = ports.split_once('-').unwrap_or((ports, ports));
        if let (Ok(first), Ok(last)) = (first.parse::<u16>(), last.parse::<u16>()) {
            out.extend((first..=last).map(|port| format!("{port}/{protocol}")));
        }
    }
    out
}

fn some<T>(list: Vec<T>) -> Option<Vec<T>> {
    (!list.is_empty()).then_some(list)
}
