//! How lists are asked for and answered.

use cuiban_domain::ids::BranchId;
use cuiban_domain::people::Phone;
use cuiban_domain::ticket::TicketKind;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Which part of a list is wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// Go on after this cursor, which the page before gave; from the start if none.
    pub after: Option<String>,
    /// At most so many rows; bounded by [`crate::Config::page_rows_max`], which is also what 0 means.
    pub limit: usize,
}

/// A part of a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Paged<T> {
    /// The rows, in the list's order.
    pub rows: Vec<T>,
    /// Where the next page begins; none at the end of the list.
    ///
    /// A page can be shorter than asked for, even empty, and still have a next one: a search gives back what it
    /// found after looking at so many rows.
    pub next: Option<String>,
}

/// Which tickets are wanted; what is left out does not matter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TicketFilter {
    /// Of this branch.
    pub branch: Option<BranchId>,
    /// Of this kind.
    pub kind: Option<TicketKind>,
    /// Only those that are open.
    pub open_only: bool,
    /// Of a customer with exactly this phone number.
    pub phone: Option<Phone>,
    /// With this text, in any case, in number, customer's name or address, product, serial number or description.
    pub text: Option<String>,
}
