//! Commands that would end or pause a clock whose limit was broken before: its notice is recorded first, in a commit of
//! its own ([decision 5](../../../docs/decisions/0005-notice-before-the-command.md)).

use cuiban_domain::Rejection;
use cuiban_domain::ids::TicketId;
use cuiban_domain::sla::Notice;
use cuiban_domain::ticket::{IssueExpediteNotice, Ticket, TicketCommand};

use crate::{CommandMeta, HandleError, Handled, Handlers, Outcome};

/// How often a command is decided. Each time but the last it met a limit that had been broken in between; a ticket has few
/// clocks, so whoever meets more is not meant to go on.
const DECISIONS_MAX: u32 = 8;

impl Handlers {
    /// Handles a command to a ticket, and before it the notices that it must not overtake.
    ///
    /// A notice has its derived command id, the watchdog's: whoever comes second finds it recorded. If this process dies in
    /// between, the notice stands and the command does not: its caller sends it again.
    pub(crate) async fn handle_after_notices(
        &self,
        ticket: TicketId,
        command: &TicketCommand,
        meta: &CommandMeta,
        related: Option<&Ticket>,
    ) -> Result<Handled<Ticket>, HandleError> {
        let stream = ticket.to_string();
        let mut meta = meta.clone();
        for _ in 0..DECISIONS_MAX {
            let handled = self.tickets().handle_related(&stream, command, &meta, related).await;
            let notices = match &handled {
                Err(HandleError::Rejected(rejection)) => match rejection.as_ref() {
                    Rejection::NoticesFirst { notices } => notices.clone(),
                    _ => return handled,
                },
                _ => return handled,
            };
            for notice in notices {
                self.issue_first(ticket, notice, &mut meta).await?;
            }
        }
        Err(HandleError::Contended { attempts: DECISIONS_MAX })
    }

    /// Records one notice. A caller who insists on the stream's revision does not mind our own commit.
    async fn issue_first(
        &self,
        ticket: TicketId,
        notice: Notice,
        meta: &mut CommandMeta,
    ) -> Result<(), HandleError> {
        let own = CommandMeta {
            correlation_id: meta.correlation_id,
            ..CommandMeta::new(notice.command_id(ticket), self.process().clone())
        };
        let command = TicketCommand::from(IssueExpediteNotice { notice });
        match self.tickets().handle(&ticket.to_string(), &command, &own).await {
            Ok(issued) if issued.outcome == Outcome::Recorded => {
                let expected = meta.expected_revision.filter(|expected| expected + 1 == issued.revision);
                meta.expected_revision = expected.map(|expected| expected + 1).or(meta.expected_revision);
                Ok(())
            }
            // Recorded by the watchdog, or met, paused or moved meanwhile: the next decision sees it.
            Ok(_) | Err(HandleError::Rejected(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }
}
