//! A command that would end a clock whose limit is broken: the notices are recorded before it.

use super::*;

/// The events of a ticket's commits, by name, and each commit's class.
fn told(office: &Office, ticket: TicketId) -> Vec<(String, Vec<&'static str>)> {
    let commits = office.log.log.commits_after(Position::START);
    let of_ticket = commits.iter().filter(|commit| commit.stream.id.as_str() == ticket.to_string());
    let told = |commit: &RecordedCommit| {
        let events = cuiban_event_schema::decode(&commit.payload).unwrap().events;
        let names = events.iter().map(cuiban_event_schema::event_name).collect();
        (commit.route.class.to_string(), names)
    };
    of_ticket.map(told).collect()
}

fn cancel() -> TicketCommand {
    CancelTicket { reason: Line::new("王小二 13911112222 不要了").unwrap() }.into()
}

/// Past both limits of the call.
const DAYS: Duration = Duration::from_secs(3 * 86_400);

#[tokio::test]
async fn r60_r91_the_notices_of_broken_limits_stand_alone_before_the_command_that_ends_their_clocks() {
    let office = Office::open().await;
    let ticket = office.call().await;
    office.clock.advance_by(DAYS);
    let meta = office.meta();
    let handled = office.handlers.ticket(ticket, &cancel(), &meta).await.unwrap();
    assert_eq!((handled.outcome, handled.revision), (Outcome::Recorded, 4));
    let breach = ("expedite".to_owned(), vec!["SlaBreached", "ExpediteNoticeIssued"]);
    let cancelled = ("case".to_owned(), vec!["TicketCancelled", "BreachEnded", "BreachEnded"]);
    assert_eq!(told(&office, ticket)[1..], [breach.clone(), breach, cancelled]);
    // The notices have the ids that the watchdog would give, and the command is replayed as ever.
    let notice =
        Notice { clock: ClockKind::Dispatch, cycle: 1, episode: 0, rung: Rung::Breach, repetition: 0 };
    let own = CommandMeta::new(notice.command_id(ticket), Actor::new("watchdog").unwrap());
    let urge = IssueExpediteNotice { notice }.into();
    let again = office.others.ticket(ticket, &urge, &own).await.unwrap();
    assert_eq!(again.outcome, Outcome::Replayed);
    let again = office.others.ticket(ticket, &cancel(), &meta).await.unwrap();
    assert_eq!((again.outcome, again.revision), (Outcome::Replayed, 4));
    assert_eq!(office.commits(ticket).await, 4);
}

#[tokio::test]
async fn r61_whatever_happens_to_its_append_a_notice_is_recorded_once_and_before_the_command() {
    for fault in [Fault::AnswerLost, Fault::CommitLost, Fault::FalseConflict] {
        let office = Office::open().await;
        let ticket = office.call().await;
        office.clock.advance_by(DAYS);
        office.fail_with([fault]);
        let meta = office.meta();
        let cancelled = office.handlers.ticket(ticket, &cancel(), &meta).await.unwrap();
        assert_eq!((cancelled.outcome, cancelled.revision), (Outcome::Recorded, 4), "{fault:?}");
        let classes: Vec<_> = told(&office, ticket).into_iter().map(|(class, _)| class).collect();
        assert_eq!(classes, ["case", "expedite", "expedite", "case"], "{fault:?}");
    }
    // The log goes away behind the notice: it stands, and the command is sent again.
    let office = Office::open().await;
    let ticket = office.call().await;
    office.clock.advance_by(DAYS);
    office.fail_with([Fault::Away]);
    let meta = office.meta();
    let away = office.handlers.ticket(ticket, &cancel(), &meta).await.unwrap_err();
    assert!(matches!(away, HandleError::Unavailable(_)), "{away:?}");
    assert_eq!(office.others.ticket(ticket, &cancel(), &meta).await.unwrap().revision, 4);
}

#[tokio::test]
async fn a_caller_who_insists_on_a_revision_does_not_fail_by_our_own_notice() {
    let office = Office::open().await;
    let ticket = office.call().await;
    office.clock.advance_by(DAYS);
    let stale = CommandMeta { expected_revision: Some(7), ..office.meta() };
    let refused = office.handlers.ticket(ticket, &cancel(), &stale).await.unwrap_err();
    assert!(matches!(refused, HandleError::RevisionMismatch { expected: 7, actual: 1 }), "{refused:?}");
    assert_eq!(office.commits(ticket).await, 1);
    let meta = CommandMeta { expected_revision: Some(1), ..office.meta() };
    assert_eq!(office.handlers.ticket(ticket, &cancel(), &meta).await.unwrap().revision, 4);
}
