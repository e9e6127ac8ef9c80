//! Claims on addresses and ports between the look that finds them free and the service that listens on them.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::sync::{Arc, Mutex, PoisonError};

/// What this program claims, until it ends: by then the services listen themselves.
///
/// A claim is a name in the network namespace's table of local sockets (unix(7), abstract sockets): only one program
/// has it, whoever its user is, and it goes with the program. Two launchers that look at the same moment would choose
/// the same otherwise.
#[derive(Debug, Clone, Default)]
pub struct Claims {
    held: Arc<Mutex<BTreeMap<String, UnixListener>>>,
}

impl Claims {
    /// Whether the address or port is this program's now. Anything is claimed before it is found free: what is free
    /// then stays so.
    pub fn take(&self, wanted: impl Display) -> bool {
        let name = format!("jackdaw-claim-{wanted}");
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if held.contains_key(&name) {
            return true;
        }
        let made =
            SocketAddr::from_abstract_name(&name).and_then(|address| UnixListener::bind_addr(&address));
        made.map(|claim| held.insert(name, claim)).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_one_launcher_claims_no_other_has_until_it_ends() {
        let (one, other) = (Claims::default(), Claims::default());
        assert!(one.take("of this test") && one.take("of this test"), "its own stays its own");
        assert!(!other.take("of this test"));
        assert!(other.take("of this test, too"));
        drop(one);
        assert!(other.take("of this test"));
    }
}
