//! Environments that say something else than their image reads, and leave no doubt about what is meant: bitnami's
//! variables on another image, and a quorum that is named by its bootstrap servers alone.
//! It must not judge settings; what is done is said, and the rest of the crate sees plain variables.

use jackdaw_compose::{Code, Diagnostic, Service, Span, Spanned};

use crate::Provider;
use crate::input::Variable;
use crate::lint::is_loopback;

/// The variables of a node whose image reads none of its roles, under the names that it reads: with bitnami's alone it
/// would not start. Whether it was so.
pub(crate) fn of_another_image(provider: Provider, variables: &mut [Variable]) -> bool {
    let has = |variables: &[Variable], name: &str| variables.iter().any(|v| v.name.value == name);
    let own = has(variables, "KAFKA_PROCESS_ROLES");
    if provider == Provider::Bitnami || own || !has(variables, "KAFKA_CFG_PROCESS_ROLES") {
        return false;
    }
    let known: Vec<String> = variables.iter().map(|v| v.name.value.clone()).collect();
    for variable in variables.iter_mut() {
        let name = match variable.name.value.as_str() {
            "KAFKA_KRAFT_CLUSTER_ID" => String::from("CLUSTER_ID"),
            other => match other.strip_prefix("KAFKA_CFG_") {
                Some(suffix) => format!("KAFKA_{suffix}"),
                None => continue,
            },
        };
        if !known.contains(&name) {
            variable.name.value = name;
        }
    }
    true
}

/// What is said of that; `span` is a place in the service.
pub(crate) fn said_of_another_image(provider: Provider, name: &str, span: &Span) -> Diagnostic {
    let message = format!(
        "`{name}` has bitnami's variables on the {provider} image, which would not start with them: they are taken as \
         they are meant"
    );
    Diagnostic::new(Code::AssumedImage, message, span)
        .label("another image's variables")
        .help("write KAFKA_… in place of KAFKA_CFG_…, or name a bitnami image")
}

/// A node's variables while all of the project's are gathered.
pub(crate) struct Gathered<'a> {
    pub(crate) service: &'a Service,
    pub(crate) provider: Provider,
    pub(crate) variables: Vec<Variable>,
}

impl Gathered<'_> {
    fn get(&self, key: &str) -> Option<&Variable> {
        let prefix = if self.provider == Provider::Bitnami { "KAFKA_CFG_" } else { "KAFKA_" };
        let name = format!("{prefix}{key}");
        self.variables.iter().find(|v| v.name.value == name && !v.value.value.trim().is_empty())
    }

    /// Whether `host` is this node for `from`.
    fn is_at(&self, host: &str, from: &Service) -> bool {
        let is_self = self.service.name.value == from.name.value;
        let mut names =
            self.service.networks.iter().flat_map(|network| self.service.names_on(&network.key.value));
        (is_self && is_loopback(host))
            || names.any(|name| name == host)
            || self.service.hostname.as_ref().is_some_and(|name| name.value == host)
    }
}

/// Nodes that name bootstrap servers and no voters (KIP-853, which came after 3.7): the controllers at those addresses
/// are the voters. Where one of them is not in the file, nothing is known.
pub(crate) fn voters_of_bootstrap_servers(nodes: &mut [Gathered<'_>]) -> Vec<Diagnostic> {
    let mut said = Vec::new();
    let mut found: Vec<(usize, Variable)> = Vec::new();
    for (at, node) in nodes.iter().enumerate() {
        let Some(servers) = node.get("CONTROLLER_QUORUM_BOOTSTRAP_SERVERS") else { continue };
        if node.get("CONTROLLER_QUORUM_VOTERS").is_some() {
            continue;
        }
        let entries = servers.value.value.split(',').map(str::trim).filter(|entry| !entry.is_empty());
        let voters = entries.map(|entry| {
            let (host, _) = entry.rsplit_once(':')?;
            let there = nodes.iter().find(|other| other.is_at(host, node.service))?;
            Some(format!("{}@{entry}", there.get("NODE_ID")?.value.value.trim()))
        });
        let Some(voters) = voters.collect::<Option<Vec<String>>>() else { continue };
        let prefix = if node.provider == Provider::Bitnami { "KAFKA_CFG_" } else { "KAFKA_" };
        let message = format!(
            "`{}` names bootstrap servers and no voters: the controllers at them are the voters",
            node.service.name.value
        );
        said.push(
            Diagnostic::new(Code::DerivedVoters, message, &servers.value.span)
                .label("no voters")
                .help(format!("write {prefix}CONTROLLER_QUORUM_VOTERS={}", voters.join(","))),
        );
        let name = Spanned::new(format!("{prefix}CONTROLLER_QUORUM_VOTERS"), servers.name.span.clone());
        let value = Spanned::new(voters.join(","), servers.value.span.clone());
        found.push((at, Variable { name, value }));
    }
    for (at, variable) in found {
        nodes[at].variables.retain(|v| v.name.value != variable.name.value);
        nodes[at].variables.push(variable);
    }
    said
}
