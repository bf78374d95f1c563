//! What the office asks of the read models.

use serde_json::{Value, json};

use crate::desk::{Desk, call, call_with};

fn data(answer: &Value) -> Vec<Value> {
    answer["data"].as_array().unwrap().clone()
}

#[tokio::test]
async fn tickets_are_found_by_id_number_branch_kind_phone_and_words() {
    let desk = Desk::staffed().await;
    let repair = desk.registered(call()).await;
    let complaint = desk.registered(call_with("kind", json!("complaint"))).await;
    let one = desk.get(&format!("/v1/tickets/{repair}")).await;
    assert_eq!((one.ok()["number"].as_str(), one.header("etag")), (Some("BX-202611-00001"), "\"1\""));
    let head = desk.log.head().await.unwrap().to_string();
    assert_eq!(one.header("cuiban-position"), head);
    assert_eq!(desk.get("/v1/tickets/TS-202611-00001").await.ok()["ticket"], complaint);
    assert_eq!(desk.get("/v1/tickets/BX-202611-99999").await.problem(404)["code"], "ticket_not_found");
    assert_eq!(desk.get("/v1/tickets/a%20b").await.problem(400)["code"], "invalid_id");
    for (query, found) in [
        ("", 2),
        ("?branch=B0&kind=complaint", 1),
        ("?phone=13800138000", 2),
        ("?phone=13800138001", 0),
        ("?q=%E4%B8%8D%E5%88%B6%E5%86%B7&open=true", 2),
        ("?q=nothing-like-it", 0),
    ] {
        let answer = desk.get(&format!("/v1/tickets{query}")).await.ok();
        assert_eq!(data(&answer).len(), found, "{query}");
    }
}

#[tokio::test]
async fn lists_are_paged_by_cursor() {
    let desk = Desk::staffed().await;
    for _ in 0..5 {
        desk.later(1);
        desk.registered(call()).await;
    }
    let (mut path, mut numbers) = ("/v1/tickets?limit=2".to_owned(), Vec::new());
    loop {
        let page = desk.get(&path).await.ok();
        numbers.extend(data(&page).iter().map(|row| row["number"].as_str().unwrap().to_owned()));
        match page["next_cursor"].as_str() {
            Some(cursor) => path = format!("/v1/tickets?limit=2&cursor={cursor}"),
            None => break,
        }
    }
    assert_eq!(numbers.len(), 5);
    assert!(numbers.is_sorted_by(|a, b| a > b), "{numbers:?}");
    for bad in ["?limit=0", "?limit=1000", "?limit=x", "?cursor=zz", "?colour=red", "?open=maybe", "?phone=1"]
    {
        let problem = desk.get(&format!("/v1/tickets{bad}")).await.problem(400);
        assert_eq!(problem["code"], "invalid_query", "{bad}");
    }
}

#[tokio::test]
async fn r2_a_tickets_history_tells_both_times_and_who() {
    let desk = Desk::staffed().await;
    let ticket = desk.registered(call()).await;
    desk.later(80);
    let path = format!("/v1/tickets/{ticket}/respond");
    let body = json!({ "channel": "phone", "occurred_at": "2026-11-23T10:20:00+08:00" });
    desk.post_with(&path, &[("cuiban-actor", "S1")], body).await.ok();
    let history = data(&desk.get(&format!("/v1/tickets/{ticket}/history")).await.ok());
    assert_eq!(history.len(), 2);
    let entry = &history[1];
    assert_eq!((&entry["actor"], &entry["late_entry"]), (&Value::from("S1"), &Value::from(true)));
    assert_eq!(entry["occurred_at"], "2026-11-23T02:20:00Z");
    assert_eq!(entry["recorded_at"], "2026-11-23T03:20:00Z");
    assert_eq!(entry["events"][0]["name"], "customer_responded");
}

#[tokio::test]
async fn r54_a_due_instant_is_explained_with_its_pauses() {
    let desk = Desk::staffed().await;
    let ticket = desk.registered(call()).await;
    desk.later(30);
    desk.post(&format!("/v1/tickets/{ticket}/pause"), json!({ "reason": "customer_absent" })).await.ok();
    let path = format!("/v1/tickets/{ticket}/clocks/dispatch/explain");
    let paused = desk.get(&path).await.ok();
    assert_eq!(paused["explanation"]["remaining_s"], 5.5 * 3600.0);
    desk.later(60);
    desk.post(&format!("/v1/tickets/{ticket}/resume"), json!({})).await.ok();
    let told = desk.get(&path).await.ok();
    assert_eq!(
        (&told["agrees"], &told["clock"]["due_at"]),
        (&Value::from(true), &told["explanation"]["due_at"])
    );
    assert_eq!(told["clock"]["due_at"], "2026-11-24T01:00:00Z");
    let steps: Vec<_> = told["explanation"]["steps"]
        .as_array()
        .unwrap()
        .iter()
        .map(|step| step["step"].as_str().unwrap())
        .collect();
    assert!(steps.contains(&"paused") && steps.contains(&"counted"), "{steps:?}");
    assert_eq!(told["clock"]["calendar_version"], "c0.b0");
    let wall = desk.get(&format!("/v1/tickets/{ticket}/clocks/response/explain")).await.ok();
    assert_eq!(
        (&wall["agrees"], &wall["explanation"]["measure"]),
        (&Value::from(true), &Value::from("wall"))
    );
    let absent = desk.get(&format!("/v1/tickets/{ticket}/clocks/resolution/explain")).await;
    assert_eq!(absent.problem(404)["code"], "clock_not_found");
    let odd = desk.get(&format!("/v1/tickets/{ticket}/clocks/lunch/explain")).await;
    assert_eq!(odd.problem(400)["code"], "invalid_id");
}

#[tokio::test]
async fn r5_possible_duplicates_are_found_at_intake() {
    let desk = Desk::staffed().await;
    let ticket = desk.registered(call()).await;
    let same = desk.get("/v1/duplicates?phone=138-0013-8000&product=KF-35&kind=repair").await.ok();
    assert_eq!(data(&same)[0]["ticket"], ticket);
    let other = desk.get("/v1/duplicates?phone=13800138000&product=KF-35&kind=complaint").await.ok();
    assert!(data(&other).is_empty());
    assert_eq!(desk.get("/v1/duplicates?phone=13800138000").await.problem(400)["code"], "invalid_query");
}

#[tokio::test]
async fn r11_the_branch_has_its_staff_board_register_load_and_proposals() {
    let desk = Desk::staffed().await;
    let ticket = desk.registered(call()).await;
    let branches = data(&desk.get("/v1/branches").await.ok());
    assert_eq!(branches[0]["staff"].as_array().unwrap().len(), 3);
    assert_eq!(desk.get("/v1/branches/B0").await.ok()["zone"], "Asia/Shanghai");
    let board = data(&desk.get("/v1/branches/B0/board").await.ok());
    assert_eq!(
        (&board[0]["ticket"], &board[0]["remaining_s"]),
        (&Value::from(ticket.as_str()), &Value::from(21600))
    );
    let register = data(&desk.get("/v1/branches/B0/register").await.ok());
    assert_eq!(register[0]["number"], "BX-202611-00001");
    assert!(data(&desk.get("/v1/branches/B0/register?day=2026-11-22").await.ok()).is_empty());
    let proposals = data(&desk.get(&format!("/v1/branches/B0/proposals?ticket={ticket}")).await.ok());
    assert_eq!(proposals.len(), 2);
    assert!(!proposals[0]["reasons"].as_array().unwrap().is_empty());
    desk.post(&format!("/v1/tickets/{ticket}/dispatch"), json!({ "technician": "T1" })).await.ok();
    let load = data(&desk.get("/v1/branches/B0/load").await.ok());
    assert_eq!((&load[0]["technician"], &load[0]["open_visits"]), (&Value::from("T1"), &Value::from(1)));
    for path in ["", "/board", "/register", "/load", "/proposals?ticket=018f3b5e-0000-7000-8000-000000000000"]
    {
        let problem = desk.get(&format!("/v1/branches/B9{path}")).await.problem(404);
        assert_eq!(problem["code"], "branch_not_found", "{path}");
    }
    assert_eq!(desk.get("/v1/branches/B0/proposals").await.problem(400)["code"], "invalid_query");
    assert_eq!(
        desk.get("/v1/branches/B0/register?day=yesterday").await.problem(400)["code"],
        "invalid_query"
    );
}

#[tokio::test]
async fn r60_a_broken_limit_is_listed_with_its_notice() {
    let desk = Desk::staffed().await;
    let ticket = desk.registered(call()).await;
    desk.later(8 * 60);
    // The arrival an hour too late brings the breach and its notice with it.
    desk.post(&format!("/v1/tickets/{ticket}/dispatch"), json!({ "technician": "T1" })).await.ok();
    desk.post(&format!("/v1/tickets/{ticket}/pause"), json!({ "reason": "customer_absent" })).await.ok();
    let overdue = data(&desk.get("/v1/overdue?branch=B0").await.ok());
    assert_eq!(
        (&overdue[0]["ticket"], &overdue[0]["clock"]),
        (&Value::from(ticket), &Value::from("dispatch"))
    );
    let notices = data(&desk.get("/v1/notices?branch=B0&limit=5").await.ok());
    assert_eq!(notices[0]["informed"], json!(["S1"]));
    let id = notices[0]["id"].as_str().unwrap();
    assert_eq!(desk.get(&format!("/v1/notices/{id}")).await.ok()["id"], id);
    assert!(data(&desk.get(&format!("/v1/notices/{id}/deliveries")).await.ok()).is_empty());
    let absent = desk.get("/v1/notices/018f3b5e-0000-7000-8000-000000000000").await;
    assert_eq!(absent.problem(404)["code"], "notice_not_found");
}

#[tokio::test]
async fn the_company_and_the_models_tell_how_they_stand() {
    let desk = Desk::staffed().await;
    let company = desk.get("/v1/company").await.ok();
    assert_eq!(
        (&company["calendar_is_own"], &company["provisional_years"]),
        (&json!(false), &json!([2026, 2027]))
    );
    let models = desk.get("/v1/models").await.ok();
    assert!(models["models"].as_array().unwrap().iter().any(|model| model["name"] == "tickets"));
    assert_eq!(models["parked"], json!([]));
    assert_eq!(desk.get("/readyz").await.ok()["status"], "ready");
    assert_eq!(desk.get("/healthz").await.ok()["status"], "alive");
}

#[tokio::test(start_paused = true)]
async fn a_position_that_is_not_reached_in_time_is_a_problem_that_passes() {
    let desk = Desk::staffed().await;
    let ahead = desk.get_with("/v1/branches", &[("cuiban-min-position", "999999")]).await;
    assert_eq!(ahead.problem(503)["code"], "models_behind");
    assert_eq!(ahead.header("retry-after"), "2");
    let odd = desk.get_with("/v1/branches", &[("cuiban-min-position", "soon")]).await;
    assert_eq!(odd.problem(400)["header"], "Cuiban-Min-Position");
}

#[tokio::test]
async fn r53_a_preview_says_which_clocks_would_move_and_moves_none() {
    let desk = Desk::staffed().await;
    let ticket = desk.registered(call()).await;
    desk.get("/v1/branches").await.ok();
    let holiday =
        json!({ "year": 2026, "days": [{ "name": "停电", "date": "2026-11-23", "isOffDay": true }] });
    let import = json!({ "official_days": { "format": "holiday-cn", "text": holiday.to_string() } });
    let later = desk.post("/v1/company/calendar/preview", import).await.ok();
    assert_eq!((&later["clocks"], &later["moved"], &later["later"]), (&json!(2), &json!(1), &json!(1)));
    assert_eq!(later["examples"][0]["ticket"], ticket);
    assert_eq!(later["examples"][0]["due_at"], "2026-11-23T09:00:00Z");
    assert_eq!(later["examples"][0]["new_due_at"], "2026-11-24T07:30:00Z");
    assert_eq!(later["remarks"]["provisional_years"], json!([2027]));
    // Round the clock: due at 16:00 instead of 17:00, and overdue when it is past that.
    let all_day = json!(["00:00-24:00"]);
    let weekly = json!({ "mon": all_day, "tue": all_day, "wed": all_day, "thu": all_day, "fri": all_day });
    desk.later(6 * 60 + 30);
    let whole = json!({ "calendar": { "zone": "Asia/Shanghai", "weekly": weekly, "layers": [] } });
    let earlier = desk.post("/v1/company/calendar/preview", whole).await.ok();
    assert_eq!((&earlier["earlier"], &earlier["newly_overdue"]), (&json!(1), &json!(1)));
    let still = desk.get(&format!("/v1/tickets/{ticket}")).await.ok();
    assert_eq!(still["revision"], 1);
    let neither = desk.post("/v1/company/calendar/preview", json!({})).await;
    assert_eq!(neither.problem(400)["code"], "invalid_value");
}

#[tokio::test]
async fn queries_and_pages_need_the_token_too() {
    let tokens = [("a-long-enough-token", "li-si")].into_iter().collect();
    let desk = Desk::with(cuiban_gateway::Config { tokens, ..Default::default() }).await;
    for path in ["/v1/tickets", "/v1/branches", "/v1/live", "/", "/tickets/x"] {
        assert_eq!(desk.get_with(path, &[]).await.problem(401)["code"], "unauthenticated", "{path}");
    }
    let bearer = [("authorization", "Bearer a-long-enough-token")];
    assert_eq!(desk.get_with("/v1/branches", &bearer).await.status, 200);
    // "li-si:a-long-enough-token": what a browser sends once its user was asked.
    let basic = [("authorization", "Basic bGktc2k6YS1sb25nLWVub3VnaC10b2tlbg==")];
    desk.get_with("/v1/branches", &[bearer[0], ("cuiban-min-position", "0")]).await.ok();
    assert_ne!(desk.get_with("/", &basic).await.status, 401);
}
