//! One part of a project against another: what is named must be declared, what is unique must be so.
//! It must not know Kafka.

use std::collections::HashMap;

use crate::canonical::first_line;
use crate::codes::Code;
use crate::diagnostic::{Diagnostic, Severity};
use crate::source::{Span, Spanned};
use crate::suggest::nearest;
use crate::yaml::{Entry, Kind, Node};

/// Checks the completed tree.
pub(crate) fn check(root: &Node, disabled: &[Spanned<String>], diagnostics: &mut Vec<Diagnostic>) {
    let services = root.get("services").map(Node::entries).unwrap_or_default();
    if services.is_empty() && !crate::diagnostic::has_errors(diagnostics) {
        let message = if disabled.is_empty() {
            String::from("the file declares no service")
        } else {
            let names: Vec<&str> = disabled.iter().map(|name| name.value.as_str()).collect();
            format!("no active profile enables a service (there are: {})", names.join(", "))
        };
        diagnostics.push(Diagnostic::new(Code::NoServices, message, &first_line(&root.span)));
    }
    let mut checker = Checker { root, services, disabled, diagnostics };
    for service in services {
        checker.service(service);
    }
    checker.unique_names();
    checker.unique_ports();
    checker.cycles();
    checker.file_objects();
}

fn is_pull_policy(text: &str) -> bool {
    let is_every = |times: &str| {
        let mut rest = times;
        while !rest.is_empty() {
            let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
            match rest[digits..].chars().next() {
                Some(unit) if digits > 0 && "wdhms".contains(unit) => rest = &rest[digits + 1..],
                _ => return false,
            }
        }
        !times.is_empty()
    };
    let known = ["", "always", "never", "build", "if_not_present", "missing", "refresh", "daily", "weekly"];
    known.contains(&text) || text.strip_prefix("every_").is_some_and(is_every)
}

struct Checker<'a> {
    root: &'a Node,
    services: &'a [Entry],
    disabled: &'a [Spanned<String>],
    diagnostics: &'a mut Vec<Diagnostic>,
}

impl Checker<'_> {
    fn say(&mut self, diagnostic: Diagnostic) {
        self.diagnostics.push(diagnostic);
    }

    fn declared(&self, section: &str) -> Vec<&str> {
        self.root
            .get(section)
            .map(Node::entries)
            .unwrap_or_default()
            .iter()
            .map(|e| e.key.value.as_str())
            .collect()
    }

    fn service(&mut self, entry: &Entry) {
        let (name, service) = (&entry.key, &entry.value);
        if !matches!(service.kind, Kind::Map(_)) {
            return;
        }
        let image = service.get("image").filter(|image| image.as_str() != Some(""));
        let emptied = service.get("image").filter(|image| image.is_emptied());
        // What could not be extended was reported, and may have brought the image.
        let elsewhere = ["build", "provider", "extends"].iter().any(|key| service.get(key).is_some());
        if let (Some(image), false) = (emptied, elsewhere) {
            let written = image.span.text().trim_matches(['"', '\'']);
            let message = format!("the image of `{}` is empty: {written} is not set", name.value);
            let mut found = Diagnostic::new(Code::MissingImage, message, &image.span).label("empty");
            found.severity = Severity::Warning;
            self.say(found.help("set the variable in the environment or in .env"));
        } else if image.is_none() && !elsewhere {
            let message =
                format!("the service `{}` has neither image nor build: there is nothing to run", name.value);
            self.say(
                Diagnostic::new(Code::MissingImage, message, &name.span)
                    .label("no image")
                    .help("add `image: NAME:TAG`, or `build: .` where it is built from a Dockerfile"),
            );
        }
        self.words(name, service);
        self.networks(name, service);
        self.volumes(service);
        for (section, code) in [("secrets", Code::UndefinedSecret), ("configs", Code::UndefinedConfig)] {
            for item in service.get(section).map(Node::items).unwrap_or_default() {
                if let Some(source) = item.get("source") {
                    self.must_be_declared(section, code, source);
                }
            }
        }
        self.depends_on(name, service);
        self.replicas(name, service);
        self.restart(service);
    }

    /// Names and words that the specification has patterns for.
    fn words(&mut self, name: &Spanned<String>, service: &Node) {
        let good = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
        if name.value.is_empty() || !name.value.chars().all(good) {
            let message = format!("`{}` is no name for a service", name.value);
            let found = Diagnostic::new(Code::InvalidValue, message, &name.span).label("not a name");
            self.say(found.help("write letters, digits, `_`, `.` and `-`"));
        }
        let container = service.get("container_name").and_then(|n| Some((n.as_str()?, &n.span)));
        if let Some((text, span)) = container
            && !(text.len() > 1
                && text.starts_with(|c: char| c.is_ascii_alphanumeric())
                && text.chars().all(good))
        {
            let message = format!("`{text}` is no name for a container");
            let found = Diagnostic::new(Code::InvalidValue, message, span).label("not a name");
            self.say(
                found.help("write at least two letters, digits, `_`, `.` or `-`, a letter or digit first"),
            );
        }
        let policy = service.get("pull_policy").and_then(|n| Some((n.as_str()?, &n.span)));
        if let Some((text, span)) = policy.filter(|(text, _)| !is_pull_policy(text)) {
            let message = format!("`{text}` is no pull policy");
            let found = Diagnostic::new(Code::InvalidValue, message, span).label("not known");
            self.say(found.help("write one of: always, never, missing, build, daily, weekly, every_12h"));
        }
        let dockerfile = |key: &str| service.get("build").and_then(|build| build.get(key));
        if let (Some(_), Some(inline)) = (dockerfile("dockerfile"), dockerfile("dockerfile_inline")) {
            let message = format!("`{}` has both `dockerfile` and `dockerfile_inline`", name.value);
            self.say(
                Diagnostic::new(Code::ConflictingKeys, message, &inline.span).help("keep one of the two"),
            );
        }
    }

    fn must_be_declared(&mut self, section: &str, code: Code, reference: &Node) {
        let Some(key) = reference.as_str() else { return };
        let declared = self.declared(section);
        if declared.contains(&key) {
            return;
        }
        let what = section.trim_end_matches('s');
        let help = match nearest(key, declared.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("declare it at the top level:\n{section}:\n  {key}:"),
        };
        let message = format!("the {what} `{key}` is not declared under the top-level `{section}`");
        let span = first_line(&reference.span).narrowed(key);
        self.say(Diagnostic::new(code, message, &span).label("not declared").help(help));
    }

    fn networks(&mut self, name: &Spanned<String>, service: &Node) {
        let networks = service.get("networks").map(Node::entries).unwrap_or_default();
        for network in networks {
            let reference = Node::str(network.key.value.clone(), &network.key.span);
            self.must_be_declared("networks", Code::UndefinedNetwork, &reference);
        }
        let Some(mode) = service.get("network_mode") else { return };
        if !networks.is_empty() {
            let message = format!("`{}` has both `network_mode` and `networks`", name.value);
            self.say(
                Diagnostic::new(Code::ConflictingKeys, message, &mode.span)
                    .label("network_mode")
                    .help("keep one of the two: a shared network stack has no networks of its own"),
            );
        }
    }

    fn volumes(&mut self, service: &Node) {
        for mount in service.get("volumes").map(Node::items).unwrap_or_default() {
            let kind = mount.get("type").and_then(Node::as_str);
            if let (Some("volume"), Some(source)) = (kind, mount.get("source")) {
                self.must_be_declared("volumes", Code::UndefinedVolume, source);
            }
        }
    }

    fn depends_on(&mut self, name: &Spanned<String>, service: &Node) {
        for dependency in service.get("depends_on").map(Node::entries).unwrap_or_default() {
            let other = &dependency.key;
            if self.services.iter().any(|s| s.key.value == other.value) {
                continue;
            }
            let required = dependency.value.get("required").is_none_or(|n| n.kind != Kind::Bool(false));
            let is_disabled = self.disabled.iter().find(|d| d.value == other.value);
            match is_disabled {
                _ if !required => {}
                Some(disabled) => {
                    let message = format!(
                        "`{}` depends on `{}`, which no active profile enables",
                        name.value, other.value
                    );
                    self.say(
                        Diagnostic::new(Code::DisabledDependency, message, &other.span)
                            .label("not enabled")
                            .related(&disabled.span, "declared here, with profiles")
                            .help("activate its profile with --profile, or write `required: false`"),
                    );
                }
                None => {
                    let near = nearest(other, self.services.iter().map(|s| s.key.value.as_str()));
                    let help = near.map(|near| format!("did you mean `{near}`?"));
                    let message = format!(
                        "`{}` depends on `{}`, which is not a service of this project",
                        name.value, other.value
                    );
                    self.say(
                        Diagnostic::new(Code::UndefinedService, message, &other.span)
                            .label("no such service")
                            .maybe_help(help),
                    );
                }
            }
        }
    }

    fn replicas(&mut self, name: &Spanned<String>, service: &Node) {
        let replicas = service.get("scale").or_else(|| service.get("deploy")?.get("replicas"));
        let Some((count, span)) = replicas.and_then(|n| match n.kind {
            Kind::Int(count) => Some((count, &n.span)),
            _ => None,
        }) else {
            return;
        };
        if count < 0 {
            let message = format!("`{}` cannot have {count} replicas", name.value);
            self.say(Diagnostic::new(Code::InvalidValue, message, span).label("negative"));
        }
        if let (true, Some(fixed)) = (count > 1, service.get("container_name")) {
            let message =
                format!("`{}` has {count} replicas, and one container name for all of them", name.value);
            self.say(
                Diagnostic::new(Code::ReplicasNeedNames, message, &fixed.span)
                    .label("one name")
                    .related(span, "several replicas")
                    .help("remove container_name"),
            );
        }
    }

    fn restart(&mut self, service: &Node) {
        let Some(restart) = service.get("restart") else { return };
        let Some(text) = restart.as_str() else { return };
        if crate::build::restart(text).is_none() {
            let known = ["no", "always", "unless-stopped", "on-failure"];
            let help = match nearest(text, known) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("write one of: {}", known.join(", ")),
            };
            let message = format!("`{text}` is not a restart policy");
            self.say(
                Diagnostic::new(Code::InvalidValue, message, &restart.span).label("not known").help(help),
            );
        }
    }

    fn unique_names(&mut self) {
        let mut seen: HashMap<&str, &Span> = HashMap::new();
        for service in self.services {
            let Some(name) = service.value.get("container_name") else { continue };
            let Some(text) = name.as_str() else { continue };
            if let Some(first) = seen.insert(text, &name.span) {
                let message = format!("two services want the container name `{text}`");
                self.diagnostics.push(
                    Diagnostic::new(Code::DuplicateContainerName, message, &name.span)
                        .label("taken")
                        .related(first, "first one"),
                );
            }
        }
    }

    fn unique_ports(&mut self) {
        let mut seen: HashMap<(String, String, String), (&str, &Span)> = HashMap::new();
        for service in self.services {
            for port in service.value.get("ports").map(Node::items).unwrap_or_default() {
                let field = |key: &str| port.get(key).and_then(Node::scalar_text).unwrap_or_default();
                let published = field("published");
                if published.is_empty() || published == "0" || published.contains('-') {
                    continue;
                }
                let key = (field("host_ip"), published.clone(), field("protocol"));
                let Some((other, first)) = seen.insert(key, (&service.key.value, &port.span)) else {
                    continue;
                };
                let message =
                    format!("`{}` and `{other}` both publish the host's port {published}", service.key.value);
                self.diagnostics.push(
                    Diagnostic::new(Code::DuplicatePublishedPort, message, &first_line(&port.span))
                        .label("taken")
                        .related(&first_line(first), format!("published by `{other}`"))
                        .help("give one of them another host port (the left one of \"HOST:CONTAINER\")"),
                );
            }
        }
    }

    /// Services that wait for each other: reported once per circle, at the edge that closes it.
    fn cycles(&mut self) {
        let mut done: Vec<&str> = Vec::new();
        for service in self.services {
            visit(service, self.services, &mut done, &mut Vec::new(), self.diagnostics);
        }
    }

    fn file_objects(&mut self) {
        for section in ["secrets", "configs"] {
            for entry in self.root.get(section).map(Node::entries).unwrap_or_default() {
                let known = ["file", "environment", "content", "external"];
                if matches!(entry.value.kind, Kind::Map(_))
                    && known.iter().all(|key| entry.value.get(key).is_none())
                {
                    let message = format!("`{section}.{}` says not where its content is", entry.key.value);
                    let help = if section == "secrets" {
                        "add `file`, `environment` or `external: true`"
                    } else {
                        "add `file`, `environment`, `content` or `external: true`"
                    };
                    self.diagnostics.push(
                        Diagnostic::new(Code::MissingField, message, &entry.key.span)
                            .label("no content")
                            .help(help),
                    );
                }
            }
        }
    }
}

/// Depth first along `depends_on`; each service is entered once.
fn visit<'s>(
    service: &'s Entry,
    services: &'s [Entry],
    done: &mut Vec<&'s str>,
    trail: &mut Vec<&'s str>,
    diagnostics: &mut Vec<Diagnostic>,
) {
    let name = service.key.value.as_str();
    if done.contains(&name) {
        return;
    }
    trail.push(name);
    for dependency in service.value.get("depends_on").map(Node::entries).unwrap_or_default() {
        let other = dependency.key.value.as_str();
        if let Some(at) = trail.iter().position(|n| *n == other) {
            let circle: Vec<&str> = trail[at..].iter().copied().chain([other]).collect();
            let message = format!("services wait for each other: {}", circle.join(" → "));
            diagnostics.push(
                Diagnostic::new(Code::DependencyCycle, message, &dependency.key.span)
                    .label("closes the circle")
                    .help("remove one of these dependencies"),
            );
        } else if let Some(next) = services.iter().find(|s| s.key.value == other) {
            visit(next, services, done, trail, diagnostics);
        }
    }
    trail.pop();
    done.push(name);
}
