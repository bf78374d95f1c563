//! The deadline index and the 催办 loop: issues the command at the instant a limit is broken.
