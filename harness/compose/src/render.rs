//! A project as `docker compose config` shows it, in JSON and in YAML.
//! It must not change a value; only what Compose leaves out or adds when printing is decided here.

use serde_json::{Map, Value, json};

use crate::model::Project;
use crate::yaml::{Kind, Node};

/// The completed tree as JSON; keys sorted, so that equal projects print equally.
pub(crate) fn canonical(root: &Node) -> Value {
    let mut out = value(root);
    if let Some(top) = out.as_object_mut() {
        for section in ["configs", "networks", "secrets", "volumes", "services"] {
            let empty = top.get(section).and_then(Value::as_object).is_some_and(Map::is_empty);
            if empty && section != "services" {
                top.remove(section);
            }
        }
        top.remove("include");
    }
    for network in members(&mut out, "networks") {
        network.entry("ipam").or_insert_with(|| json!({}));
    }
    for service in members(&mut out, "services") {
        for key in ["command", "entrypoint"] {
            service.entry(key).or_insert(Value::Null);
        }
        for key in
            ["environment", "profiles", "ports", "volumes", "labels", "expose", "depends_on", "extends"]
        {
            let empty = service.get(key).is_some_and(|v| {
                v.is_null()
                    || v.as_array().is_some_and(Vec::is_empty)
                    || v.as_object().is_some_and(Map::is_empty)
            });
            if empty {
                service.remove(key);
            }
        }
        service.retain(|_, value| value.as_str() != Some(""));
        if let Some(deploy) = service.get_mut("deploy").and_then(Value::as_object_mut) {
            deploy.entry("resources").or_insert_with(|| json!({}));
            deploy.entry("placement").or_insert_with(|| json!({}));
        }
    }
    sorted(out)
}

fn members<'a>(root: &'a mut Value, section: &str) -> impl Iterator<Item = &'a mut Map<String, Value>> {
    let section = root.get_mut(section).and_then(Value::as_object_mut);
    section.into_iter().flat_map(|members| members.values_mut()).filter_map(Value::as_object_mut)
}

fn value(node: &Node) -> Value {
    match &node.kind {
        Kind::Null => Value::Null,
        Kind::Bool(value) => json!(value),
        Kind::Int(value) => json!(value),
        Kind::Float(value) if value.fract() == 0.0 && value.abs() < 1e15 => json!(*value as i64),
        Kind::Float(value) => json!(value),
        Kind::Str(text) => json!(text),
        Kind::Seq(items) => Value::Array(items.iter().map(value).collect()),
        Kind::Map(entries) => {
            Value::Object(entries.iter().map(|e| (e.key.value.clone(), value(&e.value))).collect())
        }
    }
}

fn sorted(value: Value) -> Value {
    match value {
        Value::Object(map) => {
            let mut entries: Vec<(String, Value)> = map.into_iter().map(|(k, v)| (k, sorted(v))).collect();
            entries.sort_by(|a, b| a.0.cmp(&b.0));
            Value::Object(entries.into_iter().collect())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(sorted).collect()),
        scalar => scalar,
    }
}

/// Dollar signs are doubled, so that the output can be read as a compose file again.
fn escaped(value: &Value) -> Value {
    match value {
        Value::String(text) => Value::String(text.replace('$', "$$")),
        Value::Array(items) => Value::Array(items.iter().map(escaped).collect()),
        Value::Object(map) => Value::Object(map.iter().map(|(k, v)| (k.clone(), escaped(v))).collect()),
        scalar => scalar.clone(),
    }
}

/// As `docker compose config --format json`.
pub fn to_config_json(project: &Project) -> String {
    let mut root = escaped(&project.canonical);
    // Compose's JSON has the extensions of the project, and none below.
    for section in ["services", "networks", "volumes", "secrets", "configs"] {
        for member in members(&mut root, section) {
            without_extensions(member);
        }
    }
    format!("{root:#}\n")
}

fn without_extensions(map: &mut serde_json::Map<String, Value>) {
    map.retain(|key, _| !key.starts_with("x-"));
}

/// As `docker compose config`: a compose file again, without what is only empty.
pub fn to_config_yaml(project: &Project) -> String {
    let mut root = escaped(&project.canonical);
    for network in members(&mut root, "networks") {
        network.retain(|key, value| !(key == "ipam" && is_empty(value)));
    }
    for service in members(&mut root, "services") {
        service.retain(|key, value| !(matches!(key.as_str(), "command" | "entrypoint") && value.is_null()));
        if let Some(deploy) = service.get_mut("deploy").and_then(Value::as_object_mut) {
            deploy
                .retain(|key, value| !(matches!(key.as_str(), "placement" | "resources") && is_empty(value)));
        }
    }
    let mut out = String::new();
    if let Some(top) = root.as_object() {
        let first = ["name", "services"];
        let order = first.into_iter().chain(top.keys().map(String::as_str).filter(|k| !first.contains(k)));
        for key in order {
            if let Some(value) = top.get(key) {
                entry(key, value, 0, &mut out);
            }
        }
    }
    out
}

fn is_empty(value: &Value) -> bool {
    value.as_object().is_some_and(Map::is_empty)
}

fn indent(depth: usize, out: &mut String) {
    out.extend(std::iter::repeat_n("  ", depth));
}

fn entry(key: &str, value: &Value, depth: usize, out: &mut String) {
    indent(depth, out);
    out.push_str(&scalar(key));
    out.push(':');
    body(value, depth, out);
}

/// What comes after a key's colon.
fn body(value: &Value, depth: usize, out: &mut String) {
    match value {
        Value::Object(map) if !map.is_empty() => {
            out.push('\n');
            map.iter().for_each(|(key, value)| entry(key, value, depth + 1, out));
        }
        Value::Array(items) if !items.is_empty() => {
            out.push('\n');
            items.iter().for_each(|value| item(value, depth + 1, out));
        }
        Value::String(text) if text.contains('\n') && block_safe(text) => {
            let (body, chomp) = match text.strip_suffix('\n') {
                Some(body) => (body, ""),
                None => (text.as_str(), "-"),
            };
            out.push_str(&format!(" |{chomp}\n"));
            for line in body.split('\n') {
                if !line.is_empty() {
                    indent(depth + 1, out);
                }
                out.push_str(line);
                out.push('\n');
            }
        }
        _ => {
            out.push(' ');
            out.push_str(&inline(value));
            out.push('\n');
        }
    }
}

fn item(value: &Value, depth: usize, out: &mut String) {
    indent(depth, out);
    match value {
        Value::Object(map) if !map.is_empty() => {
            let mut inner = String::new();
            map.iter().for_each(|(key, value)| entry(key, value, depth + 1, &mut inner));
            out.push_str("- ");
            out.push_str(inner.trim_start_matches(' '));
        }
        _ => {
            out.push('-');
            body(value, depth, out);
        }
    }
}

/// Whether a text survives a literal block: no trailing blank lines, no leading blanks, nothing to escape.
fn block_safe(text: &str) -> bool {
    !text.ends_with("\n\n")
        && !text.starts_with([' ', '\n'])
        && text.trim() != ""
        && !text.chars().any(|c| c.is_control() && c != '\n')
}

fn inline(value: &Value) -> String {
    match value {
        Value::Null => String::from("null"),
        Value::String(text) => scalar(text),
        Value::Array(_) => String::from("[]"),
        Value::Object(_) => String::from("{}"),
        other => other.to_string(),
    }
}

/// A string in plain style where that reads back as the same string, else quoted.
fn scalar(text: &str) -> String {
    let special_start = |c: char| "!&*?|>%@`\"'#,[]{}-: ~=<".contains(c);
    let keyword = ["true", "false", "null", "yes", "no", "on", "off", "y", "n", "~"];
    let plain = !text.is_empty()
        && !text.starts_with(special_start)
        && !text.ends_with([' ', ':'])
        && !text.contains(": ")
        && !text.contains(" #")
        && !text.chars().any(char::is_control)
        && !keyword.contains(&text.to_ascii_lowercase().as_str())
        && !text.starts_with(|c: char| c.is_ascii_digit() || "+.".contains(c));
    let dashed = text.len() > 1 && text.starts_with('-') && !text.contains([':', '#', ' ']);
    let numeric_looking = text.chars().all(|c| c.is_ascii_digit() || "+-.eE_xXoO:abcdefABCDEF".contains(c));
    let digit_start = text.starts_with(|c: char| c.is_ascii_digit())
        && !numeric_looking
        && !text.contains(": ")
        && !text.contains(" #")
        && !text.ends_with([' ', ':'])
        && !text.chars().any(char::is_control);
    if plain || digit_start || (dashed && !numeric_looking && !text.chars().any(char::is_control)) {
        text.to_owned()
    } else {
        // A JSON string is a YAML string in double quotes.
        Value::String(text.to_owned()).to_string()
    }
}
