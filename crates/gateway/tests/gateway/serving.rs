//! Serving on a socket, and stopping.

use std::time::Duration;

use cuiban_gateway::serve;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

use crate::desk::Desk;

#[tokio::test]
async fn stopping_ends_live_streams_and_returns() {
    let desk = Desk::open().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let until = async {
        let _ = stopped.await;
    };
    let server = tokio::spawn(serve(listener, desk.router.clone(), until, Duration::from_secs(30)));
    let mut client = TcpStream::connect(address).await.unwrap();
    client.write_all(b"GET /v1/live HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    let mut heard = [0; 512];
    let read = client.read(&mut heard).await.unwrap();
    assert!(String::from_utf8_lossy(&heard[..read]).starts_with("HTTP/1.1 200"));
    stop.send(()).unwrap();
    tokio::time::timeout(Duration::from_secs(10), server)
        .await
        .expect("well before the grace ends")
        .unwrap()
        .unwrap();
    let mut rest = Vec::new();
    client.read_to_end(&mut rest).await.unwrap();
}
