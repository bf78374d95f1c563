//! What decisions look things up in: R20, R35, R50, R52, R54.

use cuiban_domain::ids::Actor;
use cuiban_domain::organisation::{
    AdmitStaff, Branch, BranchCommand, BranchHours, ChangeStaff, Company, LeaveStaff, OpenBranch,
    SetBranchHours, SetCompanyCalendar, SetPolicy, SetProvinceDays, StaffMember,
};
use cuiban_domain::people::Role;
use cuiban_domain::sla::{LadderStep, Policy, Rung};
use cuiban_domain::ticket::DeadlineReason;
use cuiban_domain::working_time::{Calendar, DayKind, Explanation, Layer, Measure, SpecialDay, Step, Weekly};

use cuiban_domain::{Aggregate, Context, Instant, Rejection};

use crate::office::{Office, branch, official_calendar, rule, staff};
use crate::story::{at, given_in};
use crate::words::*;

fn day(text: &str) -> chrono::NaiveDate {
    text.parse().unwrap()
}

fn days_of_b0(days: &[SpecialDay]) -> SetBranchHours {
    SetBranchHours { hours: BranchHours { days: days.to_vec(), ..BranchHours::default() } }
}

#[test]
fn all_branches_are_listed_by_id_beside_the_company() {
    let organisation = in_guangdong().organisation;
    let named: Vec<_> =
        organisation.branches().map(|(id, branch)| (id.as_str(), branch.name.clone())).collect();
    let expected = [("B0", "总部服务中心"), ("B1", "柏林服务中心"), ("B2", "广州服务中心")]
        .map(|(id, text)| (id, Some(name(text))));
    assert_eq!(named, expected);
    assert_eq!(organisation.company().calendar(), official_calendar());
}

fn in_guangdong() -> Office {
    let mut office = Office::new();
    let province = Some(name("广东"));
    office.branch("B2", OpenBranch { branch: branch("B2"), name: name("广州服务中心"), province });
    office
}

fn kind_of_day(office: &Office, id: &str, date: &str) -> DayKind {
    office.organisation.branch(&branch(id)).unwrap().calendar.day_kind(day(date))
}

fn is_open(office: &Office, id: &str, date: &str) -> bool {
    !matches!(kind_of_day(office, id, date), DayKind::RestDay | DayKind::SpecialClosed { .. })
}

#[test]
fn r35_the_branch_s_limit_wins_over_the_company_s_and_is_recorded_with_its_versions() {
    let mut office = Office::new();
    let before = office.basis("B0");
    office.limits(&[rule(Dispatch, "5h", Working)]);
    office.branch_limits("B0", &[rule(Dispatch, "2h", Working)]);
    let story = given_in(office.clone(), [at("03-04 09:00", repair())]).due(Dispatch, "03-04 11:00");
    let basis = story.office.basis("B0");
    assert_ne!(basis.policy_version, before.policy_version);
    assert_eq!(basis.calendar_version, before.calendar_version);
    office.branch_limits("B0", &[]);
    given_in(office, [at("03-04 09:00", repair())]).due(Dispatch, "03-04 15:00");
}

#[test]
fn r2_what_a_company_or_branch_is_told_cannot_lie_in_the_future() {
    let now: Instant = "2026-03-04T01:00:00Z".parse().unwrap();
    let actor = Actor::new("K1").unwrap();
    let organisation = Office::new().organisation;
    let context =
        |occurred_at| Context { now, occurred_at, actor: &actor, organisation: &organisation, related: None };
    let (soon, open) = (now + chrono::TimeDelta::microseconds(1), open_b9());
    let future = Rejection::OccurredInFuture { occurred_at: soon, now };
    assert_eq!(Branch::default().decide(&open, &context(soon)), Err(future.clone()));
    assert!(Branch::default().decide(&open, &context(now)).is_ok());
    let policy = SetPolicy { policy: Policy::default() }.into();
    assert_eq!(Company::default().decide(&policy, &context(soon)), Err(future));
    assert!(Company::default().decide(&policy, &context(now)).is_ok());
}

fn open_b9() -> BranchCommand {
    OpenBranch { branch: branch("B9"), name: name("新服务中心"), province: None }.into()
}

#[test]
fn r35_a_policy_that_could_not_be_kept_is_refused_and_the_last_good_one_stays() {
    let mut office = Office::new();
    let mut climbing = Policy::default();
    climbing.ladder.push(LadderStep { rung: Rung::BranchManager, repetitions: 3 });
    let crowded = Policy { limits: vec![rule(Dispatch, "1h", Working); 501], ..Policy::default() };
    for policy in [climbing, crowded] {
        let refused = office.try_company(SetPolicy { policy });
        assert!(matches!(refused, Err(Rejection::PolicyRefused { .. })), "{refused:?}");
    }
    given_in(office, [at("03-04 09:00", repair())]).due(Dispatch, "03-04 16:00");
}

#[test]
fn r50_the_last_layer_wins_national_then_province_then_branch() {
    let mut office = in_guangdong();
    assert!(!is_open(&office, "B2", "2026-10-05"));
    let province = name("广东");
    let opened = vec![SpecialDay::make_up(day("2026-10-05"), "省内加班")];
    office.company(SetProvinceDays { province, days: opened });
    assert!(is_open(&office, "B2", "2026-10-05"));
    assert!(!is_open(&office, "B0", "2026-10-05"));
    office.branch("B2", days_of_b0(&[SpecialDay::closed(day("2026-10-05"), "盘点")]));
    assert!(!is_open(&office, "B2", "2026-10-05"));
    let layer = match kind_of_day(&office, "B2", "2026-10-05") {
        DayKind::SpecialClosed { layer, .. } => layer,
        other => panic!("{other:?}"),
    };
    assert_eq!(layer, "广州服务中心");
}

#[test]
fn r50_a_new_company_calendar_reaches_every_branch_and_leaves_their_own_hours() {
    let mut office = in_guangdong();
    let weekly = Weekly { wed: vec![hours("10:00-20:00")], ..Weekly::default() };
    let calendar = Calendar::new(chrono_tz::Asia::Shanghai, weekly, vec![]).unwrap();
    office.company(SetCompanyCalendar { calendar });
    given_in(office.clone(), [at("03-04 09:00", repair())]).due(Dispatch, "03-04 16:00");
    let mut berlin = call(cuiban_domain::ticket::TicketKind::Repair);
    (berlin.branch, berlin.district, berlin.area) =
        (branch("B1"), None, Some(cuiban_domain::ticket::Area::Urban));
    // 16:00 in Shanghai is 09:00 in Berlin, whose own week is untouched: Thursday is worked there.
    given_in(office, [at("03-05 16:00", register(berlin))]).due(Dispatch, "03-05 22:00");
}

#[test]
fn r50_company_and_branch_days_give_the_calendar_version() {
    let mut office = in_guangdong();
    let before = office.basis("B2");
    office.company(SetProvinceDays { province: name("广东"), days: vec![] });
    let after = office.basis("B2");
    assert_ne!(before.calendar_version, after.calendar_version);
    office.branch("B2", days_of_b0(&[SpecialDay::closed(day("2026-03-05"), "盘点")]));
    assert_ne!(after.calendar_version, office.basis("B2").calendar_version);
    assert_eq!(before.policy_version, office.basis("B2").policy_version);
}

#[test]
fn r52_a_branch_without_any_working_time_is_refused_and_the_last_good_hours_stay() {
    let mut office = Office::new();
    let closed = BranchHours { weekly: Some(Weekly::default()), ..BranchHours::default() };
    let refused = office.try_branch("B0", SetBranchHours { hours: closed });
    let Err(Rejection::CalendarRefused { reason, .. }) = refused else { panic!("{refused:?}") };
    assert_eq!(reason, "calendar_empty");
    let overlapping = vec![hours("08:30-12:00"), hours("11:00-13:00")];
    let weekly = Some(Weekly { mon: overlapping, ..Weekly::default() });
    let refused =
        office.try_branch("B0", SetBranchHours { hours: BranchHours { weekly, ..BranchHours::default() } });
    assert!(matches!(refused, Err(Rejection::CalendarRefused { .. })), "{refused:?}");
    given_in(office, [at("03-04 09:00", repair())]).due(Dispatch, "03-04 16:00");
}

#[test]
fn r52_a_company_calendar_that_would_leave_a_branch_without_working_time_is_refused() {
    let mut office = Office::new();
    // B0 works only on a day that the company's calendar opens.
    let special = SpecialDay::with_hours(day("2026-12-31"), vec![hours("08:00-18:00")], "年终");
    let layer = Layer { name: "全国".into(), days: vec![special], ..Layer::default() };
    let official = official_calendar();
    let with_day = Calendar::new(official.zone(), official.weekly().clone(), vec![layer]).unwrap();
    office.company(SetCompanyCalendar { calendar: with_day });
    let hours = BranchHours { weekly: Some(Weekly::default()), ..BranchHours::default() };
    office.branch("B0", SetBranchHours { hours });
    let refused = office.try_company(SetCompanyCalendar { calendar: official_calendar() });
    assert!(matches!(refused, Err(Rejection::CalendarRefused { .. })), "{refused:?}");
    assert!(is_open(&office, "B0", "2026-12-31"));
}

#[test]
fn r52_a_limit_beyond_the_calendar_s_last_day_is_refused_not_guessed() {
    let mut office = Office::new();
    let special = SpecialDay::with_hours(day("2026-03-04"), vec![hours("08:00-12:00")], "最后一天");
    let hours =
        BranchHours { weekly: Some(Weekly::default()), days: vec![special], ..BranchHours::default() };
    office.branch("B0", SetBranchHours { hours });
    let outcome = given_in(office.clone(), []).when(at("03-04 09:00", repair()));
    let detail =
        "the calendar has no working time beyond 2026-03-04: give it a weekly pattern or further days";
    outcome.then_rejected(Rejection::DueInstantNotComputable { detail: detail.into() });
    office.branch_limits("B0", &[rule(Dispatch, "3h", Working)]);
    given_in(office, [at("03-04 09:00", repair())]).due(Dispatch, "03-04 12:00");
}

#[test]
fn r20_a_call_is_carried_over_when_the_working_day_of_the_call_has_ended() {
    let office = Office::new();
    let calendar = office.organisation.branch(&branch("B0")).unwrap().calendar;
    assert_eq!(calendar.end_of_working_day(instant("03-04 09:00")), Some(instant("03-04 17:30")));
    assert_eq!(calendar.end_of_working_day(instant("03-04 23:00")), Some(instant("03-04 17:30")));
    assert_eq!(calendar.end_of_working_day(instant("02-14 09:00")), Some(instant("02-14 17:30")));
    assert_eq!(calendar.end_of_working_day(instant("02-16 09:00")), None);
}

#[test]
fn r54_a_recorded_due_instant_is_explained_interval_by_interval() {
    let story = given_in(Office::new(), [at("02-14 17:00", repair())]);
    let clock = story.clock(Dispatch);
    let calendar = story.office.organisation.branch(&branch("B0")).unwrap().calendar;
    let explained: Explanation =
        calendar.explain(clock.started_at, clock.limit.span.duration(), &[], Measure::Working).unwrap();
    assert_eq!(explained.due_at, Some(instant("02-24 15:00")));
    let counted = explained.steps.iter().filter(|step| matches!(step, Step::Counted { .. })).count();
    let skipped = explained.steps.iter().filter(|step| matches!(step, Step::Skipped { .. })).count();
    assert_eq!((counted, skipped), (3, 9));
}

#[test]
fn r53_a_preview_with_another_company_calendar_leaves_the_real_one_alone() {
    let office = Office::new();
    let closed = SpecialDay::closed(day("2026-03-05"), "停电");
    let official = official_calendar();
    let layer = Layer { name: "全国".into(), days: vec![closed], ..Layer::default() };
    let changed = Calendar::new(official.zone(), official.weekly().clone(), vec![layer]).unwrap();
    let preview = office.organisation.with_company_calendar(&changed).unwrap();
    assert_eq!(preview.branch(&branch("B0")).unwrap().calendar.day_kind(day("2026-03-04")), DayKind::Workday);
    assert!(matches!(
        preview.branch(&branch("B0")).unwrap().calendar.day_kind(day("2026-03-05")),
        DayKind::SpecialClosed { .. }
    ));
    assert_eq!(kind_of_day(&office, "B0", "2026-03-05"), DayKind::Workday);
}

#[test]
fn r6_a_person_leaves_once_to_a_successor_who_stays() {
    let mut office = Office::new();
    let leave = |staff_id, successor| LeaveStaff { staff: staff(staff_id), successor: staff(successor) };
    let mut refused = |command: LeaveStaff| office.try_branch("B0", command).unwrap_err();
    assert_eq!(refused(leave("T9", "T1")), Rejection::StaffHasLeft { staff: staff("T9") });
    assert_eq!(refused(leave("T1", "T9")), Rejection::StaffHasLeft { staff: staff("T9") });
    assert_eq!(refused(leave("T1", "T1")), Rejection::NothingToChange);
    let unknown = Rejection::UnknownStaff { branch: branch("B0"), staff: staff("T5") };
    assert_eq!(refused(leave("T1", "T5")), unknown);
}

#[test]
fn a_person_who_left_may_come_back_and_nobody_is_admitted_twice() {
    let mut office = Office::new();
    let member = |id| StaffMember {
        id: staff(id),
        name: name(id),
        role: Role::Technician,
        skills: vec![],
        areas: vec![],
    };
    let twice = office.try_branch("B0", AdmitStaff { member: member("T1") });
    assert_eq!(twice, Err(Rejection::StaffAlreadyKnown { staff: staff("T1") }));
    let gone = office.try_branch("B0", ChangeStaff { member: member("T9") });
    assert_eq!(gone, Err(Rejection::StaffHasLeft { staff: staff("T9") }));
    office.branch("B0", AdmitStaff { member: member("T9") });
    assert!(office.organisation.branch(&branch("B0")).unwrap().technician(&staff("T9")).is_ok());
}

#[test]
fn a_branch_is_opened_once_and_obeys_nothing_before() {
    let mut office = Office::new();
    let open = OpenBranch { branch: branch("B0"), name: name("再开"), province: None };
    assert_eq!(office.try_branch("B0", open), Err(Rejection::BranchAlreadyOpen));
    let early = office.try_branch("B8", days_of_b0(&[]));
    assert!(matches!(early, Err(Rejection::UnknownBranch { .. })), "{early:?}");
    assert!(office.organisation.branch(&branch("B8")).is_err());
}

#[test]
fn r36_the_first_commands_after_a_change_already_see_it() {
    let mut office = Office::new();
    office.branch("B0", days_of_b0(&[SpecialDay::closed(day("2026-03-05"), "停电")]));
    given_in(office, [at("03-04 15:00", repair())])
        .due(Dispatch, "03-06 12:00")
        .when(at("03-04 15:01", move_deadlines(DeadlineReason::Calendar)))
        .then_nothing();
}
