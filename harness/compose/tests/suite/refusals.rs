//! What is refused, and in which words: each with its code, line and column.

use crate::folder::Folder;
use jackdaw_compose::{Code, Severity, explain};

/// A complete service around some lines of it.
fn service(lines: &str) -> String {
    let indented: String = lines.lines().map(|line| format!("    {line}\n")).collect();
    format!("services:\n  web:\n    image: nginx\n{indented}  db:\n    image: postgres\n")
}

fn said_of(cases: &[(&str, &str)], whole: impl Fn(&str) -> String) -> String {
    let mut out = String::new();
    for (name, text) in cases {
        let said = Folder::new(&[("compose.yml", &whole(text))]).said();
        out.push_str(&format!(
            "{name}\n{}\n\n",
            if said.is_empty() { "  nothing".into() } else { indent(&said) }
        ));
    }
    out
}

fn indent(text: &str) -> String {
    text.lines().map(|line| format!("  {line}")).collect::<Vec<_>>().join("\n")
}

#[test]
fn broken_text_is_refused_where_it_breaks() {
    let cases = [
        ("a tab", "services:\n\tweb: {image: x}\n"),
        ("an open quote", "services: {web: {image: \"x}}\n"),
        ("a key twice", "services:\n  web: {image: a}\n  web: {image: b}\n"),
        ("a list", "- a\n- b\n"),
        ("nothing", "# only a comment\n"),
        ("an unknown tag", "services: {web: {image: !secret x}}\n"),
        ("merging what is no mapping", "services: {web: {<<: [a], image: x}}\n"),
        ("two documents are two files", "services: {a: {image: x}}\n---\nservices: {b: {image: y}}\n"),
    ];
    insta::assert_snapshot!(said_of(&cases, str::to_owned));
}

#[test]
fn a_document_of_nested_aliases_does_not_fill_the_memory() {
    let mut text = String::from("x-a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n");
    for at in 1..12 {
        let before = format!("*a{}", at - 1);
        text.push_str(&format!("x-a{at}: &a{at} [{}]\n", vec![before; 10].join(",")));
    }
    let loaded = Folder::new(&[("compose.yml", &text)]).load();
    assert_eq!(loaded.diagnostics.first().map(|d| d.code), Some(Code::AliasBomb));
}

#[test]
fn unknown_keys_name_the_nearest_known_one() {
    let cases = [
        ("a service's key", "enviroment: {A: 1}"),
        ("a key of a long form", "healthcheck: {test: [CMD, x], intervall: 5s}"),
        ("far from everything", "zebra: 1"),
        ("extensions are the author's own", "x-zebra: 1"),
        ("a condition", "depends_on: {db: {condition: service_health}}"),
        ("a restart policy", "restart: allways"),
    ];
    insta::assert_snapshot!(said_of(&cases, service));
}

#[test]
fn values_of_the_wrong_type_or_without_sense_are_named() {
    let cases = [
        ("a number for a string", "hostname: 5"),
        ("a string for a list", "ports: \"80\""),
        ("nothing for a list", "ports:"),
        ("a list as a value", "environment: {A: [1]}"),
        ("a number without a unit", "stop_grace_period: 30"),
        ("no duration", "stop_grace_period: soon"),
        ("no size", "shm_size: huge"),
        ("no boolean", "privileged: perhaps"),
        ("no number", "healthcheck: {test: x, retries: many}"),
        ("a healthcheck without CMD", "healthcheck: {test: [curl, x]}"),
        ("no port", "ports: [\"0\", \"70000:80\", \"a:b\", \"80-82:90\", \"90:80/icmp\", \"host:1:2\"]"),
        ("no volume", "volumes: [\"a:b\", \"vol:/y:ro:z\", \":/x\", {type: bind, target: /x}]"),
        ("a long port without target", "ports: [{published: 80}]"),
        ("an open quote in a command", "command: sh -c 'oops"),
        ("an image as a list", "image: [a]"),
    ];
    insta::assert_snapshot!(said_of(&cases, |lines| service(lines)
        .replace(if lines.starts_with("image") { "    image: nginx\n" } else { "\u{0}" }, "")));
}

#[test]
fn what_is_named_must_be_declared_and_what_is_unique_must_be_so() {
    let cases = [
        ("a network", "networks: [front]"),
        ("a volume", "volumes: [\"data:/d\"]"),
        ("a secret", "secrets: [s]"),
        ("a config", "configs: [c]"),
        ("a service", "depends_on: [bd]"),
        ("a service that is optional", "depends_on: {bd: {condition: service_started, required: false}}"),
        ("itself", "depends_on: [web]"),
        ("two network stacks", "network_mode: host\nnetworks: [default]"),
        ("one name for many", "container_name: one\ndeploy: {replicas: 2}"),
        ("extending nothing", "extends: wbe"),
        ("extending itself", "extends: web"),
        ("an env file", "env_file: missing.env"),
    ];
    insta::assert_snapshot!(said_of(&cases, service));
}

#[test]
fn services_are_checked_against_each_other() {
    let cases = [
        ("no image", "services: {a: {hostname: x}}"),
        ("an empty image", "services: {a: {image: \"\"}}"),
        ("an image that came to nothing", "services: {a: {image: \"${NONE}\"}}"),
        (
            "times and numbers that came to nothing",
            "services: {a: {image: x, healthcheck: {test: x, interval: \"$NONE\", retries: \"$NADA\"}}}",
        ),
        ("no services", "volumes: {v: }"),
        (
            "a circle",
            "services: {a: {image: x, depends_on: [b]}, b: {image: x, depends_on: [c]}, c: {image: x, links: [a]}}",
        ),
        (
            "one container name",
            "services: {a: {image: x, container_name: nn}, b: {image: x, container_name: nn}}",
        ),
        ("one host port", "services: {a: {image: x, ports: [\"80:1\"]}, b: {image: x, ports: [\"80:2\"]}}"),
        ("a disabled one", "services: {a: {image: x, depends_on: [b]}, b: {image: x, profiles: [debug]}}"),
        ("a secret without content", "services: {a: {image: x, secrets: [s]}}\nsecrets: {s: {}}"),
        ("version", "version: \"3.8\"\nservices: {a: {image: x}}"),
        ("a bad name", "name: My Project\nservices: {a: {image: x}}"),
    ];
    let mut out = String::new();
    for (name, text) in cases {
        let mut folder = Folder::new(&[("compose.yml", text)]);
        folder.options.project_name = None;
        out.push_str(&format!("{name}\n{}\n\n", indent(&folder.said())));
    }
    insta::assert_snapshot!(out);
}

#[test]
fn variables_that_are_missing_or_malformed_are_underlined() {
    let cases = [
        ("unset, said once", "hostname: ${NAME}\ndomainname: $NAME"),
        ("required", "hostname: ${NAME:?give a name}"),
        ("malformed", "hostname: ${NAME!}"),
        ("a lone dollar", "command: echo $ x"),
    ];
    insta::assert_snapshot!(said_of(&cases, service));
}

#[test]
fn a_finding_is_drawn_with_its_place_and_its_remedy() {
    let text = service("enviroment: {A: 1}\nports:\n  - '70000:80' # too high");
    let folder = Folder::new(&[("compose.yml", &text)]);
    let drawn: String = folder.load().diagnostics.iter().map(|d| d.render(false, 100)).collect();
    insta::assert_snapshot!(drawn);
}

#[test]
fn every_code_is_told_apart_and_explained() {
    for (at, code) in Code::ALL.iter().enumerate() {
        assert!(
            Code::ALL[..at].iter().all(|earlier| earlier.number() < code.number()),
            "{code} is out of order"
        );
        assert!(code.explanation().len() > 20 && !code.title().is_empty(), "{code} says too little");
        assert_eq!(code.to_string().parse::<Code>().ok(), Some(*code));
    }
    assert_eq!("jk30".parse::<Code>().ok(), Some(Code::UnknownKey));
    assert!("JK9999".parse::<Code>().is_err());
    assert_eq!(Code::UnknownKey.severity(), Severity::Error);
    insta::assert_snapshot!(explain(Code::NearMissVariable));
}
