//! One canonical tree over another, by the compose specification's rules.
//! It must not read files; what `!reset` and `!override` mean is here, how they are written is in [`crate::yaml`].

use crate::yaml::{Entry, Kind, Mark, Node};

/// Merges `over` over `base`; both are whole files in canonical form.
pub(crate) fn merge(base: Node, over: Node) -> Node {
    merge_at(base, over, &mut Vec::new())
}

/// Merges one service over the one it extends.
pub(crate) fn merge_service(base: Node, over: Node) -> Node {
    merge_at(base, over, &mut vec![String::from("services"), String::from("*")])
}

/// Removes what is marked `!reset`, and the marks.
pub(crate) fn settle(node: &mut Node) {
    node.mark = Mark::None;
    match &mut node.kind {
        Kind::Map(entries) => {
            entries.retain(|e| e.value.mark != Mark::Reset);
            entries.iter_mut().for_each(|e| settle(&mut e.value));
        }
        Kind::Seq(items) => {
            items.retain(|item| item.mark != Mark::Reset);
            items.iter_mut().for_each(settle);
        }
        _ => {}
    }
}

/// How two values of one place become one.
#[derive(Clone, Copy)]
enum Rule {
    /// Mappings by key, lists one after the other, anything else is replaced.
    Deep,
    /// The later one.
    Replace,
    /// Lists one after the other; an entry with the key of an earlier one takes its place.
    Unique(fn(&Node) -> String),
    /// Mappings by key, unless the drivers differ: then the later one.
    Logging,
}

fn rule(path: &[String]) -> Rule {
    let path: Vec<&str> = path.iter().map(String::as_str).collect();
    match path.as_slice() {
        ["services", _, "command" | "entrypoint"] | ["services", _, "healthcheck", "test"] => Rule::Replace,
        // A variable without a value takes the place of one that has a value.
        ["services", _, "environment", _] | ["services", _, "ulimits", _] => Rule::Replace,
        ["services", _, "logging"] => Rule::Logging,
        ["services", _, "ports"] => Rule::Unique(port_key),
        ["services", _, "volumes" | "devices"] => Rule::Unique(|n| field(n, "target")),
        ["services", _, "secrets" | "configs"] => Rule::Unique(file_mount_key),
        ["services", _, "env_file"] => Rule::Unique(|n| field(n, "path")),
        ["networks", _, "ipam", "config"] => Rule::Unique(|n| field(n, "subnet")),
        [
            "services",
            _,
            "cap_add" | "cap_drop" | "dns" | "dns_opt" | "dns_search" | "expose" | "extra_hosts",
        ]
        | ["services", _, "links" | "profiles" | "tmpfs" | "group_add" | "security_opt"]
        | ["services", _, "networks", _, "aliases" | "link_local_ips"]
        | ["services", _, "build", "tags" | "platforms"] => Rule::Unique(text),
        _ => Rule::Deep,
    }
}

fn text(node: &Node) -> String {
    node.scalar_text().unwrap_or_default()
}

fn field(node: &Node, key: &str) -> String {
    node.get(key).map(text).unwrap_or_default()
}

fn file_mount_key(node: &Node) -> String {
    node.get("target").map(text).unwrap_or_else(|| field(node, "source"))
}

fn port_key(node: &Node) -> String {
    ["host_ip", "published", "target", "protocol"].map(|key| field(node, key)).join(":")
}

fn merge_at(base: Node, over: Node, path: &mut Vec<String>) -> Node {
    if over.mark != Mark::None {
        return over;
    }
    let rule = rule(path);
    let mark = base.mark;
    let mut merged = match (rule, base.kind, over.kind) {
        (Rule::Replace, _, kind) => Node::new(kind, &over.span),
        (_, kind, Kind::Null) => Node::new(kind, &base.span),
        (Rule::Logging, Kind::Map(base_entries), Kind::Map(entries))
            if drivers_differ(&base_entries, &entries) =>
        {
            Node::new(Kind::Map(entries), &over.span)
        }
        (_, Kind::Map(base_entries), Kind::Map(entries)) => {
            Node::new(Kind::Map(merge_entries(base_entries, entries, path)), &base.span)
        }
        (Rule::Unique(key), Kind::Seq(base_items), Kind::Seq(items)) => {
            let all = base_items.into_iter().chain(items);
            Node::new(Kind::Seq(unique(all, key)), &base.span)
        }
        (_, Kind::Seq(mut base_items), Kind::Seq(items)) => {
            base_items.extend(items);
            Node::new(Kind::Seq(base_items), &base.span)
        }
        (_, _, kind) => Node::new(kind, &over.span),
    };
    merged.mark = mark;
    merged
}

fn drivers_differ(base: &[Entry], over: &[Entry]) -> bool {
    let driver = |entries: &[Entry]| entries.iter().find(|e| e.key.value == "driver").map(|e| text(&e.value));
    matches!((driver(base), driver(over)), (Some(a), Some(b)) if a != b)
}

fn merge_entries(mut base: Vec<Entry>, over: Vec<Entry>, path: &mut Vec<String>) -> Vec<Entry> {
    for entry in over {
        match base.iter().position(|e| e.key.value == entry.key.value) {
            None => base.push(entry),
            Some(at) => {
                path.push(entry.key.value.clone());
                let earlier = std::mem::replace(&mut base[at].value, Node::new(Kind::Null, &entry.key.span));
                base[at].value = merge_at(earlier, entry.value, path);
                base[at].key = entry.key;
                path.pop();
            }
        }
    }
    base
}

fn unique(items: impl Iterator<Item = Node>, key: fn(&Node) -> String) -> Vec<Node> {
    let mut out: Vec<(String, Node)> = Vec::new();
    for item in items {
        let key = key(&item);
        match out.iter_mut().find(|(k, _)| *k == key) {
            Some((_, earlier)) => *earlier = item,
            None => out.push((key, item)),
        }
    }
    out.into_iter().map(|(_, item)| item).collect()
}

/// Within one file, too, an entry of a list takes the place of an earlier one with the same key.
pub(crate) fn enforce_unique(node: &mut Node) {
    fn walk(node: &mut Node, path: &mut Vec<String>) {
        if let (Rule::Unique(key), Kind::Seq(items)) = (rule(path), &mut node.kind) {
            let taken = std::mem::take(items);
            *items = unique(taken.into_iter(), key);
        }
        if let Kind::Map(entries) = &mut node.kind {
            for entry in entries {
                path.push(entry.key.value.clone());
                walk(&mut entry.value, path);
                path.pop();
            }
        }
    }
    walk(node, &mut Vec::new());
}
