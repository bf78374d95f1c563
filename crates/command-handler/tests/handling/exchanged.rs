//! A log that is another than before: exchanged, or restored without its last commits.

use super::*;

#[tokio::test]
async fn what_was_kept_of_a_log_that_was_exchanged_holds_no_more() {
    let (office, other) = (Office::open().await, Office::open_seeded(70).await);
    let gone = office.call().await;
    for _ in 0..3 {
        other.call().await;
    }
    let theirs = other.call().await;
    office.log.log.replace_with(&other.log.log);
    let noticed = async {
        while office.handlers.directory().log_generation() == 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), noticed).await.expect("the exchange is noticed");
    let refused = office.handlers.ticket(gone, &respond(), &office.meta()).await.unwrap_err();
    assert_eq!(rejection(refused), Rejection::TicketNotFound);
    office.handlers.ticket(theirs, &respond(), &office.meta()).await.unwrap();
    let ticket = TicketId(office.meta().command_id.0);
    let number = office.handlers.register(ticket, request(), &office.meta()).await.unwrap();
    let number = number.state.number().unwrap().to_string();
    assert!(number.ends_with("-00051"), "{number}: the other log's first block is taken");
}

#[tokio::test]
async fn numbers_reserved_in_a_log_that_was_restored_since_are_not_handed_out() {
    let office = Office::open().await;
    let backup = office.log.log.head().await.unwrap();
    office.call().await;
    // The log is lost, is away meanwhile, and comes back as it was before the numbers were reserved: what the directory
    // follows of it, the branches, is as it was.
    office.log.log.cut_after(backup);
    office.fail_with([Fault::Away]);
    let number = async |handlers: &Handlers| {
        let ticket = TicketId(office.meta().command_id.0);
        let handled = handlers.register(ticket, request(), &office.meta()).await?;
        Ok::<_, HandleError>(handled.state.number().unwrap().to_string())
    };
    number(&office.handlers).await.unwrap_err();
    let others = number(&office.others).await.unwrap();
    let ours = number(&office.handlers).await.unwrap();
    assert!(others.ends_with("-00001") && ours.ends_with("-00051"), "{others}, {ours}");
}

/// The log is restored as it was before the answer, and goes on otherwise at the very position; of the former answer this
/// process has read, and nothing else.
async fn a_stream_that_was_read_in_a_log_that_was_restored_since(away: bool) {
    let office = Office::open().await;
    let handlers = async |seed| {
        let (clock, ids) = (office.clock.clone(), Arc::new(SeededIds::new(seed)));
        let actor = Actor::new("test").unwrap();
        Handlers::start(office.log.clone(), clock, ids, actor, Config::default()).await.unwrap()
    };
    let ticket = office.call().await;
    let backup = office.log.log.head().await.unwrap();
    let reader = handlers(11).await;
    office.handlers.ticket(ticket, &respond(), &office.meta()).await.unwrap();
    assert!(reader.known_ticket(ticket).await.unwrap().responded_at.is_some());
    office.log.log.cut_after(backup);
    let assign = TicketCommand::from(AssignHandler { handler: staff("T1") });
    handlers(12).await.ticket(ticket, &assign, &office.meta()).await.unwrap();
    let cancel = TicketCommand::from(CancelTicket { reason: Line::new("取消").unwrap() });
    if away {
        office.fail_with([Fault::Away]);
        reader.ticket(ticket, &cancel, &office.meta()).await.unwrap_err();
    } else {
        // Nobody asked anything meanwhile; the next look finds out.
        tokio::time::sleep(Duration::from_secs(10)).await;
        assert_eq!(reader.directory().log_generation(), 1);
    }
    let cancelled = reader.ticket(ticket, &cancel, &office.meta()).await.unwrap().state;
    assert_eq!((cancelled.responded_at, cancelled.handler), (None, Some(staff("T1"))));
    let stored = office.log.log.commits_after(Position::START);
    let mut chain = cuiban_event_schema::Chain::default();
    for commit in stored {
        let (kind, id) = (commit.stream.kind.as_str(), commit.stream.id.as_str());
        chain.check(kind, id, &commit.payload).unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_was_read_before_the_log_was_away_and_restored_is_read_anew() {
    a_stream_that_was_read_in_a_log_that_was_restored_since(true).await;
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_was_read_before_the_log_was_restored_unnoticed_is_read_anew() {
    a_stream_that_was_read_in_a_log_that_was_restored_since(false).await;
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_a_position_of_a_log_that_was_restored_since_is_let_go() {
    let office = Office::open().await;
    let directory = office.handlers.directory();
    let (lost, generation) = (Position::from_raw(1_000), directory.log_generation());
    let waiting = directory.wait_for_in(lost, generation);
    let restored = async {
        office.log.log.cut_after(Position::from_raw(1));
        office.log.log.head().await.unwrap()
    };
    assert!(!tokio::join!(waiting, restored).0);
    // A caller who comes later with a position of the former log waits for nothing.
    assert!(!directory.wait_for_in(lost, generation).await);
    assert!(directory.wait_for_in(Position::from_raw(1), directory.log_generation()).await);
}

#[tokio::test]
async fn a_cached_stream_is_read_anew_when_what_follows_does_not_follow_on_it() {
    let office = Office::open().await;
    let ticket = office.call().await;
    let before = office.log.log.head().await.unwrap();
    office.handlers.ticket(ticket, &respond(), &office.meta()).await.unwrap();
    // The log is restored as it was before the answer, and goes on otherwise, to beyond where it was.
    office.log.log.cut_after(before);
    let cancel = TicketCommand::from(CancelTicket { reason: Line::new("取消").unwrap() });
    office
        .others
        .ticket(ticket, &TicketCommand::from(AssignHandler { handler: staff("T1") }), &office.meta())
        .await
        .unwrap();
    office.others.ticket(ticket, &cancel, &office.meta()).await.unwrap();
    let state = office.handlers.ticket_now(ticket).await.unwrap();
    assert_eq!((state.responded_at, state.handler), (None, Some(staff("T1"))));
}
