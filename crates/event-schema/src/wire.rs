//! How one value becomes its wire form and back: the plain ones. Composed values are in the sibling modules.

use std::time::Duration;

use chrono::NaiveDate;
use chrono_tz::Tz;
use cuiban_domain::Instant;
use cuiban_domain::ids::{BranchId, ChannelId, Number, StaffId, TicketId};
use cuiban_domain::people::{Department, Phone, Role};
use cuiban_domain::sla::{ClockKind, Measure, Rung, Span};
use cuiban_domain::text::Text;
use cuiban_domain::ticket::{
    Area, Channel, CustomerLevel, DeadlineReason, PauseReason, ServiceBasis, TicketKind, Urgency,
};
use cuiban_domain::working_time::Hours;

use crate::proto;

/// A value in any position: alone, optional, or one of many.
pub(crate) trait Value: Sized {
    /// What prost calls it where it is present.
    type Present;
    fn to_present(&self) -> Self::Present;
    fn from_present(present: Self::Present) -> Result<Self, WireError>;
}

/// A value as a field of a message.
pub(crate) trait Field: Sized {
    /// The field's type in prost's struct: a message field is an `Option` there.
    type Form;
    fn to_wire(&self) -> Self::Form;
    fn from_wire(form: Self::Form) -> Result<Self, WireError>;
}

/// A field whose value no writer of ours writes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct WireError(pub(crate) String);

/// A scalar's field form is the value itself, a message's an option that every writer fills.
macro_rules! field {
    (scalar $($type:ty),+ $(,)?) => { $(impl $crate::wire::Field for $type {
        type Form = <Self as $crate::wire::Value>::Present;
        fn to_wire(&self) -> Self::Form { $crate::wire::Value::to_present(self) }
        fn from_wire(form: Self::Form) -> Result<Self, $crate::wire::WireError> {
            $crate::wire::Value::from_present(form)
        }
    })+ };
    (message $($type:ty),+ $(,)?) => { $(impl $crate::wire::Field for $type {
        type Form = Option<<Self as $crate::wire::Value>::Present>;
        fn to_wire(&self) -> Self::Form { Some($crate::wire::Value::to_present(self)) }
        fn from_wire(form: Self::Form) -> Result<Self, $crate::wire::WireError> {
            $crate::wire::Value::from_present(form.ok_or_else(|| $crate::wire::invalid("a required message is missing"))?)
        }
    })+ };
}
pub(crate) use field;

/// A composed value: the same field names on both sides.
macro_rules! message {
    ($($type:ident { $($field:ident),* $(,)? })+) => { $(
        impl $crate::wire::Value for $type {
            type Present = $crate::proto::$type;
            fn to_present(&self) -> Self::Present {
                $crate::proto::$type { $($field: $crate::wire::Field::to_wire(&self.$field)),* }
            }
            fn from_present(present: Self::Present) -> Result<Self, $crate::wire::WireError> {
                Ok(Self { $($field: $crate::wire::in_field(stringify!($field), present.$field)?),* })
            }
        }
        $crate::wire::field!(message $type);
    )+ };
}
pub(crate) use message;

/// Reads one field and names it when that fails.
pub(crate) fn in_field<T: Field>(name: &str, form: T::Form) -> Result<T, WireError> {
    T::from_wire(form).map_err(|error| WireError(format!("{name}: {error}")))
}

pub(crate) fn invalid(error: impl std::fmt::Display) -> WireError {
    WireError(error.to_string())
}

impl<T: Value> Field for Vec<T> {
    type Form = Vec<T::Present>;
    fn to_wire(&self) -> Self::Form {
        self.iter().map(Value::to_present).collect()
    }
    fn from_wire(form: Self::Form) -> Result<Self, WireError> {
        form.into_iter().map(T::from_present).collect()
    }
}

impl<T: Value> Field for Option<T> {
    type Form = Option<T::Present>;
    fn to_wire(&self) -> Self::Form {
        self.as_ref().map(Value::to_present)
    }
    fn from_wire(form: Self::Form) -> Result<Self, WireError> {
        form.map(T::from_present).transpose()
    }
}

impl<T: Field> Field for Box<T> {
    type Form = T::Form;
    fn to_wire(&self) -> Self::Form {
        T::to_wire(self)
    }
    fn from_wire(form: Self::Form) -> Result<Self, WireError> {
        T::from_wire(form).map(Box::new)
    }
}

macro_rules! as_is {
    ($($type:ty),+) => { $(impl Value for $type {
        type Present = Self;
        fn to_present(&self) -> Self { self.clone() }
        fn from_present(present: Self) -> Result<Self, WireError> { Ok(present) }
    } field!(scalar $type);)+ };
}
as_is!(bool, u32, u64, i32, String);

impl Value for [u8; 32] {
    type Present = Vec<u8>;
    fn to_present(&self) -> Vec<u8> {
        self.to_vec()
    }
    fn from_present(present: Vec<u8>) -> Result<Self, WireError> {
        Self::try_from(present)
            .map_err(|bytes| WireError(format!("{} bytes where a hash has 32", bytes.len())))
    }
}
field!(scalar [u8; 32]);

/// Texts are recorded, not parsed: the rules of today are for what comes in today. `FromStr` only where it is a form and
/// no rule: what it refuses has no value at all.
macro_rules! as_text {
    ($($type:ty: $read:expr),+ $(,)?) => { $(impl Value for $type {
        type Present = String;
        fn to_present(&self) -> String { self.to_string() }
        fn from_present(present: String) -> Result<Self, WireError> { $read(present).map_err(invalid) }
    } field!(scalar $type);)+ };
}
as_text! {
    BranchId: BranchId::recorded,
    ChannelId: ChannelId::recorded,
    Number: Number::recorded,
    StaffId: StaffId::recorded,
    Phone: Phone::recorded,
    TicketId: |text: String| text.parse::<TicketId>(),
    NaiveDate: |text: String| text.parse::<NaiveDate>(),
    Tz: |text: String| text.parse::<Tz>(),
    Hours: |text: String| text.parse::<Hours>(),
}

impl<const MAX: usize, const LINES: bool> Value for Text<MAX, LINES> {
    type Present = String;
    fn to_present(&self) -> String {
        self.to_string()
    }
    fn from_present(present: String) -> Result<Self, WireError> {
        Self::recorded(present).map_err(invalid)
    }
}

impl<const MAX: usize, const LINES: bool> Field for Text<MAX, LINES> {
    type Form = String;
    fn to_wire(&self) -> String {
        self.to_present()
    }
    fn from_wire(form: String) -> Result<Self, WireError> {
        Self::from_present(form)
    }
}

macro_rules! as_enum {
    ($($type:ident { $($variant:ident),+ })+) => { $(impl Value for $type {
        type Present = i32;
        fn to_present(&self) -> i32 {
            match self { $(Self::$variant => proto::$type::$variant as i32),+ }
        }
        fn from_present(present: i32) -> Result<Self, WireError> {
            match proto::$type::try_from(present) {
                $(Ok(proto::$type::$variant) => Ok(Self::$variant),)+
                _ => Err(WireError(format!(concat!("no ", stringify!($type), " has the number {}"), present))),
            }
        }
    } field!(scalar $type);)+ };
}
as_enum! {
    Measure { Wall, Working }
    ClockKind { Response, Dispatch, Resolution }
    Rung { Warning, Breach, ServiceSupervisor, BranchManager, DeputyGeneralManager }
    Department { Dispatch, Customer }
    TicketKind { Repair, Complaint, CompensationClaim }
    Channel { Phone, Web, Mail, App, WalkIn }
    Area { Urban, Suburban }
    Urgency { Normal, Urgent, Emergency }
    CustomerLevel { Standard, Important }
    ServiceBasis { Paid, Contract, Warranty }
    PauseReason { CustomerAbsent, WaitingForParts, CustomerAskedForAnotherDay, WaitingForCustomer }
    DeadlineReason { Calendar, Policy, Area, Reclassified, Transferred }
    Role { IntakeOperator, Technician, ServiceSupervisor, BranchManager }
}

impl Value for Instant {
    type Present = prost_types::Timestamp;
    fn to_present(&self) -> prost_types::Timestamp {
        let nanos = i32::try_from(self.timestamp_subsec_micros() * 1_000).unwrap_or_default();
        prost_types::Timestamp { seconds: self.timestamp(), nanos }
    }
    fn from_present(present: prost_types::Timestamp) -> Result<Self, WireError> {
        let nanos = u32::try_from(present.nanos).map_err(invalid)?;
        Self::from_timestamp(present.seconds, nanos).ok_or_else(|| invalid("a timestamp is out of range"))
    }
}

impl Value for Duration {
    type Present = prost_types::Duration;
    fn to_present(&self) -> prost_types::Duration {
        let seconds = i64::try_from(self.as_secs()).unwrap_or(i64::MAX);
        prost_types::Duration { seconds, nanos: i32::try_from(self.subsec_nanos()).unwrap_or_default() }
    }
    fn from_present(present: prost_types::Duration) -> Result<Self, WireError> {
        let (seconds, nanos) = (u64::try_from(present.seconds), u32::try_from(present.nanos));
        Ok(Self::new(seconds.map_err(invalid)?, nanos.map_err(invalid)?))
    }
}

impl Value for Span {
    type Present = prost_types::Duration;
    fn to_present(&self) -> prost_types::Duration {
        self.duration().to_present()
    }
    fn from_present(present: prost_types::Duration) -> Result<Self, WireError> {
        Self::recorded(Duration::from_present(present)?).map_err(invalid)
    }
}

field!(message Instant, Duration, Span);
