//! Commits that this build cannot read: whom they concern, and how an operator steps over them.

use super::*;

impl Office {
    /// Bytes that no build reads, behind what the stream has.
    fn spoil(&self, kind: &str, id: &str) -> UnreadableAt {
        self.store(kind, id, Bytes::from_static(b"\xff garbage"))
    }

    /// What a build of a newer schema would have written.
    fn newer(&self, kind: &str, id: &str) -> UnreadableAt {
        let record = cuiban_event_schema::proto::CommitRecord { schema_version: 99, ..Default::default() };
        self.store(kind, id, record.encode_to_vec().into())
    }

    fn store(&self, kind: &str, id: &str, payload: Bytes) -> UnreadableAt {
        let token = |text: &str| Token::new(text).unwrap();
        let stream = StreamId { kind: token(kind), id: token(id) };
        let expected = self.log.log.stream_version(&stream).map_or(Expected::NoStream, Expected::At);
        let class = if kind == "ticket" { "case" } else { "policy" };
        let route = Route { branch: token("B0"), class: token(class) };
        let sha256 = cuiban_event_schema::hash(&payload);
        let append = Append { stream: stream.clone(), expected, route, commit_id: Uuid::nil(), payload };
        UnreadableAt { stream, position: self.log.log.append_now(append).unwrap().position, sha256 }
    }
}

struct UnreadableAt {
    stream: StreamId,
    position: Position,
    sha256: [u8; 32],
}

impl UnreadableAt {
    fn step(&self) -> StepOver {
        let reason = Line::new("误写入 / written by mistake").unwrap();
        StepOver { position: self.position, sha256: self.sha256, reason, even_newer: false }
    }
}

#[expect(clippy::needless_pass_by_value, reason = "a handler's answer, as it comes")]
fn is_unreadable<T>(result: Result<T, HandleError>) -> bool {
    matches!(result, Err(HandleError::Unreadable(_)))
}

#[tokio::test]
async fn a_stream_that_cannot_be_read_refuses_commands_until_it_is_stepped_over() {
    let office = Office::open().await;
    let (ticket, other) = (office.call().await, office.call().await);
    let first = office.meta();
    office.handlers.ticket(ticket, &respond(), &first).await.unwrap();
    let bad = office.spoil("ticket", &ticket.to_string());
    for handlers in [&office.handlers, &office.others] {
        let cancel = TicketCommand::from(CancelTicket { reason: Line::new("取消").unwrap() });
        assert!(is_unreadable(handlers.ticket(ticket, &cancel, &office.meta()).await));
        assert!(is_unreadable(handlers.ticket_now(ticket).await));
        let replayed = handlers.ticket(ticket, &respond(), &first).await.unwrap();
        assert_eq!(
            (replayed.outcome, replayed.revision),
            (Outcome::Replayed, 2),
            "what was recorded is found"
        );
    }
    office.handlers.ticket(other, &respond(), &office.meta()).await.unwrap();

    let meta = office.meta();
    let wrong = StepOver { sha256: [0; 32], ..bad.step() };
    let refused = office.handlers.step_over(&bad.stream, &wrong, None, &meta).await;
    assert!(
        matches!(refused, Err(HandleError::StepsOverAnother { position, .. }) if position == bad.position)
    );
    let stepped = office.handlers.step_over(&bad.stream, &bad.step(), None, &meta).await.unwrap();
    assert_eq!(stepped.revision, 4, "revisions count what is stored");
    let again = office.others.step_over(&bad.stream, &bad.step(), None, &meta).await.unwrap();
    assert_eq!(again, stepped, "the same command is recorded once");
    let nothing = office.handlers.step_over(&bad.stream, &bad.step(), None, &office.meta()).await;
    assert!(matches!(nothing, Err(HandleError::NothingToStepOver)));

    let recorded = office.log.log.commits_after(bad.position);
    let commit = cuiban_event_schema::decode(&recorded.last().unwrap().payload).unwrap();
    assert_eq!(
        commit.envelope.previous_hash,
        Some(bad.sha256),
        "the chain goes through the bytes as they are"
    );
    for handlers in [&office.handlers, &office.others] {
        assert!(handlers.ticket_now(ticket).await.is_ok());
    }
    let cancel = TicketCommand::from(CancelTicket { reason: Line::new("取消").unwrap() });
    let handled = office.others.ticket(ticket, &cancel, &office.meta()).await.unwrap();
    assert_eq!(handled.revision, 5);
}

#[tokio::test]
async fn what_lies_behind_an_unreadable_commit_counts_when_it_is_stepped_over_and_not_before() {
    let office = Office::open().await;
    let ticket = office.call().await;
    let first = office.spoil("ticket", &ticket.to_string());
    // A newer build read the first one, and went on.
    let respond_commit = {
        let mut commits = office.log.log.commits_after(Position::START);
        let answered = office.call().await;
        office.handlers.ticket(answered, &respond(), &office.meta()).await.unwrap();
        commits.extend(office.log.log.commits_after(first.position));
        let mut commit = cuiban_event_schema::decode(&commits.last().unwrap().payload).unwrap();
        let elsewhere = std::mem::replace(&mut commit.envelope.stream_id, ticket.to_string());
        assert_eq!(elsewhere, answered.to_string());
        cuiban_event_schema::encode(&commit.envelope, &commit.events).unwrap().into()
    };
    office.store("ticket", &ticket.to_string(), respond_commit);
    let second = office.spoil("ticket", &ticket.to_string());
    assert!(office.handlers.known_ticket(ticket).await.unwrap().responded_at.is_none());

    let out_of_turn = office.handlers.step_over(&second.stream, &second.step(), None, &office.meta()).await;
    assert!(matches!(out_of_turn, Err(HandleError::StepsOverAnother { .. })), "the first one comes first");
    office.handlers.step_over(&first.stream, &first.step(), None, &office.meta()).await.unwrap();
    assert!(is_unreadable(office.others.ticket_now(ticket).await), "the second one stands in the way");
    office.handlers.step_over(&second.stream, &second.step(), None, &office.meta()).await.unwrap();
    for handlers in [&office.handlers, &office.others] {
        assert!(handlers.ticket_now(ticket).await.unwrap().responded_at.is_some());
    }
}

#[tokio::test]
async fn a_newer_builds_commit_is_stepped_over_only_if_the_operator_insists() {
    let office = Office::open().await;
    let ticket = office.call().await;
    let newer = office.newer("ticket", &ticket.to_string());
    let refused = office.handlers.step_over(&newer.stream, &newer.step(), None, &office.meta()).await;
    assert!(matches!(refused, Err(HandleError::StepsOverNewer { found: 99 })), "{refused:?}");
    let insisting = StepOver { even_newer: true, ..newer.step() };
    office.handlers.step_over(&newer.stream, &insisting, None, &office.meta()).await.unwrap();
    assert!(office.handlers.ticket_now(ticket).await.is_ok());
}

#[tokio::test]
async fn r3_an_unreadable_numbering_stops_its_own_series_when_the_block_is_used_up_and_goes_on_above() {
    let office = Office::open().await;
    let first = TicketId(office.meta().command_id.0);
    let handled = office.handlers.register(first, request(), &office.meta()).await.unwrap();
    let number = handled.state.number().unwrap().to_string();
    let series = &number[..number.len() - "-00001".len()];
    let bad = office.spoil("numbering", series);
    let register = async |request| {
        let ticket = TicketId(office.meta().command_id.0);
        office.handlers.register(ticket, request, &office.meta()).await
    };
    for _ in 1..Config::default().number_block {
        register(request()).await.expect("the numbers in hand are handed out");
    }
    let unreadable = || -> Vec<_> {
        office.handlers.numbers().unreadable().iter().map(|commit| commit.position).collect()
    };
    assert_eq!(unreadable(), [], "nobody is refused yet");
    assert!(is_unreadable(register(request()).await));
    assert_eq!(unreadable(), [bad.position]);
    let complaint = RegisterTicket { kind: TicketKind::Complaint, ..request() };
    register(complaint).await.expect("other series go on");

    let missing = office.handlers.step_over(&bad.stream, &bad.step(), None, &office.meta()).await;
    assert!(matches!(missing, Err(HandleError::NextNumberMissing)), "{missing:?}");
    let low = office.handlers.step_over(&bad.stream, &bad.step(), Some(20), &office.meta()).await;
    assert!(matches!(low, Err(HandleError::Rejected(_))), "{low:?}");
    office.handlers.step_over(&bad.stream, &bad.step(), Some(501), &office.meta()).await.unwrap();
    let handled = register(request()).await.unwrap();
    assert_eq!(handled.state.number().unwrap().to_string(), format!("{series}-00501"));
    assert_eq!(unreadable(), []);
}

#[tokio::test]
async fn a_copy_of_another_stream_s_commit_is_none_of_this_one_and_is_stepped_over() {
    let office = Office::open().await;
    let (one, other) = (office.call().await, office.call().await);
    let stored = office.log.log.commits_after(Position::START);
    let of_other = stored.iter().find(|commit| commit.stream.id.as_str() == other.to_string()).unwrap();
    let copy = office.store("ticket", &one.to_string(), of_other.payload.clone());
    let copied = office.handlers.ticket(one, &respond(), &office.meta()).await;
    let Err(HandleError::Unreadable(unreadable)) = copied else { panic!("{copied:?}") };
    assert!(unreadable.reason.to_string().contains(&format!("belongs to ticket.{other}")), "{unreadable:?}");
    office.handlers.step_over(&copy.stream, &copy.step(), None, &office.meta()).await.unwrap();
    office.handlers.ticket(one, &respond(), &office.meta()).await.unwrap();
}

#[tokio::test]
async fn r52_an_unreadable_commit_of_a_branch_leaves_in_force_what_it_said_before() {
    let office = Office::open().await;
    let branch = BranchId::new("B0").unwrap();
    let basis = |handlers: &Handlers| {
        handlers.directory().organisation().branch(&branch).unwrap().basis.policy_version.clone()
    };
    assert_eq!(basis(&office.handlers), "c0.b0");
    let bad = office.spoil("branch", "B0");
    office.handlers.directory().wait_for(bad.position).await;
    assert_eq!(basis(&office.handlers), "c0.b0!", "the version says that it may not be the last one");
    let unreadable = office.handlers.directory().unreadable();
    assert_eq!(unreadable.iter().map(|commit| commit.position).collect::<Vec<_>>(), [bad.position]);
    let admit = BranchCommand::from(AdmitStaff {
        member: StaffMember {
            id: staff("T2"),
            name: Name::new("T2").unwrap(),
            role: Role::Technician,
            skills: vec![],
            areas: vec![],
        },
    });
    assert!(is_unreadable(office.handlers.branch(&branch, &admit, &office.meta()).await));
    office.call().await;

    let stepped = office.handlers.step_over(&bad.stream, &bad.step(), None, &office.meta()).await.unwrap();
    office.handlers.directory().wait_for(stepped.position).await;
    assert_eq!(
        (basis(&office.handlers).as_str(), office.handlers.directory().unreadable().len()),
        ("c0.b0", 0)
    );
    office.handlers.branch(&branch, &admit, &office.meta()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_stepped_over_a_commit_in_a_log_that_was_restored_since_is_recorded_again() {
    let office = Office::open().await;
    let ticket = office.call().await;
    let bad = office.spoil("ticket", &ticket.to_string());
    let meta = office.meta();
    let stepped = office.handlers.step_over(&bad.stream, &bad.step(), None, &meta).await.unwrap();
    office.log.log.cut_after(bad.position);
    let other = TicketId(office.meta().command_id.0);
    office.others.register(other, request(), &office.meta()).await.unwrap();
    assert!(office.log.log.head().await.unwrap() >= stepped.position, "it goes on otherwise");
    // Nobody asked anything meanwhile; the next look finds out.
    tokio::time::sleep(Duration::from_secs(10)).await;
    let again = office.handlers.step_over(&bad.stream, &bad.step(), None, &meta).await.unwrap();
    assert!(again.position > stepped.position && again.revision == 3, "{again:?}");
    office.others.ticket(ticket, &respond(), &office.meta()).await.unwrap();
}
