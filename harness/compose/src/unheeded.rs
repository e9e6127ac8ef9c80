//! The keys of a project that have no effect where it runs, each with its place, and what is said of them: few words,
//! however often a key stands in the file.
//! It must not decide what acts: [`crate::schema`] says so.

use crate::codes::Code;
use crate::diagnostic::Diagnostic;
use crate::effect::{Case, Effect, Target, is_among, is_off};
use crate::schema::{Holds, Object, TOP};
use crate::source::Span;
use crate::yaml::Node;

/// Keys that a message names before it counts.
const NAMED: usize = 6;

/// Places of one key that are listed before they are counted.
const LISTED: usize = 4;

/// What a key belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Owner {
    /// The project as a whole.
    Project,
    /// The service of that name.
    Service(String),
    /// The network with that key.
    Network(String),
    /// The volume with that key.
    Volume(String),
    /// The secret with that key.
    Secret(String),
    /// The config with that key.
    Config(String),
}

/// A key of the file from which nothing comes on one of the runtimes.
#[derive(Clone, Debug)]
pub struct Unheeded {
    /// The runtime.
    pub on: Target,
    /// Whose key it is.
    pub owner: Owner,
    /// Only where this program stands in for the service's image.
    pub only_kafka: bool,
    /// The key with those around it: `deploy.placement`, `volumes.data.driver`.
    pub key: String,
    /// Whether its author relies on it: rights, isolation, data.
    pub is_missed: bool,
    /// The end of "it has no effect: …".
    pub why: &'static str,
    /// Where the key stands.
    pub span: Span,
    /// Where its value stands.
    pub value: Span,
}

/// Finds them in a merged file, before anything is added to it that nobody wrote.
pub(crate) fn find(root: &Node) -> Vec<Unheeded> {
    let mut walk = Walk { root, owner: Owner::Project, path: Vec::new(), found: Vec::new() };
    walk.object(root, &TOP, &Target::ALL);
    walk.found
}

struct Walk<'a> {
    root: &'a Node,
    owner: Owner,
    path: Vec<String>,
    found: Vec<Unheeded>,
}

impl Walk<'_> {
    fn object(&mut self, node: &Node, object: &'static Object, targets: &[Target]) {
        for entry in node.entries() {
            let Some(field) = object.field(&entry.key.value) else { continue };
            self.path.push(entry.key.value.clone());
            let mut acting = Vec::new();
            for target in targets {
                let Some((effect, only_kafka)) = self.verdict(field.effect(*target), &entry.value, node)
                else {
                    acting.push(*target);
                    continue;
                };
                let (is_missed, why) = match effect {
                    Effect::WithoutEffect(why) => (false, why),
                    Effect::Missed(why) => (true, why),
                    _ => continue,
                };
                self.found.push(Unheeded {
                    on: *target,
                    owner: self.owner.clone(),
                    only_kafka,
                    key: self.path.join("."),
                    is_missed,
                    why,
                    span: entry.key.span.clone(),
                    value: entry.value.span.clone(),
                });
            }
            if let (Some((holds, inner)), false) = (field.shape.inner(), acting.is_empty()) {
                self.inside(&entry.value, holds, inner, &acting);
            }
            self.path.pop();
        }
    }

    fn inside(&mut self, value: &Node, holds: Holds, inner: &'static Object, targets: &[Target]) {
        match holds {
            Holds::Itself => self.object(value, inner, targets),
            Holds::Items => value.items().iter().for_each(|item| self.object(item, inner, targets)),
            Holds::Members => {
                for member in value.entries() {
                    let owner = self.owner_of(&member.key.value);
                    // What belongs to a service is named by the service's keys alone.
                    let around = match &owner {
                        Some(Owner::Service(_)) => std::mem::take(&mut self.path),
                        _ => self.path.clone(),
                    };
                    if !matches!(owner, Some(Owner::Service(_))) {
                        self.path.push(member.key.value.clone());
                    }
                    let outer = owner.map(|owner| std::mem::replace(&mut self.owner, owner));
                    self.object(&member.value, inner, targets);
                    if let Some(outer) = outer {
                        self.owner = outer;
                    }
                    self.path = around;
                }
            }
        }
    }

    /// Who owns the member of a section at the top of the file.
    fn owner_of(&self, member: &str) -> Option<Owner> {
        if self.owner != Owner::Project {
            return None;
        }
        let member = member.to_owned();
        match self.path.as_slice() {
            [section] => match section.as_str() {
                "services" => Some(Owner::Service(member)),
                "networks" => Some(Owner::Network(member)),
                "volumes" => Some(Owner::Volume(member)),
                "secrets" => Some(Owner::Secret(member)),
                "configs" => Some(Owner::Config(member)),
                _ => None,
            },
            _ => None,
        }
    }

    /// What comes of a value, where that is not what it says; and whether that is so for Kafka's services only.
    fn verdict(&self, effect: Effect, value: &Node, parent: &Node) -> Option<(Effect, bool)> {
        match effect {
            Effect::Acts => None,
            _ if is_off(value) => Some((Effect::Moot(""), false)),
            Effect::Unless(values, other) => match is_among(value, values) {
                true => None,
                false => self.verdict(*other, value, parent),
            },
            Effect::When(Case::Kafka, then, other) => match self.verdict(*other, value, parent) {
                None => self.verdict(*then, value, parent).map(|(effect, _)| (effect, true)),
                otherwise => otherwise,
            },
            Effect::When(case, then, other) => {
                let effect = if self.is_so(case, parent) { then } else { other };
                self.verdict(*effect, value, parent)
            }
            told => Some((told, false)),
        }
    }

    fn is_so(&self, case: Case, parent: &Node) -> bool {
        let text = |key: &str| parent.get(key).and_then(Node::scalar_text);
        match case {
            Case::Kafka => true,
            Case::HostFile => {
                let section = self.path.iter().rev().nth(1).map(String::as_str).unwrap_or_default();
                let source = text("source").unwrap_or_default();
                let object = self.root.get(section).and_then(|section| section.get(&source));
                object.is_some_and(|object| object.get("file").is_some())
            }
            Case::NotAFolder => {
                let is_local = text("driver").is_none_or(|driver| driver == "local");
                let options = parent.get("driver_opts");
                let option = |key: &str| options?.get(key)?.scalar_text();
                !is_local || crate::model::bound_folder(&option).is_none()
            }
            Case::OtherMount(kind) => text("type").as_deref() != Some(kind),
        }
    }
}

/// One reason with the keys that share it, and the places of each.
struct Shared<'a> {
    why: &'static str,
    keys: Vec<(&'a str, Vec<&'a Span>)>,
}

impl Shared<'_> {
    fn names(&self) -> Vec<String> {
        self.keys.iter().map(|(key, _)| format!("`{key}`")).collect()
    }
}

/// What is said of such keys on one runtime: a warning for each reason where somebody relies on them, and one hint for
/// all the others.
pub fn told<'a>(keys: impl IntoIterator<Item = &'a Unheeded>, on: Target) -> Vec<Diagnostic> {
    let (mut missed, mut idle): (Vec<Shared<'a>>, Vec<Shared<'a>>) = Default::default();
    for found in keys.into_iter().filter(|found| found.on == on) {
        let list = if found.is_missed { &mut missed } else { &mut idle };
        let at = list.iter().position(|shared| shared.why == found.why).unwrap_or_else(|| {
            list.push(Shared { why: found.why, keys: Vec::new() });
            list.len() - 1
        });
        let keys = &mut list[at].keys;
        match keys.iter_mut().find(|(key, _)| *key == found.key) {
            // What an alias repeats stands in one place.
            Some((_, places)) if places.iter().any(|place| is_same(place, &found.span)) => {}
            Some((_, places)) => places.push(&found.span),
            None => keys.push((&found.key, vec![&found.span])),
        }
    }
    missed.iter().map(|shared| warning(shared, on)).chain(hint(&idle, on)).collect()
}

fn is_same(one: &Span, other: &Span) -> bool {
    one.position().is_some() && one.position() == other.position()
}

fn warning(shared: &Shared<'_>, on: Target) -> Diagnostic {
    let have = if shared.keys.len() == 1 { "has" } else { "have" };
    let message = format!("{} {have} no effect {}: {}", listed(&shared.names()), on.words(), shared.why);
    let mut places = shared.keys.iter().flat_map(|(_, places)| places);
    let nowhere = Span::default();
    let first = places.next().copied().unwrap_or(&nowhere);
    let mut found = Diagnostic::new(Code::MissedKey, message, first).label("no effect");
    let others: Vec<&&Span> = places.collect();
    for place in others.iter().take(LISTED) {
        found = found.related(place, "and here");
    }
    let more = others.len().saturating_sub(LISTED);
    if more > 0 { found.help(format!("and in {}", counted(more, "other place"))) } else { found }
}

fn hint(idle: &[Shared<'_>], on: Target) -> Option<Diagnostic> {
    let first = idle.first()?.keys.first()?.1.first()?;
    let names: Vec<String> = idle.iter().flat_map(Shared::names).collect();
    let have = if names.len() == 1 { "has" } else { "have" };
    let mut message = format!("{} {have} no effect {}", listed(&names), on.words());
    let places = |places: &[&Span]| placed(places, first);
    let line = |shared: &Shared<'_>| {
        let keys = shared.keys.iter().map(|(key, spans)| format!("`{key}` ({})", places(spans)));
        format!("{}: {}", keys.collect::<Vec<_>>().join(", "), shared.why)
    };
    let found = |message| Diagnostic::new(Code::UnheededKey, message, first).label("no effect");
    match idle {
        [one] if names.len() == 1 => {
            message += &format!(": {}", one.why);
            let others: Vec<&&Span> = one.keys[0].1.iter().skip(1).collect();
            let elsewhere: Vec<&Span> = others.into_iter().copied().collect();
            let help = (!elsewhere.is_empty()).then(|| format!("and here: {}", places(&elsewhere)));
            Some(found(message).maybe_help(help))
        }
        _ => {
            let lines: Vec<String> = idle.iter().map(line).collect();
            Some(found(message).help(lines.join("\n")))
        }
    }
}

/// Some places, and how many more: lines where the file is the one that is drawn.
fn placed(places: &[&Span], drawn: &Span) -> String {
    let (here, elsewhere): (Vec<&Span>, Vec<&Span>) =
        places.iter().take(LISTED).partition(|place| place.source() == drawn.source());
    let lines: Vec<String> =
        here.iter().filter_map(|place| Some(place.position()?.line.to_string())).collect();
    let word = if lines.len() == 1 { "line" } else { "lines" };
    let mut shown: Vec<String> = Vec::new();
    shown.extend((!lines.is_empty()).then(|| format!("{word} {}", lines.join(", "))));
    shown.extend(elsewhere.iter().filter_map(|place| Some(place.position()?.to_string())));
    let more = places.len().saturating_sub(LISTED);
    let shown = shown.join(", ");
    if more > 0 { format!("{shown} and {}", counted(more, "other place")) } else { shown }
}

/// `a`, `b` and `c`; of many the first, and how many more.
fn listed(names: &[String]) -> String {
    let more = names.len().saturating_sub(NAMED);
    let mut shown: Vec<String> = names.iter().take(NAMED).cloned().collect();
    if more > 0 {
        shown.push(counted(more, "other key"));
    }
    match shown.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} and {last}", rest.join(", ")),
        _ => shown.join(""),
    }
}

fn counted(count: usize, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}
