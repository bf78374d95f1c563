//! Working time (上班时间).
