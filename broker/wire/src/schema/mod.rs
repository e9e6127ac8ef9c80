//! What the messages look like that others send: every request that a node serves, and its response. One table, after
//! Kafka's message definitions; `walk` steps through bytes by it.
//!
//! The table is for looking at bytes before anything is taken from them. It decodes nothing itself.

mod requests;
mod responses;
mod walk;

pub use walk::{Measure, WalkError};
pub(crate) use walk::{skip_tagged_fields, walk};

/// A message of one API, in all versions that are spoken here. They begin with 0.
#[derive(Debug)]
pub struct Message {
    pub api_key: i16,
    pub name: &'static str,
    pub max_version: i16,
    /// The first flexible version (KIP-482); `i16::MAX` if there is none.
    pub flexible_from: i16,
    /// Whether it is decoded into strings of its own, where the others share the bytes of the frame.
    pub is_copied: bool,
    pub body: Struct,
}

#[derive(Debug)]
pub struct Struct {
    pub fields: &'static [Field],
    /// Of the Rust struct that it is decoded into, without what that points to.
    pub size_bytes: usize,
}

#[derive(Debug)]
pub struct Field {
    pub name: &'static str,
    pub kind: Kind,
    /// The first version that has it.
    pub since: i16,
    /// The last version that has it.
    pub until: i16,
    /// The first version in which it may be null; `i16::MAX` if there is none.
    pub null_since: i16,
    /// Where it stands in the tagged section.
    pub tag: Option<u32>,
}

impl Field {
    pub const fn is_in(&self, version: i16) -> bool {
        version >= self.since && version <= self.until
    }

    pub const fn may_be_null(&self, version: i16) -> bool {
        version >= self.null_since
    }
}

#[derive(Debug)]
pub enum Kind {
    Bool,
    /// Of so many bytes: integers and uuids.
    Number(usize),
    Text,
    Bytes,
    Struct(&'static Struct),
    Array(&'static Kind),
}

/// The request of an API; none if it is not served here.
pub fn request(api_key: i16) -> Option<&'static Message> {
    find(requests::REQUESTS, api_key)
}

/// The response of an API; none if it is not served here. Those of groups of the consumer protocol have a decoder of
/// their own (`consumer_group`).
pub fn response(api_key: i16) -> Option<&'static Message> {
    find(responses::RESPONSES, api_key)
}

/// What a broker writes of a client's identity into an Envelope (`DefaultKafkaPrincipalBuilder`).
pub fn principal() -> &'static Message {
    &requests::PRINCIPAL
}

pub fn all_requests() -> &'static [Message] {
    requests::REQUESTS
}

pub fn all_responses() -> &'static [Message] {
    responses::RESPONSES
}

/// Messages are in the order of their keys, which a test checks.
fn find(messages: &'static [Message], api_key: i16) -> Option<&'static Message> {
    let found = messages.binary_search_by_key(&api_key, |message| message.api_key);
    found.ok().map(|index| &messages[index])
}

/// Turns the table into constants. A message is `Api as Type, to 3, flexible 2 { fields }`; a field is
/// `name: kind since 1 until 2 null 1 tag 0;`, where `null` is the first version in which it may be null. A kind is
/// `bool`, `i8` … `i64`, `u16`, `uuid`, `string`, `bytes`, `(Type { fields })` for a struct, and any of them in
/// brackets for an array.
macro_rules! message {
    ($api:ident as $type:path, to $max:literal, flexible $flexible:tt $($copied:ident)? { $($fields:tt)* }) => {
        $crate::schema::Message {
            api_key: ::kafka_protocol::messages::ApiKey::$api as i16,
            ..$crate::schema::message!(@body $api $type, $max, $flexible, [$($copied)?] { $($fields)* })
        }
    };
    (data $name:ident as $type:path, to $max:literal, flexible $flexible:tt { $($fields:tt)* }) => {
        $crate::schema::message!(@body $name $type, $max, $flexible, [] { $($fields)* })
    };
    (@body $name:ident $type:path, $max:literal, $flexible:tt, [$($copied:ident)?] { $($fields:tt)* }) => {
        $crate::schema::Message {
            api_key: -1,
            name: stringify!($name),
            max_version: $max,
            flexible_from: $crate::schema::message!(@flexible $flexible),
            is_copied: $crate::schema::message!(@copied $($copied)?),
            body: $crate::schema::Struct {
                fields: $crate::schema::message!(@fields $($fields)*),
                size_bytes: ::std::mem::size_of::<$type>(),
            },
        }
    };
    (@fields $($name:ident: $kind:tt $(since $since:literal)? $(until $until:literal)? $(null $null:literal)? $(tag $tag:literal)?;)*) => {
        &[$($crate::schema::Field {
            name: stringify!($name),
            kind: $crate::schema::message!(@kind $kind),
            since: $crate::schema::message!(@or 0 $(, $since)?),
            until: $crate::schema::message!(@or i16::MAX $(, $until)?),
            null_since: $crate::schema::message!(@or i16::MAX $(, $null)?),
            tag: $crate::schema::message!(@tag $($tag)?),
        }),*]
    };
    (@kind bool) => { $crate::schema::Kind::Bool };
    (@kind i8) => { $crate::schema::Kind::Number(1) };
    (@kind i16) => { $crate::schema::Kind::Number(2) };
    (@kind u16) => { $crate::schema::Kind::Number(2) };
    (@kind i32) => { $crate::schema::Kind::Number(4) };
    (@kind i64) => { $crate::schema::Kind::Number(8) };
    (@kind uuid) => { $crate::schema::Kind::Number(16) };
    (@kind string) => { $crate::schema::Kind::Text };
    (@kind bytes) => { $crate::schema::Kind::Bytes };
    (@kind ($type:path { $($fields:tt)* })) => {
        $crate::schema::Kind::Struct(&$crate::schema::Struct {
            fields: $crate::schema::message!(@fields $($fields)*),
            size_bytes: ::std::mem::size_of::<$type>(),
        })
    };
    (@kind [$type:path { $($fields:tt)* }]) => {
        $crate::schema::Kind::Array(&$crate::schema::message!(@kind ($type { $($fields)* })))
    };
    (@kind [$kind:tt]) => { $crate::schema::Kind::Array(&$crate::schema::message!(@kind $kind)) };
    (@or $default:expr) => { $default };
    (@or $default:expr, $given:literal) => { $given };
    (@tag) => { None };
    (@tag $tag:literal) => { Some($tag) };
    (@flexible never) => { i16::MAX };
    (@flexible $flexible:literal) => { $flexible };
    (@copied) => { false };
    (@copied copied) => { true };
}

pub(crate) use message;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{APIS, Extras, Scope};

    #[test]
    fn messages_are_found_by_their_keys() {
        for messages in [all_requests(), all_responses()] {
            assert!(messages.is_sorted_by(|one, next| one.api_key < next.api_key));
        }
        assert_eq!(request(0).map(|message| message.name), Some("Produce"));
        assert!(request(-1).is_none() && request(i16::MAX).is_none());
    }

    #[test]
    fn every_request_that_is_served_is_in_the_table() {
        let extras = Extras { group_version: true, consumer_groups: true };
        for api in APIS {
            let served = [Scope::Broker, Scope::Controller].map(|scope| extras.max_version(scope, api));
            let row = request(api.key as i16);
            let Some(max_version) = served.into_iter().flatten().max() else {
                assert!(row.is_none(), "{} is not served", api.name);
                continue;
            };
            let row = row.unwrap_or_else(|| panic!("{} is missing", api.name));
            assert_eq!((row.name, row.max_version), (api.name, max_version));
            assert_eq!(row.flexible_from, api.flexible_from, "{}", api.name);
            let Some(row) = response(api.key as i16) else {
                assert!(api.name.starts_with("ConsumerGroup"), "the response of {} is missing", api.name);
                continue;
            };
            // The decoder has no version 6 of DescribeGroups.
            let max_version = if row.name == "DescribeGroups" { 5 } else { max_version };
            assert_eq!((row.name, row.max_version), (api.name, max_version));
            assert_eq!(row.flexible_from, api.flexible_from, "{}", api.name);
        }
    }

    /// A field that is not in the versions of its message is a slip of the table.
    #[test]
    fn fields_are_in_versions_that_there_are() {
        fn check(message: &Message, fields: &[Field]) {
            let mut last_tag = None;
            for field in fields {
                let name = format!("{}.{}", message.name, field.name);
                assert!((0..=message.max_version).contains(&field.since), "{name}");
                assert!(field.until >= field.since, "{name}");
                assert!(field.null_since == i16::MAX || field.may_be_null(message.max_version), "{name}");
                if let Some(tag) = field.tag {
                    assert!(field.since >= message.flexible_from && Some(tag) > last_tag, "{name}");
                    last_tag = Some(tag);
                }
                let mut kind = &field.kind;
                while let Kind::Array(element) = kind {
                    kind = element;
                }
                if let Kind::Struct(of) = kind {
                    check(message, of.fields);
                }
            }
        }
        for message in all_requests().iter().chain(all_responses()).chain([principal()]) {
            check(message, message.body.fields);
        }
    }
}
