//! The API's description: committed, complete, true.

use std::path::Path;

use cuiban_domain::ids::BranchId;
use cuiban_domain::people::Phone;
use cuiban_domain::sla::Span;
use cuiban_domain::text::Name;
use cuiban_domain::working_time::Hours;
use serde_json::{Value, json};

use crate::desk::Desk;

fn committed() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/openapi.json")
}

#[test]
fn the_committed_description_is_the_codes_own() {
    let now = format!("{:#}\n", cuiban_gateway::document());
    if std::env::var_os("CUIBAN_WRITE_OPENAPI").is_some() {
        std::fs::write(committed(), &now).unwrap();
    }
    let kept = std::fs::read_to_string(committed()).unwrap();
    assert!(kept == now, "docs/openapi.json is out of date: run this test with CUIBAN_WRITE_OPENAPI=1");
}

#[tokio::test]
async fn every_described_path_is_mounted_and_what_is_served_is_what_is_committed() {
    let desk = Desk::open().await;
    let served = desk.get_with("/openapi.json", &[]).await.ok();
    assert_eq!(served, cuiban_gateway::document());
    let mut operations = 0;
    for (path, methods) in served["paths"].as_object().unwrap() {
        let concrete = path.replace("{id}", "018f3b5e-0000-7000-8000-000000000000").replace("{branch}", "B9");
        let concrete = concrete
            .replace("{clock}", "response")
            .replace("{notice}", "018f3b5e-0000-7000-8000-000000000000");
        for method in methods.as_object().unwrap().keys() {
            operations += 1;
            if path == "/v1/live" {
                continue;
            }
            let answer = match method.as_str() {
                "get" => desk.get_with(&concrete, &[]).await,
                _ => desk.post_raw(&concrete, &[("content-type", "text/plain")], "x".to_owned()).await,
            };
            let code =
                serde_json::from_str::<Value>(&answer.text).ok().map(|problem| problem["code"].clone());
            assert_ne!(code, Some(Value::from("not_found")), "{method} {path}");
            assert_ne!(code, Some(Value::from("method_not_allowed")), "{method} {path}");
            let described = methods[method]["responses"].get(answer.status.as_str());
            let described = described.unwrap_or_else(|| panic!("{method} {path} answers {}", answer.status));
            for (header, is) in described["headers"].as_object().into_iter().flatten() {
                assert_eq!(is["required"], true, "{method} {path} {header}");
                assert!(answer.headers.contains_key(header), "{method} {path} without {header}");
            }
        }
    }
    assert_eq!(operations, 51);
}

#[test]
fn every_reference_leads_somewhere_and_operations_are_told_apart() {
    let document = cuiban_gateway::document();
    let text = document.to_string();
    for reference in text.split("#/components/schemas/").skip(1) {
        let name = reference.split('"').next().unwrap();
        assert!(document["components"]["schemas"].get(name).is_some(), "{name}");
    }
    let mut ids: Vec<_> =
        text.split("\"operationId\":\"").skip(1).map(|id| id.split('"').next().unwrap()).collect();
    let all = ids.len();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), all);
    for command in ["RegisterTicket", "RespondToCustomer", "ResumeTicket", "SetPolicy"] {
        let properties = &document["components"]["schemas"][format!("{command}Request")]["properties"];
        assert_eq!(properties["occurred_at"]["format"], "date-time", "{command}");
    }
}

/// Whoever sends what the description allows should not be refused for the form of it.
#[test]
fn every_part_of_a_path_and_every_header_of_a_request_has_a_form() {
    let document = cuiban_gateway::document();
    let mut looked_at = 0;
    for (path, methods) in document["paths"].as_object().unwrap() {
        let operations = methods.as_object().unwrap().values();
        let parameters = operations.filter_map(|operation| operation["parameters"].as_array()).flatten();
        for parameter in parameters.filter(|parameter| parameter["in"] != "query") {
            let schema = &parameter["schema"];
            let has_form = ["pattern", "format", "enum"].iter().any(|form| schema.get(form).is_some());
            assert!(has_form, "{path} {parameter}");
            looked_at += 1;
        }
    }
    assert!(looked_at > 100, "{looked_at}");
}

#[test]
fn what_is_taken_fits_the_form_described_and_what_is_not_does_not() {
    let document = cuiban_gateway::document();
    let form = |name: &str| {
        let pattern = document["components"]["schemas"][name]["pattern"].as_str();
        regex::Regex::new(pattern.unwrap_or_else(|| panic!("{name} has no form"))).unwrap()
    };
    fn is_taken<T: std::str::FromStr>(text: &str) -> bool {
        text.parse::<T>().is_ok()
    }
    let phones = ["13800138000", "+86 138-0013-8000", "(021) 5555 0000转12", "0086 21 55550000", "12345x1"];
    let no_phones =
        ["", "1234", "00123", "1234567890123456", "call me", "12345x", "12345x123456789", "++12345"];
    let spans = ["6h", "90m", "1day 2h", "400days", "1year 1month 4days 3h", " 5 s ", "1500ms"];
    let no_spans = ["", "6", "h", "six hours", "-5h", "6 hh"];
    let hours = ["08:30-12:00", "22:00-06:00", "00:00-24:00", "13:00 - 17:30", " 23:59-23:58 "];
    let no_hours = ["", "08:30", "8:30-12:00", "08:60-12:00", "08:30-24:01", "24:00-08:00", "08:30–12:00"];
    let texts = ["a", " 𠮷 ", "x\u{a0}y"];
    let no_texts = [
        "",
        " \n ",
        "两行\n不取",
        "x\ty",
        "\u{200b}",
        "x\u{202e}y",
        "a\u{0}b",
        "\u{1b}[0m",
        "x\u{85}y",
        "\u{3000}",
    ];
    let ids = ["B0", "-", "a_b", "_-"];
    let no_ids = ["", "_", "a.b", "a b", "海淀", "*", &"x".repeat(65)];
    type Taken = fn(&str) -> bool;
    let forms: [(&str, Taken, &[&str], &[&str]); 5] = [
        ("Phone", is_taken::<Phone>, &phones, &no_phones),
        ("Span", is_taken::<Span>, &spans, &no_spans),
        ("Hours", is_taken::<Hours>, &hours, &no_hours),
        ("Text100", is_taken::<Name>, &texts, &no_texts),
        ("BranchId", is_taken::<BranchId>, &ids, &no_ids),
    ];
    for (name, is_taken, right, wrong) in forms {
        let form = form(name);
        for text in right {
            assert!(is_taken(text) && form.is_match(text), "{name} {text:?}");
        }
        for text in wrong {
            assert!(!is_taken(text) && !form.is_match(text), "{name} {text:?}");
        }
    }
}

#[tokio::test]
async fn a_calendar_may_leave_out_what_has_a_default_and_nothing_else_may_stand_in_it() {
    let desk = Desk::open().await;
    let weekly = json!({ "mon": ["08:30-12:00"] });
    let answer = desk.post("/v1/company/calendar", json!({ "calendar": { "weekly": weekly } })).await;
    answer.ok();
    let document = cuiban_gateway::document();
    let described = &document["components"]["schemas"]["Calendar"];
    assert_eq!(described.get("required"), None);
    assert_eq!(described["additionalProperties"], false);

    let odd = json!({ "calendar": { "weekly": weekly, "hours": [] } });
    assert_eq!(desk.post("/v1/company/calendar", odd).await.problem(400)["code"], "unknown_field");
    let both = json!({ "calendar": { "weekly": weekly }, "colour": "red" });
    desk.post("/v1/company/calendar/preview", both).await.problem(400);
    let proposals = &document["components"]["schemas"]["ProposedCalendarRequest"]["oneOf"];
    for proposal in proposals.as_array().unwrap() {
        assert_eq!(proposal["additionalProperties"], false, "{proposal}");
    }
}
