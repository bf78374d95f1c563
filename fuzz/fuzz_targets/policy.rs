//! A policy as the API and files give it: checked, laid over, kept.
#![no_main]

use std::sync::LazyLock;

use bytes::Bytes;
use cuiban_domain::organisation::SetPolicy;
use cuiban_domain::sla::Policy;
use cuiban_fuzz::Office;
use libfuzzer_sys::fuzz_target;

static OFFICE: LazyLock<Office> = LazyLock::new(Office::new);

fuzz_target!(|data: &[u8]| {
    if let Ok((set, occurred_at)) = cuiban_gateway::fuzzing::parse::<SetPolicy>(&Bytes::copy_from_slice(data))
    {
        let laid_over = Policy::default().overlaid(&set.policy.limits);
        let _ = laid_over.check();
        OFFICE.company(&set.into(), occurred_at);
    }
});
