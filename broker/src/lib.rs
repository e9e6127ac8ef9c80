//! The broker process: the thin shell of tokio around the pure crates.
