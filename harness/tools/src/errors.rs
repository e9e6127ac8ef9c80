//! Kafka's errors as its clients show them, and the exceptions that the tools raise of their own.
//!
//! It knows no tool and no connection; what is printed where is the tools' affair.

use jackdaw_wire::ErrorCode;
use std::fmt;

/// What a Java program would have thrown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exception {
    /// The full name of its class.
    pub class: String,
    /// Its message.
    pub message: String,
    /// Whether it has no message at all, which is not an empty one.
    pub wordless: bool,
    /// The one that led to it.
    pub cause: Option<Box<Exception>>,
    /// Those that it stands for as well.
    pub suppressed: Vec<Exception>,
    /// The error's code, if the broker said so; else 0.
    pub code: i16,
}

impl Exception {
    /// One of the given class.
    pub fn new(class: &str, message: impl Into<String>) -> Self {
        Exception {
            class: class.to_owned(),
            message: message.into(),
            wordless: false,
            cause: None,
            suppressed: Vec::new(),
            code: 0,
        }
    }

    /// One without a message.
    pub fn wordless(class: &str) -> Self {
        Exception { wordless: true, ..Exception::new(class, "") }
    }

    /// One of `org.apache.kafka.common.errors`.
    pub fn kafka(class: &str, message: impl Into<String>) -> Self {
        Exception::new(&format!("org.apache.kafka.common.errors.{class}"), message)
    }

    /// Whether it stands for this error of the protocol.
    pub fn is(&self, error: ErrorCode) -> bool {
        self.code == error.code()
    }

    /// `IllegalArgumentException`
    pub fn argument(message: impl Into<String>) -> Self {
        Exception::new("java.lang.IllegalArgumentException", message)
    }

    /// What those who wait for a future see: the exception inside of another.
    #[must_use]
    pub fn in_execution(self) -> Self {
        Exception::new("java.util.concurrent.ExecutionException", self.to_string()).because(self)
    }

    /// The same, with its cause.
    #[must_use]
    pub fn because(mut self, cause: Exception) -> Self {
        self.cause = Some(Box::new(cause));
        self
    }

    /// The class without its package.
    pub fn simple_name(&self) -> &str {
        self.class.rsplit('.').next().unwrap_or_default()
    }

    /// The first lines of the stack trace, and those of its causes; frames of another program would tell nothing.
    pub fn trace(&self) -> String {
        let suppressed: String = self.suppressed.iter().map(|one| format!("\n\tSuppressed: {one}")).collect();
        match &self.cause {
            Some(cause) => format!("{self}{suppressed}\nCaused by: {}", cause.trace()),
            None => format!("{self}{suppressed}"),
        }
    }
}

impl From<ErrorCode> for Exception {
    fn from(error: ErrorCode) -> Self {
        let (class, message) = (error.exception(), error.message());
        let made = if class.contains('.') {
            Exception::new(class, message)
        } else {
            Exception::kafka(class, message)
        };
        Exception { code: error.code(), ..made }
    }
}

impl fmt::Display for Exception {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.wordless { f.write_str(&self.class) } else { write!(f, "{}: {}", self.class, self.message) }
    }
}

/// The error with this code; what the table lacks is what Kafka's clients take it for.
pub fn error(code: i16) -> ErrorCode {
    ErrorCode::try_from_code(code).unwrap_or(ErrorCode::UnknownServerError)
}

/// The exception for a code that is not 0, with the broker's words if it has some.
pub fn exception(code: i16, message: Option<&str>) -> Exception {
    let said = Exception { code, ..Exception::from(error(code)) };
    match message {
        Some(message) => Exception { message: message.to_owned(), ..said },
        None => said,
    }
}

/// Nothing wrong, or the exception for the code.
///
/// # Errors
/// When the code is not 0.
pub fn check(code: i16, message: Option<&str>) -> Result<(), Exception> {
    if code == 0 { Ok(()) } else { Err(exception(code, message)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_brokers_words_win() {
        assert_eq!(exception(3, None).message, "This server does not host this topic-partition.");
        assert_eq!(exception(3, Some("")).to_string().split_once(' ').unwrap().1, "");
        assert_eq!(Exception::wordless("C").to_string(), "C");
        assert_eq!(
            exception(36, Some("Topic 't' already exists.")).trace(),
            "org.apache.kafka.common.errors.TopicExistsException: Topic 't' already exists."
        );
    }
}
