//! The process's file descriptors: how many there may be, and who may take how many of them. Connections may take most,
//! the logs' files keep within what is left, and the rest is for other nodes, listeners and the runtime.

use rustix::process::{Resource, getrlimit, setrlimit};

/// What connections leave to everything else, where an eighth of the limit is less.
const KEPT: usize = 128;
/// Of what is kept, what is for neither connections nor the files of logs.
const OTHER: usize = 64;

/// Raises the process's limit to the highest that it may have, as the JVM does: shells give 1,024, of which a node with
/// some hundred partitions and clients would run out.
pub fn raise_limit() {
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        limit.current = limit.maximum;
        // Where it is refused, the node lives within what it has.
        let _ = setrlimit(Resource::Nofile, limit);
    }
}

fn limit() -> Option<usize> {
    getrlimit(Resource::Nofile).current.and_then(|limit| usize::try_from(limit).ok())
}

/// The limit, as a word.
pub fn limit_shown() -> String {
    limit().map_or_else(|| "unlimited".to_owned(), |limit| limit.to_string())
}

fn kept(limit: usize) -> usize {
    (limit / 8).max(KEPT).min(limit / 2)
}

/// How many connections may take.
pub fn for_connections() -> usize {
    limit().map_or(usize::MAX / 2, |limit| limit - kept(limit))
}

/// How many files of logs may stay open; more are while they are in use.
pub fn for_files() -> usize {
    limit().map_or(usize::MAX, files_within)
}

fn files_within(limit: usize) -> usize {
    let kept = kept(limit);
    kept - OTHER.min(kept / 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_files_and_the_rest_have_their_shares() {
        for (limit, connections, files) in
            [(64, 32, 16), (256, 128, 64), (1024, 896, 64), (1 << 20, 917_504, 131_008)]
        {
            assert_eq!((limit - kept(limit), files_within(limit)), (connections, files), "{limit}");
        }
    }
}
