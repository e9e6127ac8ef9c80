//! The language of scenarios: what is understood, and how faults are told.

use jackdaw_compose::Diagnostic;
use jackdaw_scenario::model::{Condition, Verb, Who};
use jackdaw_scenario::parse;

const HEAD: &str = "protects: a test\nsource: a test\n";

fn told(text: &str) -> String {
    match parse("name", "scenarios/name/scenario.yml", text) {
        Ok(scenario) => format!("{} steps\n", scenario.steps.len()),
        Err(findings) => findings.iter().map(|finding: &Diagnostic| finding.render(false, 100)).collect(),
    }
}

/// What a scenario's author gets wrong, and what is said about it.
#[test]
fn faults_are_told_with_their_place_and_remedy() {
    let bodies = [
        "steps:\n  - requst: Metadata\n",
        "steps:\n  - request: Metadta\n",
        "steps:\n  - request: Metadata\n    body: { topic: [] }\n",
        "steps:\n  - request: Metadata\n    version: 3\n    body: { allow_auto_topic_creation: true }\n",
        "steps:\n  - request: Metadata\n    body: { topics: 5 }\n",
        "steps:\n  - request: Fetch\n    body: { session_id: $session }\n",
        "steps:\n  - kill: node 9\n",
        "steps:\n  - kill: node 1\n    start: node 1\n",
        "steps:\n  - await: leader of t is 1\n",
        "steps:\n  - await: topic t is gone\n    within: 0\n",
        "steps:\n  - await: leader of t-0 is 4\n",
        "cluster: { nodes: { 4: { role: controller } } }\nsteps:\n  - await: isr of t-0 is 1 4\n",
        "steps:\n  - await: node 7 has ended\n",
        "steps:\n  - provider: apache-kafk\n    node: node 1\n",
        "steps: []\n",
        "cluster: { broker: 3 }\nsteps:\n  - kill: node 1\n",
        "steps:\n  - kill: node 1\ndifferences:\n  - step: kill nod 1\n    ours: x\n    reason: y\n",
        "steps:\n  - request: Produce\n    body: { topic_data: [{ partition_data: [{ records: { codec: lzma, records: [a] } }] }] }\n",
    ];
    let all: String = bodies.iter().map(|body| told(&format!("{HEAD}{body}")) + "\n").collect();
    insta::assert_snapshot!(all);
    insta::assert_snapshot!("without_a_head", told("steps:\n  - kill: node 1\n"));
}

#[test]
fn a_scenario_is_understood() {
    let text = format!(
        "{HEAD}cluster: {{ brokers: 3, settings: {{ num.partitions: 4 }}, nodes: {{ 4: {{ role: broker }} }} }}
steps:
  - create: t
    assignment: [[1, 2], [2, 3]]
  - request: InitProducerId
    save: {{ pid: producer_id }}
  - request: Produce
    versions: [3, 9]
    to: leader of t-0
    body: {{ acks: -1, topic_data: [{{ name: t, partition_data: [{{ index: 0, records: {{ producer_id: $pid, records: [a, b] }} }}] }}] }}
  - kill: [node 1, controller]
  - await: isr of t-0 is 2
  - kill: [node 1, controller]
"
    );
    let scenario = parse("name", "file", &text).unwrap();
    let titles: Vec<&str> = scenario.steps.iter().map(|step| step.title.as_str()).collect();
    assert_eq!(
        titles,
        [
            "create t",
            "InitProducerId v4 to node 1",
            "Produce v3.. to leader of t-0",
            "kill node 1, the controller",
            "await isr of t-0 is 2",
            "kill node 1, the controller (2)",
        ]
    );
    assert_eq!(scenario.shape.nodes.len(), 4);
    let Verb::Act(_, whom) = &scenario.steps[3].verb else { panic!("{:?}", scenario.steps[3]) };
    assert_eq!(whom[..], [Who::Node(1), Who::Controller]);
    let Verb::Await(condition, _) = &scenario.steps[4].verb else { panic!("{:?}", scenario.steps[4]) };
    assert_eq!(*condition, Condition::Isr("t".into(), 0, vec![2]));
}

/// Comments and reasons may change without a new recording; what is done may not.
#[test]
fn the_digest_is_of_what_is_done() {
    let digest = |text: &str| parse("n", "f", text).unwrap().digest;
    let one = digest(&format!("{HEAD}steps:\n  - kill: node 1\n"));
    assert_eq!(one, digest("protects: b\nsource: c\nsteps: # now\n  - kill: 'node 1'\n"));
    assert_ne!(one, digest(&format!("{HEAD}steps:\n  - kill: node 2\n")));
}
