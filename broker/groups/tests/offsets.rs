//! What becomes of committed offsets, after Kafka 3.7's `GroupMetadataManager`.

mod script;

use insta::assert_snapshot;
use jackdaw_groups::{Config, Groups, RecordPlace};
use jackdaw_wire::Bytes;
use script::{config, play};

#[test]
fn offsets_are_committed_and_refused() {
    assert_snapshot!(play(
        config(),
        "
        commit x t-0=5                           # of no group
        commit x as=m gen=3 t-0=6
        commit x as=m t-0=6                      # no generation, and a group without members
        fetch x t-0 t-1
        join a v=3
        after 3000
        commit a as=a#1 gen=1 t-0=7              # before it knows what is its own
        sync a as=a#1 gen=1 assign=a#1:t0
        commit a as=a#1 gen=1 t-0=8
        commit a as=a#1 gen=0 t-0=9
        commit b as=b gen=1 t-0=9
        commit x t-0=9                           # of no group, and there are members
        commit a as=a#1 gen=1 static=i t-0=9
        fetch x
    "
    ));
    let small = Config { max_metadata_length: 3, ..config() };
    assert_snapshot!(
        "metadata_that_is_too_large",
        play(
            small,
            "
        commit x metadata=3 t-0=5
        commit x metadata=4 t-1=5
        fetch x
    "
        )
    );
}

#[test]
fn offsets_in_transactions_wait_for_their_end() {
    assert_snapshot!(play(
        config(),
        "
        commit x t-0=5
        txn p producer=7 t-0=6 t-1=1
        fetch x t-0
        fetch x stable t-0 t-2
        marker commit producer=7
        fetch x
        txn p producer=7 t-0=9
        marker abort producer=7
        fetch x stable t-0
        txn p producer=7 t-0=10
        txn q producer=8 t-1=11
        commit x t-0=12                          # later in the log than the transaction's
        marker commit producer=7
        fetch x
        reload
        fetch x
        fetch x stable t-1
        marker commit producer=8
        fetch x stable t-1
        txn p as=m gen=4 producer=7 t-0=1        # a consumer that is in no such generation
        hold
        txn p producer=9 t-3=1
        failed 19
        fetch x stable t-3
    "
    ));
}

#[test]
fn offsets_expire_when_nobody_has_use_for_them() {
    let day = Config { retention_ms: 1_000_000, retention_check_interval_ms: 600_000, ..config() };
    assert_snapshot!(play(
        day.clone(),
        "
        commit x t-0=5                           # of no group: from its commit on
        commit x t-1=5 retention=2000000         # asked for a retention of its own
        after 900000
        commit x t-2=5
        after 900000
        fetch x
        after 1300000
        list
        reload
        list
    "
    ));
    assert_snapshot!(
        "offsets_of_an_empty_group_age_from_its_end",
        play(
            day.clone(),
            "
        join a v=3 session=1800000
        after 3000
        sync a as=a#1 gen=1 assign=a#1:t0
        commit a as=a#1 gen=1 t-0=5 u-0=6        # u is not subscribed to
        after 1300000
        beat a as=a#1 gen=1
        fetch x
        leave a as=a#1
        after 900000
        fetch x
        after 1000000
        list
    "
        )
    );
}

#[test]
fn groups_and_offsets_are_deleted() {
    assert_snapshot!(play(
        config(),
        "
        delete
        delete-offsets t-0
        commit x t-0=1 t-1=2 u-0=3
        delete-offsets t-0 t-9
        fetch x
        topic-deleted u-0
        fetch x
        delete
        fetch x
        join a v=3
        after 3000
        sync a as=a#1 gen=1 assign=a#1:t0
        commit a as=a#1 gen=1 t-0=1 u-0=2
        delete
        delete-offsets t-0 u-0                   # t is subscribed to
        leave a as=a#1
        delete-offsets t-0
        list
        delete
        list
        reload
        list
    "
    ));
    assert_snapshot!(
        "offsets_of_a_group_that_is_none_of_consumers",
        play(
            config(),
            "
        join a v=3 type=connect
        after 3000
        delete-offsets t-0
    "
        )
    );
}

/// An unreadable record must be told with what is wrong with it, not guessed at.
#[test]
fn what_cannot_be_read_is_named() {
    let place = RecordPlace { batch_offset: 0, producer_id: -1, is_transactional: false };
    let load = |key: Option<&'static [u8]>, value: Option<&'static [u8]>| {
        let mut groups = Groups::new(config());
        let loaded = groups.load(place, key.map(Bytes::from_static), value.map(Bytes::from_static));
        loaded.map_or_else(|error| error.to_string(), |()| "read".to_owned())
    };
    let table = [
        load(None, None),
        load(Some(b"\0"), None),
        load(Some(b"\0\x63"), Some(b"of a later Kafka")),
        load(Some(b"\0\x02\0\x01g"), None),
        load(Some(b"\0\x02\0\x01g"), Some(b"\0\x09")),
        load(Some(b"\0\x01\0\x01g\0\x01t\0\0\0\0"), Some(b"\0\x03\0")),
    ];
    assert_snapshot!(table.join("\n"));
}
