//! An HTTP body: the first line names the command, the rest is what was sent. What parses is decided and kept.
#![no_main]

use std::sync::LazyLock;

use bytes::Bytes;
use cuiban_domain::organisation::*;
use cuiban_domain::ticket::*;
use cuiban_fuzz::Office;
use cuiban_gateway::fuzzing::{parse, read_official_days};
use libfuzzer_sys::{Corpus, fuzz_target};

static OFFICE: LazyLock<Office> = LazyLock::new(Office::new);

macro_rules! commands {
    ($name:ident, $body:ident: ticket $($ticket:ident)+; branch $($branch:ident)+; company $($company:ident)+;) => {
        match $name {
            $(stringify!($ticket) => if let Ok((command, at)) = parse::<$ticket>($body) { OFFICE.ticket(&command.into(), at) },)+
            $(stringify!($branch) => if let Ok((command, at)) = parse::<$branch>($body) { OFFICE.branch(&command.into(), at) },)+
            $(stringify!($company) => if let Ok((command, at)) = parse::<$company>($body) { OFFICE.company(&command.into(), at) },)+
            "RegisterTicket" => if let Ok((command, at)) = parse::<RegisterTicket>($body) { OFFICE.register(command, at) },
            "ImportOfficialDays" => { let _ = read_official_days($body); }
            _ => return Corpus::Reject,
        }
    };
}

fuzz_target!(|data: &[u8]| -> Corpus {
    let Some(end) = data.iter().position(|byte| *byte == b'\n') else { return Corpus::Reject };
    let (Ok(name), body) = (std::str::from_utf8(&data[..end]), &Bytes::copy_from_slice(&data[end + 1..]))
    else {
        return Corpus::Reject;
    };
    commands! { name, body:
        ticket RespondToCustomer DispatchTechnician ArriveAtCustomer FixOnSite PauseTicket ResumeTicket ReclassifyTicket
            CorrectServiceBasis AssignHandler ReassignTicket TransferTicket MergeTicket CancelTicket CloseTicket ReopenTicket;
        branch OpenBranch SetBranchHours SetBranchLimits ListDistricts AdmitStaff ChangeStaff LeaveStaff;
        company SetCompanyCalendar SetProvinceDays SetPolicy ListProducts;
    }
    Corpus::Keep
});
