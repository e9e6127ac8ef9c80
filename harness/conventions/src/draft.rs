//! What one image's entrypoint made of its input, before Kafka's own rules are applied to it.
//! It must not know which image it was.

use std::sync::Arc;

use jackdaw_compose::{Diagnostic, Source, Spanned};

use crate::input::Variable;
use crate::plan::{Origin, Properties};
use crate::properties;

/// A `server.properties` and what the entrypoint had to say about it.
#[derive(Debug, Default)]
pub(crate) struct Draft {
    pub(crate) properties: Properties,
    pub(crate) given_cluster_id: Option<Spanned<String>>,
    pub(crate) image_cluster_id: Option<&'static str>,
    /// The variable that made the image discard its own configuration.
    pub(crate) lost_default: Option<Spanned<String>>,
    pub(crate) diagnostics: Vec<Diagnostic>,
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
        for (key, value, span) in properties::parse(file, &mut self.diagnostics) {
            self.properties.set(key, value, Origin::File(span));
        }
    }
}
