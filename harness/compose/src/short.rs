//! The short forms of the compose specification, each to its long form.
//! It must not check one part of a file against another.

use crate::canonical::Canon;
use crate::codes::Code;
use crate::schema::{self, Object, Shape, Short};
use crate::source::{Span, Spanned};
use crate::units;
use crate::yaml::{Entry, Kind, Node};

/// Brings one value into its long form.
pub(crate) fn canonical(canon: &mut Canon<'_>, node: Node, form: Short) -> Node {
    match form {
        Short::Build => build(canon, node),
        Short::Command => command(canon, node),
        Short::Contexts => contexts(canon, node),
        Short::DependsOn => by_name(canon, node, &schema::DEPENDENCY, dependency),
        Short::Develop => develop(canon, node),
        Short::Devices => each(canon, node, |c, item| device(c, item).into_iter().collect()),
        Short::EnvFile => env_files(canon, node),
        Short::Extends => extends(canon, node),
        Short::External => external(canon, node),
        Short::ExtraHosts => extra_hosts(canon, node),
        Short::FileMounts => each(canon, node, |c, item| vec![file_mount(c, item)]),
        Short::Gpus => gpus(node),
        Short::HealthTest => health_test(canon, node),
        Short::Hooks => each(canon, node, |c, item| vec![hook(c, item)]),
        Short::Include => include(canon, node),
        Short::Mode => mode(canon, node),
        Short::Models => models(node),
        Short::Networks => by_name(canon, node, &schema::ATTACHMENT, |_, node| node),
        Short::Path => match node.as_str() {
            Some(path) => Node::str(canon.absolute(path), &node.span),
            None => canon.wrong(&node, "a path"),
        },
        Short::Paths => paths(canon, node),
        Short::Ports => each(canon, node, ports),
        Short::Provider => provider(node),
        Short::Ulimits => ulimits(canon, node),
        Short::Volume => volume(canon, node),
        Short::Volumes => each(canon, node, |c, item| mount(c, item).into_iter().collect()),
    }
}

/// A mapping from what is there; values keep the place of the short form.
struct Long(Node);

impl Long {
    fn new(span: &Span) -> Self {
        Self(Node::new(Kind::Map(Vec::new()), span))
    }

    fn with(mut self, key: &str, kind: Kind) -> Self {
        let value = Node::new(kind, &self.0.span);
        self.0.set(key, value);
        self
    }

    fn text(self, key: &str, text: impl Into<String>) -> Self {
        self.with(key, Kind::Str(text.into()))
    }

    fn maybe(self, key: &str, text: Option<&str>) -> Self {
        match text {
            Some(text) => self.text(key, text),
            None => self,
        }
    }
}

fn each(canon: &mut Canon<'_>, node: Node, mut f: impl FnMut(&mut Canon<'_>, Node) -> Vec<Node>) -> Node {
    let span = node.span.clone();
    let Kind::Seq(items) = node.kind else { return canon.wrong(&node, "a list") };
    let mut out = Vec::with_capacity(items.len());
    for (at, item) in items.into_iter().enumerate() {
        out.extend(canon.at(&format!("[{at}]"), |c| f(c, item)));
    }
    Node::new(Kind::Seq(out), &span)
}

fn by_name(
    canon: &mut Canon<'_>,
    node: Node,
    object: &'static Object,
    complete: impl Fn(&mut Canon<'_>, Node) -> Node,
) -> Node {
    let span = node.span.clone();
    let mut out: Vec<Entry> = Vec::new();
    match node.kind {
        Kind::Seq(items) => {
            for item in items {
                let Some(name) = item.as_str() else {
                    canon.wrong(&item, "a list of names");
                    continue;
                };
                let key = Spanned::new(name.to_owned(), item.span.clone());
                let null = Node::new(Kind::Null, &item.span);
                if !out.iter().any(|e| e.key.value == key.value) {
                    out.push(Entry { key, value: complete(canon, null) });
                }
            }
        }
        Kind::Map(entries) => {
            for entry in entries {
                let name = entry.key.value.clone();
                let value = canon.at(&name, |c| {
                    let value = c.value(entry.value, &Shape::Maybe(object));
                    complete(c, value)
                });
                out.push(Entry { key: entry.key, value });
            }
        }
        _ => return canon.wrong(&node, "a list of names or a mapping"),
    }
    Node::new(Kind::Map(out), &span)
}

fn dependency(_: &mut Canon<'_>, mut node: Node) -> Node {
    if node.is_null() {
        node.kind = Kind::Map(Vec::new());
    }
    let span = node.span.clone();
    if node.get("condition").is_none() {
        node.set("condition", Node::str("service_started", &span));
    }
    if node.get("required").is_none() {
        node.set("required", Node::new(Kind::Bool(true), &span));
    }
    node
}

fn build(canon: &mut Canon<'_>, node: Node) -> Node {
    let span = node.span.clone();
    let mut build = match &node.kind {
        Kind::Str(context) => Long::new(&span).text("context", context.clone()).0,
        Kind::Map(_) => canon.object(node, &schema::BUILD),
        _ => return canon.wrong(&node, "a string or a mapping"),
    };
    let context = build.get("context").cloned();
    if let Some((text, span)) = context.as_ref().and_then(|c| Some((c.as_str()?, &c.span))) {
        let remote = text.contains("://") || text.starts_with("git@") || text.starts_with("github.com/");
        if !remote {
            build.set("context", Node::str(canon.absolute(text), span));
        }
    }
    build
}

/// Contexts beside the build's own: images, addresses, services, and folders, which are relative to the file.
fn contexts(canon: &mut Canon<'_>, node: Node) -> Node {
    let mut node = canon.value(node, &Shape::Labels);
    if let Kind::Map(entries) = &mut node.kind {
        for entry in entries {
            let Some(text) = entry.value.as_str() else { continue };
            let is_elsewhere =
                text.contains("://") || text.starts_with("service:") || text.starts_with("git@");
            if !is_elsewhere {
                entry.value = Node::str(canon.absolute(text), &entry.value.span);
            }
        }
    }
    node
}

/// What `watch` looks at is relative to the file, and each step has what it would run.
fn develop(canon: &mut Canon<'_>, mut node: Node) -> Node {
    let Some(Node { kind: Kind::Seq(steps), .. }) = node.get_mut("watch") else { return node };
    for step in steps.iter_mut().filter(|step| matches!(step.kind, Kind::Map(_))) {
        if let Some((path, span)) =
            step.get("path").and_then(|n| Some((n.as_str()?.to_owned(), n.span.clone())))
        {
            step.set("path", Node::str(canon.absolute(&path), &span));
        }
        let given = step.remove("exec");
        let exec = given
            .map_or_else(|| Long::new(&step.span).with("command", Kind::Null).0, |exec| hook(canon, exec));
        step.set("exec", exec);
    }
    node
}

/// `all` is as many as there are.
fn gpus(node: Node) -> Node {
    match node.as_str() {
        Some("all") => {
            let all = Long::new(&node.span).with("count", Kind::Int(-1)).0;
            Node::new(Kind::Seq(vec![all]), &node.span)
        }
        _ => node,
    }
}

/// A command that is run in the container beside its own.
fn hook(canon: &mut Canon<'_>, mut node: Node) -> Node {
    if let Some(given) = node.remove("command") {
        let words = canon.at("command", |c| command(c, given));
        node.set("command", words);
    }
    node
}

/// A list of models is a mapping without values.
fn models(node: Node) -> Node {
    let Kind::Seq(items) = &node.kind else { return node };
    let entry = |item: &Node| {
        let key = Spanned::new(item.scalar_text()?, item.span.clone());
        Some(Entry { key, value: Node::new(Kind::Null, &item.span) })
    };
    Node::new(Kind::Map(items.iter().filter_map(entry).collect()), &node.span)
}

/// Each option of a provider may be given several times.
fn provider(mut node: Node) -> Node {
    if let Some(Node { kind: Kind::Map(options), .. }) = node.get_mut("options") {
        for option in options {
            let texts = match &option.value.kind {
                Kind::Seq(items) => items.iter().filter_map(Node::scalar_text).collect(),
                _ => option.value.scalar_text().into_iter().collect::<Vec<_>>(),
            };
            let span = option.value.span.clone();
            option.value =
                Node::new(Kind::Seq(texts.into_iter().map(|text| Node::str(text, &span)).collect()), &span);
        }
    }
    node
}

fn command(canon: &mut Canon<'_>, node: Node) -> Node {
    match &node.kind {
        Kind::Null => node,
        Kind::Seq(items) => {
            let words: Option<Vec<Node>> =
                items.iter().map(|item| Some(Node::str(item.as_str()?, &item.span))).collect();
            match words {
                Some(words) => Node::new(Kind::Seq(words), &node.span),
                None => canon.wrong(&node, "a list of strings (quote numbers and booleans)"),
            }
        }
        Kind::Str(line) => match units::shell_words(line) {
            Some(words) => {
                let words = words.into_iter().map(|word| Node::str(word, &node.span)).collect();
                Node::new(Kind::Seq(words), &node.span)
            }
            None => {
                let help = String::from("close every quote, or write the command as a list");
                canon.invalid(
                    Code::InvalidValue,
                    &node,
                    "the command line cannot be split into words",
                    Some(help),
                )
            }
        },
        _ => canon.wrong(&node, "a string or a list"),
    }
}

fn device(canon: &mut Canon<'_>, node: Node) -> Option<Node> {
    let span = node.span.clone();
    match &node.kind {
        Kind::Map(_) => Some(canon.object(node, &schema::DEVICE)),
        Kind::Str(text) => {
            let mut parts = text.split(':');
            let source = parts.next()?;
            let target = parts.next().unwrap_or(source);
            let permissions = parts.next().unwrap_or("rwm");
            let long = Long::new(&span).text("source", source).text("target", target);
            Some(long.text("permissions", permissions).0)
        }
        _ => {
            canon.wrong(&node, "a string or a mapping");
            None
        }
    }
}

fn env_files(canon: &mut Canon<'_>, node: Node) -> Node {
    let span = node.span.clone();
    let items = match node.kind {
        Kind::Seq(items) => items,
        Kind::Str(_) => vec![node],
        _ => return canon.wrong(&node, "a path, or a list of paths"),
    };
    let mut out = Vec::new();
    for item in items {
        let mut file = match &item.kind {
            Kind::Str(path) => Long::new(&item.span).text("path", path.clone()).0,
            _ => canon.value(item, &Shape::Object(&schema::ENV_FILE)),
        };
        let Some(path) = file.get("path").and_then(|p| Some((p.as_str()?.to_owned(), p.span.clone()))) else {
            continue;
        };
        file.set("path", Node::str(canon.absolute(&path.0), &path.1));
        if file.get("required").is_none() {
            file.set("required", Node::new(Kind::Bool(true), &path.1));
        }
        out.push(file);
    }
    Node::new(Kind::Seq(out), &span)
}

fn extends(canon: &mut Canon<'_>, node: Node) -> Node {
    let span = node.span.clone();
    let mut long = match &node.kind {
        Kind::Str(service) => Long::new(&span).text("service", service.clone()).0,
        _ => canon.value(node, &Shape::Object(&schema::EXTENDS)),
    };
    let file = long.get("file").and_then(|f| Some((f.as_str()?.to_owned(), f.span.clone())));
    if let Some((file, span)) = file {
        long.set("file", Node::str(canon.absolute(&file), &span));
    }
    long
}

fn external(canon: &mut Canon<'_>, node: Node) -> Node {
    match &node.kind {
        // The old form with a name inside: the name moves up when the project is completed.
        Kind::Map(_) => node,
        _ => canon.value(node, &Shape::Bool),
    }
}

fn paths(canon: &mut Canon<'_>, node: Node) -> Node {
    let mut list = canon.value(node, &Shape::StrOrList);
    if let Kind::Seq(items) = &mut list.kind {
        for item in items {
            if let Some(path) = item.as_str() {
                *item = Node::str(canon.absolute(path), &item.span);
            }
        }
    }
    list
}

/// A volume that is a folder of the host may name it from where the file is.
fn volume(canon: &mut Canon<'_>, node: Node) -> Node {
    let mut volume = canon.value(node, &Shape::Maybe(&schema::VOLUME));
    let is_local = volume.get("driver").and_then(Node::as_str) == Some("local");
    if let (true, Some(options)) = (is_local, volume.get_mut("driver_opts"))
        && options.get("o").and_then(Node::as_str) == Some("bind")
        && let Some(device) = options.get("device").cloned()
        && let Some(path) = device.as_str()
    {
        options.set("device", Node::str(canon.absolute(path), &device.span));
    }
    volume
}

fn extra_hosts(canon: &mut Canon<'_>, node: Node) -> Node {
    let span = node.span.clone();
    let mut out = Vec::new();
    match &node.kind {
        Kind::Seq(items) => {
            for item in items {
                let split = item.as_str().and_then(|t| t.split_once('=').or_else(|| t.split_once(':')));
                match split {
                    Some((host, address)) => out.push(host_entry(host, address, &item.span)),
                    None => {
                        let help = String::from("write \"name=address\"");
                        canon.invalid(Code::InvalidValue, item, "not a host and its address", Some(help));
                    }
                }
            }
        }
        Kind::Map(entries) => {
            for entry in entries {
                match &entry.value.kind {
                    Kind::Str(address) => out.push(host_entry(&entry.key, address, &entry.value.span)),
                    Kind::Seq(items) => {
                        let addresses = items.iter().filter_map(|i| Some((i.as_str()?, &i.span)));
                        out.extend(addresses.map(|(address, span)| host_entry(&entry.key, address, span)));
                    }
                    _ => {
                        canon.wrong(&entry.value, "an address");
                    }
                }
            }
        }
        _ => return canon.wrong(&node, "a list or a mapping"),
    }
    Node::new(Kind::Seq(out), &span)
}

fn host_entry(host: &str, address: &str, span: &Span) -> Node {
    let address = address.trim();
    let address = address.strip_prefix('[').and_then(|a| a.strip_suffix(']')).unwrap_or(address);
    Node::str(format!("{}={address}", host.trim()), span)
}

fn file_mount(canon: &mut Canon<'_>, node: Node) -> Node {
    match &node.kind {
        Kind::Str(source) => Long::new(&node.span).text("source", source.clone()).0,
        _ => canon.value(node, &Shape::Object(&schema::FILE_MOUNT)),
    }
}

fn mode(canon: &mut Canon<'_>, node: Node) -> Node {
    let bits = match &node.kind {
        Kind::Int(bits) => Some(*bits),
        Kind::Str(text) => i64::from_str_radix(text.trim_start_matches("0o"), 8).ok(),
        _ => return canon.wrong(&node, "an octal number"),
    };
    match bits {
        Some(bits) => Node::str(format!("0{bits:o}"), &node.span),
        None => canon.invalid(Code::InvalidValue, &node, "not an octal number", None),
    }
}

fn health_test(canon: &mut Canon<'_>, node: Node) -> Node {
    let span = node.span.clone();
    match &node.kind {
        Kind::Str(line) => {
            let words = ["CMD-SHELL", line.as_str()].map(|word| Node::str(word, &span));
            Node::new(Kind::Seq(words.to_vec()), &span)
        }
        Kind::Seq(items) => {
            let words: Option<Vec<&str>> = items.iter().map(Node::as_str).collect();
            match words.as_deref() {
                None => canon.wrong(&node, "a list of strings (quote numbers and booleans)"),
                Some([] | ["NONE" | "CMD" | "CMD-SHELL", ..]) => node,
                Some([first, ..]) => {
                    let why = format!("a list starts with CMD, CMD-SHELL or NONE, not with `{first}`");
                    let help = format!("write [\"CMD\", \"{first}\", …]");
                    canon.invalid(Code::InvalidValue, &node, &why, Some(help))
                }
            }
        }
        _ => canon.wrong(&node, "a string or a list"),
    }
}

fn include(canon: &mut Canon<'_>, node: Node) -> Node {
    each(canon, node, |c, item| match &item.kind {
        Kind::Str(_) => {
            let paths = Kind::Seq(vec![item.clone()]);
            vec![Long::new(&item.span).with("path", paths).0]
        }
        _ => vec![c.value(item, &Shape::Object(&schema::INCLUDE))],
    })
}

fn ulimits(canon: &mut Canon<'_>, node: Node) -> Node {
    let span = node.span.clone();
    let Kind::Map(entries) = node.kind else { return canon.wrong(&node, "a mapping") };
    let entries = entries.into_iter().map(|entry| {
        let shape = match entry.value.kind {
            Kind::Map(_) => &Shape::Object(&schema::ULIMIT),
            _ => &Shape::Int,
        };
        let value = canon.at(&entry.key.value, |c| c.value(entry.value, shape));
        Entry { key: entry.key, value }
    });
    Node::new(Kind::Map(entries.collect()), &span)
}

/// A range of ports, both ends included.
type Range = (u16, u16);

fn range(text: &str) -> Option<Range> {
    let (low, high) = text.split_once('-').unwrap_or((text, text));
    let (low, high) = (low.parse().ok()?, high.parse().ok()?);
    (low <= high).then_some((low, high))
}

fn ports(canon: &mut Canon<'_>, node: Node) -> Vec<Node> {
    if let Kind::Map(_) = node.kind {
        return vec![long_port(canon, node)];
    }
    let Some(text) = node.scalar_text() else {
        canon.wrong(&node, "a port");
        return Vec::new();
    };
    match short_port(&text, &node.span) {
        Ok(ports) => ports,
        Err(why) => {
            let help = String::from("write \"HOST:CONTAINER\", such as \"9092:9092\"");
            canon.invalid(Code::InvalidPort, &node, &format!("`{text}` {why}"), Some(help));
            Vec::new()
        }
    }
}

fn short_port(text: &str, span: &Span) -> Result<Vec<Node>, &'static str> {
    let (address, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    let protocol = protocol.to_ascii_lowercase();
    if !["tcp", "udp", "sctp"].contains(&protocol.as_str()) {
        return Err("has a protocol other than tcp, udp and sctp");
    }
    let (host, container) = match address.rsplit_once(':') {
        Some((host, container)) => (Some(host), container),
        None => (None, address),
    };
    let (host_ip, published) =
        match host.map(|h| h.rsplit_once(':').map_or((None, h), |(ip, p)| (Some(ip), p))) {
            Some((ip, published)) => (ip.map(|ip| ip.trim_matches(['[', ']'])), Some(published)),
            None => (None, None),
        };
    if host_ip.is_some_and(|ip| !ip.is_empty() && ip.parse::<std::net::IpAddr>().is_err()) {
        return Err("has a host address that is no IP address");
    }
    let (low, high) = range(container).filter(|r| r.0 > 0).ok_or("has no container port from 1 to 65535")?;
    let published = match published.filter(|p| !p.is_empty()) {
        Some(published) => Some(range(published).ok_or("has no host port from 0 to 65535")?),
        None => None,
    };
    if published.is_some_and(|p| low != high && p.1 - p.0 != high - low) {
        return Err("has two ranges of different length");
    }
    let one = |at: u16| {
        let published = published.map(|p| match (low == high, p.0 == p.1) {
            (true, false) => format!("{}-{}", p.0, p.1),
            _ => (p.0 + (at - low)).to_string(),
        });
        let long =
            Long::new(span).text("mode", "ingress").maybe("host_ip", host_ip.filter(|ip| !ip.is_empty()));
        let long = long.with("target", Kind::Int(i64::from(at))).maybe("published", published.as_deref());
        long.text("protocol", protocol.clone()).0
    };
    Ok((low..=high).map(one).collect())
}

fn long_port(canon: &mut Canon<'_>, node: Node) -> Node {
    let mut port = canon.object(node, &schema::PORT);
    let span = port.span.clone();
    for (key, default) in [("mode", "ingress"), ("protocol", "tcp")] {
        if port.get(key).is_none() {
            port.set(key, Node::str(default, &span));
        }
    }
    if let Some(target) = port.get("target").cloned()
        && !matches!(target.kind, Kind::Int(1..=65_535) | Kind::Null)
    {
        canon.invalid(Code::InvalidPort, &target, "a container port is 1 to 65535", None);
    }
    if let Some(published) = port.get("published").cloned() {
        match published.as_str() {
            Some("") => {
                port.remove("published");
            }
            Some(text) if range(text).is_none() => {
                canon.invalid(Code::InvalidPort, &published, "a host port is 0 to 65535, or a range", None);
            }
            _ => {}
        }
    }
    port
}

fn is_host_path(source: &str) -> bool {
    source.starts_with(['.', '/', '~']) || source.starts_with("\\\\") || is_windows_path(source)
}

fn is_windows_path(source: &str) -> bool {
    let bytes = source.as_bytes();
    bytes.len() > 2 && bytes[0].is_ascii_alphabetic() && bytes[1] == b':' && matches!(bytes[2], b'\\' | b'/')
}

fn mount(canon: &mut Canon<'_>, node: Node) -> Option<Node> {
    let span = node.span.clone();
    let mut mount = match &node.kind {
        Kind::Str(text) => match short_mount(text, &span) {
            Ok(mount) => mount,
            Err(why) => {
                let help =
                    String::from("write \"SOURCE:/path/in/container\", with :ro at the end for read-only");
                canon.invalid(Code::InvalidMount, &node, &format!("`{text}` {why}"), Some(help));
                return None;
            }
        },
        Kind::Map(_) => canon.object(node, &schema::MOUNT),
        _ => {
            canon.wrong(&node, "a string or a mapping");
            return None;
        }
    };
    let is_bind = mount.get("type").and_then(Node::as_str) == Some("bind");
    let text = |key: &str| mount.get(key).and_then(|n| Some((n.as_str()?.to_owned(), n.span.clone())));
    let (source, target) = (text("source"), text("target"));
    match (source, is_bind) {
        (Some((source, at)), true) if !is_windows_path(&source) => {
            // Compose cleans only what it has to make absolute.
            let source = if source.starts_with('/') { source } else { canon.absolute(&source) };
            mount.set("source", Node::str(source, &at));
        }
        (None, true) => {
            canon.invalid(Code::MissingField, &mount, "a bind mount needs a source", None);
        }
        _ => {}
    }
    match target {
        Some((target, at)) => {
            let target = crate::canonical::clean(std::path::Path::new(&target));
            mount.set("target", Node::str(target.to_string_lossy(), &at));
        }
        None => {
            canon.invalid(Code::MissingField, &mount, "a mount needs a target", None);
            return None;
        }
    }
    Some(mount)
}

fn short_mount(text: &str, span: &Span) -> Result<Node, &'static str> {
    // A drive letter's colon is part of the path.
    let drive = if is_windows_path(text) { 2 } else { 0 };
    let (first, rest) = match text[drive..].split_once(':') {
        Some((first, rest)) => (&text[..drive + first.len()], Some(rest)),
        None => (text, None),
    };
    let (source, target, options) = match rest.map(|rest| rest.split_once(':').unwrap_or((rest, ""))) {
        Some((target, options)) => (Some(first), target, options),
        None => (None, first, ""),
    };
    if source == Some("") || target.is_empty() {
        return Err("has an empty part");
    }
    if options.contains(':') {
        return Err("has too many colons");
    }
    let is_bind = source.is_some_and(is_host_path);
    if !is_bind && !target.starts_with('/') {
        return Err("names no absolute path in the container");
    }
    let mut read_only = false;
    let mut bind = Long::new(span);
    let mut volume = Long::new(span);
    for option in options.split(',') {
        match option {
            "ro" => read_only = true,
            "rw" => read_only = false,
            "nocopy" => volume = volume.with("nocopy", Kind::Bool(true)),
            "z" | "Z" => bind = bind.text("selinux", option),
            "rprivate" | "private" | "rshared" | "shared" | "rslave" | "slave" => {
                bind = bind.text("propagation", option);
            }
            _ => {}
        }
    }
    let long = Long::new(span).text("type", if is_bind { "bind" } else { "volume" });
    let long = long.maybe("source", source).text("target", target);
    let long = if read_only { long.with("read_only", Kind::Bool(true)) } else { long };
    Ok(if is_bind {
        long.with("bind", bind.with("create_host_path", Kind::Bool(true)).0.kind).0
    } else if source.is_none() {
        long.0
    } else {
        long.with("volume", volume.0.kind).0
    })
}
