//! Every key of the compose specification with what comes of it on each runtime, as a list: for the documentation and
//! for the tests that try each of them. It must not say anything that [`crate::schema`] does not say.

use serde_json::{Value, json};

use crate::effect::{Effect, Target};
use crate::schema::{Holds, Object, Shape, Short, TOP};

/// One key at its place.
#[derive(Clone, Debug)]
pub struct Key {
    /// `services.*.ports[].target`: `*` stands for a name that the file chooses, `[]` for an item of a list.
    pub path: String,
    /// What comes of it on a Docker engine.
    pub docker: Effect,
    /// What comes of it as a process.
    pub process: Effect,
    /// Some value that fits its shape.
    pub example: Value,
}

impl Key {
    /// What comes of it there.
    pub fn effect(&self, target: Target) -> Effect {
        match target {
            Target::Docker => self.docker,
            Target::Process => self.process,
        }
    }
}

/// All keys, each object after the key that holds it.
pub fn keys() -> Vec<Key> {
    let mut out = Vec::new();
    collect("", &TOP, [Effect::Acts; 2], &mut out);
    out
}

/// `around` is what comes of the key that holds the object, on an engine and as a process: where that is nothing, nothing
/// comes of what is in it.
fn collect(before: &str, object: &'static Object, around: [Effect; 2], out: &mut Vec<Key>) {
    for field in object.fields {
        let within = |around: Effect, target| if around.can_act() { field.effect(target) } else { around };
        let docker = within(around[0], Target::Docker);
        let process = within(around[1], Target::Process);
        let path = if before.is_empty() { field.name.to_owned() } else { format!("{before}.{}", field.name) };
        out.push(Key { path: path.clone(), docker, process, example: example(&field.shape) });
        if let Some((holds, inner)) = field.shape.inner() {
            let below = match holds {
                Holds::Itself => path,
                Holds::Items => format!("{path}[]"),
                Holds::Members => format!("{path}.*"),
            };
            collect(&below, inner, [docker, process], out);
        }
    }
}

/// A value of that shape that is not what stands for "off" or "default".
fn example(shape: &Shape) -> Value {
    match shape {
        Shape::Any | Shape::Object(_) | Shape::Maybe(_) => json!({}),
        Shape::Str | Shape::Text => json!("example"),
        Shape::OneOf(known) => json!(known.last()),
        Shape::Bool => json!(true),
        Shape::Int => json!(7),
        Shape::Number => json!(1.5),
        Shape::Bytes => json!("64m"),
        Shape::Duration => json!("7s"),
        Shape::List(inner) => json!([example(inner)]),
        Shape::StrOrList => json!(["example"]),
        Shape::MapOf(inner) => json!({ "example": example(inner) }),
        Shape::Labels | Shape::Env => json!({ "example": "value" }),
        Shape::Short(form) => match form {
            Short::Build => json!("."),
            Short::Command | Short::HealthTest => json!(["CMD", "example"]),
            Short::Contexts => json!({ "example": "docker-image://example" }),
            Short::Develop => json!({ "watch": [{ "path": "./example", "action": "rebuild" }] }),
            Short::Gpus => json!("all"),
            Short::Hooks => json!([{ "command": ["example"] }]),
            Short::Models => json!(["example"]),
            Short::Provider => json!({ "type": "example" }),
            Short::External => json!(true),
            Short::ExtraHosts => json!(["example=192.0.2.7"]),
            Short::Mode => json!("0400"),
            Short::Path => json!("./example"),
            Short::Paths => json!(["./example"]),
            Short::Ulimits => json!({ "nofile": 7 }),
            _ => json!([]),
        },
    }
}
