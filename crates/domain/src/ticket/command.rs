//! Everything that can be asked of a ticket.

use crate::aggregate::Context;
use crate::ids::TicketId;
use crate::rejection::Rejection;
use crate::ticket::{
    ArriveAtCustomer, AssignHandler, CancelTicket, CloseTicket, CorrectServiceBasis, DispatchTechnician,
    FixOnSite, IssueExpediteNotice, MergeTicket, MoveDeadlines, PauseTicket, ReassignTicket,
    ReclassifyTicket, Registration, ReopenTicket, RespondToCustomer, ResumeTicket, Ticket, TicketEvent,
    TransferTicket,
};

macro_rules! commands {
    ($($command:ident => $decide:ident,)+) => {
        /// One command to a ticket: each variant is documented at its type.
        #[derive(Clone, Debug, PartialEq, Eq)]
        #[expect(missing_docs, reason = "each variant is documented at its type")]
        pub enum TicketCommand { $($command($command)),+ }

        $(impl From<$command> for TicketCommand {
            fn from(command: $command) -> Self {
                Self::$command(command)
            }
        })+

        impl TicketCommand {
            pub(super) fn decide(&self, ticket: &Ticket, context: &Context<'_>) -> Result<Vec<TicketEvent>, Rejection> {
                match self { $(Self::$command(command) => ticket.$decide(command, context)),+ }
            }
        }
    };
}

commands! {
    Registration => register,
    RespondToCustomer => respond,
    DispatchTechnician => dispatch,
    ArriveAtCustomer => arrive,
    FixOnSite => fix_on_site,
    PauseTicket => pause,
    ResumeTicket => resume,
    ReclassifyTicket => reclassify,
    CorrectServiceBasis => correct_service_basis,
    AssignHandler => assign,
    ReassignTicket => reassign,
    TransferTicket => transfer,
    MergeTicket => merge,
    CancelTicket => cancel,
    CloseTicket => close,
    ReopenTicket => reopen,
    IssueExpediteNotice => issue_expedite_notice,
    MoveDeadlines => move_deadlines,
}

impl TicketCommand {
    /// The other ticket that the decision has to see.
    pub fn related(&self) -> Option<TicketId> {
        match self {
            Self::MergeTicket(merge) => Some(merge.into),
            _ => None,
        }
    }
}
