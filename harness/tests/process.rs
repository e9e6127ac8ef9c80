//! The process runtime from the outside: the real binary and its supervisor, with a stand-in for the broker
//! where the broker is not the point.

#![allow(clippy::unwrap_used, reason = "a panic in a test's helper is the failure report")]

mod support;

use rustix::process::Signal;
use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::process::Stdio;
use support::{Project, is_gone, said, signal, until_gone};

#[test]
fn up_twice_does_nothing_and_a_changed_service_alone_is_made_anew() {
    let project = Project::of_stand_ins("twice", "unless-stopped");
    let table = project.ok("up -d --no-wait");
    assert!(table.contains("SERVICE") && table.contains("bootstrap.servers=localhost:"), "{table}");
    let (one, two) = (project.pid("one"), project.pid("two"));
    assert!(project.ok("up --dry-run").contains("nothing to do"));
    project.ok("up -d --no-wait");
    assert_eq!((project.pid("one"), project.pid("two")), (one, two));

    project.write("unless-stopped", "      KAFKA_CFG_NUM_PARTITIONS: 3\n");
    let plan = project.ok("up --dry-run");
    assert!(plan.contains("jd-twice-two-1 (its configuration changed)") && !plan.contains("one-1"), "{plan}");
    project.ok("up -d --no-wait");
    assert_eq!(project.pid("one"), one);
    assert_ne!(project.pid("two"), two);
}

#[test]
fn a_crash_is_answered_by_the_policy_and_a_command_is_not() {
    let project = Project::of_stand_ins("policy", "unless-stopped");
    project.ok("up -d --no-wait");
    let first = project.pid("one");
    signal(first, Signal::KILL);
    let back = project.until("one", |one| one["State"] == "running" && one["Pid"] != first);
    assert_eq!(back["Restarts"], 1);

    project.ok("kill one");
    let killed = project.instance("one");
    assert_eq!((&killed["State"], &killed["ExitCode"]), (&"exited".into(), &137.into()));
    project.ok("stop two");
    let stopped = project.instance("two");
    assert_eq!((&stopped["State"], &stopped["ExitCode"]), (&"exited".into(), &0.into()), "it ended politely");
    assert_eq!(project.ok("ps -q"), "");

    project.ok("start");
    project.until("one", |one| one["State"] == "running" && one["Restarts"] == 0);
    project.ok("restart -t 2 two");
    project.until("two", |two| two["State"] == "running");
}

#[test]
fn on_failure_gives_up_after_its_attempts() {
    let project = Project::of_stand_ins("attempts", "on-failure:2");
    project.ok("up --no-start");
    std::fs::write(project.state("instances/jd-attempts-one-1/crash"), "").unwrap();
    project.ok("start");
    let one = project.until("one", |one| one["State"] == "exited");
    assert_eq!((&one["Restarts"], &one["ExitCode"]), (&2.into(), &3.into()));
    assert_eq!(project.instance("two")["State"], "running");
}

#[test]
fn a_taken_port_is_refused_before_anything_starts_and_names_its_holder() {
    let project = Project::of_stand_ins("taken", "no");
    let _holder = TcpListener::bind(("127.0.0.1", project.ports[1])).unwrap();
    let output = project.run("up -d --no-wait");
    let told = said(&output);
    assert_eq!(output.status.code(), Some(2), "{told}");
    assert!(told.contains(&format!("127.0.0.1:{}", project.ports[1])), "{told}");
    assert!(told.contains(&format!("process {} (", std::process::id())), "{told}");
    assert!(project.instance("one").is_null(), "nothing was made");
}

#[test]
fn nothing_outlives_a_supervisor_that_was_killed() {
    let project = Project::of_stand_ins("crash", "always");
    project.ok("up -d --no-wait");
    let nodes = [project.pid("one"), project.pid("two")];
    let supervisor = std::fs::read_to_string(project.state("supervisor.lock")).unwrap().parse().unwrap();
    signal(supervisor, Signal::KILL);
    nodes.into_iter().for_each(until_gone);
    until_gone(supervisor);
    assert_eq!(project.instance("one")["State"], "exited");

    project.ok("up -d --no-wait");
    assert_eq!(project.instance("one")["State"], "running");
    let again = project.pid("one");
    let supervisor = std::fs::read_to_string(project.state("supervisor.lock")).unwrap().parse().unwrap();
    signal(supervisor, Signal::KILL);
    project.ok("down");
    assert!(is_gone(again));
    assert!(!project.state("state.json").exists() && !project.state("instances").exists());
}

#[test]
fn volumes_survive_down_and_go_with_it_when_told() {
    let project = Project::of_stand_ins("volumes", "no");
    project.ok("up -d --no-wait");
    let supervisor = std::fs::read_to_string(project.state("supervisor.lock")).unwrap().parse().unwrap();
    let kept = project.state("volumes/jd-volumes_one/data/kept");
    std::fs::write(&kept, "").unwrap();
    project.ok("down");
    assert!(is_gone(supervisor) && kept.exists());
    project.ok("up -d --no-wait");
    assert!(kept.exists());
    project.ok("down -v");
    assert!(!project.state("").exists(), "nothing is left");
}

#[test]
fn logs_are_kept_and_prefixed_with_the_container_s_name() {
    let project = Project::of_stand_ins("logs", "no");
    project.ok("up -d --no-wait");
    for service in ["one", "two"] {
        project.until_printed(service, "standing in");
    }
    project.ok("stop");
    let logs = project.ok("logs");
    assert!(logs.contains("jd-logs-one-1  | standing in: --hosts "), "{logs}");
    assert!(logs.contains("jd-logs-two-1  | asked to stop"), "{logs}");
    assert_eq!(project.ok("logs -n 1 --no-log-prefix one"), "asked to stop\n");
    assert_eq!(project.ok("logs -t -n 1 --no-log-prefix one").split_whitespace().count(), 4);
    project.ok("start one");
    assert_eq!(project.ok("exec one printenv KAFKA_CFG_NODE_ID"), "0\n");
    let there = project.ok("exec -w /opt/bitnami/kafka/bin one ls kafka-topics.sh");
    assert_eq!(there, "kafka-topics.sh\n", "the folders of the image are there");
    assert_eq!(project.run("exec one false").status.code(), Some(1));
    assert_eq!(project.run("exec one no-such-program").status.code(), Some(127), "as a shell has it");
    assert_eq!(project.run("exec two true").status.code(), Some(1), "it is not running");
}

#[test]
fn logs_are_those_of_the_container_that_is_there() {
    let project = Project::of_stand_ins("whose-logs", "no");
    project.ok("up -d --no-wait");
    project.until_printed("one", "standing in");
    project.ok("restart one");
    project.until("one", |one| one["State"] == "running");
    project.until_printed("one", "asked to stop");
    project.ok("up -d --no-wait --force-recreate one");
    project.until_printed("one", "standing in");
    let logs = project.ok("logs --no-log-prefix one");
    assert!(!logs.contains("asked to stop"), "its predecessor said that: {logs}");
}

#[test]
fn attached_up_shows_logs_and_stops_on_ctrl_c() {
    let project = Project::of_stand_ins("attached", "unless-stopped");
    let told = project.path("told");
    let narration = std::fs::File::create(&told).unwrap();
    let mut up = project.command("up --no-wait").stdout(Stdio::piped()).stderr(narration).spawn().unwrap();
    let mut lines = BufReader::new(up.stdout.take().unwrap()).lines().map_while(Result::ok);
    let shown: Vec<String> =
        lines.by_ref().take_while(|line| !line.contains("two-1  | standing in")).collect();
    assert!(shown.iter().all(|line| !line.contains('\u{1b}')), "no colours in a pipe: {shown:?}");
    signal(i32::try_from(up.id()).unwrap(), Signal::INT);
    let last: Vec<String> = lines.collect();
    for service in ["one", "two"] {
        let line = format!("jd-attached-{service}-1  | asked to stop");
        assert!(last.contains(&line), "what they say to the end is shown: {last:?}");
    }
    let code = up.wait().unwrap().code();
    assert_eq!(code, Some(130), "{}", std::fs::read_to_string(told).unwrap());
    for service in ["one", "two"] {
        assert_eq!(project.instance(service)["State"], "exited", "stopped by hand, so it stays down");
    }
}

#[test]
fn a_node_that_does_not_become_ready_is_blamed_with_its_last_lines() {
    let project = Project::of_stand_ins("blame", "no");
    project.ok("up --no-start");
    std::fs::write(project.state("instances/jd-blame-two-1/crash"), "").unwrap();
    let output = project.run("up -d --wait-timeout 15");
    let told = said(&output);
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(told.contains("two is not ready") && told.contains("standing in: "), "{told}");
}

#[test]
fn exit_codes_are_those_that_help_promises() {
    let project = Project::of_stand_ins("codes", "no");
    let code = |line: &str| project.run(line).status.code();
    assert_eq!(code("config -q"), Some(0));
    assert_eq!(code("ps nobody"), Some(2));
    assert_eq!(code("up nobody"), Some(2));
    assert_eq!(code("up --provider one=nobody"), Some(2));
    assert_eq!(code("-f absent.yml config"), Some(2));
    assert_eq!(code("explain JK9999"), Some(2));
    assert_eq!(code("start"), Some(1), "there is nothing to start");
    let mut docker = project.command("ps --runtime docker");
    assert_eq!(docker.env("DOCKER_HOST", "unix:///nonexistent").output().unwrap().status.code(), Some(3));
    std::fs::write(project.path("compose.yml"), "services: [").unwrap();
    assert_eq!(code("up"), Some(2));
    // As in `jackdaw up 2>&1 | head -1`.
    let (reader, told) = std::io::pipe().unwrap();
    drop(reader);
    assert_eq!(project.command("up").stderr(told).status().unwrap().code(), Some(2), "nobody listens");
}

#[test]
fn two_launchers_that_start_at_the_same_moment_do_not_meet() {
    // One name, so that both would choose the same addresses.
    let projects = [(); 2].map(|()| Project::of_brokers("moment"));
    let starting: Vec<_> = projects
        .iter()
        .map(|project| {
            project.command("up -d").stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
        })
        .collect();
    for up in starting {
        let output = up.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", said(&output));
    }
}

#[test]
fn a_cluster_comes_up_ready_survives_a_kill_and_leaves_nothing() {
    let project = Project::of_brokers("cluster");
    let table = project.ok("up -d");
    assert_eq!(table.matches("controller,broker   ready").count(), 2, "{table}");
    assert!(project.ok("up --dry-run").contains("nothing to do"));
    let first = project.pid("one");
    signal(first, Signal::KILL);
    project.until("one", |one| one["State"] == "running" && one["Pid"] != first);
    project.ok("up -d");
    let logs = project.ok("logs --no-log-prefix one");
    assert!(logs.contains("Kafka Server started"), "{logs}");

    project.ok("stop");
    assert_eq!(project.instance("one")["ExitCode"], 0, "it stopped cleanly");
    project.ok("start");
    project.ok("up -d");
    let nodes = [project.pid("one"), project.pid("two")];
    project.ok("down");
    nodes.into_iter().for_each(until_gone);
    assert!(nodes.into_iter().all(is_gone));
    let kept = project.state("volumes/jd-cluster_one/data/meta.properties");
    assert!(std::fs::read_to_string(kept).unwrap().contains("cluster.id=HsDBs9l6UUmQq7Y5E6bNlw"));
}
