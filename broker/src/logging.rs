//! Log lines on stdout in Kafka's log4j layout, so that launchers and people find what they look for.
