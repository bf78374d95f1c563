//! The pages: what they show, what they never show, and that hostile text stays text.

use serde_json::json;

use crate::desk::{Answer, Desk, call, call_with};

#[track_caller]
fn assert_strict(page: &Answer) {
    let policy = page.header("content-security-policy");
    assert!(policy.contains("default-src 'none'") && policy.contains("script-src 'self'"), "{policy}");
    assert!(!policy.contains("unsafe") && policy.contains("frame-ancestors 'none'"), "{policy}");
    for forbidden in [" style=", "<style", " onclick=", " onload=", "javascript:", "http://", "https://"] {
        assert!(!page.text.contains(forbidden), "{forbidden}");
    }
    let inline =
        page.text.split("<script").skip(1).any(|script| !script.trim_start().starts_with("src=\"/assets/"));
    assert!(!inline, "no inline script");
}

#[tokio::test]
async fn the_overview_shows_the_board_and_masks_people() {
    let desk = Desk::staffed().await;
    desk.registered(call_with("urgency", json!("emergency"))).await;
    desk.get("/v1/branches").await.ok();
    let page = desk.get_with("/?branch=B0", &[]).await;
    assert_eq!((page.status.as_u16(), page.header("content-type")), (200, "text/html; charset=utf-8"));
    assert_strict(&page);
    for shown in [
        "派工板",
        "Dispatch board",
        "BX-202611-00001",
        "特急",
        "张* 138****8000",
        "海淀服务中心",
        "剩 6 小时",
        "派工到期预告",
        "不制冷",
    ] {
        assert!(page.text.contains(shown), "{shown}");
    }
    assert!(!page.text.contains("张伟") && !page.text.contains("13800138000"));
    assert_eq!(desk.get_with("/", &[]).await.status, 200, "the first branch when none is named");
}

#[tokio::test]
async fn the_ticket_page_shows_clocks_explanation_and_timeline() {
    let desk = Desk::staffed().await;
    let ticket = desk.registered(call()).await;
    desk.post(&format!("/v1/tickets/{ticket}/dispatch"), json!({ "technician": "T1" })).await.ok();
    desk.get("/v1/branches").await.ok();
    let page = desk.get_with(&format!("/tickets/{ticket}"), &[]).await;
    assert_strict(&page);
    for shown in [
        "BX-202611-00001",
        "李师傅",
        "派工时限",
        "期限如何推算",
        "登记",
        "开始计时",
        "不制冷",
        "2026-11-23 17:00:00",
    ] {
        assert!(page.text.contains(shown), "{shown}");
    }
    let by_number = desk.get_with("/tickets/BX-202611-00001", &[]).await;
    assert_eq!(by_number.status, 200);
}

#[tokio::test]
async fn hostile_text_stays_text() {
    let desk = Desk::staffed().await;
    let evil = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>{{7*7}}";
    let mut hostile = call_with("description", json!(evil));
    hostile["product_model"] = json!(evil);
    hostile["customer"]["name"] = json!("<b>张");
    hostile["customer"]["address"] = json!(evil);
    hostile["urgency"] = json!("urgent");
    let ticket = desk.registered(hostile).await;
    let member = json!({ "id": "T3", "name": evil, "role": "technician" });
    desk.post("/v1/branches/B0/staff", json!({ "member": member })).await.ok();
    desk.post(&format!("/v1/tickets/{ticket}/dispatch"), json!({ "technician": "T3" })).await.ok();
    desk.post(&format!("/v1/tickets/{ticket}/pause"), json!({ "reason": "customer_absent", "note": evil }))
        .await
        .ok();
    desk.post("/v1/branches", json!({ "branch": "B1", "name": evil })).await.ok();
    desk.get("/v1/branches").await.ok();
    for path in ["/?branch=B0".to_owned(), "/?branch=B1".to_owned(), format!("/tickets/{ticket}")] {
        let page = desk.get_with(&path, &[]).await;
        assert_eq!(page.status, 200, "{path}");
        assert_strict(&page);
        assert!(page.text.contains("&#60;script&#62;"), "{path}");
        assert!(!page.text.contains("<script>alert") && !page.text.contains("<img"), "{path}");
    }
}

#[tokio::test]
async fn refusals_on_pages_are_pages() {
    let desk = Desk::staffed().await;
    desk.get("/v1/branches").await.ok();
    for (path, status) in [("/tickets/BX-202611-00009", 404), ("/tickets/%20", 400), ("/?branch=B9", 404)] {
        let page = desk.get_with(path, &[]).await;
        assert_eq!(
            (page.status.as_u16(), page.header("content-type")),
            (status, "text/html; charset=utf-8"),
            "{path}"
        );
        assert_strict(&page);
        assert!(page.text.contains("返回看板"));
    }
}

#[tokio::test]
async fn a_house_without_branches_says_what_to_do() {
    let desk = Desk::open().await;
    desk.get("/v1/branches").await.ok();
    let page = desk.get_with("/", &[]).await;
    assert_strict(&page);
    assert!(page.text.contains("尚未开设服务中心"));
}

#[tokio::test]
async fn the_pages_files_are_ours_and_cached_by_their_content() {
    let desk = Desk::open().await;
    for (path, media_type) in [
        ("/assets/console.css", "text/css; charset=utf-8"),
        ("/assets/live.js", "text/javascript; charset=utf-8"),
        ("/assets/htmx.js", "text/javascript; charset=utf-8"),
        ("/assets/icon.svg", "image/svg+xml"),
    ] {
        let file = desk.get_with(path, &[]).await;
        assert_eq!((file.status.as_u16(), file.header("content-type")), (200, media_type));
        assert!(file.text.len() > 100);
        let again = desk.get_with(path, &[("if-none-match", file.header("etag"))]).await;
        assert_eq!((again.status.as_u16(), again.text.len()), (304, 0));
    }
    let docs = desk.get_with("/docs/", &[]).await;
    assert_eq!(docs.status, 200);
    assert!(docs.header("content-security-policy").contains("script-src 'self'"));
}
