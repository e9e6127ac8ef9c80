//! What a project implies and nobody wrote: default network, names in the engine, dependencies through links,
//! environment from files and from where we run, profiles, and nothing that no service uses.
//! It must not check anything; [`crate::check`] does.

use std::path::PathBuf;

use crate::Project;
use crate::load::{Env, Loader};
use crate::model::MissingEnvFile;
use crate::source::{Span, Spanned};
use crate::yaml::{Entry, Kind, Node};

/// Completes the merged tree, checks it, and makes the typed project of it.
pub(crate) fn complete(
    loader: &mut Loader,
    mut root: Node,
    name: Spanned<String>,
    working_dir: PathBuf,
    files: Vec<PathBuf>,
    profiles: &[String],
    env: &Env,
) -> Option<Project> {
    let nowhere = Span::default();
    for section in ["services", "networks", "volumes", "secrets", "configs"] {
        if root.get(section).is_none_or(Node::is_null) {
            root.set(section, Node::new(Kind::Map(Vec::new()), &nowhere));
        }
    }
    root.set("name", Node::str(name.value.clone(), &name.span));
    let disabled = take_disabled(&mut root, profiles);
    let unheeded = crate::unheeded::find(&root);
    let mut missing_env_files = Vec::new();
    if let Some(Node { kind: Kind::Map(services), .. }) = root.get_mut("services") {
        for service in services.iter_mut() {
            let missing = environment(loader, &mut service.value, env);
            let of_service = |path| MissingEnvFile { service: service.key.value.clone(), path };
            missing_env_files.extend(missing.into_iter().map(of_service));
            labels(loader, &mut service.value);
            complete_service(&mut service.value, env);
        }
    }
    let uses_default = uses_default_network(&root);
    if let Some(networks) = root.get_mut("networks")
        && uses_default
        && networks.get("default").is_none()
    {
        networks.set("default", Node::new(Kind::Null, &nowhere));
    }
    names(&mut root, &name);
    crate::check::check(&root, &disabled, &mut loader.diagnostics);
    drop_unused(&mut root);
    let canonical = crate::render::canonical(&root);
    let project = crate::build::project(&root, canonical, name, working_dir, files, disabled, env);
    Some(Project { missing_env_files, unheeded, ..project })
}

/// Services whose profiles are all inactive leave the tree.
fn take_disabled(root: &mut Node, profiles: &[String]) -> Vec<Spanned<String>> {
    let mut disabled = Vec::new();
    let Some(Node { kind: Kind::Map(services), .. }) = root.get_mut("services") else { return disabled };
    services.retain(|entry| {
        let wanted: Vec<&str> = entry
            .value
            .get("profiles")
            .map(|p| p.items().iter().filter_map(Node::as_str).collect())
            .unwrap_or_default();
        let enabled = wanted.is_empty()
            || profiles.iter().any(|active| active == "*" || wanted.contains(&active.as_str()));
        if !enabled {
            disabled.push(entry.key.clone());
        }
        enabled
    });
    disabled
}

/// Gives the env files that are missing.
fn environment(loader: &mut Loader, service: &mut Node, env: &Env) -> Vec<Spanned<String>> {
    let files = service.remove("env_file");
    let own = service.get("environment").cloned();
    if files.is_none() && own.is_none() {
        return Vec::new();
    }
    // Variables in an env file come from the project first, then from what the service says itself.
    let mut known = env.clone();
    for entry in own.iter().flat_map(|node| node.entries()) {
        if let Some(value) = entry.value.scalar_text().filter(|_| !known.contains_key(&entry.key.value)) {
            known.insert(entry.key.value.clone(), value);
        }
    }
    let (mut vars, missing) = files.map(|files| loader.service_env_files(&files, &known)).unwrap_or_default();
    let span = own.as_ref().map(|node| node.span.clone()).unwrap_or_default();
    for entry in own.iter().flat_map(|node| node.entries()) {
        let mut entry = entry.clone();
        if entry.value.is_null()
            && let Some(value) = env.get(&entry.key.value)
        {
            entry.value = Node::str(value.clone(), &entry.key.span);
        }
        match vars.iter_mut().find(|e| e.key.value == entry.key.value) {
            Some(earlier) => *earlier = entry,
            None => vars.push(entry),
        }
    }
    service.set("environment", Node::new(Kind::Map(vars), &span));
    missing
}

/// Labels from files, below those that the service has itself.
fn labels(loader: &mut Loader, service: &mut Node) {
    let Some(files) = service.remove("label_file") else { return };
    let mut labels = loader.label_files(&files);
    let own = service.get("labels").cloned();
    for entry in own.iter().flat_map(|node| node.entries()) {
        match labels.iter_mut().find(|e| e.key.value == entry.key.value) {
            Some(earlier) => *earlier = entry.clone(),
            None => labels.push(entry.clone()),
        }
    }
    let span = own.map_or(files.span, |own| own.span);
    service.set("labels", Node::new(Kind::Map(labels), &span));
}

fn complete_service(service: &mut Node, env: &Env) {
    if service.get("pull_policy").and_then(Node::as_str) == Some("if_not_present") {
        service.set("pull_policy", Node::str("missing", &Span::default()));
    }
    if let Some(build) = service.get_mut("build") {
        complete_build(build, env);
    }
    let has_networks = service.get("networks").is_some_and(|n| !n.entries().is_empty());
    if !has_networks && service.get("network_mode").is_none() && service.get("provider").is_none() {
        let default = Entry {
            key: Spanned::nowhere(String::from("default")),
            value: Node::new(Kind::Null, &Span::default()),
        };
        service.set("networks", Node::new(Kind::Map(vec![default]), &Span::default()));
    }
    if let Some(Node { kind: Kind::Seq(secrets), .. }) = service.get_mut("secrets") {
        for secret in secrets {
            let source = secret.get("source").and_then(Node::as_str).map(str::to_owned);
            if let (Some(source), None) = (source, secret.get("target")) {
                secret.set("target", Node::str(format!("/run/secrets/{source}"), &secret.span.clone()));
            }
        }
    }
    implied_dependencies(service);
}

fn complete_build(build: &mut Node, env: &Env) {
    if build.get("dockerfile").is_none() && build.get("dockerfile_inline").is_none() {
        build.set("dockerfile", Node::str("Dockerfile", &Span::default()));
    }
    if let Some(Node { kind: Kind::Map(args), .. }) = build.get_mut("args") {
        args.retain_mut(|arg| {
            if arg.value.is_null()
                && let Some(value) = env.get(&arg.key.value)
            {
                arg.value = Node::str(value.clone(), &arg.key.span);
            }
            !arg.value.is_null()
        });
    }
}

/// Links and shared namespaces need the other service first.
fn implied_dependencies(service: &mut Node) {
    let mut implied: Vec<(Spanned<String>, bool)> = Vec::new();
    let mut push = |text: &str, span: &Span, restart: bool| {
        implied.push((Spanned::new(text.to_owned(), span.clone()), restart));
    };
    for link in service.get("links").iter().flat_map(|n| n.items()) {
        let text = link.as_str().unwrap_or_default();
        push(text.split(':').next().unwrap_or(text), &link.span, true);
    }
    for key in ["network_mode", "ipc", "pid", "uts", "cgroup"] {
        if let Some((shared, span)) =
            service.get(key).and_then(|n| Some((n.as_str()?.strip_prefix("service:")?, &n.span)))
        {
            push(shared, span, true);
        }
    }
    for from in service.get("volumes_from").iter().flat_map(|n| n.items()) {
        let text = from.as_str().unwrap_or_default();
        if !text.starts_with("container:") {
            push(text.split(':').next().unwrap_or(text), &from.span, false);
        }
    }
    if implied.is_empty() {
        return;
    }
    if service.get("depends_on").is_none() {
        service.set("depends_on", Node::new(Kind::Map(Vec::new()), &Span::default()));
    }
    let Some(depends_on) = service.get_mut("depends_on") else { return };
    for (name, restart) in implied {
        if depends_on.get(&name).is_some() {
            continue;
        }
        let mut dependency = Node::new(Kind::Map(Vec::new()), &name.span);
        dependency.set("condition", Node::str("service_started", &name.span));
        dependency.set("required", Node::new(Kind::Bool(true), &name.span));
        if restart {
            dependency.set("restart", Node::new(Kind::Bool(true), &name.span));
        }
        depends_on.set(&name, dependency);
    }
}

fn uses_default_network(root: &Node) -> bool {
    let services = root.get("services").map(Node::entries).unwrap_or_default();
    services.iter().any(|s| s.value.get("networks").is_some_and(|n| n.get("default").is_some()))
}

/// Each network, volume, secret and config gets the name that the engine knows it by.
fn names(root: &mut Node, project: &str) {
    // Services keep what they say of models; compose-go shows the models themselves to none but who runs them.
    root.remove("models");
    for section in ["networks", "volumes", "secrets", "configs"] {
        let Some(Node { kind: Kind::Map(entries), .. }) = root.get_mut(section) else { continue };
        for Entry { key, value } in entries.iter_mut() {
            if value.is_null() {
                value.kind = Kind::Map(Vec::new());
            }
            let span = key.span.clone();
            let external = value.get("external").cloned();
            let old_name = external.as_ref().and_then(|e| e.get("name").cloned());
            let is_external = match external.map(|e| e.kind) {
                Some(Kind::Map(_)) => true,
                Some(Kind::Bool(value)) => value,
                _ => false,
            };
            if is_external {
                value.set("external", Node::new(Kind::Bool(true), &span));
            } else {
                value.remove("external");
            }
            if value.get("name").is_none() {
                let name = match old_name {
                    Some(name) => name,
                    None if is_external => Node::str(key.value.clone(), &span),
                    None => Node::str(format!("{project}_{}", key.value), &span),
                };
                value.set("name", name);
            }
        }
    }
}

/// What no enabled service uses is not made, and not shown.
fn drop_unused(root: &mut Node) {
    let mut used: Vec<(&str, String)> = Vec::new();
    for service in root.get("services").map(Node::entries).unwrap_or_default() {
        let service = &service.value;
        for network in service.get("networks").map(Node::entries).unwrap_or_default() {
            used.push(("networks", network.key.value.clone()));
        }
        for mount in service.get("volumes").map(Node::items).unwrap_or_default() {
            if let (Some("volume"), Some(source)) =
                (mount.get("type").and_then(Node::as_str), mount.get("source").and_then(Node::as_str))
            {
                used.push(("volumes", source.to_owned()));
            }
        }
        for section in ["secrets", "configs"] {
            let own = service.get(section).map(Node::items).unwrap_or_default();
            let built =
                service.get("build").and_then(|b| b.get(section)).map(Node::items).unwrap_or_default();
            for source in own.iter().chain(built).filter_map(|n| n.get("source")?.as_str()) {
                used.push((section, source.to_owned()));
            }
        }
    }
    for section in ["networks", "volumes", "secrets", "configs"] {
        if let Some(Node { kind: Kind::Map(entries), .. }) = root.get_mut(section) {
            entries.retain(|e| used.iter().any(|(s, key)| *s == section && *key == e.key.value));
        }
    }
}
