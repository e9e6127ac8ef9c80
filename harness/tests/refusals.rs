//! What goes wrong around a cluster, told so that it can be mended: an engine that goes away, a file that is not there,
//! a container that ends at once.

#![allow(clippy::unwrap_used, reason = "a panic in a test's helper is the failure report")]

mod common;
mod support;

use common::engine_answers;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use support::{Project, said};

/// The exit code, and everything that was said.
fn told(project: &Project, line: &str) -> (i32, String) {
    let output = project.run(line);
    (output.status.code().unwrap(), said(&output))
}

/// A node that says only what it has to.
fn node(more: &str) -> String {
    format!(
        "services:
  one:
    image: bitnami/kafka:3.7.0
{more}    environment:
      KAFKA_CFG_NODE_ID: 0
      KAFKA_CFG_PROCESS_ROLES: controller,broker
      KAFKA_CFG_CONTROLLER_QUORUM_VOTERS: 0@one:9093
      KAFKA_CFG_LISTENERS: PLAINTEXT://:9092,CONTROLLER://:9093
      KAFKA_CFG_ADVERTISED_LISTENERS: PLAINTEXT://one:9092
      KAFKA_CFG_LISTENER_SECURITY_PROTOCOL_MAP: CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT
      KAFKA_CFG_CONTROLLER_LISTENER_NAMES: CONTROLLER
"
    )
}

/// An engine with nothing on it that ends when it is first given work.
fn engine_that_goes_away(socket: &Path) {
    let listener = UnixListener::bind(socket).unwrap();
    let socket = socket.to_owned();
    std::thread::spawn(move || {
        for connection in listener.incoming() {
            let (connection, socket) = (connection.unwrap(), socket.clone());
            std::thread::spawn(move || serve(connection, &socket));
        }
    });
}

fn serve(connection: UnixStream, socket: &Path) -> Option<()> {
    let mut reader = BufReader::new(connection.try_clone().ok()?);
    loop {
        let mut request = String::new();
        reader.read_line(&mut request).ok().filter(|read| *read > 0)?;
        let mut length = 0;
        loop {
            let mut header = String::new();
            reader.read_line(&mut header).ok()?;
            if header.trim().is_empty() {
                break;
            }
            if let Some(value) = header.to_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
        }
        reader.by_ref().take(length).read_to_end(&mut Vec::new()).ok()?;
        if request.starts_with("POST") || !socket.exists() {
            let _ = fs::remove_file(socket);
            return None;
        }
        let (status, body) = match request.split_whitespace().nth(1)? {
            path if path.contains("/version") => {
                ("200 OK", r#"{"ApiVersion":"1.47","MinAPIVersion":"1.24"}"#)
            }
            path if path.contains("/volumes") => ("200 OK", r#"{"Volumes":[],"Warnings":[]}"#),
            path if path.contains("/images/") => ("404 Not Found", r#"{"message":"no such image"}"#),
            path if path.contains("/_ping") => ("200 OK", "OK"),
            _ => ("200 OK", "[]"),
        };
        let head = format!(
            "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        let mut connection = &connection;
        connection.write_all(head.as_bytes()).and_then(|()| connection.write_all(body.as_bytes())).ok()?;
    }
}

#[test]
fn an_engine_that_goes_away_in_the_middle_is_told_as_such() {
    let project = Project::new("gone", "docker", &node(""));
    let socket = project.path("engine.sock");
    engine_that_goes_away(&socket);
    let project = project.with("DOCKER_HOST", format!("unix://{}", socket.display()));
    let (code, said) = told(&project, "up -d");
    assert!(
        said.contains("the Docker engine is gone (") && said.contains("the same command goes on"),
        "{said}"
    );
    assert_eq!(code, 3, "{said}");
    let (code, said) = told(&project, "ps");
    assert!(code == 3 && said.contains("no Docker engine answers"), "{said}");
}

#[test]
fn a_file_that_is_not_there_is_told_before_anything_starts() {
    for runtime in ["process", "docker"] {
        if runtime == "docker" && !engine_answers("a_file_that_is_not_there_is_told_before_anything_starts") {
            continue;
        }
        let mount = "    volumes: ['./server.properties:/bitnami/kafka/config/server.properties']\n";
        let secret = "    secrets: [password]\n";
        let declared = "secrets:\n  password: {file: ./password.txt}\n";
        for (text, expected) in [
            (
                node(mount),
                "/server.properties is to be mounted as /bitnami/kafka/config/server.properties, and is not",
            ),
            (
                node(secret) + declared,
                "/password.txt is to be mounted as /run/secrets/password, and is not there",
            ),
            (
                node(secret) + "secrets:\n  password: {environment: JACKDAW_TEST_NOT_SET}\n",
                "one: the secret password is to come from the variable JACKDAW_TEST_NOT_SET, which is not set",
            ),
        ] {
            let project = Project::new("missing", runtime, &text);
            let (code, said) = told(&project, "up -d");
            assert!(code == 2 && said.contains(expected), "{runtime}: {said}");
            assert_eq!(told(&project, "ps -aq").1, "", "nothing was made");
        }
    }
}

#[test]
fn a_secret_is_where_the_variables_that_name_it_look() {
    if !engine_answers("a_secret_is_where_the_variables_that_name_it_look") {
        return;
    }
    let text = node("    secrets: [of_file, of_text]\n")
        + "secrets:\n  of_file: {file: ./password.txt}\n  of_text: {environment: PATH}\n";
    let project = Project::new("secret", "docker", &text);
    fs::write(project.path("password.txt"), "hunter2").unwrap();
    let (code, said) = told(&project, "up -d");
    assert_eq!(code, 0, "{said}");
    let (_, said) = told(&project, "exec -T one cat /run/secrets/of_file");
    assert_eq!(said, "hunter2");
    let (_, said) = told(&project, "exec -T one cat /run/secrets/of_text");
    assert_eq!(said, std::env::var("PATH").unwrap());
}

#[test]
fn a_container_that_ends_at_once_is_shown_with_its_last_words() {
    if !engine_answers("a_container_that_ends_at_once_is_shown_with_its_last_words") {
        return;
    }
    let command = "echo out of order; exit 4; /opt/bitnami/scripts/kafka/run.sh";
    let refused = node(&format!("    restart: unless-stopped\n    command: [bash, -c, '{command}']\n"));
    let (code, said) = told(&Project::new("ends", "docker", &refused), "up -d --wait-timeout 60");
    assert!(code == 1 && said.contains("one is not ready: ") && said.contains("\n  out of order"), "{said}");

    let init = node("    depends_on: {init: {condition: service_completed_successfully}}\n")
        + "  init:
    image: bitnami/kafka:3.7.0
    command: [bash, -c, 'echo no such topic; exit 5']
";
    let (code, said) = told(&Project::new("ends", "docker", &init), "up -d");
    assert!(code == 1 && said.contains("one: init exited with code 5"), "{said}");
    assert!(said.contains("the last lines of init:\n  no such topic"), "{said}");
}

#[test]
fn a_key_without_effect_is_told_where_it_stands_by_what_reads_the_file_to_start_it() {
    let text = node("    read_only: true\n    tty: true\n    build: .\n")
        + "  app:\n    image: example/app:1\n    cap_drop: [ALL]\n";
    let project = Project::new("keys", "process", &text);
    for line in ["up --dry-run", "config", "config --format json"] {
        let output = project.run(line);
        let (found, printed) = (said(&output), String::from_utf8_lossy(&output.stdout).into_owned());
        let places = ["compose.yml:4:5", "compose.yml:5:5"];
        assert!(places.iter().all(|place| found.contains(place)), "{line}: {found}");
        assert_eq!(found.matches("`read_only` has no effect").count(), 1, "{line}: {found}");
        assert!(!found.contains("cap_drop` has"), "what does not run here is not told of: {found}");
        assert!(!printed.contains("no effect"), "{line}: stdout is the result: {printed}");
    }
    for line in ["ps", "logs", "down"] {
        assert!(!told(&project, line).1.contains("no effect"), "{line}");
    }
    assert!(!told(&project, "--runtime docker config").1.contains("`read_only` has"), "an engine heeds it");
}
