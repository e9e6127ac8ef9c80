//! Snapshots: offered, fetched in pieces, and what they stand for.

use super::check;

#[test]
fn a_leader_offers_its_snapshot_to_those_whose_log_begins_too_low() {
    check(
        "offers",
        "
        node 1 voters=1,2,3 epoch=5 start=5 log=20 epochs=5@2,12@5 snapshots=5@1:100,12@2:100
        at 2000
        answer 2 granted
        fetch 2 epoch=6 end=0@0
        fetch 2 epoch=6 end=4@1
        # at the start, with the snapshot's own epoch, records can follow
        fetch 2 epoch=6 end=5@1
        fetch 2 epoch=6 end=5@0
        fetch-snapshot 2 epoch=6 end=12@2
        fetch-snapshot 2 epoch=6 end=12@2 position=64
        fetch-snapshot 2 epoch=6 end=12@2 position=100
        fetch-snapshot 2 epoch=6 end=13@2
        fetch-snapshot 2 epoch=5 end=12@2
        ",
    );
}

#[test]
fn a_snapshot_comes_in_pieces_and_then_is_the_log() {
    check(
        "pieces",
        "
        node 2 voters=1,2,3 epoch=6 leader=1 log=3 epochs=0@1
        answer 1 snapshot=12@2 leader=1
        answer 1 id=12@2 position=0 size=100 bytes=60 leader=1
        answer 1 id=12@2 position=60 size=100 bytes=40 leader=1
        answer 1 records=12..14@5 hw=13 leader=1
        ",
    );
}

#[test]
fn a_snapshot_that_is_gone_is_asked_for_anew() {
    check(
        "gone",
        "
        node 2 voters=1,2,3 epoch=6 leader=1 log=3 epochs=0@1
        answer 1 snapshot=12@2 leader=1
        answer 1 id=12@2 position=0 size=100 bytes=60 leader=1
        answer 1 error=SNAPSHOT_NOT_FOUND leader=1
        answer 1 snapshot=20@5 leader=1
        # pieces of another snapshot are not mixed in
        answer 1 id=12@2 position=0 size=100 bytes=60 leader=1
        ",
    );
}
