//! KRaft's quorum as a pure state machine: no clock, no socket, no file, no thread.
