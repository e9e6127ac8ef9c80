//! A node that its service's own command starts: the broker is called by hand, on a file that is mounted, that is the
//! image's, or that the command itself writes.
//! It must not run anything: a shell script is searched for the few forms in which people write this.

use std::sync::Arc;

use jackdaw_compose::{Code, Diagnostic, Service, Source, Span, Spanned};

use crate::draft::Draft;
use crate::input::Files;
use crate::plan::Origin;
use crate::{Provider, apache};

/// Kafka's `config/server.properties`, of the days of ZooKeeper.
const ZOOKEEPER_S: &str = "broker.id=0
log.dirs=/tmp/kafka-logs
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
zookeeper.connect=localhost:2181
group.initial.rebalance.delay.ms=0
";

/// How a command starts the broker.
struct Start {
    text: String,
    span: Span,
    /// The `server.properties` that it is started on, as the command names it.
    path: String,
    /// Of `--override KEY=VALUE`.
    overrides: Vec<(String, String)>,
}

/// What the node of a service's own command runs with; none where the image's entrypoint decides.
pub(crate) fn draft(
    service: &Service,
    provider: Provider,
    files: &dyn Files,
    by_environment: impl FnOnce() -> Draft,
) -> Draft {
    let Some(start) = start(service) else { return by_environment() };
    let file = files.read(&start.path).or_else(|| start.written(service));
    let mut draft = match file {
        Some(file) => {
            let mut draft = Draft {
                config_file: Some(start.path.clone()),
                ignores_environment: true,
                ..Draft::default()
            };
            draft.read_file(&file);
            draft.properties.set_default("log.dirs", "/tmp/kafka-logs", Origin::Image);
            draft
        }
        None => {
            let is_known = start.names_the_image_s(provider) && !start.is_changed();
            let mut draft = start.of_the_image(service, provider).unwrap_or_else(by_environment);
            draft.is_made_by_command = !is_known;
            // Another image's folders are not ours, and so its command would not find them.
            draft.ignores_command = is_known && crate::assumed(service).is_some();
            draft.diagnostics.extend((!is_known).then(|| start.unknown(service)));
            draft
        }
    };
    for (key, value) in &start.overrides {
        let place = start.span.narrowed(&format!("{key}={value}"));
        draft.properties.set(key.clone(), put_in(service, value), Origin::File(place));
    }
    if let Some(id) = start.formatted() {
        let place = start.span.narrowed_word(&id);
        draft.given_cluster_id = Some(Spanned::new(id, place));
    }
    draft
}

/// Whether the service's own command calls the broker.
pub(crate) fn starts_broker(service: &Service) -> bool {
    start(service).is_some()
}

/// A value with the service's variables in it: `$NAME`, `${NAME}`, `${NAME:-default}`.
fn put_in(service: &Service, value: &str) -> String {
    let Some((before, rest)) = value.split_once('$') else { return value.to_owned() };
    let wordy = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let braced = rest.strip_prefix('{').and_then(|rest| rest.split_once('}'));
    let (name, default, after) = match braced {
        Some((inside, after)) => {
            let (name, default) = inside.split_once(":-").unwrap_or((inside, ""));
            (name, default, after)
        }
        None => {
            let end = rest.find(|c| !wordy(c)).unwrap_or(rest.len());
            (&rest[..end], "", &rest[end..])
        }
    };
    let set = service.environment.iter().find(|variable| variable.name.value == name);
    let set = set.and_then(|variable| variable.value.as_ref()).map(|value| value.value.as_str());
    format!("{before}{}{}", set.unwrap_or(default), put_in(service, after))
}

fn start(service: &Service) -> Option<Start> {
    let given: Vec<_> = [&service.entrypoint, &service.command].into_iter().flatten().collect();
    let words: Vec<&str> = given.iter().flat_map(|words| &words.value).map(String::as_str).collect();
    let text = words.join(" ");
    let span = given.iter().find(|words| words.value.iter().any(|word| word.contains("kafka-server-start")));
    let words = call(&text, "kafka-server-start")?;
    let mut words = words.into_iter().skip_while(|word| word.starts_with('-')).peekable();
    let path = words.next()?;
    let mut overrides = Vec::new();
    while let Some(word) = words.next() {
        let setting = match word.strip_prefix("--override") {
            Some("") => words.next().unwrap_or_default(),
            Some(rest) => rest.trim_start_matches('=').to_owned(),
            None => continue,
        };
        overrides.extend(setting.split_once('=').map(|(key, value)| (key.to_owned(), value.to_owned())));
    }
    Some(Start { span: span.map(|words| words.span.clone()).unwrap_or_default(), text, path, overrides })
}

/// The words that a shell gives to a program that is called by this name, with or without `.sh`.
fn call(text: &str, program: &str) -> Option<Vec<String>> {
    let rest = &text[text.find(program)? + program.len()..];
    let rest = rest.strip_prefix(".sh").unwrap_or(rest).replace("\\\n", " ");
    let end = rest.find(['\n', ';', '|', '&', ')']).unwrap_or(rest.len());
    let words = rest[..end].split_whitespace().map(|word| word.trim_matches(['"', '\'']).to_owned());
    Some(words.filter(|word| !word.is_empty()).collect())
}

impl Start {
    /// The file, where the command writes it as a here-document in which nothing is put in.
    fn written(&self, service: &Service) -> Option<Arc<Source>> {
        let mut lines = self.text.lines();
        while let Some(line) = lines.next() {
            let Some((before, after)) = line.split_once("<<") else { continue };
            let whole = [before, after].join(" ");
            let names_it = whole.split([' ', '>']).any(|word| word.trim_matches(['"', '\'']) == self.path);
            let appends = whole.contains(">>") || whole.contains("-a ");
            let end = after.trim_start_matches('-').trim_start();
            let end = end.split([' ', '>', '|']).next().unwrap_or_default();
            let word = end.trim_matches(['"', '\'', '\\']);
            let body: Vec<&str> = lines.by_ref().take_while(|line| line.trim() != word).collect();
            let body: Vec<&str> = body.into_iter().map(str::trim_start).collect();
            let text = body.join("\n");
            let is_literal = end != word || !text.contains(['$', '`']);
            if names_it {
                let name = format!("{}, which the command of {} writes", self.path, service.name.value);
                return (is_literal && !appends && !self.is_edited()).then(|| Source::new(name, text));
            }
        }
        None
    }

    /// Kafka's own files, which an entrypoint of apache's that is not called leaves as they are.
    fn of_the_image(&self, service: &Service, provider: Provider) -> Option<Draft> {
        if provider != Provider::Apache || self.text.contains("/etc/kafka/docker/") {
            return None;
        }
        let mut draft = Draft { ignores_environment: true, ..Draft::default() };
        let bundled = apache::bundled();
        let text = match self.path.ends_with("config/kraft/server.properties") {
            true => bundled.as_str(),
            false if crate::assumed(service).is_some() => ZOOKEEPER_S,
            false => return None,
        };
        draft.read_file(&Source::new(self.path.as_str(), text));
        Some(draft)
    }

    /// Whether it is a file that the image has.
    fn names_the_image_s(&self, provider: Provider) -> bool {
        let own =
            [provider.layout().made_config, "config/kraft/server.properties", "config/server.properties"];
        own.iter().any(|own| self.path.ends_with(own))
    }

    /// Whether the command does more with the file than to format and to start on it.
    fn is_changed(&self) -> bool {
        let own = self.text.match_indices(&self.path).filter(|(at, _)| {
            let line = self.text[..*at].rsplit(['\n', ';', '|', '&']).next().unwrap_or_default();
            !line.contains("kafka-server-start") && !line.contains("kafka-storage")
        });
        own.count() > 0
    }

    /// Whether a program edits files in place.
    fn is_edited(&self) -> bool {
        self.text.contains("sed -i") || self.text.contains("envsubst")
    }

    /// The cluster id that the command formats its folder with.
    fn formatted(&self) -> Option<String> {
        let words = call(&self.text, "kafka-storage")?;
        let at = words.iter().position(|word| matches!(word.as_str(), "-t" | "--cluster-id"))?;
        words.get(at + 1).filter(|id| !id.contains(['$', '`'])).cloned()
    }

    fn unknown(&self, service: &Service) -> Diagnostic {
        let name = &service.name.value;
        let message = format!(
            "`{name}` starts its broker on {}, as its command makes it: what the node is cannot be known before",
            self.path
        );
        Diagnostic::new(Code::CommandMakesSettings, message, &crate::lint::first_line(&self.span))
            .label("its own command")
            .help(
                "mount the file, or write it in the command as a here-document without variables, or leave the command \
                 out and set the image's variables",
            )
    }
}
