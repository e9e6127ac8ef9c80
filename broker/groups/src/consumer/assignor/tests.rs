//! Assignors by tables: members with what they subscribe to and had, topics with their partitions.

use super::*;

fn id(topic: &str) -> Uuid {
    Uuid::from_u128(u128::from(topic.as_bytes()[0]))
}

/// `a0 a1 b0` to partitions by topic.
fn partitions(text: &str) -> Partitions {
    let mut all = Partitions::new();
    for word in text.split_whitespace() {
        let (topic, index) = word.split_at(1);
        all.entry(id(topic)).or_default().insert(index.parse().unwrap());
    }
    all
}

fn told(all: &Partitions) -> String {
    let word = |topic: &Uuid, index: &i32| format!("{}{index}", char::from(topic.as_bytes()[15]));
    let words: Vec<String> =
        all.iter().flat_map(|(topic, indexes)| indexes.iter().map(move |index| word(topic, index))).collect();
    words.join(" ")
}

/// `topics` is `a=3 b=2`; a member's line is `name TOPICS [static NAME]: what it had`.
fn assign(assignor: Assignor, topics: &str, members: &[&str]) -> String {
    let counts: BTreeMap<Uuid, i32> = topics
        .split_whitespace()
        .map(|word| word.split_once('=').unwrap())
        .map(|(topic, count)| (id(topic), count.parse().unwrap()))
        .collect();
    let parsed: Vec<(StrBytes, BTreeSet<Uuid>, Option<StrBytes>, Partitions)> = members
        .iter()
        .map(|line| {
            let (head, had) = line.split_once(':').unwrap();
            let mut words = head.split_whitespace();
            let name = StrBytes::from(words.next().unwrap().to_owned());
            let subscribed =
                words.next().unwrap_or("").split(',').filter(|t| !t.is_empty()).map(id).collect();
            let instance = words.nth(1).map(|instance| StrBytes::from(instance.to_owned()));
            (name, subscribed, instance, partitions(had))
        })
        .collect();
    let is_homogeneous = parsed.windows(2).all(|pair| pair[0].1 == pair[1].1);
    let member =
        |(name, topics, instance, had): &'_ (StrBytes, BTreeSet<Uuid>, Option<StrBytes>, Partitions)| {
            let _ = name;
            (topics.clone(), instance.clone(), Arc::new(had.clone()))
        };
    let owned: Vec<_> = parsed.iter().map(member).collect();
    let members = parsed
        .iter()
        .zip(&owned)
        .map(|((name, ..), (topics, instance, had))| {
            let spec = MemberSpec {
                instance_id: instance.as_ref(),
                topics: topics.clone(),
                target: Arc::clone(had),
            };
            (name, spec)
        })
        .collect();
    let spec = Spec { members, partitions: counts.clone(), is_homogeneous };
    let assigned = assignor.assign(&spec);
    check(&spec, &assigned);
    let lines: Vec<String> = assigned.iter().map(|(id, part)| format!("{id}: {}", told(part))).collect();
    lines.join(" | ")
}

/// What every assignor owes: each partition that somebody subscribes to has one owner, who subscribes to it.
fn check(spec: &Spec<'_>, assigned: &BTreeMap<StrBytes, Partitions>) {
    let mut owners: BTreeMap<(Uuid, i32), &StrBytes> = BTreeMap::new();
    for (id, part) in assigned {
        for (topic, indexes) in part {
            assert!(spec.members[id].topics.contains(topic), "{id} does not subscribe to {topic}");
            for index in indexes {
                assert!(owners.insert((*topic, *index), id).is_none(), "{topic}-{index} has two owners");
            }
        }
    }
    let subscribed: BTreeSet<&Uuid> = spec.members.values().flat_map(|member| &member.topics).collect();
    let all: i32 = subscribed.iter().map(|topic| spec.partitions[*topic]).sum();
    assert_eq!(owners.len(), all as usize, "{assigned:?}");
}

#[test]
fn uniform_is_even_and_moves_little() {
    let uniform = |topics, members: &[&str]| assign(Assignor::Uniform, topics, members);
    for (topics, members, expected) in [
        ("a=3", &["m a:"][..], "m: a0 a1 a2"),
        ("a=3", &["m a:", "n a:"], "m: a0 | n: a1 a2"),
        // A second one comes: the first keeps as much as it may.
        ("a=3", &["m a: a0 a1 a2", "n a:"], "m: a0 a1 | n: a2"),
        ("a=4", &["m a: a0 a1 a2 a3", "n a:"], "m: a0 a1 | n: a2 a3"),
        // One goes.
        ("a=4", &["m a: a0 a1"], "m: a0 a1 a2 a3"),
        // Partitions are added.
        ("a=4", &["m a: a0", "n a: a1"], "m: a0 a2 | n: a1 a3"),
        // Who has one more keeps it.
        ("a=3", &["m a: a0", "n a: a1 a2"], "m: a0 | n: a1 a2"),
        // Two topics are one heap.
        ("a=2 b=3", &["m a,b:", "n a,b:"], "m: a0 a1 | n: b0 b1 b2"),
        // Nobody subscribes to it any more.
        ("a=2", &["m a: a0 b0 b1", "n a: a1"], "m: a0 | n: a1"),
        // More members than partitions.
        ("a=2", &["m a:", "n a:", "o a:"], "m:  | n: a0 | o: a1"),
        // Nothing to subscribe to.
        ("", &["m :", "n :"], "m:  | n: "),
    ] {
        assert_eq!(uniform(topics, members), expected, "{topics} {members:?}");
    }
}

#[test]
fn uniform_shares_between_those_who_subscribe() {
    let uniform = |topics, members: &[&str]| assign(Assignor::Uniform, topics, members);
    for (topics, members, expected) in [
        ("a=2 b=2", &["m a:", "n a,b:"][..], "m: a0 a1 | n: b0 b1"),
        ("a=4 b=2", &["m a:", "n a,b:"], "m: a0 a1 a2 | n: a3 b0 b1"),
        // What one had is moved where it is too much.
        ("a=6 b=1", &["m a: a0 a1 a2 a3 a4 a5", "n a,b:"], "m: a0 a1 a2 a3 | n: a4 a5 b0"),
        // One no longer subscribes.
        ("a=2 b=2", &["m b: a0 b0", "n a,b: a1 b1"], "m: b0 b1 | n: a0 a1"),
        ("a=1 b=0", &["m a: a0", "n b:"], "m: a0 | n: "),
    ] {
        assert_eq!(uniform(topics, members), expected, "{topics} {members:?}");
    }
}

#[test]
fn ranges_lie_side_by_side_and_static_members_come_first() {
    let range = |topics, members: &[&str]| assign(Assignor::Range, topics, members);
    for (topics, members, expected) in [
        ("a=3 b=3", &["m a,b:", "n a,b:"][..], "m: a0 a1 b0 b1 | n: a2 b2"),
        ("a=3", &["m a: a2", "n a: a0 a1"], "m: a0 a1 | n: a2"),
        ("a=1 b=2", &["m a:", "n a,b:"], "m: a0 | n: b0 b1"),
        ("a=2", &["m a static z:", "n a static y:", "l a:"], "l:  | m: a1 | n: a0"),
    ] {
        assert_eq!(range(topics, members), expected, "{topics} {members:?}");
    }
}
