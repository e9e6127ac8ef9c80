//! Docker Compose's smaller words and flags, as scripts call them, on stand-ins that only run.

#![allow(clippy::unwrap_used, reason = "a panic in a test's helper is the failure report")]

mod support;

use rustix::process::Signal;
use std::fs;
use std::process::Stdio;
use support::{Project, said, signal};

/// The state of a process, as the kernel has it.
fn state_of(pid: i32) -> String {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    stat.rsplit_once(')').unwrap().1.split_whitespace().next().unwrap().to_owned()
}

#[test]
fn pause_freezes_and_unpause_lets_go_on() {
    let project = Project::of_stand_ins("pause", "no");
    project.ok("up -d --no-wait");
    let pid = project.pid("one");
    project.ok("pause one");
    assert_eq!(state_of(pid), "T");
    assert_eq!(project.instance("one")["State"], "paused");
    assert!(project.ok("ps").contains("(Paused)"));
    assert_eq!(project.run("exec -T one true").status.code(), Some(1), "as Docker has it");
    project.ok("unpause");
    assert_ne!(state_of(pid), "T");
    assert_eq!(project.instance("one")["State"], "running");
    project.ok("pause");
    project.ok("stop");
    let stopped = project.instance("one");
    assert_eq!((&stopped["State"], &stopped["ExitCode"]), (&"exited".into(), &0.into()), "it ends politely");
}

#[test]
fn top_and_ls_show_what_runs() {
    let project = Project::of_stand_ins("top-and-ls", "no");
    assert_eq!(project.ok("ls -q"), "");
    project.ok("up -d --no-wait");
    let top = project.ok("top one");
    let first = project.pid("one").to_string();
    let of_first = |line: &&str| line.starts_with("one ") && line.split_whitespace().nth(3) == Some(&first);
    assert!(top.starts_with("SERVICE   #   UID") && top.lines().any(|line| of_first(&line)), "{top}");
    assert!(!top.contains("two "), "{top}");
    let list = project.ok("ls");
    assert!(list.contains("jd-top-and-ls   running(2)   ") && list.contains("compose.yml"), "{list}");
    project.ok("kill two");
    assert!(project.ok("ls").contains("exited(1), running(1)"));
    project.ok("kill one");
    assert_eq!((project.ok("ls -q").as_str(), project.ok("ls -aq").as_str()), ("", "jd-top-and-ls\n"));
    assert_eq!(project.ok("ls -a --filter name=other --format json"), "[]\n");
}

#[test]
fn cp_carries_files_into_a_container_and_out_of_it() {
    let project = Project::of_stand_ins("cp", "no");
    project.ok("up -d --no-wait");
    project.ok("cp compose.yml one:/tmp/there.yml");
    project.ok("cp compose.yml one:/tmp");
    let text = fs::read_to_string(project.path("compose.yml")).unwrap();
    assert_eq!(project.ok("exec -T one cat /tmp/there.yml"), text);
    project.ok("exec -T one ls /tmp/compose.yml");
    project.ok("cp one:/opt/bitnami/kafka/config/server.properties .");
    assert!(fs::read_to_string(project.path("server.properties")).unwrap().contains("node.id=0"));
    project.ok("cp one:/opt/bitnami/kafka/config made");
    assert!(project.path("made/server.properties").exists());
    for (line, code) in
        [("cp one:/absent x", 1), ("cp a b", 2), ("cp one:/tmp two:/tmp", 2), ("cp - one:/tmp", 2)]
    {
        let output = project.run(line);
        assert_eq!(output.status.code(), Some(code), "{line}: {}", said(&output));
    }
}

#[test]
fn what_is_not_built_says_so() {
    let project = Project::of_stand_ins("words-not-built", "no");
    let output = project.run("config --no-interpolate");
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));
    assert!(said(&output).contains("config --environment"), "{}", said(&output));
    project.ok("build");
    let text = fs::read_to_string(project.path("compose.yml")).unwrap();
    project.write_text(&(text + "  app:\n    build: .\n"));
    let output = project.run("build");
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert!(said(&output).contains("app would need one"), "{}", said(&output));
    project.ok("build one");
}

#[test]
fn wait_gives_the_code_of_what_ended() {
    let project = Project::of_stand_ins("wait", "no");
    project.ok("up -d --no-wait");
    let waiting = project.command("wait one").stdout(Stdio::piped()).spawn().unwrap();
    signal(project.pid("one"), Signal::KILL);
    let output = waiting.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(137), "{}", said(&output));
    assert!(said(&output).contains("exited with status code 137"), "{}", said(&output));
    project.ok("stop two");
    assert_eq!(project.run("wait two").status.code(), Some(0));
    assert_eq!(project.run("wait").status.code(), Some(2));
}

#[test]
fn scale_takes_one_or_none() {
    let project = Project::of_stand_ins("scale", "no");
    let output = project.run("up -d --no-wait --scale two=0 --scale one=1");
    assert!(said(&output).contains("two is left out: its scale is 0"), "{}", said(&output));
    assert_eq!(project.instance("one")["State"], "running");
    assert!(project.instance("two").is_null());
    for (word, told) in
        [("one=2", "each service has one container"), ("one", "SERVICE=NUMBER"), ("no=1", "no such")]
    {
        let output = project.run(&format!("up -d --no-wait --scale {word}"));
        assert_eq!(output.status.code(), Some(2), "{}", said(&output));
        assert!(said(&output).contains(told), "{}", said(&output));
    }
}

#[test]
fn attached_up_ends_with_the_first_or_with_the_code_that_was_asked_for() {
    for (flags, code) in
        [("--abort-on-container-exit", 137), ("--exit-code-from two", 0), ("--exit-code-from one", 137)]
    {
        let project = Project::of_stand_ins(&format!("abort-{}", flags.len()), "no");
        let line = format!("up --no-wait {flags}");
        let up = project.command(&line).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        for service in ["one", "two"] {
            project.until(service, |it| it["State"] == "running");
            project.until_printed(service, "standing in");
        }
        signal(project.pid("one"), Signal::KILL);
        let output = up.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{flags}: {}", said(&output));
        assert_eq!(project.instance("two")["State"], "exited", "{flags}");
    }
}
