//! A mapping file, and a history read by it.
#![no_main]

use cuiban_simulation::history::{History, Mapping};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((mapping, histories)) = cuiban_fuzz::texts(data) else { return };
    let Ok(mapping) = Mapping::parse(mapping) else { return };
    for history in histories {
        if let Ok(history) = History::read(history.as_bytes(), &mapping) {
            assert!(history.steps.is_sorted_by_key(|step| step.at));
            for step in &history.steps {
                serde_json::to_string(&step.action).expect("a step can be sent");
            }
        }
    }
});
