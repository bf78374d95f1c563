//! Console (看板): the pages a dispatcher looks at all day, drawn on the server, Chinese first.
//!
//! [`overview`] is the board with what is overdue and the last 催办, [`ticket`] one ticket with its clocks and full
//! timeline; [`alarms`] stand above both. [`words`] says things in both languages, [`shown`] shows values. The pages hold no script and no style of their
//! own: [`assets`](mod@assets) are files, and the content security policy allows nothing else.

mod ahead;
mod alarms;
mod assets;
mod overview;
mod page;
mod shown;
mod ticket;
mod words;

use axum::Router;
use axum::routing::get;

use crate::front::Office;

pub(crate) use assets::routes as assets;

/// All pages.
pub(crate) fn routes() -> Router<Office> {
    Router::new().route("/", get(overview::page)).route("/tickets/{id}", get(ticket::page))
}
