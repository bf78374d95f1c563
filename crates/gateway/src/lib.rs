//! Everything HTTP: intake commands, office queries, console pages, live updates.
