//! What is said of keys that have no effect, and the documentation of all keys, which is written from their table.

use std::path::Path;

use crate::folder::Folder;
use jackdaw_compose::{Target, keys, told};

/// What is said of a file on a runtime, as it is drawn.
fn drawn(folder: &Folder, on: Target) -> String {
    let project = folder.load().project.expect("it loads");
    let all = told(&project.unheeded, on);
    folder.portable(&all.iter().map(|found| found.render(false, 100)).collect::<Vec<_>>().join("\n"))
}

const MANY: &str = "services:
  a:
    image: x
    cap_drop: [ALL]
    mem_limit: 1g
    tty: true
    stdin_open: false
    volumes: ['data:/data', './a:/a:ro,z']
    ports: ['53:53/udp']
    deploy: {resources: {limits: {cpus: '1'}}, placement: {constraints: [x]}}
    build: .
  b: &more
    image: x
    cap_drop: [ALL]
    mem_limit: 2g
    ulimits: {nofile: 7}
    logging: {driver: local}
  c:
    <<: *more
    read_only: true
    pull_policy: always
    user: root
  disabled:
    image: x
    profiles: [never]
    init: true
    cap_drop: [ALL]
networks: {default: {internal: true, driver: bridge}}
volumes: {data: {driver: nfs}}
";

#[test]
fn keys_without_effect_are_said_once_each_with_their_places() {
    let folder = Folder::new(&[("compose.yml", MANY)]);
    insta::assert_snapshot!(drawn(&folder, Target::Process));
}

#[test]
fn an_engine_heeds_nearly_every_key() {
    let folder = Folder::new(&[("compose.yml", MANY)]);
    insta::assert_snapshot!(drawn(&folder, Target::Docker));
}

#[test]
fn of_many_places_and_keys_some_are_named_and_the_rest_counted() {
    let service = |at: usize| {
        format!(
            "  s{at}: {{image: x, tty: true, privileged: true, shm_size: 1g, cpus: 1, ipc: host, mac_address: a, dns: [a]}}\n"
        )
    };
    let text: String = (0..10).map(service).collect();
    let folder = Folder::new(&[("compose.yml", &format!("services:\n{text}"))]);
    insta::assert_snapshot!(drawn(&folder, Target::Process));
}

#[test]
fn what_happens_anyway_is_not_said() {
    let text = "services:
  a:
    image: x
    privileged: false
    cap_drop: []
    scale: 1
    attach: true
    user: root
    network_mode: host
    pull_policy: missing
    expose: ['1']
    ports: [{target: 1, mode: host, name: x, app_protocol: http}]
    volumes: ['data:/data']
volumes: {data: {driver: local, driver_opts: {type: none, o: bind, device: /tmp}}}
";
    let folder = Folder::new(&[("compose.yml", text)]);
    assert_eq!(drawn(&folder, Target::Process), "");
    assert_eq!(drawn(&folder, Target::Docker), "");
}

#[test]
fn labels_come_from_files_too_and_one_that_is_missing_is_refused() {
    let text = "services: {a: {image: x, label_file: ./labels, labels: {B: own}}}";
    let folder = Folder::new(&[("compose.yml", text), ("labels", "A=1\nB=\"b c\"\n")]);
    let project = folder.load().project.expect("it loads");
    let labels: Vec<String> = project.services[0].labels.iter().map(|(k, v)| format!("{k}={v}")).collect();
    assert_eq!(labels, ["A=1", "B=own"]);
    assert!(!folder.config().contains("label_file"), "as in `docker compose config`");
    let folder = Folder::new(&[("compose.yml", text)]);
    assert_eq!(
        folder.said(),
        "compose.yml:1:38: error[JK0006]: DIR/labels cannot be read: No such file or directory (os error 2)"
    );
}

fn table() -> String {
    let mut out = String::from(
        "# Every key of a compose file, and what comes of it\n\n\
         Written from the table in `src/schema.rs` by `JACKDAW_WRITE_KEYS=1 cargo test -p jackdaw-compose keys`; \
         a test holds the two equal, and another (`harness/runtime/src/keys_tests.rs`) tries every key against what the \
         runtimes make of it. `*` stands for a name that the file chooses, `[]` for an item of a list. Where a key is \
         **without effect**, `up` and `config` warn of it where it stands; where it is without effect, they hint at it; \
         what is not needed is not mentioned.\n\n\
         | key | on a Docker engine | as processes |\n| --- | --- | --- |\n",
    );
    let all = keys();
    for key in &all {
        let holder = all.iter().rfind(|other| is_in(&key.path, &other.path));
        let cell = |target: Target| {
            let words = key.effect(target).words().replace('|', "\\|");
            // What nothing comes of as a whole is explained once.
            match holder.map(|holder| holder.effect(target)) {
                Some(effect) if !effect.can_act() && effect.words() == words => String::from("likewise"),
                _ => words,
            }
        };
        out += &format!("| `{}` | {} | {} |\n", key.path, cell(Target::Docker), cell(Target::Process));
    }
    out
}

/// Whether a key is one of those in the value of another.
fn is_in(path: &str, other: &str) -> bool {
    path.strip_prefix(other).is_some_and(|rest| rest.starts_with(['.', '[']))
}

#[test]
fn the_documentation_of_the_keys_is_that_of_the_table() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("keys.md");
    if std::env::var_os("JACKDAW_WRITE_KEYS").is_some() {
        std::fs::write(&file, table()).expect("the file can be written");
    }
    let written = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(written == table(), "keys.md is old: JACKDAW_WRITE_KEYS=1 cargo test -p jackdaw-compose keys");
}
