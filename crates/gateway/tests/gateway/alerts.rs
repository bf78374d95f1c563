//! Alerts over HTTP: what was not delivered is listed, asked for again, and shown with its notice.

use std::time::Duration;

use cuiban_deliveries::{Deliveries, Delivery, DeliveryState, MessageId, Record};
use cuiban_domain::ids::{BranchId, ChannelId};
use serde_json::json;
use uuid::Uuid;

use crate::desk::{Desk, morning};

fn delivery(number: u128, state: DeliveryState) -> Delivery {
    Delivery {
        channel: ChannelId::new("crm").unwrap(),
        message: MessageId::of(Uuid::from_u128(number)),
        branch: BranchId::new("B0").unwrap(),
        alerts: vec![Uuid::from_u128(number)],
        number: None,
        issued_at: morning(),
        state,
        attempts: 7,
        maybe_twice: 1,
        asked_at: None,
        at: morning(),
    }
}

fn given_up() -> DeliveryState {
    DeliveryState::GivenUp { reason: "HTTP 404".to_owned(), maybe_arrived: false }
}

async fn put(desk: &Desk, delivery: Delivery) {
    desk.deliveries.put(&Record::Delivery(delivery), None).await.unwrap();
}

/// The listed alerts, once there are so many.
async fn listed(desk: &Desk, path: &str, count: usize) -> Vec<serde_json::Value> {
    let wait = async {
        loop {
            let rows = desk.get(path).await.ok()["data"].as_array().unwrap().clone();
            if rows.len() == count {
                return rows;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), wait).await.expect("it should be listed by now")
}

#[tokio::test]
async fn what_was_not_delivered_is_listed_and_sent_again_by_hand() {
    let desk = Desk::open().await;
    put(&desk, delivery(1, given_up())).await;
    put(&desk, delivery(2, DeliveryState::Delivered)).await;
    let rows = listed(&desk, "/v1/alerts", 1).await;
    assert_eq!((&rows[0]["state"], &rows[0]["reason"]), (&json!("given_up"), &json!("HTTP 404")));
    assert_eq!((&rows[0]["channel"], &rows[0]["attempts"]), (&json!("crm"), &json!(7)));
    listed(&desk, "/v1/alerts?state=delivered&channel=crm&branch=B0", 1).await;
    listed(&desk, "/v1/alerts?state=delivered&channel=other", 0).await;
    let id = Uuid::from_u128(1);
    let asked = desk.post(&format!("/v1/alerts/{id}/resend"), json!({})).await.ok();
    assert_eq!(asked["data"][0]["state"], "asked");
    let key = cuiban_deliveries::Key::Delivery(ChannelId::new("crm").unwrap(), MessageId::of(id));
    let Record::Delivery(recorded) = desk.deliveries.get(&key).await.unwrap().unwrap().record else {
        panic!()
    };
    assert_eq!(
        (recorded.state, recorded.asked_at),
        (DeliveryState::Asked { maybe_arrived: false }, Some(morning()))
    );
}

#[tokio::test]
async fn what_was_delivered_is_sent_again_only_through_a_channel_that_is_named() {
    let desk = Desk::open().await;
    put(&desk, delivery(2, DeliveryState::Delivered)).await;
    listed(&desk, "/v1/alerts?state=delivered", 1).await;
    let id = Uuid::from_u128(2);
    desk.post(&format!("/v1/alerts/{id}/resend"), json!({})).await.problem(404);
    let asked = desk.post(&format!("/v1/alerts/{id}/resend?channel=crm"), json!({})).await.ok();
    assert_eq!(asked["data"][0]["state"], "asked");
    desk.post(&format!("/v1/alerts/{}/resend", Uuid::from_u128(9)), json!({})).await.problem(404);
}

#[tokio::test]
async fn a_notice_that_was_withdrawn_is_sent_again_through_no_channel() {
    let desk = Desk::open().await;
    put(&desk, delivery(3, DeliveryState::Withdrawn { maybe_arrived: false })).await;
    listed(&desk, "/v1/alerts?state=withdrawn", 1).await;
    let id = Uuid::from_u128(3);
    for query in ["", "?channel=crm"] {
        let refused = desk.post(&format!("/v1/alerts/{id}/resend{query}"), json!({})).await.problem(404);
        assert_eq!(refused["code"], "nothing_to_resend");
    }
}

#[tokio::test]
async fn every_alert_is_on_one_page_of_the_list() {
    let desk = Desk::open().await;
    for number in 1..=5 {
        put(&desk, delivery(number, given_up())).await;
    }
    listed(&desk, "/v1/alerts", 5).await;
    let (mut seen, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = desk.get(&format!("/v1/alerts?limit=2{cursor}")).await.ok();
        seen.extend(page["data"].as_array().unwrap().iter().map(|row| row["message"].clone()));
        let Some(next) = page["next_cursor"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    let latest_first: Vec<_> =
        (1..=5).rev().map(|number| json!(Uuid::from_u128(number).to_string())).collect();
    assert_eq!(seen, latest_first);
    desk.get("/v1/alerts?cursor=yesterday").await.problem(400);
}
