//! The trade as plain functions of values: commands, events, decide and evolve, working time, clocks.
