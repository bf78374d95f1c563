//! A commit as it comes from the log: read, printed, chained, folded.
#![no_main]

use cuiban_event_schema::{Chain, commit_id, decode, encode, to_json, to_line};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let _ = (to_json(data), to_line(data), commit_id(data));
    let mut chain = Chain::default();
    let _ = (chain.check("ticket", "1", data), chain.check("ticket", "1", data));
    if let Ok(commit) = decode(data) {
        // What the first release wrote beside a notice is read, and written no more.
        if let Ok(again) = encode(&commit.envelope, &commit.events) {
            let kept = decode(&again).expect("what was read can be written and read again");
            assert_eq!(encode(&kept.envelope, &kept.events), Ok(again));
        }
        cuiban_fuzz::fold(&commit);
    }
});
