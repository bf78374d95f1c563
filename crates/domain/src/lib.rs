//! The trade as plain functions of values.

pub mod working_time;
