//! The API's description: committed, complete, true.

use std::path::Path;

use serde_json::Value;

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
            let described = &methods[method]["responses"];
            assert!(
                described.get(answer.status.as_str()).is_some(),
                "{method} {path} answers {}",
                answer.status
            );
        }
    }
    assert_eq!(operations, 49);
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
