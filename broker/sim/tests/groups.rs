//! Groups under faults; see `jackdaw_sim::groups`.

use jackdaw_sim::{groups, seeds};

#[test]
fn partitions_have_one_owner_and_offsets_never_go_back() {
    seeds::for_each_seed(60, groups::run);
}
