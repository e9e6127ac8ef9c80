//! Specs for tests.

use crate::lower::lower;
use crate::model::{Instance, ProjectSpec, ServiceSpec, State};
use jackdaw_compose::LoadOptions;
use jackdaw_conventions::Cluster;
use std::path::Path;

/// The spec of compose text, under the project name `seed`.
pub fn spec_of(text: &str) -> ProjectSpec {
    spec_in(tempfile::tempdir().unwrap().path(), text)
}

/// The same in a folder that may have more in it.
pub fn spec_in(folder: &Path, text: &str) -> ProjectSpec {
    let file = folder.join("compose.yml");
    std::fs::write(&file, text).unwrap();
    let loaded = jackdaw_compose::load(&LoadOptions {
        files: vec![file],
        project_name: Some("seed".into()),
        working_dir: folder.to_owned(),
        ..LoadOptions::default()
    });
    let told: Vec<String> = loaded.diagnostics.iter().map(ToString::to_string).collect();
    let project = loaded.project.unwrap_or_else(|| panic!("{told:?}"));
    lower(&project, &Cluster::of(&project), "test").0
}

/// Three nodes as people write them, and a web UI.
pub fn seed() -> ProjectSpec {
    spec_of(&seed_text())
}

/// The compose text of [`seed`].
pub fn seed_text() -> String {
    let mut text = String::from(
        "networks:\n  kafka_network:\nvolumes:\n  Kafka00:\n  Kafka01:\n  Kafka02:\nservices:\n",
    );
    for id in 0..3 {
        text += &format!(
            "  Kafka0{id}Service:
    image: bitnami/kafka:3.7.0
    restart: unless-stopped
    container_name: Kafka0{id}Container
    ports: ['{host}:9092', '1000{id}:1000{id}']
    environment:
      - KAFKA_CFG_NODE_ID={id}
      - KAFKA_KRAFT_CLUSTER_ID=HsDBs9l6UUmQq7Y5E6bNlw
      - KAFKA_CFG_CONTROLLER_QUORUM_VOTERS=0@Kafka00Service:9093,1@Kafka01Service:9093,2@Kafka02Service:9093
      - KAFKA_CFG_PROCESS_ROLES=controller,broker
      - KAFKA_CFG_LISTENERS=PLAINTEXT://:9092,CONTROLLER://:9093,EXTERNAL://:1000{id}
      - KAFKA_CFG_ADVERTISED_LISTENERS=PLAINTEXT://Kafka0{id}Service:9092,EXTERNAL://localhost:1000{id}
      - KAFKA_CFG_LISTENER_SECURITY_PROTOCOL_MAP=CONTROLLER:PLAINTEXT,EXTERNAL:PLAINTEXT,PLAINTEXT:PLAINTEXT
      - KAFKA_CFG_CONTROLLER_LISTENER_NAMES=CONTROLLER
    networks: [kafka_network]
    volumes: ['Kafka0{id}:/bitnami/kafka']
",
            host = 9092 + id,
        );
    }
    text += "  KafkaWebUiService:
    image: provectuslabs/kafka-ui:latest
    container_name: KafkaWebUiContainer
    ports: ['8080:8080']
    depends_on: [Kafka00Service, Kafka01Service, Kafka02Service]
    networks: [kafka_network]
";
    text
}

/// What was made of a service, in that state.
pub fn there(service: &ServiceSpec, state: State) -> Instance {
    Instance {
        id: service.container.clone(),
        name: service.container.clone(),
        service: service.name.clone(),
        image: service.image.clone(),
        state,
        exit_code: None,
        health: None,
        hash: Some(service.hash.clone()),
        created_ms: 0,
        started_ms: None,
        finished_ms: None,
        restarts: 0,
        ports: Vec::new(),
        publishes: Vec::new(),
        address: None,
        pid: None,
        error: None,
        command: String::new(),
    }
}
