//! Cluster ids: what is a usual one, and which one a quorum gets that was given none.
//! It must not look at volumes: an id that is already there wins, and the broker sees to that.

use crate::plan::Voter;

/// 16 bytes in URL-safe base64, with or without padding, as `kafka-storage.sh random-uuid` makes them. 3.7 takes any
/// other text, too.
pub(crate) fn is_uuid(id: &str) -> bool {
    let text = id.strip_suffix("==").unwrap_or(id);
    text.len() == 22 && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
}

/// The id for a quorum that was given none: the same for every node that names the same voters, another one
/// for another project. The launcher knows the project, a lone container does not.
pub fn derived(project: Option<&str>, voters: &[Voter]) -> String {
    let mut named: Vec<String> = voters.iter().map(|v| format!("{}@{}:{}", v.id, v.host, v.port)).collect();
    named.sort();
    let mut text = String::from("jackdaw cluster id\0");
    text.push_str(project.unwrap_or_default());
    for voter in named {
        text.push('\0');
        text.push_str(&voter);
    }
    let id = base64url(fnv1a(text.as_bytes()).to_be_bytes());
    // Kafka avoids a leading dash, too: on a command line it would read as an option.
    match id.strip_prefix('-') {
        Some(rest) => format!("A{rest}"),
        None => id,
    }
}

/// FNV-1a, 128 bits: a stable name for a text, nothing that has to resist anyone.
fn fnv1a(bytes: &[u8]) -> u128 {
    const OFFSET: u128 = 0x6c62272e07bb014262b821756295c58d;
    const PRIME: u128 = 0x0000000001000000000000000000013b;
    bytes.iter().fold(OFFSET, |hash, byte| (hash ^ u128::from(*byte)).wrapping_mul(PRIME))
}

fn base64url(bytes: [u8; 16]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let value = u128::from_be_bytes(bytes);
    // 128 bits are 21 digits of 6 bits and one of 2, which stands in the upper bits of the last digit.
    let digit = |at: u32| {
        let bits = if at == 21 { (value << 4) & 0x3f } else { (value >> (128 - 6 * (at + 1))) & 0x3f };
        char::from(ALPHABET[bits as usize])
    };
    (0..22).map(digit).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use jackdaw_compose::Span;

    fn voter(id: i32, host: &str) -> Voter {
        Voter { id, host: host.to_owned(), port: 9093, span: Span::default() }
    }

    #[test]
    fn an_id_is_16_bytes_of_base64url() {
        for good in ["HsDBs9l6UUmQq7Y5E6bNlw", "5L6g3nShT-eMCtK--X86sw", "MkU3OEVBNTcwNTJENDM2Qk=="] {
            assert!(is_uuid(good), "{good}");
        }
        for bad in
            ["", "cluster-one", "HsDBs9l6UUmQq7Y5E6bNl", "HsDBs9l6UUmQq7Y5E6bNlw1", "HsDBs9l6UUmQq7Y5E6b+lw"]
        {
            assert!(!is_uuid(bad), "{bad}");
        }
    }

    #[test]
    fn every_node_of_a_quorum_derives_the_same_id() {
        let (a, b) = (voter(0, "a"), voter(1, "b"));
        let id = derived(Some("p"), &[a.clone(), b.clone()]);
        assert!(is_uuid(&id), "{id}");
        assert_eq!(id, derived(Some("p"), &[b.clone(), a.clone()]));
        assert_ne!(id, derived(Some("q"), &[a.clone(), b.clone()]));
        assert_ne!(id, derived(Some("p"), std::slice::from_ref(&a)));
        assert_ne!(derived(None, &[a.clone(), b]), derived(None, &[a]));
    }

    #[test]
    fn base64_agrees_with_known_pairs() {
        assert_eq!(base64url([0; 16]), "AAAAAAAAAAAAAAAAAAAAAA");
        assert_eq!(base64url([0xff; 16]), "_____________________w");
        assert_eq!(base64url([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]), "AAAAAAAAAAAAAAAAAAAAAQ");
    }
}
