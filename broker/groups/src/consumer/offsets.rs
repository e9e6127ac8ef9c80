//! Whether offsets may be committed and asked for: in the epoch that the member is in
//! (`ConsumerGroup.validateOffsetCommit`, `validateOffsetFetch`).

use jackdaw_wire::{ErrorCode, StrBytes};

use super::{ConsumerGroup, Member};

/// From this version on OffsetCommit knows member epochs.
const MEMBER_EPOCH_FROM: i16 = 9;

/// In which words offsets are committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CommitKind {
    /// OffsetCommit, in this version.
    Plain(i16),
    Transactional,
}

impl ConsumerGroup {
    pub fn check_commit(
        &self,
        kind: CommitKind,
        member_id: &StrBytes,
        instance_id: Option<&StrBytes>,
        epoch: i32,
    ) -> Result<(), ErrorCode> {
        if epoch < 0 && self.members.is_empty() {
            return Ok(());
        }
        let says_nothing = epoch == -1 && member_id.is_empty() && instance_id.is_none();
        if kind == CommitKind::Transactional && says_nothing {
            return Ok(());
        }
        let member = self.members.get(member_id).ok_or(ErrorCode::UnknownMemberId)?;
        match kind {
            CommitKind::Plain(..MEMBER_EPOCH_FROM) if member.about.classic.is_none() => {
                return Err(ErrorCode::UnsupportedVersion);
            }
            _ => {}
        }
        match check_epoch(member, epoch) {
            // Producers do not know the other word.
            Err(_) if kind == CommitKind::Transactional => Err(ErrorCode::IllegalGeneration),
            checked => checked,
        }
    }

    pub fn check_fetch(&self, member_id: Option<&StrBytes>, epoch: i32) -> Result<(), ErrorCode> {
        let Some(member_id) = member_id else {
            return if epoch < 0 { Ok(()) } else { Err(ErrorCode::UnknownMemberId) };
        };
        check_epoch(self.members.get(member_id).ok_or(ErrorCode::UnknownMemberId)?, epoch)
    }
}

fn check_epoch(member: &Member, epoch: i32) -> Result<(), ErrorCode> {
    match () {
        () if member.current.epoch == epoch => Ok(()),
        () if member.about.classic.is_some() => Err(ErrorCode::IllegalGeneration),
        () => Err(ErrorCode::StaleMemberEpoch),
    }
}
