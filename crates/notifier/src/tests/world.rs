//! A company with one branch over a log in memory, a clock that is moved by hand, and notifiers on top.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use cuiban_command_handler::{Clock, CommandMeta, Handlers, ManualClock, SeededIds};
use cuiban_deliveries::{
    Deliveries, DeliveriesError, Delivery, DeliveryState, Follow, Key, MemoryDeliveries, MessageId, PutError,
    Record, Stored, Version,
};
use cuiban_domain::Instant;
use cuiban_domain::ids::{Actor, BranchId, ChannelId, CommandId, TicketId};
use cuiban_domain::organisation::{BranchCommand, OpenBranch};
use cuiban_domain::people::Customer;
use cuiban_domain::sla::{ClockKind, Notice, Rung};
use cuiban_domain::text::{Name, Note};
use cuiban_domain::ticket::{
    Area, Channel as Call, CustomerLevel, IssueExpediteNotice, RegisterTicket, RespondToCustomer,
    TicketCommand, TicketKind, Urgency,
};
use cuiban_event_log::{EventLog, MemoryLog, Position, RecordedCommit};
use tempfile::TempDir;
use tokio::sync::Semaphore;
use uuid::Uuid;

use crate::{Channel, ChannelStatus, Config, DeliveryConfig, MemoryChannel, Notifier, Outlet};

/// Friday morning, when the branch opens; a repair that is registered then is due at [`DUE`].
pub(super) const OPENS: &str = "2026-11-20T08:30:00+08:00";
/// Six working hours later.
pub(super) const DUE: &str = "2026-11-20T15:30:00+08:00";
/// The customer, of whom no alert may tell (R91).
pub(super) const CUSTOMER: (&str, &str, &str) = ("欧阳修远", "13800138000", "汉口路 17 号");

pub(super) fn at(text: &str) -> Instant {
    text.parse().unwrap()
}

pub(super) fn channel_id(id: &str) -> ChannelId {
    ChannelId::new(id).unwrap()
}

pub(super) fn branch() -> BranchId {
    BranchId::new("B0").unwrap()
}

pub(super) struct World {
    pub(super) log: MemoryLog,
    pub(super) deliveries: GatedDeliveries,
    pub(super) clock: Arc<ManualClock>,
    pub(super) handlers: Arc<Handlers>,
    pub(super) dir: TempDir,
}

impl World {
    pub(super) async fn new() -> Self {
        let clock = Arc::new(ManualClock::new(at(OPENS)));
        let (now, log_now) = (clock.clone(), clock.clone());
        let log = MemoryLog::with_time(Arc::new(move || log_now.now()));
        let deliveries = GatedDeliveries {
            inner: MemoryDeliveries::new(move || now.now()),
            refuses_outcomes: Arc::default(),
            holds_marks: Arc::default(),
            refusals: Arc::new(Semaphore::new(0)),
        };
        let handlers = handlers(&log, &clock).await;
        let world = Self { handlers, log, deliveries, clock, dir: TempDir::new().unwrap() };
        world.open(branch(), "武汉服务中心").await;
        world
    }

    pub(super) async fn open(&self, branch: BranchId, name: &str) {
        let name = Name::new(name).unwrap();
        let open = BranchCommand::from(OpenBranch { branch: branch.clone(), name, province: None });
        let opened = self.handlers.branch(&branch, &open, &self.meta()).await.unwrap();
        self.handlers.directory().wait_for(opened.position).await;
    }

    pub(super) async fn ticket(&self, ticket: TicketId, command: impl Into<TicketCommand>) {
        self.handlers.ticket(ticket, &command.into(), &self.meta()).await.unwrap();
    }

    /// An answer that was given at this instant, and recorded now.
    pub(super) async fn answered(&self, ticket: TicketId, occurred_at: Instant) {
        let answer = RespondToCustomer { channel: Call::Phone, answer: None, resolution_limit: None };
        let meta = CommandMeta { occurred_at: Some(occurred_at), ..self.meta() };
        self.handlers.ticket(ticket, &TicketCommand::from(answer), &meta).await.unwrap();
    }

    pub(super) fn meta(&self) -> CommandMeta {
        CommandMeta::new(CommandId(self.handlers.new_id()), Actor::new("operator-1").unwrap())
    }

    pub(super) async fn register(&self, urgency: Urgency) -> TicketId {
        let (name, phone, address) = CUSTOMER;
        let request = RegisterTicket {
            kind: TicketKind::Repair,
            customer: Customer {
                name: name.parse().unwrap(),
                phone: phone.parse().unwrap(),
                address: Some(address.parse().unwrap()),
            },
            customer_level: CustomerLevel::Standard,
            channel: Call::Phone,
            product_model: Name::new("KX-200").unwrap(),
            serial_number: None,
            description: Note::new("不制冷，请联系 13800138000").unwrap(),
            happened_at: None,
            branch: branch(),
            area: Some(Area::Urban),
            district: None,
            urgency,
            needs_visit: true,
            warranty_until: None,
            contract_until: None,
        };
        let ticket = TicketId(self.handlers.new_id());
        self.handlers.register(ticket, request, &self.meta()).await.unwrap();
        ticket
    }

    /// Issues the notice of a clock that is due; answers its id.
    pub(super) async fn expedite(&self, ticket: TicketId, clock: ClockKind) -> Uuid {
        let notice = Notice { clock, cycle: 1, episode: 0, rung: Rung::Breach, repetition: 0 };
        self.ticket(ticket, IssueExpediteNotice { notice }).await;
        notice.id(ticket).0
    }

    /// As [`World::expedite`], by another process, which has nothing in its cache.
    pub(super) async fn expedite_elsewhere(&self, ticket: TicketId, clock: ClockKind) -> Uuid {
        let notice = Notice { clock, cycle: 1, episode: 0, rung: Rung::Breach, repetition: 0 };
        let command = TicketCommand::from(IssueExpediteNotice { notice });
        let elsewhere = handlers(&self.log, &self.clock).await;
        elsewhere.ticket(ticket, &command, &self.meta()).await.unwrap();
        notice.id(ticket).0
    }

    /// Registers so many repairs, and breaks their dispatch limits `after` the due instant.
    pub(super) async fn breaches(&self, count: usize, after: Duration) -> Vec<Uuid> {
        let mut tickets = Vec::new();
        for _ in 0..count {
            tickets.push(self.register(Urgency::Normal).await);
        }
        self.clock.advance_to(at(DUE) + after);
        let mut notices = Vec::new();
        for ticket in tickets {
            notices.push(self.expedite(ticket, ClockKind::Dispatch).await);
        }
        notices
    }

    /// One notice, issued at its instant.
    pub(super) async fn breach(&self) -> Uuid {
        self.breaches(1, Duration::from_micros(1)).await.remove(0)
    }

    pub(super) async fn start(&self, store: &str, outlets: Vec<Outlet>, config: Config) -> Notifier {
        let (handlers, log) = (self.handlers.clone(), Arc::new(self.log.clone()));
        let (store, deliveries) = (self.dir.path().join(store), Arc::new(self.deliveries.clone()));
        Notifier::start(handlers, log, deliveries, &store, outlets, config).await.unwrap()
    }

    /// A notifier of another process: with command handlers of its own.
    pub(super) async fn start_elsewhere(
        &self,
        store: &str,
        outlets: Vec<Outlet>,
        config: Config,
    ) -> Notifier {
        let (handlers, log) = (handlers(&self.log, &self.clock).await, Arc::new(self.log.clone()));
        let (store, deliveries) = (self.dir.path().join(store), Arc::new(self.deliveries.clone()));
        Notifier::start(handlers, log, deliveries, &store, outlets, config).await.unwrap()
    }

    /// What is recorded of a message on a channel.
    pub(super) fn delivery(&self, channel: &str, message: MessageId) -> Option<Delivery> {
        let of = |delivery: &Delivery| delivery.channel.as_str() == channel && delivery.message == message;
        self.all_deliveries().into_iter().find(of)
    }

    /// How an alert stands on a channel, by the record: the word for it and how often it was tried.
    pub(super) fn standing(&self, channel: &str, alert: Uuid) -> Option<(&'static str, u32)> {
        let delivery = self.delivery(channel, MessageId::of(alert))?;
        Some((delivery.state.as_str(), delivery.attempts))
    }

    /// Every message that is recorded.
    pub(super) fn all_deliveries(&self) -> Vec<Delivery> {
        let records = self.deliveries.inner.records().into_iter();
        records
            .filter_map(|stored| match stored.record {
                Record::Delivery(delivery) => Some(delivery),
                Record::Channel(_) | Record::Lease(_) | Record::Unreadable(_) => None,
            })
            .collect()
    }

    /// Every commit of the log, in order.
    pub(super) fn commits(&self) -> Vec<RecordedCommit> {
        self.log.commits_after(Position::START)
    }
}

async fn handlers(log: &MemoryLog, clock: &Arc<ManualClock>) -> Arc<Handlers> {
    static STARTED: AtomicUsize = AtomicUsize::new(0);
    let seed = STARTED.fetch_add(1, Ordering::Relaxed) as u64;
    let process = Actor::new("test").unwrap();
    let (log, clock): (Arc<dyn EventLog>, Arc<dyn Clock>) = (Arc::new(log.clone()), clock.clone());
    let ids = Arc::new(SeededIds::new(seed));
    Arc::new(Handlers::start(log, clock, ids, process, Default::default()).await.unwrap())
}

/// The limits of the tests: late notices are not waited for.
pub(super) fn config() -> Config {
    Config { late_gather_ms: 0, record_delay_ms: 1, record_delay_max_ms: 5, ..Config::default() }
}

pub(super) fn memory(id: &str) -> Arc<MemoryChannel> {
    Arc::new(MemoryChannel::new(channel_id(id)))
}

pub(super) fn outlet(channel: Arc<dyn Channel>) -> Outlet {
    Outlet { channel, delivery: DeliveryConfig::default() }
}

/// Returns when the channel's status is as wanted.
pub(super) async fn until(notifier: &Notifier, channel: &str, wanted: impl FnMut(&ChannelStatus) -> bool) {
    let mut status = notifier.channel(&channel_id(channel)).unwrap();
    within_reason(status.wait_for(wanted)).await.unwrap();
}

/// A test that waits for something that never comes fails instead of hanging.
pub(super) async fn within_reason<T>(wait: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(30), wait).await.expect("it should have come by now")
}

/// A record in memory that can be told to take no outcome of a push: what is in flight is marked all the same.
#[derive(Clone, Debug)]
pub(super) struct GatedDeliveries {
    pub(super) inner: MemoryDeliveries,
    pub(super) refuses_outcomes: Arc<AtomicBool>,
    /// Marks wait for a permit of the other, and are refused then.
    pub(super) holds_marks: Arc<AtomicBool>,
    pub(super) refusals: Arc<Semaphore>,
}

#[async_trait]
impl Deliveries for GatedDeliveries {
    async fn get(&self, key: &Key) -> Result<Option<Stored>, DeliveriesError> {
        self.inner.get(key).await
    }

    async fn put(&self, record: &Record, expected: Option<Version>) -> Result<Version, PutError> {
        let is_outcome = match record {
            Record::Delivery(delivery) => !matches!(delivery.state, DeliveryState::InFlight { .. }),
            Record::Channel(_) | Record::Lease(_) | Record::Unreadable(_) => false,
        };
        if is_outcome && self.refuses_outcomes.load(Ordering::SeqCst) {
            return Err(PutError::Unavailable("away".into()));
        }
        let is_mark = matches!(record, Record::Delivery(_)) && !is_outcome;
        if is_mark && self.holds_marks.load(Ordering::SeqCst) {
            self.refusals.acquire().await.unwrap().forget();
            return Err(PutError::Unavailable("away".into()));
        }
        self.inner.put(record, expected).await
    }

    async fn follow(&self, channel: Option<&ChannelId>, after: Version) -> Result<Follow, DeliveriesError> {
        self.inner.follow(channel, after).await
    }

    async fn time(&self) -> Result<Instant, DeliveriesError> {
        self.inner.time().await
    }
}
