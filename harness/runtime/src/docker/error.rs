//! What an engine refuses or no longer answers, in words for the user.

use crate::runtime::{Result, RuntimeError};
use bollard::errors::Error;

/// The engine's own words, without the client library's; where it gave none, what cut it off.
pub(super) fn words(error: &Error) -> String {
    match error {
        Error::DockerResponseServerError { message, .. } => message.clone(),
        Error::DockerStreamError { error } => error.clone(),
        other => {
            let mut last: &dyn std::error::Error = other;
            while let Some(deeper) = last.source() {
                last = deeper;
            }
            last.to_string()
        }
    }
}

/// Whether there was no engine to answer.
fn is_gone(error: &Error) -> bool {
    matches!(
        error,
        Error::IOError { .. }
            | Error::HyperResponseError { .. }
            | Error::HyperLegacyError { .. }
            | Error::SocketNotFoundError(_)
            | Error::RequestTimeoutError
    )
}

pub(super) fn failed(error: Error) -> RuntimeError {
    match is_gone(&error) {
        true => RuntimeError::Unavailable(format!(
            "the Docker engine is gone ({}); once it answers again, the same command goes on from what is there",
            words(&error)
        )),
        false => RuntimeError::Failed(words(&error)),
    }
}

pub(super) fn status(error: &Error) -> u16 {
    match error {
        Error::DockerResponseServerError { status_code, .. } => *status_code,
        _ => 0,
    }
}

/// Takes an answer with one of these codes for a success.
pub(super) fn unless<T>(done: std::result::Result<T, Error>, codes: &[u16]) -> Result<()> {
    match done {
        Err(error) if codes.contains(&status(&error)) => Ok(()),
        Err(error) => Err(failed(error)),
        Ok(_) => Ok(()),
    }
}

/// Why an image that cannot be pulled is not there, and what helps: for an image of Kafka's, one that is stood in for.
pub(super) fn not_pulled(image: &str, error: &Error) -> String {
    let name = image.rsplit('/').next().unwrap_or(image);
    let name = name.split([':', '@']).next().unwrap_or(name);
    let help = match name {
        "zookeeper" | "cp-zookeeper" => "no node of ours needs ZooKeeper: drop the service".to_owned(),
        "kafka" | "cp-kafka" | "cp-server" | "kafka-native" | "cp-enterprise-kafka" | "server" => {
            "as bitnami/kafka, apache/kafka or confluentinc/cp-kafka, with that image's variables, Jackdaw stands in \
             for it"
                .to_owned()
        }
        _ => format!(
            "where a registry has it, `docker pull {image}` brings it; else `docker save {image}` on a machine that \
             has it, and `docker load` here"
        ),
    };
    format!("{image} cannot be pulled: {}; {help}", words(error).trim_end_matches('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(message: &str) -> Error {
        Error::DockerResponseServerError { status_code: 404, message: message.into() }
    }

    #[test]
    fn an_engine_that_went_away_is_not_a_refusal() {
        let cut = Error::from(std::io::Error::new(std::io::ErrorKind::ConnectionReset, "reset by peer"));
        let told = failed(cut);
        assert!(
            matches!(&told, RuntimeError::Unavailable(why) if why.contains("gone (reset by peer)")),
            "{told}"
        );
        assert!(
            matches!(failed(said("no such network")), RuntimeError::Failed(why) if why == "no such network")
        );
    }

    #[test]
    fn an_image_that_cannot_be_pulled_has_a_stand_in_or_a_way_here() {
        for (image, expected) in [
            (
                "provectuslabs/kafka-ui:latest",
                "; where a registry has it, `docker pull provectuslabs/kafka-ui:latest`",
            ),
            ("registry.example.com:5000/wurstmeister/kafka:2.13", "; as bitnami/kafka, apache/kafka or"),
            ("bitnami/zookeeper", "; no node of ours needs ZooKeeper: drop the service"),
        ] {
            let told = not_pulled(image, &said("dial tcp: no route to host."));
            let begins = format!("{image} cannot be pulled: dial tcp: no route to host{expected}");
            assert!(told.starts_with(&begins), "{told}");
        }
    }
}
