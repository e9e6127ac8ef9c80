//! Plans as people read them, for what is wanted and what is there.

use super::*;
use crate::lower::select;
use crate::testing::{seed, seed_text, spec_of, there};

fn means(kind: Kind) -> Means {
    let own_image = (kind == Kind::Docker).then(|| "jackdaw:test".into());
    Means { kind, own_image, has_tools: kind == Kind::Docker }
}

/// Everything of the spec in one state.
fn all(spec: &ProjectSpec, state: State) -> Observed {
    Observed {
        instances: spec.services.iter().map(|service| there(service, state)).collect(),
        networks: spec.networks.iter().map(|network| network.name.clone()).collect(),
        volumes: spec.volumes.iter().map(|volume| volume.name.clone()).collect(),
        images: vec!["jackdaw:test".into(), "provectuslabs/kafka-ui:latest".into()],
    }
}

fn plan_up(
    spec: &ProjectSpec,
    names: &[&str],
    observed: &Observed,
    kind: Kind,
    options: &UpOptions,
) -> String {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let selected = select(spec, &names, false).unwrap();
    up(spec, &selected, &[], observed, &means(kind), options).to_string()
}

#[test]
fn the_first_up_on_an_engine_makes_everything() {
    let spec = seed();
    let nothing = Observed::default();
    insta::assert_snapshot!(plan_up(&spec, &[], &nothing, Kind::Docker, &UpOptions::default()));
}

#[test]
fn the_first_up_on_processes_leaves_other_images_out() {
    let spec = seed();
    let nothing = Observed::default();
    insta::assert_snapshot!(plan_up(&spec, &[], &nothing, Kind::Process, &UpOptions::default()));
}

#[test]
fn a_second_up_changes_nothing() {
    let spec = seed();
    let observed = all(&spec, State::Running);
    insta::assert_snapshot!(plan_up(&spec, &[], &observed, Kind::Docker, &UpOptions::default()), @r"
    project seed on docker
      nothing to do
    ");
}

#[test]
fn only_a_changed_service_is_made_anew() {
    let observed = all(&seed(), State::Running);
    let changed = spec_of(&seed_text().replacen(
        "KAFKA_CFG_NODE_ID=1\n",
        "KAFKA_CFG_NODE_ID=1\n      - KAFKA_CFG_NUM_PARTITIONS=3\n",
        1,
    ));
    insta::assert_snapshot!(plan_up(&changed, &[], &observed, Kind::Docker, &UpOptions::default()), @r"
    project seed on docker
      stop       container Kafka01Container (within 10 s)
      remove     container Kafka01Container (its configuration changed)
      create     container Kafka01Container (node 1, controller,broker, for bitnami/kafka:3.7.0)
      start      container Kafka01Container
    ");
    let keep = UpOptions { no_recreate: true, ..UpOptions::default() };
    assert!(plan_up(&changed, &[], &observed, Kind::Docker, &keep).contains("nothing to do"));
}

#[test]
fn what_is_down_is_started_and_what_restarts_is_left_to_its_policy() {
    let spec = seed();
    let mut observed = all(&spec, State::Running);
    observed.instances[0].state = State::Exited;
    observed.instances[1].state = State::Restarting;
    observed.instances[2].state = State::Dead;
    insta::assert_snapshot!(plan_up(&spec, &[], &observed, Kind::Docker, &UpOptions::default()), @r"
    project seed on docker
      remove     container Kafka02Container (it is dead)
      create     container Kafka02Container (node 2, controller,broker, for bitnami/kafka:3.7.0)
      start      container Kafka00Container
      start      container Kafka02Container
    ");
}

#[test]
fn a_named_service_brings_what_it_depends_on() {
    let spec = spec_of(&seed_text().replace(
        "    container_name: Kafka01Container\n",
        "    container_name: Kafka01Container\n    depends_on: {Kafka00Service: {condition: service_healthy}}\n",
    ));
    let nothing = Observed::default();
    let plan = plan_up(&spec, &["Kafka01Service"], &nothing, Kind::Process, &UpOptions::default());
    insta::assert_snapshot!(plan, @r"
    project seed on process
      create     volume seed_Kafka00
      create     volume seed_Kafka01
      create     container Kafka00Container (node 0, controller,broker, for bitnami/kafka:3.7.0)
      create     container Kafka01Container (node 1, controller,broker, for bitnami/kafka:3.7.0)
      start      container Kafka00Container
      wait       Kafka00Service: service_healthy, for Kafka01Service
      start      container Kafka01Container
    ");
}

#[test]
fn down_goes_backwards_and_takes_volumes_only_when_told() {
    let spec = seed();
    let observed = all(&spec, State::Running);
    let keep = down("seed", Some(&spec), &observed, Kind::Docker, &DownOptions::default()).to_string();
    assert!(!keep.contains("volume"), "{keep}");
    let options = DownOptions { volumes: true, grace_ms: Some(3000), ..DownOptions::default() };
    insta::assert_snapshot!(down("seed", Some(&spec), &observed, Kind::Docker, &options));
}

/// Docker Compose removes what the file declares: data of a volume that was renamed in it stays.
#[test]
fn down_keeps_volumes_that_the_file_no_longer_has() {
    let spec = seed();
    let mut observed = all(&spec, State::Running);
    observed.volumes.push("seed_Kafka03".into());
    let options = DownOptions { volumes: true, ..DownOptions::default() };
    let with_file = down("seed", Some(&spec), &observed, Kind::Process, &options).to_string();
    assert!(!with_file.contains("seed_Kafka03"), "{with_file}");
    let without = down("seed", None, &observed, Kind::Process, &options).to_string();
    assert!(without.contains("seed_Kafka03"), "{without}");
}

#[test]
fn orphans_stay_unless_they_are_to_go() {
    let spec = seed();
    let mut observed = all(&spec, State::Running);
    observed.instances.push(Instance {
        service: "old".into(),
        name: "seed-old-1".into(),
        ..observed.instances[0].clone()
    });
    let names = |plan: Plan| plan.to_string().matches("seed-old-1").count();
    assert_eq!(names(down("seed", Some(&spec), &observed, Kind::Docker, &DownOptions::default())), 0);
    let options = DownOptions { remove_orphans: true, ..DownOptions::default() };
    assert_eq!(names(down("seed", Some(&spec), &observed, Kind::Docker, &options)), 2);
    assert_eq!(
        names(down("seed", None, &observed, Kind::Docker, &DownOptions::default())),
        2,
        "without a file all go"
    );
}

#[test]
fn commands_act_on_what_they_can_act_on() {
    let spec = seed();
    let mut observed = all(&spec, State::Running);
    observed.instances[1].state = State::Exited;
    let one = ["Kafka01Service".to_owned()];
    let plan =
        |names: &[String], what: &Act| act("seed", Some(&spec), &observed, Kind::Process, names, what).steps;
    assert_eq!(plan(&one, &Act::Stop { grace_ms: None }), []);
    assert_eq!(plan(&one, &Act::Start).len(), 1);
    assert_eq!(plan(&one, &Act::Restart { grace_ms: None }).len(), 1, "a stopped one is only started");
    assert_eq!(plan(&[], &Act::Kill { signal: "SIGKILL".into() }).len(), 3);
}

#[test]
fn a_plan_is_json_for_programs() {
    let spec = seed();
    let selected = select(&spec, &["Kafka00Service".into()], true).unwrap();
    let plan = up(&spec, &selected, &[], &Observed::default(), &means(Kind::Process), &UpOptions::default());
    let json = serde_json::to_value(&plan).unwrap();
    assert_eq!(json["runtime"], "process");
    assert_eq!(json["steps"][0]["do"], "create_volume");
    assert_eq!(json["steps"][2]["container"], "Kafka00Container");
}

#[test]
fn a_service_that_uses_the_image_for_its_tools_runs_where_they_are() {
    let init = "services:
  one:
    image: apache/kafka:3.7.0
  init:
    image: apache/kafka:3.7.0
    command: ['/opt/kafka/bin/kafka-topics.sh', '--list', '--bootstrap-server', 'one:9092']
    depends_on: [one]
";
    let spec = spec_of(init);
    let services: Vec<&ServiceSpec> = spec.services.iter().collect();
    let steps = |means: &Means| {
        let plan = up(&spec, &services, &[], &Observed::default(), means, &UpOptions::default());
        plan.steps.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
    };
    assert!(steps(&means(Kind::Docker)).contains("create     container seed-init-1 (apache/kafka:3.7.0)"));
    assert!(!steps(&means(Kind::Docker)).contains("pull"), "it is our own image");
    let without = steps(&Means { has_tools: false, ..means(Kind::Docker) });
    assert!(
        without.contains("leave out  init: ") && without.contains("not part of this program"),
        "{without}"
    );
    let beside_processes = Means { has_tools: true, ..means(Kind::Process) };
    assert!(steps(&beside_processes).contains("create     container seed-init-1"));
}

const FOLLOWER: &str = "services:
  db: {image: example/db:1}
  app: {image: example/app:1, depends_on: {db: {condition: service_started, restart: true}}}
  other: {image: example/app:1, depends_on: [db]}
";

#[test]
fn who_asks_for_it_is_restarted_with_what_it_depends_on() {
    let spec = spec_of(FOLLOWER);
    let mut observed = all(&spec, State::Running);
    observed.images = vec!["example/db:1".into(), "example/app:1".into()];
    let restart = Act::Restart { grace_ms: Some(1000) };
    let plan = act("seed", Some(&spec), &observed, Kind::Docker, &["db".into()], &restart);
    insta::assert_snapshot!(plan, @r"
    project seed on docker
      stop       container seed-app-1 (within 1 s)
      stop       container seed-db-1 (within 1 s)
      start      container seed-db-1
      start      container seed-app-1
    ");
    observed.instances[0].hash = None;
    insta::assert_snapshot!(plan_up(&spec, &[], &observed, Kind::Docker, &UpOptions::default()), @r"
    project seed on docker
      stop       container seed-app-1 (within 10 s)
      stop       container seed-db-1 (within 10 s)
      remove     container seed-db-1 (its configuration changed)
      create     container seed-db-1 (example/db:1)
      start      container seed-db-1
      start      container seed-app-1
    ");
}

#[test]
fn an_image_is_pulled_as_its_policy_says() {
    let file = |policy: &str| format!("services: {{a: {{image: 'example/a:1', pull_policy: {policy}}}}}");
    for (policy, is_there, pulls, runs) in [
        ("missing", true, false, true),
        ("missing", false, true, true),
        ("always", true, true, true),
        ("never", true, false, true),
        ("never", false, false, false),
    ] {
        let images = if is_there { vec!["example/a:1".into()] } else { Vec::new() };
        let observed = Observed { images, ..Observed::default() };
        let plan = plan_up(&spec_of(&file(policy)), &[], &observed, Kind::Docker, &UpOptions::default());
        let found = (plan.contains("pull  "), plan.contains("start  "));
        assert_eq!(found, (pulls, runs), "{policy}, there: {is_there}: {plan}");
    }
}
