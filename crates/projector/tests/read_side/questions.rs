//! The questions of counter, dispatcher and supervisor.

use std::time::Duration;

use chrono::NaiveDate;
use cuiban_command_handler::CommandMeta;
use cuiban_domain::alert::{Outcome, RecordAttempt};
use cuiban_domain::ids::{ChannelId, TicketId};
use cuiban_domain::sla::{ClockKind, Notice, Rung};
use cuiban_domain::ticket::*;
use cuiban_event_log::Filter;
use cuiban_projector::{
    ClockStanding, Config, DeliveryOutcome, Page, Projector, ProposalReason, ReadError, ReadModels,
    StruckOff, TicketFilter, TicketLifecycle, WorkStage,
};

use crate::feeding::small;
use crate::history::{BRANCHES, History, branch, name, staff};

const HOUR: Duration = Duration::from_secs(3600);

/// The models of this history, caught up.
struct Asked {
    projector: Projector,
    _dir: tempfile::TempDir,
}

impl Asked {
    async fn of(history: &History) -> Self {
        Self::within(history, Config::default()).await
    }

    async fn within(history: &History, config: Config) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let config = Config { store: small(), ..config };
        let log = std::sync::Arc::new(history.log.clone());
        let projector =
            Projector::start(log, &dir.path().join("models"), Filter::everything(), config).await.unwrap();
        let asked = Self { projector, _dir: dir };
        asked.see_all_of(history).await;
        asked
    }

    async fn see_all_of(&self, history: &History) {
        let head = history.commits().last().unwrap().position;
        let mut progress = self.projector.progress();
        progress.wait_for(|one| one.caught_up && one.position >= head).await.unwrap();
    }

    fn models(&self) -> ReadModels {
        self.projector.models()
    }
}

fn respond() -> RespondToCustomer {
    RespondToCustomer { channel: Channel::Phone, answer: None, resolution_limit: None }
}

fn dispatch(technician: &str) -> DispatchTechnician {
    DispatchTechnician { technician: staff(technician), visit: None }
}

fn phone(number: u64) -> cuiban_domain::people::Phone {
    format!("139{number:08}").parse().unwrap()
}

fn call_from(number: u64) -> RegisterTicket {
    let mut call = History::call();
    call.customer.phone = phone(number);
    call
}

#[tokio::test]
async fn a_ticket_is_found_by_id_number_phone_and_words() {
    let mut history = History::office(71).await;
    let ticket = history.register(RegisterTicket { product_model: name("KX-９00"), ..call_from(1) }).await;
    history.register(call_from(2)).await;
    let asked = Asked::of(&history).await;
    let models = asked.models();
    let row = models.ticket(ticket).unwrap().unwrap();
    assert_eq!(row.number.as_str(), "BX-202611-00001");
    assert_eq!(models.ticket_by_number("BX-202611-00001").unwrap().unwrap(), row);
    assert!(models.ticket_by_number("BX-202611-99999").unwrap().is_none());
    for filter in [
        TicketFilter { phone: Some(phone(1)), ..TicketFilter::default() },
        TicketFilter { text: Some("kx-９".to_owned()), ..TicketFilter::default() },
        TicketFilter { text: Some("bx-202611-00001".to_owned()), open_only: true, ..TicketFilter::default() },
    ] {
        assert_eq!(
            models.tickets(&filter, &Page::default()).unwrap().rows,
            std::slice::from_ref(&row),
            "{filter:?}"
        );
    }
    let nobody = TicketFilter { text: Some("丙公司".to_owned()), ..TicketFilter::default() };
    assert!(models.tickets(&nobody, &Page::default()).unwrap().rows.is_empty());
}

#[tokio::test]
async fn pages_give_every_ticket_once_the_latest_call_first() {
    let history = History::drawn(72, 400).await;
    let asked = Asked::of(&history).await;
    let models = asked.models();
    let everything = TicketFilter::default();
    let of_branch = |id: &str| TicketFilter { branch: Some(branch(id)), ..TicketFilter::default() };
    let open = TicketFilter { open_only: true, ..TicketFilter::default() };
    let complaints = TicketFilter { kind: Some(TicketKind::Complaint), ..TicketFilter::default() };
    let mut seen_by_branch = 0;
    for filter in [everything, of_branch("B0"), of_branch("B1"), of_branch("B2"), open, complaints] {
        let (mut rows, mut page) = (Vec::new(), Page { after: None, limit: 7 });
        loop {
            let answer = models.tickets(&filter, &page).unwrap();
            rows.extend(answer.rows);
            page.after = answer.next;
            if page.after.is_none() {
                break;
            }
        }
        assert!(rows.is_sorted_by_key(|row| std::cmp::Reverse(row.reported_at)));
        let fits = |ticket: &&TicketId| {
            let row = models.ticket(**ticket).unwrap().unwrap();
            filter.branch.as_ref().is_none_or(|branch| row.branch == *branch)
                && filter.kind.is_none_or(|kind| row.kind == kind)
                && (!filter.open_only || row.lifecycle == TicketLifecycle::Open)
        };
        let mut expected: Vec<_> = history.tickets.iter().filter(fits).copied().collect();
        let mut found: Vec<_> = rows.iter().map(|row| row.ticket).collect();
        expected.sort();
        found.sort();
        assert_eq!(found, expected, "{filter:?}");
        seen_by_branch += if filter.branch.is_some() { found.len() } else { 0 };
    }
    assert_eq!(seen_by_branch, history.tickets.len());
    let wrong = Page { after: Some("not hex".to_owned()), limit: 0 };
    assert!(matches!(models.tickets(&TicketFilter::default(), &wrong), Err(ReadError::InvalidCursor(_))));
}

#[tokio::test]
async fn r2_a_late_entry_is_visible_as_one_in_the_timeline() {
    let mut history = History::office(73).await;
    let ticket = history.register(History::call()).await;
    history.tell(ticket, dispatch("B0-t0")).await;
    history.clock.advance_by(2 * HOUR);
    history.tell_late(ticket, HOUR, ArriveAtCustomer {}).await;
    let asked = Asked::of(&history).await;
    let timeline = asked.models().timeline(ticket).unwrap();
    assert_eq!(timeline.iter().map(|entry| entry.revision).collect::<Vec<_>>(), [1, 2, 3]);
    let late: Vec<_> = timeline.iter().map(|entry| entry.late_entry).collect();
    assert_eq!(late, [false, false, true]);
    let arrival = &timeline[2];
    assert_eq!(arrival.recorded_at - arrival.occurred_at, chrono::TimeDelta::hours(1));
    assert_eq!(arrival.actor, "operator");
    let names: Vec<_> = arrival.events.iter().map(|event| event.name.as_str()).collect();
    assert_eq!(names, ["technician_arrived", "clock_met"]);
    assert_eq!(arrival.events[0].fields["technician"], "B0-t0");
    assert_eq!(timeline[0].events[0].fields["customer"]["name"], "甲公司");
    assert!(asked.models().timeline(TicketId(uuid::Uuid::nil())).unwrap().is_empty());
}

#[tokio::test]
async fn r5_a_second_call_within_the_window_is_a_possible_duplicate() {
    let mut history = History::office(74).await;
    let first = history.register(call_from(1)).await;
    history.clock.advance_by(HOUR);
    let second = history.register(call_from(1)).await;
    let other_product =
        history.register(RegisterTicket { product_model: name("KX-100"), ..call_from(1) }).await;
    let other_phone = history.register(call_from(2)).await;
    // The company's window is 24 hours.
    history.clock.advance_by(26 * HOUR);
    let much_later = history.register(call_from(1)).await;
    let asked = Asked::of(&history).await;
    let models = asked.models();
    let flag = |ticket| models.ticket(ticket).unwrap().unwrap().possible_duplicate_of;
    assert_eq!(flag(second), Some(first));
    assert_eq!([first, other_product, other_phone, much_later].map(flag), [None; 4]);

    let at = history.now() - 25 * HOUR;
    let window = 2 * HOUR;
    let found =
        models.possible_duplicates(&phone(1), &name("KX-200"), TicketKind::Repair, at, window).unwrap();
    assert_eq!(found.iter().map(|row| row.ticket).collect::<Vec<_>>(), [second, first]);
    let found =
        models.possible_duplicates(&phone(1), &name("KX-200"), TicketKind::Complaint, at, window).unwrap();
    assert!(found.is_empty());
}

#[tokio::test]
async fn r11_the_register_lists_a_branchs_calls_by_the_day_of_its_own_zone() {
    let mut history = History::office(75).await;
    // Monday 08:30 in Shanghai is Sunday evening in New York.
    let here = history.register(History::call()).await;
    let there = history.register(RegisterTicket { branch: branch("B2"), ..History::call() }).await;
    let complaint = RegisterTicket { kind: TicketKind::Complaint, ..History::call() };
    history.register(complaint).await;
    let day = |day| NaiveDate::from_ymd_opt(2026, 11, day).unwrap();
    let asked = Asked::of(&history).await;
    let models = asked.models();
    let tickets = |id: &str, on| {
        let lines = models.repair_register(&branch(id), on, &Page::default()).unwrap().data;
        lines.iter().map(|line| line.ticket).collect::<Vec<_>>()
    };
    let first = |id: &str, on| {
        let page = Page { after: None, limit: 1 };
        models.repair_register(&branch(id), on, &page).unwrap().data.swap_remove(0)
    };
    assert_eq!(tickets("B0", day(16)), [here]);
    assert_eq!(tickets("B2", day(15)), [there]);
    assert!(tickets("B0", day(15)).is_empty() && tickets("B2", day(16)).is_empty());

    history.tell(here, respond()).await;
    history.tell(here, dispatch("B0-t0")).await;
    history.clock.advance_by(HOUR);
    history.tell(here, ArriveAtCustomer {}).await;
    history.tell(here, FixOnSite { remedy: "更换".parse().unwrap(), customer_signed: true }).await;
    let moved =
        TransferTicket { to: branch("B1"), area: None, district: None, reason: "搬迁".parse().unwrap() };
    history.tell(there, moved).await;
    asked.see_all_of(&history).await;
    let line = first("B0", day(16));
    assert_eq!((line.struck_off, line.struck_off_at), (Some(StruckOff::FixedOnSite), Some(history.now())));
    assert_eq!((line.technician, line.arrived_at), (Some(staff("B0-t0")), Some(history.now())));
    let left = first("B2", day(15));
    assert_eq!(left.struck_off, Some(StruckOff::Transferred));
    // The same call, on the day that it had at the new branch.
    let arrived = first("B1", day(16));
    assert_eq!((arrived.ticket, arrived.struck_off), (there, None));
}

#[tokio::test]
async fn r20_the_board_has_emergencies_then_carried_over_work_then_the_least_time_left() {
    let mut history = History::office(76).await;
    let yesterday = history.register(call_from(1)).await;
    let yesterday_sent = history.register(call_from(2)).await;
    history.tell(yesterday_sent, dispatch("B0-t0")).await;
    // 19:30: after the working day. The call belongs to the next one.
    history.clock.advance_by(11 * HOUR);
    let in_the_evening = history.register(call_from(3)).await;
    // Tuesday, 09:30.
    history.clock.advance_by(14 * HOUR);
    let suburban = history.register(RegisterTicket { area: Some(Area::Suburban), ..call_from(4) }).await;
    let emergency = history.register(RegisterTicket { urgency: Urgency::Emergency, ..call_from(5) }).await;
    let paused = history.register(RegisterTicket { urgency: Urgency::Emergency, ..call_from(6) }).await;
    history.tell(paused, PauseTicket { reason: PauseReason::CustomerAbsent, note: None }).await;
    let no_visit = RegisterTicket { kind: TicketKind::Complaint, needs_visit: false, ..call_from(7) };
    history.register(no_visit).await;
    history.register(RegisterTicket { branch: branch("B1"), ..call_from(8) }).await;
    history.clock.advance_by(HOUR);
    let asked = Asked::of(&history).await;
    let models = asked.models();
    let organisation = history.organisation();
    let board = models.board(&branch("B0"), history.now(), &organisation).unwrap().data;
    let order: Vec<_> = board.iter().map(|row| row.ticket).collect();
    assert_eq!(order, [emergency, yesterday, yesterday_sent, in_the_evening, suburban, paused]);
    let row = |ticket| board.iter().find(|row| row.ticket == ticket).unwrap();
    let carried: Vec<_> = board.iter().filter(|row| row.carried_over).map(|row| row.ticket).collect();
    assert_eq!(carried, [yesterday]);
    // 10:30 on Tuesday: of 6 hours none are left of Monday's; 2 hours are used of the evening's; one of the suburb's 7.
    assert_eq!(row(yesterday).remaining(), Some(Duration::ZERO));
    assert_eq!(row(in_the_evening).remaining(), Some(4 * HOUR));
    assert_eq!(row(suburban).remaining(), Some(6 * HOUR));
    assert_eq!(row(paused).standing, Some(ClockStanding::Paused));
    assert_eq!(row(yesterday_sent).stage, WorkStage::Dispatched);

    history.tell(yesterday_sent, ArriveAtCustomer {}).await;
    history.tell(yesterday, CancelTicket { reason: "不需要".parse().unwrap() }).await;
    asked.see_all_of(&history).await;
    let board = models.board(&branch("B0"), history.now(), &organisation).unwrap().data;
    let order: Vec<_> = board.iter().map(|row| row.ticket).collect();
    // With the technician there, nothing runs any more.
    assert_eq!(order, [emergency, in_the_evening, suburban, yesterday_sent, paused]);
    let unknown = models.board(&branch("B9"), history.now(), &organisation);
    assert!(matches!(unknown, Err(ReadError::UnknownBranch(_))));
}

#[tokio::test]
async fn r11_a_busy_day_of_the_register_is_read_in_parts_each_line_once() {
    let mut history = History::office(80).await;
    let mut tickets = Vec::new();
    for call in 0..7 {
        tickets.push(history.register(call_from(call)).await);
    }
    let away =
        TransferTicket { to: branch("B1"), area: None, district: None, reason: "搬迁".parse().unwrap() };
    history.tell(tickets[2], away).await;
    let asked = Asked::of(&history).await;
    let (day, mut page, mut seen) =
        (NaiveDate::from_ymd_opt(2026, 11, 16).unwrap(), Page { after: None, limit: 3 }, Vec::new());
    loop {
        let part = asked.models().repair_register(&branch("B0"), day, &page).unwrap();
        assert!(part.data.len() <= 3 && (part.branch, part.day) == (branch("B0"), day));
        seen.extend(part.data.into_iter().map(|line| (line.ticket, line.struck_off)));
        page.after = part.next_cursor;
        if page.after.is_none() {
            break;
        }
    }
    let moved = |(at, ticket): (usize, &TicketId)| (*ticket, (at == 2).then_some(StruckOff::Transferred));
    assert_eq!(seen, tickets.iter().enumerate().map(moved).collect::<Vec<_>>());
}

#[tokio::test]
async fn r4_r20_a_board_without_room_for_all_shows_the_most_pressing_and_says_how_many_it_left_out() {
    let mut history = History::office(81).await;
    let oldest = history.register(call_from(0)).await;
    history.clock.advance_by(Duration::from_secs(1));
    let mut rest = Vec::new();
    for call in 1..8 {
        rest.push(history.register(call_from(call)).await);
    }
    // Called in the same instant as the others, with the same time left.
    let important = RegisterTicket { customer_level: CustomerLevel::Important, ..call_from(8) };
    let important = history.register(important).await;
    let asked = Asked::within(&history, Config { list_rows_max: 3, ..Config::default() }).await;
    let board = asked.models().board(&branch("B0"), history.now(), &history.organisation()).unwrap();
    let order: Vec<_> = board.data.iter().map(|row| row.ticket).collect();
    assert_eq!((order.len(), board.left_out), (3, 6));
    assert_eq!(order[..2], [oldest, important]);
    assert_eq!(board.data[1].priority, Priority::Medium);
}

fn first_notice(clock: ClockKind) -> Notice {
    Notice { clock, cycle: 1, episode: 0, rung: Rung::Breach, repetition: 0 }
}

#[tokio::test]
async fn clocks_that_are_due_and_were_not_urged_are_found_by_their_due_instants() {
    const GRACE: Duration = Duration::from_secs(10);
    let mut history = History::office(78).await;
    let answered = history.register(call_from(1)).await;
    let unread = history.register(call_from(2)).await;
    let forgotten = history.register(call_from(3)).await;
    let urged = history.register(call_from(4)).await;
    history.tell(answered, respond()).await;
    let called_at = history.now();
    let asked = Asked::of(&history).await;
    let unurged = |at| asked.models().unurged(at, GRACE).unwrap();
    // The dispatch limits of Monday 08:30 run out at 15:30, with the lunch break.
    let arrival_due_at = called_at + 7 * HOUR;
    assert_eq!(unurged(arrival_due_at + GRACE).clocks, 0);
    assert_eq!(unurged(arrival_due_at + GRACE + Duration::from_micros(1)).clocks, 4);
    // A day later the answers are due too, but for the one that was given; one of them is urged, another ticket is
    // told of a moment ago, and one cannot be read.
    history.clock.advance_by(25 * HOUR);
    for clock in [ClockKind::Response, ClockKind::Dispatch] {
        history.tell(urged, IssueExpediteNotice { notice: first_notice(clock) }).await;
    }
    history.tell(answered, IssueExpediteNotice { notice: first_notice(ClockKind::Dispatch) }).await;
    history.spoil(unread).await;
    let meta = CommandMeta { occurred_at: Some(called_at), ..history.meta() };
    let told_late = TicketId(history.handlers.new_id());
    history.handlers.register(told_late, call_from(5), &meta).await.unwrap();
    asked.see_all_of(&history).await;
    let found = unurged(history.now());
    assert_eq!((found.clocks, found.unreadable), (2, 2));
    let oldest = found.oldest.unwrap();
    assert_eq!(
        (oldest.ticket, oldest.clock, oldest.due_at),
        (forgotten, ClockKind::Dispatch, Some(arrival_due_at))
    );
    assert_eq!(found.oldest_unreadable.unwrap().ticket, unread);
    assert_eq!(unurged(history.now() + 2 * GRACE).clocks, 4, "after the grace the late entry counts as well");
}

#[tokio::test]
async fn r60_overdue_limits_and_their_notices_are_listed_until_the_debt_is_paid() {
    let mut history = History::office(77).await;
    let late = history.register(call_from(1)).await;
    let later = history.register(RegisterTicket { branch: branch("B1"), ..call_from(2) }).await;
    history.clock.advance_by(25 * HOUR);
    for ticket in [late, later] {
        history.tell(ticket, IssueExpediteNotice { notice: first_notice(ClockKind::Response) }).await;
        history.tell(ticket, IssueExpediteNotice { notice: first_notice(ClockKind::Dispatch) }).await;
    }
    let asked = Asked::of(&history).await;
    let models = asked.models();
    let overdue = |id: Option<&str>| {
        let id = id.map(branch);
        let page = models.overdue(id.as_ref(), &Page::default()).unwrap();
        page.rows.iter().map(|row| (row.ticket, row.clock)).collect::<Vec<_>>()
    };
    // The dispatch limit of Monday 08:30 ran out on Monday, the response limit a day later.
    assert_eq!(overdue(Some("B0")), [(late, ClockKind::Dispatch), (late, ClockKind::Response)]);
    assert_eq!(overdue(None).len(), 4);
    assert_eq!(models.open_clocks().unwrap().count(), 0);
    let notices = models.notices(None, &Page { after: None, limit: 3 }).unwrap();
    assert_eq!(notices.rows.len(), 3);
    assert!(notices.rows.is_sorted_by_key(|row| std::cmp::Reverse(row.position)));
    assert_eq!(models.overdue_count().unwrap(), 4);
    let rest = models.notices(None, &Page { after: notices.next, limit: 3 }).unwrap();
    assert_eq!((rest.rows.len(), rest.next), (1, None));
    assert_eq!(rest.rows[0].ticket, late);
    assert_eq!(models.notices(Some(&branch("B1")), &Page::default()).unwrap().rows.len(), 2);

    // R40: the technician was there in time after all; R38: the answer came too late.
    history.tell_late(late, 24 * HOUR, dispatch("B0-t0")).await;
    history.tell_late(late, 23 * HOUR, ArriveAtCustomer {}).await;
    history.tell(late, respond()).await;
    asked.see_all_of(&history).await;
    assert_eq!(overdue(Some("B0")), []);
    let row = models.ticket(late).unwrap().unwrap();
    let standings: Vec<_> = row.clocks.iter().map(|clock| clock.standing).collect();
    assert_eq!(standings, [ClockStanding::BreachEnded, ClockStanding::Met]);
    assert_eq!(row.notices_count, 1);
    let superseded = models.notice(first_notice(ClockKind::Dispatch).id(late)).unwrap().unwrap();
    assert!(superseded.superseded);
}

#[tokio::test]
async fn a_notice_tells_how_it_was_pushed() {
    let mut history = History::office(78).await;
    let ticket = history.register(History::call()).await;
    history.clock.advance_by(25 * HOUR);
    let notice = first_notice(ClockKind::Response);
    history.tell(ticket, IssueExpediteNotice { notice }).await;
    let id = notice.id(ticket);
    let reason = || "不通".parse().unwrap();
    for (channel, outcome) in [
        ("wecom", Outcome::Failed(reason())),
        ("mail", Outcome::Failed(reason())),
        ("mail", Outcome::GivenUp(reason())),
        ("wecom", Outcome::Delivered),
    ] {
        let attempt =
            RecordAttempt { branch: branch("B0"), channel: ChannelId::new(channel).unwrap(), outcome };
        history.handlers.alert(&id.to_string(), &attempt, &history.meta()).await.unwrap();
    }
    let asked = Asked::of(&history).await;
    let deliveries = asked.models().deliveries(id).unwrap();
    let told: Vec<_> =
        deliveries.iter().map(|one| (one.channel.as_str(), one.attempts, one.outcome.clone())).collect();
    let expected =
        [("mail", 2, DeliveryOutcome::GivenUp(reason())), ("wecom", 2, DeliveryOutcome::Delivered)];
    assert_eq!(told, expected);
    let row = asked.models().notice(id).unwrap().unwrap();
    assert_eq!((row.deliveries, row.number.as_str()), (deliveries, "BX-202611-00001"));
}

#[tokio::test]
async fn r11_proposals_rank_skill_before_area_before_load_and_say_why() {
    let mut history = History::office(79).await;
    let ticket = history.register(call_from(1)).await;
    let busy = history.register(call_from(2)).await;
    history.tell(busy, dispatch("B0-t0")).await;
    let asked = Asked::of(&history).await;
    let models = asked.models();
    let load = models.technician_load(&branch("B0")).unwrap();
    assert_eq!((load.len(), load[0].technician.as_str(), load[0].open_visits), (1, "B0-t0", 1));
    let organisation = history.organisation();
    let proposals = models.dispatch_proposals(ticket, &organisation).unwrap();
    let order: Vec<_> = proposals.iter().map(|one| one.technician.as_str()).collect();
    // t0 knows the product though busy; t1 lists no skills but works in the suburbs; t2 knows another product.
    assert_eq!(order, ["B0-t0", "B0-t1", "B0-t2"]);
    use ProposalReason as R;
    assert_eq!(proposals[0].reasons, [R::KnowsProduct, R::WorksInArea, R::LightestLoad]);
    assert_eq!(proposals[1].reasons, [R::SkillsNotListed, R::OtherArea, R::Free]);
    assert_eq!(proposals[2].reasons, [R::OtherSkills, R::WorksInArea, R::Free]);
    assert!(models.dispatch_proposals(TicketId(uuid::Uuid::nil()), &organisation).unwrap().is_empty());
}

#[tokio::test]
async fn rows_come_back_equal_from_json() {
    let history = History::drawn(80, 250).await;
    let asked = Asked::of(&history).await;
    let models = asked.models();
    fn round_trip<T>(rows: &[T])
    where
        T: serde::Serialize + serde::de::DeserializeOwned + PartialEq + std::fmt::Debug,
    {
        assert!(!rows.is_empty());
        for row in rows {
            let json = serde_json::to_string(row).unwrap();
            assert_eq!(serde_json::from_str::<T>(&json).unwrap(), *row);
        }
    }
    round_trip(&models.tickets(&TicketFilter::default(), &Page::default()).unwrap().rows);
    round_trip(&models.notices(None, &Page::default()).unwrap().rows);
    round_trip(&models.overdue(None, &Page::default()).unwrap().rows);
    round_trip(&models.open_clocks().unwrap().collect::<Result<Vec<_>, _>>().unwrap());
    let organisation = history.organisation();
    for id in BRANCHES {
        round_trip(&models.board(&branch(id), history.now(), &organisation).unwrap().data);
    }
    history.tickets.iter().for_each(|ticket| round_trip(&models.timeline(*ticket).unwrap()));
}
