//! Tickets that this build cannot read: they hold up no other.

use super::*;

#[tokio::test]
async fn r61_tickets_that_cannot_be_read_hold_up_no_other_however_many_they_are() {
    let office = Office::open().await;
    let mut unreadable = Vec::new();
    for _ in 0..Config::default().notices_in_flight_max * 2 + 1 {
        unreadable.push(office.call().await);
    }
    let healthy = office.call().await;
    let due_at = dispatch_due(&office);
    // Half of them before the watchdog starts, half while it runs.
    let (before, meanwhile) = unreadable.split_at(unreadable.len() / 2);
    before.iter().for_each(|ticket| drop(office.spoil(&stream(*ticket))));
    let watchdog = office.watch("one");
    watchdog.status().wait_for(|status| status.caught_up).await.unwrap();
    meanwhile.iter().for_each(|ticket| drop(office.spoil(&stream(*ticket))));
    let aside = unreadable.len();
    watchdog.status().wait_for(|status| status.put_aside == aside && status.open_clocks == 2).await.unwrap();
    office.clock.advance_to(due_at + TimeDelta::microseconds(1));
    let issued = office.until_notices(1).await;
    assert_eq!(issued, [(healthy, due_at, false, due_at + TimeDelta::microseconds(1))]);
    watchdog.stop().await;

    // They are put aside by the next watchdog too, and by one that has to begin from nothing.
    for name in ["one", "two"] {
        let watchdog = office.watch(name);
        watchdog.status().wait_for(|status| status.put_aside == aside && status.caught_up).await.unwrap();
        watchdog.stop().await;
    }
}

#[tokio::test]
async fn r61_overdue_tickets_that_turn_out_to_be_unreadable_hold_up_no_other() {
    let office = Office::open().await;
    let mut unreadable = Vec::new();
    for _ in 0..Config::default().notices_in_flight_max * 2 {
        unreadable.push(office.call().await);
    }
    // Known to the watchdog's own store as open, and spoilt while it is down: first in line when it is back.
    let watchdog = office.watch("one");
    let clocks = unreadable.len() * 2;
    watchdog.status().wait_for(|status| status.open_clocks == clocks).await.unwrap();
    watchdog.stop().await;
    unreadable.iter().for_each(|ticket| drop(office.spoil(&stream(*ticket))));
    office.clock.advance_by(Duration::from_secs(1));
    let healthy = office.call().await;
    office.clock.advance_to(dispatch_due(&office) + TimeDelta::hours(1));
    let watchdog = office.watch("one");
    assert_eq!(office.until_notices(1).await[0].0, healthy);
    watchdog.stop().await;
}

#[tokio::test]
async fn r36_one_that_cannot_be_read_puts_off_neither_moves_nor_the_notices_of_others() {
    let office = Office::open().await;
    let (unreadable, healthy) = (office.call().await, office.call().await);
    let watchdog = office.watch("one");
    watchdog.status().wait_for(|status| status.open_clocks == 4).await.unwrap();
    office.spoil(&stream(unreadable));
    office.branch(two_hours()).await;
    let due_at = office.clock.now() + TimeDelta::hours(2);
    office.until(|commit| has(commit, |event| moved_to(event, due_at))).await;
    watchdog.status().wait_for(|status| status.next_due == Some(due_at)).await.unwrap();
    office.clock.advance_to(due_at + TimeDelta::microseconds(1));
    let issued = office.until_notices(1).await;
    assert_eq!(issued, [(healthy, due_at, false, due_at + TimeDelta::microseconds(1))]);
    watchdog.stop().await;
}

#[tokio::test]
async fn r61_a_ticket_that_is_stepped_over_is_watched_again_by_the_rules_that_hold_then() {
    let office = Office::open().await;
    let ticket = office.call().await;
    let watchdog = office.watch("one");
    let step = office.spoil(&stream(ticket));
    watchdog.status().wait_for(|status| status.put_aside == 1).await.unwrap();
    office.branch(two_hours()).await;
    let due_at = office.clock.now() + TimeDelta::hours(2);
    office.handlers.step_over(&stream(ticket), &step, None, &office.meta()).await.unwrap();
    office.until(|commit| has(commit, |event| moved_to(event, due_at))).await;
    watchdog.status().wait_for(|status| status.put_aside == 0 && status.open_clocks == 2).await.unwrap();
    office.clock.advance_to(due_at + TimeDelta::microseconds(1));
    assert_eq!(office.until_notices(1).await[0].1, due_at);
    watchdog.stop().await;

    // Nobody after it puts the ticket aside, from its own store or from the log's start.
    for name in ["one", "two"] {
        let watchdog = office.watch(name);
        let mut status = watchdog.status();
        let caught_up = status.wait_for(|status| status.caught_up).await.unwrap().clone();
        assert_eq!((caught_up.put_aside, caught_up.open_clocks), (0, 1));
        watchdog.stop().await;
    }
}

#[tokio::test]
async fn r36_a_changed_policy_behind_an_unreadable_commit_moves_due_instants_when_it_is_stepped_over() {
    let office = Office::open().await;
    let branch_stream = StreamId { kind: Token::new("branch").unwrap(), id: Token::new("B0").unwrap() };
    // What a newer build, which reads the unreadable commit, records behind it.
    let limits = {
        let before = office.log.head().await.unwrap();
        let elsewhere = BranchId::new("B9").unwrap();
        let open = OpenBranch { branch: elsewhere.clone(), name: name("城西"), province: None };
        office.handlers.branch(&elsewhere, &open.into(), &office.meta()).await.unwrap();
        office.handlers.branch(&elsewhere, &two_hours(), &office.meta()).await.unwrap();
        let mut commit =
            cuiban_event_schema::decode(&office.memory.commits_after(before)[1].payload).unwrap();
        commit.envelope.stream_id = "B0".to_owned();
        Bytes::from(cuiban_event_schema::encode(&commit.envelope, &commit.events).unwrap())
    };
    office.call().await;
    let watchdog = office.watch("one");
    let step = office.spoil(&branch_stream);
    let version = office.memory.stream_version(&branch_stream).unwrap();
    let route = Route { branch: Token::new("B0").unwrap(), class: Token::new("policy").unwrap() };
    let append = Append {
        stream: branch_stream.clone(),
        expected: Expected::At(version),
        route,
        commit_id: Uuid::from_u128(9),
        payload: limits,
    };
    let behind = office.memory.append_now(append).unwrap();
    office.handlers.directory().wait_for(behind.position).await;
    let limits_of = || {
        let organisation = office.handlers.directory().organisation();
        organisation.branch(&branch()).unwrap().branch.limits.len()
    };
    assert_eq!(limits_of(), 0, "what is behind does not count yet");
    let stepped = office.handlers.step_over(&branch_stream, &step, None, &office.meta()).await.unwrap();
    office.handlers.directory().wait_for(stepped.position).await;
    assert_eq!(limits_of(), 1);
    let due_at = office.clock.now() + TimeDelta::hours(2);
    office.until(|commit| has(commit, |event| moved_to(event, due_at))).await;
    watchdog.stop().await;
}

#[tokio::test]
async fn r6_a_ticket_that_cannot_be_read_holds_up_no_other_succession_and_is_passed_on_when_it_can() {
    let office = Office::open().await;
    let technician = |id: &str| StaffMember {
        id: staff(id),
        name: name(id),
        role: Role::Technician,
        skills: vec![],
        areas: vec![],
    };
    for id in ["T3", "T4"] {
        office.branch(AdmitStaff { member: technician(id) }.into()).await;
    }
    let (unreadable, healthy) = (office.call().await, office.call().await);
    office.obey(unreadable, DispatchTechnician { technician: staff("T1"), visit: None }).await;
    office.obey(healthy, DispatchTechnician { technician: staff("T3"), visit: None }).await;
    let step = office.spoil(&stream(unreadable));
    let watchdog = office.watch("one");
    office.branch(LeaveStaff { staff: staff("T1"), successor: staff("T2") }.into()).await;
    office.branch(LeaveStaff { staff: staff("T3"), successor: staff("T4") }.into()).await;
    let passed_on = |commit: &Commit, ticket: TicketId| {
        commit.envelope.stream_id == ticket.to_string()
            && has(commit, |event| matches!(event, TicketEvent::TicketReassigned { .. }))
    };
    office.until(|commit| passed_on(commit, healthy)).await;
    office.handlers.step_over(&stream(unreadable), &step, None, &office.meta()).await.unwrap();
    office.until(|commit| passed_on(commit, unreadable)).await;
    assert_eq!(office.handlers.ticket_now(unreadable).await.unwrap().technician, Some(staff("T2")));
    watchdog.stop().await;
}
