//! The whole system on a virtual clock and an in-memory log; drives replays of real histories.
