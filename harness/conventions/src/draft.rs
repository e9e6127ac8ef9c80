//! What one image's entrypoint made of its input, before Kafka's own rules are applied to it.
//! It must not know which image it was.

use std::ops::Range;
use std::sync::Arc;

use jackdaw_compose::{Code, Diagnostic, Source, Span, Spanned};
use jackdaw_settings::properties;

use crate::input::Variable;
use crate::plan::{Origin, Properties};

/// A `server.properties` and what the entrypoint had to say about it.
#[derive(Debug, Default)]
pub(crate) struct Draft {
    pub(crate) properties: Properties,
    pub(crate) given_cluster_id: Option<Spanned<String>>,
    pub(crate) image_cluster_id: Option<&'static str>,
    /// The variable that made the image discard its own configuration.
    pub(crate) lost_default: Option<Spanned<String>>,
    pub(crate) diagnostics: Vec<Diagnostic>,
    /// The service's own command makes the settings, so these are not they.
    pub(crate) is_made_by_command: bool,
    /// The path in the container of the settings' file, where one was read.
    pub(crate) config_file: Option<String>,
    /// No variable sets anything.
    pub(crate) ignores_environment: bool,
    /// The service's command is of no use to what the node has become.
    pub(crate) ignores_command: bool,
    /// That it keeps its metadata in ZooKeeper was refused.
    pub(crate) is_refused: bool,
}

impl Draft {
    /// A property from a variable.
    pub(crate) fn set_from(&mut self, key: &str, variable: &Variable) {
        // An alias stands for the name that it is an alias of; what is changed is what was written.
        let written = variable.name.span.text().trim_matches(['"', '\'']);
        let is_name = !written.is_empty() && written.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        let name = if is_name { written.to_owned() } else { variable.name.value.clone() };
        let origin = Origin::Environment { name, span: variable.value.span.clone() };
        self.properties.set(key, variable.value.value.trim(), origin);
    }

    /// Every line of a mounted file.
    pub(crate) fn read_file(&mut self, file: &Arc<Source>) {
        let span_of = |at: Range<usize>| Span::new(file, at.start, at.len().max(1));
        for entry in properties::parse(file.text()) {
            match entry {
                Ok(entry) => {
                    let origin = Origin::File(span_of(entry.value_at));
                    self.properties.set(entry.key, entry.value.trim_end(), origin);
                }
                Err(malformed) => {
                    let message = format!("{} has a malformed \\u escape", file.name());
                    let diagnostic =
                        Diagnostic::new(Code::InvalidProperties, message, &span_of(malformed.at))
                            .label("this line");
                    self.diagnostics.push(diagnostic);
                }
            }
        }
    }
}
