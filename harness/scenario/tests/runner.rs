//! The runner against a stand-in for a cluster: what is told, waited for, and said when a wait is in vain.

#![allow(clippy::unwrap_used, reason = "a panic in a test helper is the failure report")]

use jackdaw_scenario::cluster::{Cluster, Done, Trouble};
use jackdaw_scenario::model::{Act, Listener, Provider};
use jackdaw_scenario::run::run;
use jackdaw_scenario::schema::apis;
use jackdaw_scenario::value::{Value, encode};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};

/// One node that shows itself to whoever asks, and closes the connection of whoever asks for something else.
struct StandIn {
    address: SocketAddr,
    acts: Vec<(Act, i32)>,
}

impl StandIn {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                std::thread::spawn(move || serve(stream.unwrap()));
            }
        });
        StandIn { address, acts: Vec::new() }
    }
}

fn serve(mut stream: std::net::TcpStream) -> Option<()> {
    loop {
        let mut length = [0; 4];
        stream.read_exact(&mut length).ok()?;
        let mut frame = vec![0; u32::from_be_bytes(length) as usize];
        stream.read_exact(&mut frame).ok()?;
        let number = |at: usize| i16::from_be_bytes([frame[at], frame[at + 1]]);
        let (key, version) = (number(0), number(2));
        let api = apis().iter().find(|api| api.key == key)?;
        let of = |fields: &[(&str, Value)]| {
            Value::Struct(fields.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect())
        };
        let reply = match api.name.as_str() {
            "Metadata" => {
                let broker = of(&[
                    ("node_id", Value::Int(1)),
                    ("host", Value::Str("kafka1".into())),
                    ("port", Value::Int(9092)),
                ]);
                of(&[("brokers", Value::Array(vec![broker])), ("controller_id", Value::Int(1))])
            }
            "InitProducerId" => of(&[("producer_id", Value::Int(4711)), ("producer_epoch", Value::Int(0))]),
            _ => return None,
        };
        let flexible = api.flexible.has(version);
        let mut out = frame[4..8].to_vec();
        out.extend(flexible.then_some(0));
        out.extend(encode(&api.response, &reply, version, flexible).ok()?);
        stream.write_all(&(out.len() as u32).to_be_bytes()).ok()?;
        stream.write_all(&out).ok()?;
    }
}

impl Cluster for StandIn {
    fn address(&mut self, _: i32, _: Listener) -> Done<SocketAddr> {
        Ok(self.address)
    }
    fn names(&mut self) -> Done<Vec<(String, String)>> {
        Ok(Vec::new())
    }
    fn act(&mut self, act: Act, node: i32) -> Done {
        self.acts.push((act, node));
        Ok(())
    }
    fn run_alone(
        &mut self,
        _: &std::collections::BTreeMap<String, Option<String>>,
    ) -> Done<(Option<i64>, String)> {
        Err(Trouble("the stand-in runs no programs".into()))
    }
    fn share(&mut self, _: i32, _: i32) -> Done {
        Err(Trouble("the stand-in has no disk".into()))
    }
    fn wipe(&mut self, _: i32) -> Done {
        Err(Trouble("the stand-in has no disk".into()))
    }
    fn exit_code(&mut self, _: i32) -> Done<Option<i64>> {
        Ok(Some(1))
    }
    fn log(&mut self, _: i32) -> Done<String> {
        Ok("num.partitions: many is no number".into())
    }
    fn provide(&mut self, _: i32, _: Provider) -> Done {
        Ok(())
    }
    fn dump(&mut self, _: i32, _: &[String]) -> Done<String> {
        Ok("t-0: 2 records\n".into())
    }
}

fn told(steps: &str, cluster: &mut StandIn) -> String {
    let text = format!("protects: a\nsource: b\ncluster: {{ brokers: 1 }}\nsteps:\n{steps}");
    match run(&jackdaw_scenario::parse("name", "scenario.yml", &text).unwrap(), cluster) {
        Ok(sections) => {
            sections.iter().map(|section| format!("## {}\n{}", section.title, section.text)).collect()
        }
        Err(failed) => failed.to_string(),
    }
}

#[test]
fn replies_are_told_by_version_with_stable_names() {
    let steps = "  - { request: Metadata, versions: [0, 1, 9], body: { topics: [] } }
  - { request: InitProducerId, save: { pid: producer_id }, body: { transactional_id: null, transaction_timeout_ms: 0 } }
  - { request: InitProducerId, body: { transactional_id: null, transaction_timeout_ms: 0, producer_id: $pid } }
  - { name: nothing comes back, request: DescribeCluster }
  - { pipeline: [{ request: Metadata, version: 1, body: { topics: [] } }, { request: InitProducerId, version: 0, body: { transactional_id: null, transaction_timeout_ms: 0 } }] }
  - { await: node 1 is registered }
  - { refused: node 1, says: [num.partitions, node.id] }
  - { provider: apache-kafka, node: [node 1] }
  - { dump: node 1 }
";
    insta::assert_snapshot!(told(steps, &mut StandIn::start()));
}

#[test]
fn a_wait_in_vain_tells_place_time_and_what_was_seen() {
    let failed = told("  - await: node 1 is fenced\n    within: 1\n", &mut StandIn::start());
    assert_eq!(
        failed,
        "scenario.yml:5:5: await node 1 is fenced: not within 1 s: node 1: it shows the brokers {1}"
    );
}

#[test]
fn what_cannot_be_done_names_its_step() {
    let mut cluster = StandIn::start();
    let failed = told("  - kill: node 1\n  - wipe: node 1\n", &mut cluster);
    assert_eq!(failed, "scenario.yml:6:5: wipe node 1: the stand-in has no disk");
    assert_eq!(cluster.acts, [(Act::Kill, 1)]);
}
