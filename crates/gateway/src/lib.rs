//! Everything HTTP: in come requests of people and programs, out go commands to the handlers and rows to the screen.
//!
//! `cuiban up` and `cuiban serve` build a [`Gateway`], take its [`router`] and [`serve`] it. The rooms behind the door:
//!
//! ```text
//!            ┌── intake ───┐  commands: parsed, named (idempotency), handed to the command handlers
//!  door ─────┼── office ───┤  queries of the read models
//!  (who?)    ├── console ──┤  pages for dispatchers, Chinese first
//!            └── live ─────┘  what happens, as it happens (server-sent events)
//! ```
//!
//! - [`health`](mod@health) says how the process stands, and whether somebody watches: probes, figures, warnings.
//! - [`status`](mod@status) chooses every status code, [`texts`](mod@texts) words every refusal.
//! - [`alerts`] lists what the notifier pushed, and asks for it again.
//! - [`api`](mod@api) registers a route and describes it (OpenAPI) in one line.
//!
//! This room decides nothing by the rules of the trade, folds no events, and knows no broker and no database.

mod alerts;
mod api;
mod config;
mod console;
mod docs;
mod door;
mod extract;
mod form;
mod front;
#[cfg(fuzzing)]
pub mod fuzzing;
mod gateway;
mod headers;
mod health;
mod intake;
mod live;
mod office;
mod refusal;
mod status;
mod texts;

pub use config::{Config, InvalidConfig, Tokens};
pub use docs::document;
pub use gateway::{Gateway, Mounts, router, serve};
pub use health::{Health, Looked, words};
