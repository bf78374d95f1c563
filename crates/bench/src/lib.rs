//! Workloads, limits and ratios, measured beside the machine's own limit in the same run.
