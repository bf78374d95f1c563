//! Stepping over (跳过): an operator's decision to go on behind a commit that cannot be read.
//!
//! Any stream can hold it, in place of what the unreadable commit would have been followed by. It belongs to no aggregate:
//! no state evolves by it. Who decided it, and when, is in the commit's envelope; the commit is routed as its stream usually
//! is: class [`Aggregate::class`](crate::Aggregate::class) and branch [`Aggregate::branch`](crate::Aggregate::branch) of no
//! events.

use crate::Event;
use crate::text::Line;

/// What an operator decided about a commit that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields say it")]
pub enum StepOverEvent {
    /// 跳过无法读取的提交: the stream goes on as if the commit stored at `position`, whose bytes have this hash, had
    /// recorded nothing.
    CommitSteppedOver { position: u64, sha256: [u8; 32], reason: Line },
}

impl Event {
    /// Position and SHA-256 of the commit that this event passes over, if it does that.
    pub fn steps_over(&self) -> Option<(u64, [u8; 32])> {
        match self {
            Self::SteppedOver(StepOverEvent::CommitSteppedOver { position, sha256, .. }) => {
                Some((*position, *sha256))
            }
            _ => None,
        }
    }
}
