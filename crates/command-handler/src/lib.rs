//! Load, fold, decide, append: the one road by which anything is recorded.
