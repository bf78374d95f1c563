//! A TCP connection that can be cut: a proxy between a process and its broker.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Result;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

/// How a wire is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Wire {
    /// Everything passes.
    Whole,
    /// Connections end, and new ones end at once.
    Cut,
    /// Connections stand, and nothing passes, as when a cable is pulled. What is under way waits.
    Silent,
    /// What is asked passes, answers do not: commits are stored, and nobody hears of it.
    Deaf,
}

/// A listening proxy in front of one port of this machine.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    wire: Arc<watch::Sender<Wire>>,
    accepting: JoinHandle<()>,
}

impl Proxy {
    /// Listens on a free port, and passes everything on to `target`.
    pub async fn to(target: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let wire = Arc::new(watch::Sender::new(Wire::Whole));
        let accepting = tokio::spawn(accept(listener, target, wire.clone()));
        Ok(Self { address, wire, accepting })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Changes how the wire is.
    pub fn set(&self, wire: Wire) {
        self.wire.send_replace(wire);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, target: SocketAddr, wire: Arc<watch::Sender<Wire>>) {
    let mut connections = JoinSet::new();
    while let Ok((near, _)) = listener.accept().await {
        while connections.try_join_next().is_some() {}
        connections.spawn(connect(near, target, wire.subscribe()));
    }
}

/// One connection, from its beginning to its end.
async fn connect(near: TcpStream, target: SocketAddr, mut wire: watch::Receiver<Wire>) {
    // While nothing passes, not even a connection is made on the far side.
    let Ok(state) = wire.wait_for(|wire| *wire != Wire::Silent).await.map(|state| *state) else { return };
    if state == Wire::Cut {
        return;
    }
    let Ok(far) = TcpStream::connect(target).await else { return };
    if near.set_nodelay(true).and(far.set_nodelay(true)).is_err() {
        return;
    }
    let ((near_out, near_in), (far_out, far_in)) = (near.into_split(), far.into_split());
    let mut cut = wire.clone();
    tokio::select! {
        () = carry(near_out, far_in, wire.clone(), |wire| wire != Wire::Silent) => {}
        () = carry(far_out, near_in, wire, |wire| wire == Wire::Whole) => {}
        _ = cut.wait_for(|wire| *wire == Wire::Cut) => {}
    }
}

/// Carries bytes one way while the wire lets them through; returns when one end is gone.
async fn carry(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut wire: watch::Receiver<Wire>,
    passes: fn(Wire) -> bool,
) {
    let mut bytes = vec![0; 64 << 10];
    loop {
        let count = tokio::select! {
            biased;
            changed = wire.changed() => match changed {
                Ok(()) if wire.wait_for(|wire| passes(*wire)).await.is_ok() => continue,
                _ => return,
            },
            count = from.read(&mut bytes) => count,
        };
        let Ok(count @ 1..) = count else { return };
        let may_pass = wire.wait_for(|wire| passes(*wire)).await.is_ok();
        if !may_pass || to.write_all(&bytes[..count]).await.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    /// A pair of ends with a proxy between them.
    async fn ends() -> Result<(Proxy, TcpStream, TcpStream)> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let proxy = Proxy::to(listener.local_addr()?).await?;
        let near = TcpStream::connect(proxy.address()).await?;
        let (far, _) = listener.accept().await?;
        Ok((proxy, near, far))
    }

    async fn heard(end: &mut TcpStream) -> Result<u8> {
        Ok(end.read_u8().await?)
    }

    #[tokio::test]
    async fn what_is_sent_over_a_silent_wire_waits_and_arrives() -> Result<()> {
        let (proxy, mut near, mut far) = ends().await?;
        near.write_u8(1).await?;
        assert_eq!(heard(&mut far).await?, 1);
        proxy.set(Wire::Silent);
        near.write_u8(2).await?;
        far.write_u8(3).await?;
        proxy.set(Wire::Deaf);
        assert_eq!(heard(&mut far).await?, 2, "a deaf wire passes what is asked");
        near.write_u8(4).await?;
        assert_eq!(heard(&mut far).await?, 4);
        let mut early = [0];
        assert!(near.try_read(&mut early).is_err(), "a deaf wire keeps answers");
        proxy.set(Wire::Whole);
        assert_eq!(heard(&mut near).await?, 3);
        Ok(())
    }

    #[tokio::test]
    async fn a_cut_wire_ends_its_connections_and_takes_no_new_ones() -> Result<()> {
        let (proxy, mut near, mut far) = ends().await?;
        proxy.set(Wire::Cut);
        assert!(heard(&mut near).await.is_err() && heard(&mut far).await.is_err());
        let mut again = TcpStream::connect(proxy.address()).await?;
        assert!(heard(&mut again).await.is_err());
        Ok(())
    }
}
