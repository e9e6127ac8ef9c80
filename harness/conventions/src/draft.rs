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
}

impl Draft {
    /// A property from a variable.
    pub(crate) fn set_from(&mut self, key: &str, variable: &Variable) {
        let origin =
            Origin::Environment { name: variable.name.value.clone(), span: variable.value.span.clone() };
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
