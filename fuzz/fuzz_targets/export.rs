//! An exported log: read to its end or its first fault.
#![no_main]

use cuiban_event_schema::ExportReader;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(mut reader) = ExportReader::new(data) else { return };
    while let Ok(Some(_)) = reader.next_message() {}
});
