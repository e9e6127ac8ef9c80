//! Loading compose files: what is refused, and what the rest comes to.

mod folder;
mod keys;
mod projects;
mod refusals;
mod snippets;
