//! The language: `scenario.yml` to [`crate::model`]. Every unknown word and every value of a wrong kind is
//! told with its place; a scenario with a finding is not run.

use crate::body::{self, Built, Known, hex, mapping, unknown, wrong};
use crate::dump;
use crate::model::*;
use crate::schema::{Api, api, apis};
use crate::transcript;
use crate::value::Value;
use jackdaw_compose::yaml::{self, Entry, Kind, Node};
use jackdaw_compose::{Code, Diagnostic, Source, Span};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Time that a condition may take unless the step says otherwise.
const WITHIN: Duration = Duration::from_secs(30);

/// What the file is about.
const KEYS: [&str; 6] = ["protects", "source", "reference", "cluster", "steps", "differences"];
/// What a step can do.
const VERBS: [&str; 16] = [
    "create", "request", "join", "pipeline", "raw", "kill", "stop", "start", "pause", "resume", "wipe",
    "share", "await", "refused", "provider", "dump",
];
/// Who can run a node.
const PROVIDERS: [(&str, Provider); 2] =
    [("under test", Provider::UnderTest), ("apache-kafka", Provider::Reference)];
/// What else a step can say.
const MODIFIERS: [&str; 19] = [
    "name",
    "redact",
    "save",
    "retry",
    "ordered",
    "version",
    "versions",
    "to",
    "body",
    "no_reply",
    "background",
    "assignment",
    "configs",
    "within",
    "says",
    "node",
    "requests",
    "with",
    "contents",
];

/// Reads a scenario; `name` is its folder's, `file` what findings show.
///
/// # Errors
/// Everything that is wrong with it, at least one finding.
pub fn parse(name: &str, file: &str, text: &str) -> Result<Scenario, Vec<Diagnostic>> {
    let source = Source::new(file, text);
    let mut findings = Vec::new();
    let root = yaml::parse(&source, &mut findings).and_then(|documents| documents.into_iter().next());
    let nowhere = Span::new(&source, 0, 0);
    let Some(root) = root else {
        if findings.is_empty() {
            findings.push(Diagnostic::new(Code::ScenarioMissing, "the scenario is empty", &nowhere));
        }
        return Err(findings);
    };
    let mut parser = Parser { findings, saved: Vec::new(), background: Vec::new() };
    let scenario = parser.scenario(name, &root);
    match scenario {
        Some(scenario) if parser.findings.is_empty() => Ok(scenario),
        _ => Err(parser.findings),
    }
}

struct Parser {
    findings: Vec<Diagnostic>,
    /// Names that earlier steps save.
    saved: Vec<String>,
    /// Requests that were sent in the background.
    background: Vec<String>,
}

/// What is known before anything runs: the names, not the values.
struct Unrun<'a>(&'a [String]);

impl Known for Unrun<'_> {
    fn saved(&self, name: &str) -> Option<Value> {
        self.0.iter().any(|saved| saved == name).then_some(Value::Int(0))
    }
    fn topic_id(&self, _: &str) -> Option<[u8; 16]> {
        Some([0; 16])
    }
    fn now_ms(&self) -> i64 {
        0
    }
}

impl Parser {
    /// Keeps a finding and goes on without the value.
    fn told<T>(&mut self, built: Built<T>) -> Option<T> {
        built.map_err(|finding| self.findings.push(*finding)).ok()
    }

    fn scenario(&mut self, name: &str, root: &Node) -> Option<Scenario> {
        let entries = mapping(root);
        for entry in self.told(entries)? {
            if !KEYS.contains(&entry.key.value.as_str()) {
                self.findings.push(*unknown("key", &entry.key.value, &entry.key.span, KEYS));
            }
        }
        let protects = self.sentence(root, "protects");
        let source = self.sentence(root, "source");
        let mut shape = match root.get("cluster") {
            None => shape_of(3),
            Some(node) => {
                let shape = shape(node);
                self.told(shape).unwrap_or_else(|| shape_of(3))
            }
        };
        if let Some(node) = root.get("reference") {
            let release = release(node);
            shape.release = self.told(release).unwrap_or(shape.release);
        }
        let cluster_span = root.get("cluster").map_or(&root.span, |node| &node.span).clone();
        let mut steps: Vec<Step> = Vec::new();
        match root.get("steps").map(|node| (&node.kind, node)) {
            Some((Kind::Seq(items), _)) if !items.is_empty() => {
                for item in items {
                    let step = self.step(item, &shape);
                    if let Some(mut step) = self.told(step) {
                        step.title = unique(step.title, &steps);
                        steps.push(step);
                    }
                }
            }
            _ => self.missing(root, "steps", "what is done, as a list"),
        }
        let differences = self.differences(root, &steps);
        let digest = digest(root);
        let name = name.to_owned();
        Some(Scenario { name, protects, source, shape, cluster_span, steps, differences, digest })
    }

    fn missing(&mut self, root: &Node, key: &str, what: &str) {
        let span = Span::new(root.span.source().unwrap_or(&Source::new("", "")), root.span.offset_bytes(), 1);
        let message = format!("a scenario has `{key}`: {what}");
        self.findings.push(Diagnostic::new(Code::ScenarioMissing, message, &span));
    }

    fn sentence(&mut self, root: &Node, key: &str) -> String {
        match root.get(key).and_then(Node::as_str).map(str::trim).filter(|text| !text.is_empty()) {
            Some(text) => text.to_owned(),
            None => {
                let what =
                    if key == "protects" { "the obligation it protects" } else { "where it comes from" };
                self.missing(root, key, what);
                String::new()
            }
        }
    }

    fn differences(&mut self, root: &Node, steps: &[Step]) -> Vec<Difference> {
        let mut differences = Vec::new();
        for item in root.get("differences").map(Node::items).unwrap_or_default() {
            let difference = difference(item, steps);
            differences.extend(self.told(difference));
        }
        differences
    }

    fn step(&mut self, node: &Node, shape: &Shape) -> Built<Step> {
        let entries = mapping(node)?;
        for entry in entries {
            let word = entry.key.value.as_str();
            if !VERBS.contains(&word) && !MODIFIERS.contains(&word) {
                return Err(unknown(
                    "step or key of a step",
                    word,
                    &entry.key.span,
                    VERBS.into_iter().chain(MODIFIERS),
                ));
            }
        }
        let mut verbs = entries.iter().filter(|entry| VERBS.contains(&entry.key.value.as_str()));
        let first = verbs
            .next()
            .ok_or_else(|| wrong(&node.span, format!("a step does one of: {}", VERBS.join(", "))))?;
        if let Some(second) = verbs.next() {
            return Err(wrong(
                &second.key.span,
                format!("a step does one thing, and this one also does `{}`", first.key.value),
            ));
        }
        let verb = self.verb(node, first, shape)?;
        let title = match node.get("name") {
            Some(name) => word(name)?,
            None => title(&verb),
        };
        let save = match node.get("save") {
            None => Vec::new(),
            Some(save) => mapping(save)?
                .iter()
                .map(|entry| Ok((entry.key.value.clone(), word(&entry.value)?)))
                .collect::<Built<Vec<_>>>()?,
        };
        self.saved.extend(save.iter().map(|(name, _)| name.clone()));
        Ok(Step {
            title,
            span: first.key.span.clone(),
            redact: words(node.get("redact"))?,
            save,
            ordered: flag(node, "ordered")?,
            retry: node.get("retry").map(error_code).transpose()?,
            verb,
        })
    }

    fn verb(&mut self, step: &Node, entry: &Entry, shape: &Shape) -> Built<Verb> {
        let value = &entry.value;
        Ok(match entry.key.value.as_str() {
            "create" => Verb::Create(create(step, value)?),
            "request" => {
                let request = self.request(step, shape)?;
                match step.get("background") {
                    None => Verb::Request(request),
                    Some(name) => {
                        let name = word(name)?;
                        self.background.push(name.clone());
                        Verb::Background(name, request)
                    }
                }
            }
            "join" => {
                let name = word(value)?;
                if !self.background.contains(&name) {
                    let known = self.background.iter().map(String::as_str);
                    return Err(unknown("request in the background named", &name, &value.span, known));
                }
                Verb::Join(name)
            }
            "pipeline" => {
                let requests =
                    value.items().iter().map(|item| self.request(item, shape)).collect::<Built<_>>()?;
                Verb::Pipeline(self.target(step, shape)?, requests)
            }
            "raw" => Verb::Raw(self.target(step, shape)?, hex(&word(value)?, &value.span)?),
            "share" => {
                let with =
                    step.get("with").ok_or_else(|| wrong(&value.span, "`with` says who gets the data"))?;
                Verb::Share(node_id(value, shape)?, node_id(with, shape)?)
            }
            "wipe" => Verb::Wipe(node_id(value, shape)?),
            "await" => Verb::Await(condition(value, shape)?, within(step)?),
            "refused" if matches!(value.kind, Kind::Map(_)) => {
                let setting = |entry: &Entry| match entry.value.kind {
                    Kind::Null => Ok((entry.key.value.clone(), None)),
                    _ => Ok((entry.key.value.clone(), Some(word(&entry.value)?))),
                };
                let settings = mapping(value)?.iter().map(setting).collect::<Built<_>>()?;
                Verb::RefusedFile(settings, words(step.get("says"))?)
            }
            "refused" => Verb::Refused(node_id(value, shape)?, words(step.get("says"))?),
            "provider" => {
                let node =
                    step.get("node").ok_or_else(|| wrong(&value.span, "`node` says whose provider"))?;
                Verb::Provider(provider(value)?, nodes(node, shape)?)
            }
            "dump" => {
                let contents = step.get("contents");
                let topics = words(contents)?;
                let known = || dump::DECODED.into_iter().map(|(topic, _)| topic);
                if let (Some(node), Some(topic)) =
                    (contents, topics.iter().find(|t| known().all(|k| k != *t)))
                {
                    return Err(unknown("topic that Kafka's tool decodes", topic, &node.span, known()));
                }
                Verb::Dump(nodes(value, shape)?, topics)
            }
            act => {
                let act = [Act::Kill, Act::Stop, Act::Start, Act::Pause, Act::Resume]
                    .into_iter()
                    .find(|known| known.word() == act)
                    .ok_or_else(|| unknown("step", act, &entry.key.span, VERBS))?;
                Verb::Act(act, nodes(value, shape)?)
            }
        })
    }

    fn target(&self, step: &Node, shape: &Shape) -> Built<Target> {
        match step.get("to") {
            Some(to) => target(&word(to)?, &to.span, shape),
            None => {
                let first = *shape.nodes.keys().next().unwrap_or(&1);
                Ok(Target { who: Who::Node(first), listener: Listener::Client })
            }
        }
    }

    fn request(&mut self, step: &Node, shape: &Shape) -> Built<Request> {
        let name = step.get("request").ok_or_else(|| wrong(&step.span, "`request` names the API"))?;
        let text = word(name)?;
        let known = || apis().iter().map(|api| api.name.as_str());
        let api = api(&text).ok_or_else(|| unknown("API", &text, &name.span, known().collect::<Vec<_>>()))?;
        let versions = versions(step, api)?;
        let body = step.get("body");
        for version in &versions {
            body::build(&api.request, body, *version, versions.len() > 1, &Unrun(&self.saved))?;
        }
        let to = self.target(step, shape)?;
        Ok(Request { api, versions, to, body: body.cloned(), no_reply: flag(step, "no_reply")? })
    }
}

fn title(verb: &Verb) -> String {
    let request = |request: &Request| {
        let version = match request.versions[..] {
            [one] => format!("v{one}"),
            _ => format!("v{}..", request.versions.first().copied().unwrap_or_default()),
        };
        format!("{} {version} to {}", request.api.name, request.to)
    };
    match verb {
        Verb::Create(create) => format!("create {}", create.topic),
        Verb::Request(one) => request(one),
        Verb::Background(name, one) => format!("{name}: {}", request(one)),
        Verb::Join(name) => format!("join {name}"),
        Verb::Pipeline(to, requests) => format!("{} requests in one go to {to}", requests.len()),
        Verb::Raw(to, bytes) => format!("{} raw bytes to {to}", bytes.len()),
        Verb::Act(act, whom) => format!("{} {}", act.word(), listed(whom)),
        Verb::Share(from, with) => format!("share the data of node {from} with node {with}"),
        Verb::Wipe(node) => format!("wipe node {node}"),
        Verb::Await(condition, _) => format!("await {condition}"),
        Verb::Refused(node, _) => format!("node {node} refuses to run"),
        Verb::RefusedFile(..) => "a node refuses its file".into(),
        Verb::Provider(provider, whom) => format!("{} run by {provider}", listed(whom)),
        Verb::Dump(whom, _) => format!("dump {}", listed(whom)),
    }
}

fn listed(whom: &[Who]) -> String {
    whom.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

fn unique(title: String, steps: &[Step]) -> String {
    let taken = |title: &str| steps.iter().any(|step| step.title == title);
    let mut candidate = title.clone();
    let mut number = 1;
    while taken(&candidate) {
        number += 1;
        candidate = format!("{title} ({number})");
    }
    candidate
}

fn word(node: &Node) -> Built<String> {
    node.scalar_text()
        .ok_or_else(|| wrong(&node.span, format!("a text is due, and this is {}", node.type_name())))
}

fn words(node: Option<&Node>) -> Built<Vec<String>> {
    match node {
        None => Ok(Vec::new()),
        Some(list) if matches!(list.kind, Kind::Seq(_)) => list.items().iter().map(word).collect(),
        Some(one) => Ok(vec![word(one)?]),
    }
}

fn flag(node: &Node, key: &str) -> Built<bool> {
    match node.get(key).map(|value| (&value.kind, value)) {
        None => Ok(false),
        Some((Kind::Bool(flag), _)) => Ok(*flag),
        Some((_, value)) => Err(wrong(&value.span, format!("`{key}` is true or false"))),
    }
}

/// An error by its name.
fn error_code(node: &Node) -> Built<i64> {
    let name = word(node)?;
    let known = transcript::errors().map(|(_, name)| name).collect::<Vec<_>>();
    let code = transcript::errors().find(|(_, known)| *known == name).map(|(code, _)| code);
    code.ok_or_else(|| unknown("error", &name, &node.span, known))
}

fn within(step: &Node) -> Built<Duration> {
    match step.get("within").map(|value| (&value.kind, value)) {
        None => Ok(WITHIN),
        Some((Kind::Int(seconds @ 1..=600), _)) => Ok(Duration::from_secs(*seconds as u64)),
        Some((_, value)) => Err(wrong(&value.span, "`within` is a number of seconds from 1 to 600")),
    }
}

fn integer(node: &Node) -> Built<i32> {
    match node.kind {
        Kind::Int(value) => i32::try_from(value).map_err(|_| wrong(&node.span, "the number is too large")),
        _ => Err(wrong(&node.span, format!("a number is due, and this is {}", node.type_name()))),
    }
}

fn versions(step: &Node, api: &Api) -> Built<Vec<i16>> {
    let given: Vec<&Node> = match (step.get("version"), step.get("versions")) {
        (Some(one), None) => vec![one],
        (None, Some(all)) if all.as_str() == Some("all") => {
            return Ok((api.versions.from..=api.versions.to).collect());
        }
        (None, Some(list)) => list.items().iter().collect(),
        (None, None) => return Ok(vec![api.versions.to]),
        (Some(_), Some(both)) => return Err(wrong(&both.span, "either `version` or `versions`")),
    };
    // A version that 3.7.0 does not know is what some scenarios are about: its body is then the last one's.
    given.into_iter().map(|node| integer(node).map(|version| version as i16)).collect()
}

fn string_map(node: &Node) -> Built<BTreeMap<String, String>> {
    mapping(node)?.iter().map(|entry| Ok((entry.key.value.clone(), word(&entry.value)?))).collect()
}

fn shape_of(nodes: i32) -> Shape {
    Shape {
        nodes: (1..=nodes).map(|node| (node, Role::Combined)).collect(),
        settings: BTreeMap::new(),
        node_settings: BTreeMap::new(),
        by_reference: BTreeSet::new(),
        release: RELEASE.to_owned(),
        fresh: false,
        started: true,
    }
}

/// `4.1.0`
fn release(node: &Node) -> Built<String> {
    let text = node.scalar_text().unwrap_or_default();
    let is_one = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    match text.split('.').count() == 3 && text.split('.').all(is_one) {
        true => Ok(text),
        false => Err(wrong(&node.span, "a release of Apache Kafka, as 4.1.0")),
    }
}

fn shape(node: &Node) -> Built<Shape> {
    const KEYS: [&str; 5] = ["brokers", "settings", "nodes", "fresh", "started"];
    let mut shape = match node.get("brokers") {
        Some(brokers) => match integer(brokers)? {
            count @ 0..=9 => shape_of(count),
            _ => return Err(wrong(&brokers.span, "from 0 to 9 brokers")),
        },
        None => shape_of(3),
    };
    for entry in mapping(node)? {
        match entry.key.value.as_str() {
            "brokers" => {}
            "settings" => shape.settings = string_map(&entry.value)?,
            "fresh" => shape.fresh = flag(node, "fresh")?,
            "started" => shape.started = flag(node, "started")?,
            "nodes" => {
                for one in mapping(&entry.value)? {
                    let id =
                        one.key.value.parse().map_err(|_| wrong(&one.key.span, "a node's id is a number"))?;
                    special(&mut shape, id, &one.value)?;
                }
            }
            other => return Err(unknown("key of a cluster", other, &entry.key.span, KEYS)),
        }
    }
    Ok(shape)
}

fn special(shape: &mut Shape, id: i32, node: &Node) -> Built<()> {
    let mut role = shape.nodes.get(&id).copied().unwrap_or(Role::Combined);
    for entry in mapping(node)? {
        match entry.key.value.as_str() {
            "role" => {
                role = match word(&entry.value)?.as_str() {
                    "broker" => Role::Broker,
                    "controller" => Role::Controller,
                    "both" => Role::Combined,
                    other => {
                        return Err(unknown(
                            "role",
                            other,
                            &entry.value.span,
                            ["broker", "controller", "both"],
                        ));
                    }
                }
            }
            "settings" => {
                shape.node_settings.insert(id, string_map(&entry.value)?);
            }
            "provider" => {
                if provider(&entry.value)? == Provider::Reference {
                    shape.by_reference.insert(id);
                }
            }
            other => {
                return Err(unknown(
                    "key of a node",
                    other,
                    &entry.key.span,
                    ["role", "settings", "provider"],
                ));
            }
        }
    }
    shape.nodes.insert(id, role);
    Ok(())
}

fn create(step: &Node, value: &Node) -> Built<Create> {
    let assignment = match step.get("assignment") {
        None => vec![vec![1, 2, 3]],
        Some(list) => list
            .items()
            .iter()
            .map(|replicas| replicas.items().iter().map(integer).collect())
            .collect::<Built<Vec<Vec<i32>>>>()?,
    };
    let configs = step.get("configs").map(string_map).transpose()?.unwrap_or_default();
    Ok(Create { topic: word(value)?, assignment, configs: configs.into_iter().collect() })
}

fn node_id(node: &Node, shape: &Shape) -> Built<i32> {
    match who(&word(node)?, &node.span, shape)? {
        Who::Node(id) => Ok(id),
        _ => Err(wrong(&node.span, "`node N` is due here")),
    }
}

/// One node or a list.
fn nodes(value: &Node, shape: &Shape) -> Built<Vec<Who>> {
    let names = if value.items().is_empty() { std::slice::from_ref(value) } else { value.items() };
    names.iter().map(|name| who(&word(name)?, &name.span, shape)).collect()
}

fn provider(node: &Node) -> Built<Provider> {
    let text = word(node)?;
    let known = PROVIDERS.iter().find(|(word, _)| *word == text);
    known
        .map(|(_, provider)| *provider)
        .ok_or_else(|| unknown("provider", &text, &node.span, PROVIDERS.map(|(word, _)| word)))
}

fn who(text: &str, span: &Span, shape: &Shape) -> Built<Who> {
    if let Some(id) = text.strip_prefix("node ").and_then(|id| id.parse::<i32>().ok()) {
        return match shape.nodes.contains_key(&id) {
            true => Ok(Who::Node(id)),
            false => Err(wrong(span, format!("the cluster has no node {id}"))),
        };
    }
    match text {
        "controller" | "the controller" => Ok(Who::Controller),
        "not the controller" => Ok(Who::NotController),
        _ => match text.strip_prefix("leader of ").and_then(partition) {
            Some((topic, number)) => Ok(Who::Leader(topic, number)),
            None => Err(wrong(
                span,
                "`node N`, `controller`, `not the controller` or `leader of TOPIC-P` is due here",
            )),
        },
    }
}

fn target(text: &str, span: &Span, shape: &Shape) -> Built<Target> {
    let (listener, rest) = match text {
        "controller" | "the controller" => (Listener::Controller, text),
        _ => match (text.strip_prefix("controller listener of "), text.strip_prefix("external listener of "))
        {
            (Some(rest), _) => (Listener::Controller, rest),
            (_, Some(rest)) => (Listener::External, rest),
            _ => (Listener::Client, text),
        },
    };
    Ok(Target { who: who(rest, span, shape)?, listener })
}

/// `TOPIC-P`.
fn partition(text: &str) -> Option<(String, i32)> {
    let (topic, number) = text.rsplit_once('-')?;
    Some((topic.to_owned(), number.parse().ok()?))
}

fn condition(node: &Node, shape: &Shape) -> Built<Condition> {
    let text = word(node)?;
    let condition = condition_of(&text).ok_or_else(|| {
        let known = "leader of T-P is N, leader of T-P is not N, isr of T-P is N N, replicas of T-P are N N, \
                     high watermark of T-P is N, config K of topic T is V, config K of node N is V, \
                     config K of all brokers is V, \
                     node N is registered, node N is fenced, node N has ended, all nodes are registered, \
                     topic T is there, topic T is gone, a controller is known";
        let message = format!("`{text}` is no condition");
        Box::new(
            Diagnostic::new(Code::ScenarioValue, message, &node.span)
                .help(format!("conditions are: {known}")),
        )
    })?;
    match impossible(&condition, shape) {
        None => Ok(condition),
        Some(why) => {
            let message = format!("`{text}` can never be: {why}");
            let help =
                "wait for something that this cluster can come to, or give it that node under `cluster`";
            Err(Box::new(Diagnostic::new(Code::ScenarioValue, message, &node.span).help(help)))
        }
    }
}

/// Why no cluster of that shape ever shows it.
fn impossible(condition: &Condition, shape: &Shape) -> Option<String> {
    let nodes: Vec<i32> = match condition {
        // Without a leader, Metadata has -1.
        Condition::Leader(_, _, -1) => Vec::new(),
        Condition::Leader(_, _, id) | Condition::Registered(id) | Condition::Fenced(id) => vec![*id],
        Condition::Isr(_, _, ids) | Condition::Replicas(_, _, ids) => ids.clone(),
        Condition::Ended(id) => {
            return (!shape.nodes.contains_key(id)).then(|| format!("the cluster has no node {id}"));
        }
        _ => Vec::new(),
    };
    let is_broker = |id: &i32| shape.nodes.get(id).is_some_and(|role| *role != Role::Controller);
    nodes.into_iter().find(|id| !is_broker(id)).map(|id| format!("the cluster has no broker {id}"))
}

fn condition_of(text: &str) -> Option<Condition> {
    match text {
        "all nodes are registered" => return Some(Condition::AllRegistered),
        "a controller is known" => return Some(Condition::Controller),
        _ => {}
    }
    if let Some(rest) = text.strip_prefix("node ") {
        let (id, state) = rest.split_once(' ')?;
        let id = id.parse().ok()?;
        return match state {
            "is registered" => Some(Condition::Registered(id)),
            "is fenced" => Some(Condition::Fenced(id)),
            "has ended" => Some(Condition::Ended(id)),
            _ => None,
        };
    }
    if let Some((place, wanted)) = text.strip_prefix("replicas of ").and_then(|rest| rest.split_once(" are "))
    {
        let (topic, number) = partition(place)?;
        return Some(Condition::Replicas(topic, number, node_ids(wanted)?));
    }
    let (subject, wanted) = text.split_once(" is ")?;
    if let Some((key, whose)) = subject.strip_prefix("config ").and_then(|rest| rest.split_once(" of ")) {
        let whose = match whose.split_once(' ')? {
            ("topic", name) => Configured::Topic(name.to_owned()),
            ("node", id) => Configured::Node(id.parse().ok()?),
            ("all", "brokers") => Configured::AllBrokers,
            _ => return None,
        };
        return Some(Condition::Config(key.to_owned(), whose, wanted.to_owned()));
    }
    if let Some(topic) = subject.strip_prefix("topic ") {
        return match wanted {
            "gone" => Some(Condition::Gone(topic.to_owned())),
            "there" => Some(Condition::There(topic.to_owned())),
            _ => None,
        };
    }
    let (what, place) = subject.split_once(" of ")?;
    let (topic, number) = partition(place)?;
    match what {
        "leader" => match wanted.strip_prefix("not ") {
            Some(id) => Some(Condition::NotLeader(topic, number, id.parse().ok()?)),
            None => Some(Condition::Leader(topic, number, wanted.parse().ok()?)),
        },
        "isr" => Some(Condition::Isr(topic, number, node_ids(wanted)?)),
        "high watermark" => Some(Condition::HighWatermark(topic, number, wanted.parse().ok()?)),
        _ => None,
    }
}

fn node_ids(text: &str) -> Option<Vec<i32>> {
    text.split([' ', ',']).filter(|id| !id.is_empty()).map(|id| id.parse().ok()).collect()
}

fn difference(node: &Node, steps: &[Step]) -> Built<Difference> {
    const KEYS: [&str; 4] = ["step", "ours", "lacks", "reason"];
    for entry in mapping(node)? {
        if !KEYS.contains(&entry.key.value.as_str()) {
            return Err(unknown("key of a difference", &entry.key.value, &entry.key.span, KEYS));
        }
    }
    let get = |key: &str| match node.get(key) {
        Some(value) => word(value),
        None => Err(wrong(&node.span, format!("a difference has `{key}`"))),
    };
    let step = get("step")?;
    if !steps.iter().any(|known| known.title == step) {
        let span = &node.get("step").unwrap_or(node).span;
        let titles: Vec<&str> = steps.iter().map(|step| step.title.as_str()).collect();
        return Err(unknown("step titled", &step, span, titles));
    }
    let ours = match (node.get("ours"), node.get("lacks")) {
        (None, Some(_)) => Ours::Lacks(words(node.get("lacks"))?),
        (Some(_), Some(both)) => return Err(wrong(&both.span, "either `ours` or `lacks`")),
        _ => Ours::Words(get("ours")?),
    };
    Ok(Difference { step, ours, reason: get("reason")?, span: node.span.clone() })
}

/// FNV-1a over the cluster and the steps, without their places and comments.
fn digest(root: &Node) -> String {
    let mut text = String::new();
    for key in ["reference", "cluster", "steps"] {
        if let Some(node) = root.get(key) {
            canonical(node, &mut text);
        }
    }
    let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    format!("{hash:016x}")
}

fn canonical(node: &Node, out: &mut String) {
    match &node.kind {
        Kind::Seq(items) => items.iter().for_each(|item| {
            out.push_str("- ");
            canonical(item, out);
        }),
        Kind::Map(entries) => entries.iter().for_each(|entry| {
            out.push_str(&entry.key.value);
            out.push(':');
            canonical(&entry.value, out);
        }),
        _ => out.push_str(&node.scalar_text().unwrap_or_else(|| "null".into())),
    }
    out.push('\n');
}

impl std::fmt::Display for Provider {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Provider::UnderTest => "who is under test",
            Provider::Reference => "Apache Kafka",
        })
    }
}

impl std::fmt::Display for Who {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Who::Node(id) => write!(f, "node {id}"),
            Who::Controller => f.write_str("the controller"),
            Who::NotController => f.write_str("not the controller"),
            Who::Leader(topic, number) => write!(f, "leader of {topic}-{number}"),
        }
    }
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.listener, &self.who) {
            (Listener::Controller, Who::Controller) | (Listener::Client, _) => {}
            (Listener::Controller, _) => f.write_str("controller listener of ")?,
            (Listener::External, _) => f.write_str("external listener of ")?,
        }
        self.who.fmt(f)
    }
}

impl std::fmt::Display for Condition {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Condition::Leader(topic, number, id) => write!(f, "leader of {topic}-{number} is {id}"),
            Condition::NotLeader(topic, number, id) => write!(f, "leader of {topic}-{number} is not {id}"),
            Condition::Isr(topic, number, ids) => {
                let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
                write!(f, "isr of {topic}-{number} is {}", ids.join(" "))
            }
            Condition::Replicas(topic, number, ids) => {
                let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
                write!(f, "replicas of {topic}-{number} are {}", ids.join(" "))
            }
            Condition::Config(key, whose, value) => match whose {
                Configured::Topic(topic) => write!(f, "config {key} of topic {topic} is {value}"),
                Configured::Node(id) => write!(f, "config {key} of node {id} is {value}"),
                Configured::AllBrokers => write!(f, "config {key} of all brokers is {value}"),
            },
            Condition::Registered(id) => write!(f, "node {id} is registered"),
            Condition::Fenced(id) => write!(f, "node {id} is fenced"),
            Condition::Gone(topic) => write!(f, "topic {topic} is gone"),
            Condition::There(topic) => write!(f, "topic {topic} is there"),
            Condition::HighWatermark(topic, number, offset) => {
                write!(f, "high watermark of {topic}-{number} is {offset}")
            }
            Condition::AllRegistered => f.write_str("all nodes are registered"),
            Condition::Controller => f.write_str("a controller is known"),
            Condition::Ended(id) => write!(f, "node {id} has ended"),
        }
    }
}
