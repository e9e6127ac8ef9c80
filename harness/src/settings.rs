//! The broker's own judgement of what it would be started on, before anything starts: each refusal at the place in the
//! compose file (or the mounted one) that the setting came from.
//! It must not judge itself: the rules are the broker's.

use jackdaw_broker::config::Config;
use jackdaw_compose::Project;
use jackdaw_compose::{Code, Diagnostic, has_errors};
use jackdaw_conventions::{Cluster, NodePlan, Origin, Roles};
use std::collections::BTreeSet;

/// What the brokers of a project would refuse at their start. A node that was found fault with is not asked: it would say
/// the same in other words.
pub fn refused(project: &Project, cluster: &Cluster) -> Vec<Diagnostic> {
    let is_clean = |node: &&NodePlan| !has_errors(&node.diagnostics) && node.roles != Roles::default();
    cluster.nodes.iter().filter(is_clean).flat_map(|node| of_node(project, node)).collect()
}

fn of_node(project: &Project, node: &NodePlan) -> Vec<Diagnostic> {
    let Err(problems) = Config::parse("server.properties", node.properties.to_text().as_bytes(), &[]) else {
        return Vec::new();
    };
    let mut said = BTreeSet::new();
    let mut out = Vec::new();
    for problem in problems {
        let key = problem.key.unwrap_or_default();
        if !said.insert(key.clone()) {
            continue;
        }
        let own = node.properties.span(&key);
        let service =
            project.service(&node.service).map(|service| service.name.span.clone()).unwrap_or_default();
        let span = if own.is_nowhere() { service } else { own };
        let message = format!("`{}` would not start: {}", node.service, problem.message);
        let found = Diagnostic::new(Code::InvalidSetting, message, &span).label("refused");
        out.push(found.maybe_help(help(node, &key)));
    }
    out
}

/// Which variable to change.
fn help(node: &NodePlan, key: &str) -> Option<String> {
    match &node.properties.property(key)?.origin {
        Origin::Environment { name, .. } => Some(format!("change or remove {name}, which sets `{key}`")),
        Origin::File(_) => Some(format!("change or remove `{key}` in that file")),
        Origin::Image => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jackdaw_compose::LoadOptions;

    fn told(setting: &str) -> String {
        let folder = tempfile::tempdir().unwrap();
        let text = format!(
            "services:
  kafka:
    image: bitnami/kafka:3.7.0
    environment:
      KAFKA_CFG_NODE_ID: 1
      KAFKA_CFG_PROCESS_ROLES: controller,broker
      KAFKA_CFG_LISTENERS: PLAINTEXT://:9092,CONTROLLER://:9093
      KAFKA_CFG_LISTENER_SECURITY_PROTOCOL_MAP: CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT
      KAFKA_CFG_CONTROLLER_QUORUM_VOTERS: 1@kafka:9093
      KAFKA_CFG_CONTROLLER_LISTENER_NAMES: CONTROLLER
      {setting}
"
        );
        std::fs::write(folder.path().join("compose.yml"), text).unwrap();
        let loaded = jackdaw_compose::load(&LoadOptions {
            working_dir: folder.path().to_owned(),
            ..LoadOptions::default()
        });
        let project = loaded.project.unwrap();
        let found = refused(&project, &Cluster::of(&project));
        found.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn what_a_broker_refuses_is_told_where_it_was_written() {
        for (setting, expected) in [
            ("KAFKA_CFG_MESSAGE_MAX_BYTES: 1048576", ""),
            ("KAFKA_CFG_MESSAGE_MAX_BYTES: 10MB", "Invalid value 10MB for configuration message.max.bytes"),
            ("KAFKA_CFG_AUTO_CREATE_TOPICS_ENABLE: 'yes'", "Expected value to be either true or false"),
            ("KAFKA_CFG_COMPRESSION_TYPE: gz", "String must be one of"),
            ("KAFKA_CFG_OFFSETS_RETENTION_MINUTES: 0", "Value must be at least 1"),
            ("KAFKA_CFG_LOG_RETENTION_MS: ''", "log.retention.ms"),
            ("KAFKA_CFG_AUTHORIZER_CLASS_NAME: x.Y", "cannot be honoured"),
            ("KAFKA_CFG_ADVERTISED_LISTENERS: PLAINTEXT://a:9092;OUT://localhost:1", "listeners"),
        ] {
            let told = told(setting);
            assert!(told.contains(expected) && told.is_empty() == expected.is_empty(), "{setting}: {told}");
            assert!(expected.is_empty() || told.contains("compose.yml:11:"), "{setting}: {told}");
        }
    }
}
