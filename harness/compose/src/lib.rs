//! Compose text to a typed model with source spans.
