//! Every command, obeyed.

use serde_json::{Value, json};

use crate::desk::{Desk, call, call_with};

async fn intake() -> Desk {
    let desk = Desk::of_intake(Default::default()).await;
    desk.staff("B0").await;
    desk
}

#[tokio::test]
async fn r1_a_registration_is_created_at_its_own_address_with_a_number_and_its_clocks() {
    let desk = intake().await;
    let answer = desk.post("/v1/tickets", call()).await;
    assert_eq!(answer.status, 201);
    let receipt = answer.ok();
    assert_eq!(answer.header("location"), format!("/v1/tickets/{}", receipt["id"].as_str().unwrap()));
    assert_eq!(receipt["number"], "BX-202611-00001");
    assert_eq!(answer.header("etag"), "\"1\"");
    assert_eq!(answer.header("cuiban-position"), receipt["position"].as_str().unwrap());
    assert_eq!(receipt["outcome"], "recorded");
    // R31: 10:00 on Monday, two hours until noon, four more from 13:00.
    let due = |clock: &str| {
        let clocks = receipt["clocks"].as_array().unwrap().clone();
        clocks.into_iter().find(|one| one["clock"] == clock).unwrap()["due_at"].clone()
    };
    assert_eq!(due("dispatch"), "2026-11-23T09:00:00Z");
    assert_eq!(due("response"), "2026-11-24T02:00:00Z");
}

#[tokio::test]
async fn a_repair_goes_from_call_to_close_and_is_reopened() {
    let desk = intake().await;
    let ticket = desk.registered(call()).await;
    let visit = json!({ "from": "2026-11-23T13:00:00+08:00", "until": "2026-11-23T14:00:00+08:00" });
    for (verb, body, revision) in [
        ("respond", json!({ "channel": "phone", "answer": "下午上门" }), 2),
        ("service-basis", json!({ "service_basis": "warranty", "reason": "保修期内" }), 3),
        ("assign", json!({ "handler": "S1" }), 4),
        ("dispatch", json!({ "technician": "T1", "visit": visit }), 5),
        ("pause", json!({ "reason": "customer_absent" }), 6),
        ("resume", json!({}), 7),
        ("reassign", json!({ "from": "T1", "to": "T2", "reason": "请假" }), 8),
        ("arrive", json!({}), 9),
        ("fix", json!({ "remedy": "加氟", "customer_signed": false }), 10),
        ("close", json!({ "note": "客户满意" }), 11),
        ("reopen", json!({ "reason": "又不制冷" }), 12),
        ("reclassify", json!({ "urgency": "urgent", "reason": "客户催促" }), 13),
        ("cancel", json!({ "reason": "客户自行解决" }), 14),
    ] {
        let answer = desk.post(&format!("/v1/tickets/{ticket}/{verb}"), body).await;
        assert_eq!(answer.status, 200, "{verb}: {}", answer.text);
        assert_eq!(answer.ok()["revision"], revision, "{verb}");
        assert_eq!(answer.header("etag"), format!("\"{revision}\""));
    }
}

#[tokio::test]
async fn r5_a_call_registered_twice_is_merged_and_another_goes_to_another_branch() {
    let desk = intake().await;
    desk.staff("B1").await;
    let (first, second) = (desk.registered(call()).await, desk.registered(call()).await);
    let merge = json!({ "into": first, "reason": "同一来电" });
    desk.post(&format!("/v1/tickets/{second}/merge"), merge).await.ok();
    let transfer = json!({ "to": "B1", "area": "suburban", "reason": "客户搬家" });
    desk.post(&format!("/v1/tickets/{first}/transfer"), transfer).await.ok();
    let ended = desk.post(&format!("/v1/tickets/{second}/respond"), json!({ "channel": "phone" })).await;
    assert_eq!(ended.problem(409)["code"], "ticket_ended");
}

#[tokio::test]
async fn r2_what_happened_earlier_is_recorded_with_both_times() {
    let desk = intake().await;
    let ticket = desk.registered(call()).await;
    desk.later(90);
    let body = json!({ "channel": "phone", "occurred_at": "2026-11-23T10:05:00+08:00" });
    desk.post(&format!("/v1/tickets/{ticket}/respond"), body).await.ok();
    let early = json!({ "technician": "T1", "occurred_at": "2026-11-23T09:00:00+08:00" });
    let refused = desk.post(&format!("/v1/tickets/{ticket}/dispatch"), early).await;
    assert_eq!(refused.problem(422)["not_before"], "2026-11-23T02:00:00Z");
}

#[tokio::test]
async fn a_body_without_fields_may_be_left_out() {
    let desk = intake().await;
    let ticket = desk.registered(call()).await;
    desk.post(&format!("/v1/tickets/{ticket}/dispatch"), json!({ "technician": "T1" })).await.ok();
    let request = axum::http::Request::post(format!("/v1/tickets/{ticket}/arrive"));
    let answer = desk.send(request.body(axum::body::Body::empty()).unwrap()).await;
    assert_eq!(answer.ok()["revision"], 3);
}

#[tokio::test]
async fn branches_are_opened_and_set_up_and_decided_by_at_once() {
    let desk = intake().await;
    let opened =
        desk.post("/v1/branches", json!({ "branch": "B7", "name": "朝阳", "province": "北京" })).await;
    assert_eq!((opened.status.as_u16(), opened.header("location")), (201, "/v1/branches/B7"));
    let weekly = json!({ "mon": ["09:00-12:00"], "tue": ["09:00-12:00"] });
    let rule = json!({ "clock": "dispatch", "limit": { "span": "1h", "measure": "working" } });
    let member = json!({ "id": "T9", "name": "钱师傅", "role": "technician" });
    for (verb, body) in [
        ("hours", json!({ "hours": { "weekly": weekly } })),
        ("limits", json!({ "limits": [rule] })),
        ("districts", json!({ "districts": [{ "name": "望京", "area": "urban" }] })),
        ("staff", json!({ "member": member })),
        ("staff", json!({ "member": { "id": "T8", "name": "孙师傅", "role": "technician" } })),
        (
            "staff-change",
            json!({ "member": { "id": "T9", "name": "钱师傅", "role": "technician", "skills": ["KF-35"] } }),
        ),
        ("staff-leave", json!({ "staff": "T9", "successor": "T8" })),
    ] {
        let answer = desk.post(&format!("/v1/branches/B7/{verb}"), body).await;
        assert_eq!(answer.ok()["id"], "B7", "{verb}");
    }
    // The next command is decided by what was just answered: an hour of the branch's own hours, district known.
    let mut call = call_with("branch", json!("B7"));
    call["district"] = json!("望京");
    call.as_object_mut().unwrap().remove("area");
    let receipt = desk.post("/v1/tickets", call).await.ok();
    let dispatch =
        receipt["clocks"].as_array().unwrap().iter().find(|clock| clock["clock"] == "dispatch").cloned();
    assert_eq!(dispatch.unwrap()["due_at"], "2026-11-23T03:00:00Z");
}

#[tokio::test]
async fn the_company_sets_its_rules() {
    let desk = intake().await;
    let hours = ["09:00-18:00"];
    let weekly = json!({ "mon": hours, "tue": hours, "wed": hours, "thu": hours, "fri": hours });
    let policy =
        json!({ "limits": [{ "clock": "dispatch", "limit": { "span": "2h", "measure": "working" } }] });
    for (verb, body) in [
        ("calendar", json!({ "calendar": { "zone": "Asia/Shanghai", "weekly": weekly, "layers": [] } })),
        (
            "province-days",
            json!({ "province": "北京", "days": [{ "date": "2026-11-24", "open": false, "name": "停电" }] }),
        ),
        ("policy", json!({ "policy": policy })),
        ("products", json!({ "products": ["KF-35", "KF-50"] })),
    ] {
        let answer = desk.post(&format!("/v1/company/{verb}"), body).await;
        assert_eq!(answer.ok()["id"], "company", "{verb}: {}", answer.text);
    }
    let unknown = desk.post("/v1/tickets", call_with("product_model", json!("KF-99"))).await;
    assert_eq!(unknown.problem(422)["product"], "KF-99");
}

#[tokio::test]
async fn r53_official_days_are_imported_in_both_forms_and_a_second_import_loses_nothing() {
    let desk = intake().await;
    let day = |name: &str, date: &str, off: bool| json!({ "name": name, "date": date, "isOffDay": off });
    let days =
        [day("元旦", "2026-01-01", true), day("春节", "2026-02-14", false), day("春节", "2026-02-16", true)];
    let json_text = json!({ "year": 2026, "days": days }).to_string();
    let ics = "BEGIN:VCALENDAR\r\nBEGIN:VEVENT\r\nDTSTART;VALUE=DATE:20250501\r\nSUMMARY:劳动节（休）\r\nEND:VEVENT\r\n\
               BEGIN:VEVENT\r\nDTSTART;VALUE=DATE:20250514\r\nSUMMARY:母亲节\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n";
    let path = "/v1/company/calendar/official-days";
    let first = desk.post(path, json!({ "format": "holiday-cn", "text": json_text })).await.ok();
    assert_eq!(first["remarks"]["provisional_years"], json!([2027]));
    let second = desk.post(path, json!({ "format": "icalendar", "text": ics })).await.ok();
    assert_eq!(second["remarks"]["not_applied"][0]["reason"], "observance");
    assert_eq!(second["receipt"]["revision"], 2);
    assert_eq!(second["remarks"]["provisional_years"], json!([2027]), "the first import is still there");
    let nonsense = desk.post(path, json!({ "format": "icalendar", "text": "hello" })).await;
    assert_eq!(nonsense.problem(422)["code"], "official_days_unusable");
    let nothing = desk.post(path, json!({ "format": "holiday-cn", "text": "{\"days\":[]}" })).await;
    assert_eq!(nothing.problem(422)["code"], "official_days_unusable");
}

#[tokio::test]
async fn r53_an_import_sent_again_is_the_same_import() {
    let desk = intake().await;
    let text = json!({ "year": 2026, "days": [{ "name": "元旦", "date": "2026-01-01", "isOffDay": true }] })
        .to_string();
    let body = json!({ "format": "holiday-cn", "text": text });
    let path = "/v1/company/calendar/official-days";
    let key = [("idempotency-key", "notice-2026")];
    let first = desk.post_with(path, &key, body.clone()).await.ok();
    let again = desk.post_with(path, &key, body).await.ok();
    assert_eq!(first["receipt"]["position"], again["receipt"]["position"]);
    assert_eq!(again["receipt"]["outcome"], "replayed");
}

#[tokio::test]
async fn r52_a_calendar_without_working_time_is_refused_with_its_reason() {
    let desk = intake().await;
    let empty = json!({ "calendar": { "weekly": {}, "layers": [] } });
    let refused = desk.post("/v1/company/calendar", empty).await.problem(400);
    assert_eq!(
        (&refused["code"], &refused["pointer"]),
        (&Value::from("invalid_value"), &Value::from("/calendar"))
    );
    let closed = json!({ "hours": { "weekly": {} } });
    let refused = desk.post("/v1/branches/B0/hours", closed).await.problem(422);
    assert_eq!(
        (&refused["code"], &refused["reason"]),
        (&Value::from("calendar_refused"), &Value::from("calendar_empty"))
    );
}
