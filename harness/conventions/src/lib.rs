//! What the bitnami, apache and confluent images make of their environment.
