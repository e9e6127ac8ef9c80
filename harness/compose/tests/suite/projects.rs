//! What a project comes to: merging, extending, including, profiles, short forms, names and variables.
//! The renderings say what Docker Compose 2.40.3 said of the same files; only an extra host that two files name in
//! two notations is there once instead of twice.

use crate::folder::Folder;
use jackdaw_compose::{HealthTest, MountKind, Published, Restart, to_config_json, to_config_yaml};

const SHORT_FORMS: &str = r#"
services:
  web:
    image: nginx
    command: sh -c "echo $$HOME && sleep 1"
    environment: {OCTAL: 007, HALF: 1.50, YES: yes, TRUTH: true, NOTHING: , FROM_HERE: , HEX: 0x10, BIG: 1_000}
    labels: [a=b, c]
    ports: ["9092", "80-82:90-92/udp", "127.0.0.1::70", 8080:80, "9000-9001:9000", {target: 5, published: 6, host_ip: "::1"}]
    volumes: ["./d:/d:ro,z", "data:/data/:nocopy", /anonymous, "~/x:/y", {type: tmpfs, target: /t, tmpfs: {size: 10m}}]
    tmpfs: /run:size=64m
    healthcheck: {test: curl x, interval: 90s, start_period: 1m}
    stop_grace_period: 1m30s
    deploy: {resources: {limits: {memory: 1g, cpus: '0.5'}}, restart_policy: {condition: on-failure, max_attempts: 4}}
    extra_hosts: ["a:1.2.3.4", "b=host-gateway"]
    ulimits: {nofile: {soft: 1, hard: 2}, nproc: 5}
    depends_on: [db]
    secrets: [password]
    configs: [{source: settings, target: /etc/settings, mode: 0440}]
    networks: {default: {aliases: [www]}}
    logging: {driver: json-file, options: {max-size: 10m, max-file: 3}}
    dns: 8.8.8.8
    expose: [80, "90"]
    init: "true"
    build: .
  db:
    image: postgres
    entrypoint: ""
    restart: on-failure:3
    networks: [back]
  alone:
    image: busybox
    command: [
      "sleep", "1"
    ]
    network_mode: service:db
secrets: {password: {file: ./password.txt}, unused: {environment: HOME}}
configs: {settings: {content: hello}}
volumes: {data: , unused: {driver: local}}
networks: {back: {ipam: {config: [{subnet: 10.0.0.0/24}]}}, unused: {}}
x-mine: 1
"#;

#[test]
fn short_forms_become_long_ones() {
    let folder = Folder::new(&[("compose.yml", SHORT_FORMS)]).env("FROM_HERE", "here");
    insta::assert_snapshot!(folder.config());
}

#[test]
fn the_typed_project_says_the_same() {
    let loaded = Folder::new(&[("compose.yml", SHORT_FORMS)]).load();
    let project = loaded.project.expect("it loads");
    let web = project.service("web").expect("it is there");
    let published: Vec<Published> = web.ports.iter().map(|port| port.published).collect();
    assert_eq!(
        published,
        [
            Published::Ephemeral,
            Published::Port(80),
            Published::Port(81),
            Published::Port(82),
            Published::Ephemeral,
            Published::Port(8080),
            Published::AnyOf(9000, 9001),
            Published::Port(6),
        ]
    );
    assert_eq!(web.mounts[1].kind, MountKind::Volume(String::from("data")));
    assert_eq!(web.mounts[1].target, "/data");
    assert_eq!(web.mounts[3].kind, MountKind::Bind { source: "/home/me/x".into(), create: true });
    assert_eq!(
        web.mounts[5].kind,
        MountKind::Tmpfs { size_bytes: Some(64 << 20), mode: None, options: Some("size=64m".into()) }
    );
    assert_eq!(web.restart, Restart::OnFailure { max_retries: Some(4) });
    assert_eq!(web.healthcheck.as_ref().map(|h| h.test.clone()), Some(HealthTest::Shell("curl x".into())));
    assert_eq!(web.names_on("default"), ["web", "www"]);
    assert_eq!(web.env("NOTHING"), None);
    let db = project.service("db").expect("it is there");
    assert_eq!(db.restart, Restart::OnFailure { max_retries: Some(3) });
    assert_eq!(db.entrypoint.as_ref().map(|e| e.value.len()), Some(0));
    let alone = project.service("alone").expect("it is there");
    assert!(alone.networks.is_empty() && alone.depends_on.len() == 1);
}

#[test]
fn spans_lead_to_what_was_written_through_anchors_and_quotes() {
    let text = "x-env: &env\n  A: '1' # one\nservices:\n  web:\n    image: nginx\n    environment:\n      <<: *env\n      B: \"${T}=x\"\n  \
                db:\n    image: postgres\n    environment: ['A=1', \"B==\"]\n";
    let loaded = Folder::new(&[("compose.yml", text)]).env("T", "t").load();
    let project = loaded.project.expect("it loads");
    let seen: Vec<String> = project
        .services
        .iter()
        .flat_map(|service| &service.environment)
        .map(|var| {
            let value = var.value.as_ref().expect("all are set");
            format!("{:?} {} = {:?} {}", var.name.span, var.name.span.text(), value.span, value.span.text())
        })
        .collect();
    insta::assert_snapshot!(seen.join("\n"));
}

#[test]
fn later_files_are_merged_over_earlier_ones() {
    let base = r#"
services:
  web:
    image: nginx:1
    command: [base]
    entrypoint: [keep]
    environment: [A=base, B=base]
    ports: ["80:80"]
    volumes: ["./a:/a", "./b:/b"]
    extra_hosts: ["a:1.1.1.1"]
    logging: {driver: json-file, options: {max-size: 1m}}
    dns: 1.1.1.1
    tmpfs: /run
    labels: {a: base}
    healthcheck: {test: [CMD, base], interval: 5s}
    depends_on: [db]
    ulimits: {nofile: {soft: 1, hard: 2}}
  db: {image: postgres, deploy: {replicas: 2}}
"#;
    let over = r#"
services:
  web:
    image: nginx:2
    command: over
    environment: {B: over, C: over}
    ports: ["81:81", "80:80"]
    volumes: ["./other:/b", "./c:/c"]
    extra_hosts: {b: 2.2.2.2, a: 1.1.1.1}
    logging: {driver: syslog, options: {tag: x}}
    dns: [2.2.2.2, 1.1.1.1]
    tmpfs: !reset []
    labels: !override {b: over}
    healthcheck: {test: [CMD, over]}
    depends_on: {db: {condition: service_healthy}}
    ulimits: {nofile: 7}
  db: {deploy: !reset null}
"#;
    let folder = Folder::new(&[("base.yml", base), ("over.yml", over)]).files(&["base.yml", "over.yml"]);
    insta::assert_snapshot!(folder.config());
}

#[test]
fn services_extend_others_here_and_in_other_files() {
    let files = [
        (
            "compose.yml",
            "services:\n  a: {extends: {service: base, file: sub/base.yml}, environment: {B: own}}\n  \
             b: {extends: a, command: [b]}\n",
        ),
        (
            "sub/base.yml",
            "services:\n  base: {extends: root, volumes: [\"./data:/data\"], env_file: base.env}\n  \
             root: {image: \"nginx:${TAG:-1}\", environment: {A: root, B: root}}\n",
        ),
        ("sub/base.env", "FROM_FILE=\"1 2\"\nA=file\n"),
    ];
    insta::assert_snapshot!(Folder::new(&files).config());
}

#[test]
fn included_files_have_a_folder_and_an_env_file_of_their_own() {
    let files = [
        ("compose.yml", "include: [sub/part.yml]\nservices: {a: {image: x, depends_on: [b]}}\n"),
        ("sub/part.yml", "services: {b: {image: \"y:${TAG}\", volumes: [\"./v:/v\"]}}\n"),
        ("sub/.env", "TAG=included\n"),
        (".env", "UNRELATED=1\n"),
    ];
    insta::assert_snapshot!(Folder::new(&files).config());
    let conflict = [
        ("compose.yml", "include: [p.yml]\nservices: {a: {image: x}}\n"),
        ("p.yml", "services: {a: {image: y}}\n"),
    ];
    insta::assert_snapshot!(Folder::new(&conflict).said(), @"compose.yml:2:12: error[JK0003]: `services.a` is declared here and in an included file");
}

#[test]
fn profiles_enable_services() {
    let text =
        "services: {a: {image: x}, b: {image: x, profiles: [debug]}, c: {image: x, profiles: [test, debug]}}";
    let enabled = |profiles: &[&str], from_env: &str| {
        let mut folder = Folder::new(&[("compose.yml", text)]).env("COMPOSE_PROFILES", from_env);
        folder.options.profiles = profiles.iter().map(|p| (*p).to_owned()).collect();
        let project = folder.load().project.expect("it loads");
        project.services.iter().map(|s| s.name.value.clone()).collect::<Vec<_>>().join(" ")
    };
    let table: [(&[&str], &str, &str); 5] = [
        (&[], "", "a"),
        (&["debug"], "", "a b c"),
        (&["test"], "", "a c"),
        (&[], "test,other", "a c"),
        (&["*"], "", "a b c"),
    ];
    for (profiles, from_env, expected) in table {
        assert_eq!(enabled(profiles, from_env), expected, "{profiles:?} {from_env}");
    }
}

#[test]
fn the_project_is_named_by_composes_rule() {
    let named = |option: Option<&str>, env: Option<&str>, in_file: &str| {
        let text = format!("{in_file}services: {{a: {{image: x}}}}");
        let mut folder = Folder::new(&[("My.Project_1/compose.yml", &text)]);
        folder.options.working_dir.push("My.Project_1");
        folder.options.project_name = option.map(str::to_owned);
        if let Some(env) = env {
            folder = folder.env("COMPOSE_PROJECT_NAME", env);
        }
        folder.load().project.expect("it loads").name.value
    };
    assert_eq!(named(None, None, ""), "myproject_1");
    assert_eq!(named(None, None, "name: infile\n"), "infile");
    assert_eq!(named(None, None, "name: ${N:-filled}\n"), "filled");
    assert_eq!(named(None, Some("fromenv"), "name: infile\n"), "fromenv");
    assert_eq!(named(Some("option"), Some("fromenv"), "name: infile\n"), "option");
}

#[test]
fn files_are_found_in_the_folder_and_above_with_their_override() {
    let files = [
        ("compose.yaml", "services: {a: {image: x}}"),
        ("compose.override.yml", "services: {a: {hostname: h}}"),
        ("docker-compose.yml", "services: {never: {image: x}}"),
        ("deep/er/readme", ""),
    ];
    let mut folder = Folder::new(&files);
    folder.options.working_dir.push("deep/er");
    let project = folder.load().project.expect("it loads");
    assert_eq!(project.services.len(), 1);
    assert_eq!(project.services[0].hostname.as_ref().map(|h| h.value.as_str()), Some("h"));
    assert_eq!(project.working_dir, folder.dir.path());
    let chosen =
        Folder::new(&files).env("COMPOSE_FILE", "docker-compose.yml").load().project.expect("it loads");
    assert_eq!(chosen.services[0].name.value, "never");
}

#[test]
fn the_process_wins_over_dotenv_and_env_files_replace_it() {
    let files = [
        ("compose.yml", "services: {a: {image: \"${A}-${B:-none}-${C:-none}\"}}"),
        (".env", "A=dotenv\nB=${A}x\n"),
        ("other.env", "A=other\nC=c\n"),
    ];
    let image = |folder: &Folder| {
        let project = folder.load().project.expect("it loads");
        project.services[0].image.as_ref().map(|image| image.value.clone()).unwrap_or_default()
    };
    assert_eq!(image(&Folder::new(&files)), "dotenv-dotenvx-none");
    assert_eq!(image(&Folder::new(&files).env("A", "process")), "process-processx-none");
    let mut folder = Folder::new(&files);
    folder.options.env_files.push("other.env".into());
    assert_eq!(image(&folder), "other-none-c");
}

#[test]
fn what_config_prints_loads_to_the_same_project() {
    let folder = Folder::new(&[("compose.yml", SHORT_FORMS)]).env("FROM_HERE", "here");
    let project = folder.load().project.expect("it loads");
    for text in [to_config_yaml(&project), to_config_json(&project)] {
        let again = Folder::new(&[("compose.yml", &text)]);
        let reread = again.load().project.expect("what we print is a compose file");
        assert_eq!(to_config_yaml(&reread), to_config_yaml(&project), "{text}");
    }
}

#[test]
fn brackets_may_close_under_their_key() {
    let text = "services:\n  a:\n    image: x\n    command: [\n    \"한\",\n    \"b\"\n    ]\n    labels: {\n    a: b\n    }\n    hostname: h\n";
    let loaded = Folder::new(&[("compose.yml", text)]).load();
    assert!(loaded.diagnostics.is_empty(), "{:?}", loaded.diagnostics);
    let project = loaded.project.expect("it loads");
    let command = project.services[0].command.clone().expect("it is there");
    assert_eq!(command.value, ["한", "b"]);
    let hostname = project.services[0].hostname.clone().expect("it is there");
    assert_eq!(hostname.span.position().map(|at| (at.line, at.column)), Some((11, 15)));
}
