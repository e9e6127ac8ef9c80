//! Groups under faults; see `jackdaw_sim::groups`.

use jackdaw_sim::groups::{self, Mode};
use jackdaw_sim::seeds;

#[test]
fn partitions_have_one_owner_and_offsets_never_go_back() {
    seeds::for_each_seed(60, |seed| groups::run(Mode::Classic, seed));
}

#[test]
fn the_same_holds_in_the_consumer_protocol() {
    seeds::for_each_seed(60, |seed| groups::run(Mode::Consumer, seed));
}

#[test]
fn the_same_holds_while_a_group_goes_from_one_protocol_to_the_other_and_back() {
    seeds::for_each_seed(60, |seed| groups::run(Mode::Mixed, seed));
}
