//! The command line, kept stable: acceptance checks and scripts call it.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args as ClapArgs, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

/// 催办 · after-sales ticketing: calls become events, broken limits are urged at their instant.
#[derive(Debug, Parser)]
#[command(name = "cuiban", version, about, propagate_version = true)]
pub(crate) struct Args {
    /// The settings file; `./cuiban.toml` where it exists.
    #[arg(long, global = true, env = "CUIBAN_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// What is logged on stderr: error, warn, info, debug, or a filter such as `cuiban_watchdog=debug`.
    #[arg(long, global = true, env = "CUIBAN_LOG", default_value = "warn", value_name = "FILTER")]
    pub log: String,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run everything in one process, on the embedded log or on NATS.
    Up(Up),
    /// Run one role on NATS.
    Serve(Serve),
    /// Say when a limit is used up, and why.
    Deadline(Deadline),
    /// Send a history through the whole system on a virtual clock.
    Replay(Replay),
    /// Send a history to a running system.
    Import(Import),
    /// Show a ticket.
    Ticket(Ticket),
    /// Show what was not delivered, and send it again.
    Alerts(Alerts),
    /// Look into the log.
    Log(Log),
    /// Look after the read models.
    Models(Models),
    /// Look after the clock that an embedded log goes by.
    Clock(Clock),
    /// Check the installation, and say what to do.
    Doctor(Doctor),
    /// Measure, beside the machine's own limit.
    Bench(Bench),
    /// Live through random days by seed, with a log that misbehaves, and judge the promises.
    Simulate(Simulate),
    /// Print a shell's completions.
    Completions {
        /// For which shell.
        shell: Shell,
    },
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Up {
    /// Where the log and the read models are kept.
    #[arg(long, env = "CUIBAN_DATA", value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Where HTTP is served.
    #[arg(long, env = "CUIBAN_LISTEN", value_name = "ADDR")]
    pub listen: Option<SocketAddr>,
    /// Keep the log on NATS JetStream instead of in `--data`.
    #[arg(long, env = "CUIBAN_NATS", value_name = "URL")]
    pub nats: Option<String>,
    /// Show what it does: invented calls on a scaled clock; nothing is kept, and nothing pushed.
    #[arg(long, conflicts_with_all = ["data", "nats"])]
    pub demo: bool,
    /// How many times as fast as the wall the demonstration's clock runs.
    #[arg(long, requires = "demo", value_name = "N", value_parser = clap::value_parser!(u32).range(1..=36_000))]
    pub speed: Option<u32>,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Serve {
    /// Which role.
    pub role: Role,
    /// The NATS server.
    #[arg(long, env = "CUIBAN_NATS", value_name = "URL")]
    pub nats: String,
    /// Where read models are kept.
    #[arg(long, env = "CUIBAN_DATA", value_name = "DIR")]
    pub data: PathBuf,
    /// Where HTTP is served; 127.0.0.1 and the role's own port (8080 gateway, 8081 projector, 8082 watchdog, 8083 notifier)
    /// if nobody says.
    #[arg(long, env = "CUIBAN_LISTEN", value_name = "ADDR")]
    pub listen: Option<SocketAddr>,
    /// Only this branch (projector).
    #[arg(long, value_name = "ID")]
    pub branch: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Role {
    /// Takes commands over HTTP.
    Gateway,
    /// Folds read models and answers queries.
    Projector,
    /// Issues 催办.
    Watchdog,
    /// Pushes alerts.
    Notifier,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Deadline {
    /// The calendar file.
    #[arg(long, value_name = "FILE")]
    pub calendar: PathBuf,
    /// When the clock begins: RFC 3339 with an offset.
    #[arg(long, value_name = "T", required_unless_present = "batch")]
    pub from: Option<String>,
    /// How long it may run: 6h, 90m, 1day 2h.
    #[arg(long, value_name = "SPAN", required_unless_present = "batch")]
    pub limit: Option<String>,
    /// Every hour counts, not only working time.
    #[arg(long)]
    pub wall: bool,
    /// A pause, `FROM/UNTIL`; `FROM/` while it lasts.
    #[arg(long = "pause", value_name = "A/B")]
    pub pauses: Vec<String>,
    /// Also say when a warning this long before is due.
    #[arg(long, value_name = "SPAN")]
    pub warn: Option<String>,
    /// Answer as JSON, with the trace.
    #[arg(long)]
    pub json: bool,
    /// Read questions from stdin and write answers to stdout, one JSON object a line.
    #[arg(long, conflicts_with_all = ["from", "limit", "pauses", "warn", "wall"])]
    pub batch: bool,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Replay {
    /// The history.
    #[arg(value_name = "FILE.csv")]
    pub file: PathBuf,
    /// How it is read (docs/mapping.md).
    #[arg(long, value_name = "FILE.toml")]
    pub mapping: PathBuf,
    /// Limits other than the mapping's.
    #[arg(long, value_name = "FILE.toml")]
    pub policy: Option<PathBuf>,
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Import {
    /// The history.
    #[arg(value_name = "FILE.csv")]
    pub file: PathBuf,
    /// How it is read (docs/mapping.md).
    #[arg(long, value_name = "FILE.toml")]
    pub mapping: PathBuf,
    /// The running system.
    #[arg(long, value_name = "URL")]
    pub to: String,
    /// The token to show there.
    #[arg(long, env = "CUIBAN_TOKEN", value_name = "TOKEN")]
    pub token: Option<String>,
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Ticket {
    #[command(subcommand)]
    pub what: TicketWhat,
}

#[derive(Debug, Subcommand)]
pub(crate) enum TicketWhat {
    /// How it stands.
    Show(TicketRef),
    /// Everything that happened to it.
    History(TicketRef),
}

#[derive(Debug, ClapArgs)]
pub(crate) struct TicketRef {
    /// The ticket's id or number.
    pub id: String,
    /// The running system.
    #[arg(long, default_value = "http://127.0.0.1:8080", env = "CUIBAN_URL", value_name = "URL")]
    pub to: String,
    /// The token to show there.
    #[arg(long, env = "CUIBAN_TOKEN", value_name = "TOKEN")]
    pub token: Option<String>,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Alerts {
    #[command(subcommand)]
    pub what: AlertsWhat,
}

#[derive(Debug, Subcommand)]
pub(crate) enum AlertsWhat {
    /// What the channels have not taken, the latest first.
    List {
        #[command(flatten)]
        system: RunningSystem,
        /// Only those that stand so: in_flight, failed, delivered, given_up, skipped, withdrawn, asked.
        #[arg(long, value_name = "STATE")]
        state: Option<String>,
        /// Only of this channel.
        #[arg(long, value_name = "ID")]
        channel: Option<String>,
    },
    /// Send alerts again, under the same ids.
    Resend {
        #[command(flatten)]
        system: RunningSystem,
        /// The alerts' ids, as `alerts list` shows them.
        #[arg(required = true, value_name = "ID")]
        ids: Vec<String>,
        /// Through this channel; through all that have not taken it, if left out.
        #[arg(long, value_name = "ID")]
        channel: Option<String>,
    },
}

/// Which running system is asked.
#[derive(Clone, Debug, ClapArgs)]
pub(crate) struct RunningSystem {
    /// The running system.
    #[arg(long, default_value = "http://127.0.0.1:8080", env = "CUIBAN_URL", value_name = "URL")]
    pub to: String,
    /// The token to show there.
    #[arg(long, env = "CUIBAN_TOKEN", value_name = "TOKEN")]
    pub token: Option<String>,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Log {
    #[command(subcommand)]
    pub what: LogWhat,
}

/// Where the log is.
#[derive(Clone, Debug, ClapArgs)]
pub(crate) struct LogPlace {
    /// The data folder of an embedded log.
    #[arg(long, env = "CUIBAN_DATA", value_name = "DIR", conflicts_with = "nats")]
    pub data: Option<PathBuf>,
    /// The NATS server.
    #[arg(long, env = "CUIBAN_NATS", value_name = "URL")]
    pub nats: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum LogWhat {
    /// Print commits as they come.
    Tail {
        #[command(flatten)]
        place: LogPlace,
        /// Begin after this position; 0 is the beginning. The last 20 commits if left out.
        #[arg(long, value_name = "POSITION")]
        after: Option<String>,
        /// Only this branch.
        #[arg(long, value_name = "ID")]
        branch: Option<String>,
        /// Only this class: case, expedite, transfer, policy, alert.
        #[arg(long, value_name = "CLASS")]
        class: Option<String>,
        /// End when everything that is stored has been printed.
        #[arg(long)]
        no_follow: bool,
        /// Print JSON, one object a line.
        #[arg(long)]
        json: bool,
    },
    /// Check that a log is as it was written, and name the first commit that is not.
    Verify {
        #[command(flatten)]
        place: LogPlace,
        /// An exported log instead; `-` is stdin.
        #[arg(value_name = "FILE")]
        file: Option<PathBuf>,
        /// A seal that an earlier verify told of the embedded log: a log without it was cut off, or is another one.
        #[arg(long, value_name = "SEAL", conflicts_with = "file")]
        seal: Option<String>,
        /// Print one JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Write the whole log as one file.
    Export {
        #[command(flatten)]
        place: LogPlace,
        /// The file to write; `-` is stdout.
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
    /// Read an exported log into an empty one.
    Import {
        #[command(flatten)]
        place: LogPlace,
        /// The file to read; `-` is stdin.
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// Import the commits alone, where the file has messages among them that are none of cuiban's.
        #[arg(long)]
        leave_out_foreign: bool,
    },
    /// Look at a commit that this build cannot read; with a reason, pass over it, so that its stream goes on.
    StepOver {
        #[command(flatten)]
        place: LogPlace,
        /// Where it is in the log: `cuiban log verify`, the doctor and `stream_unreadable` tell.
        #[arg(long, value_name = "POSITION")]
        position: String,
        /// Why it may be passed over; recorded. Nothing is recorded if left out.
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
        /// Who decides it; recorded.
        #[arg(long, value_name = "NAME", default_value = "operator")]
        by: String,
        /// Also a commit that a newer build would read: what it says is lost to this stream.
        #[arg(long)]
        even_newer: bool,
        /// In a numbering stream: the next number to hand out, above every number known.
        #[arg(long, value_name = "NUMBER")]
        next: Option<u64>,
        /// Print one JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Print the commit in one message: `nats sub --translate 'cuiban log decode -' …`.
    Decode {
        /// The message; `-` is stdin.
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Models {
    #[command(subcommand)]
    pub what: ModelsWhat,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ModelsWhat {
    /// How far each read model is.
    Status {
        /// The data folder.
        #[arg(long, env = "CUIBAN_DATA", value_name = "DIR")]
        data: PathBuf,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Delete the read models and fold them anew from the log.
    Rebuild {
        #[command(flatten)]
        place: LogPlace,
        /// Where the read models are kept, when the log is on NATS.
        #[arg(long, value_name = "DIR")]
        models: Option<PathBuf>,
        /// Print one JSON object.
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Clock {
    #[command(subcommand)]
    pub what: ClockWhat,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ClockWhat {
    /// Confirm that this machine's clock is right: the log follows it, running now or started within ten minutes.
    Accept {
        /// The data folder.
        #[arg(long, env = "CUIBAN_DATA", value_name = "DIR")]
        data: Option<PathBuf>,
        /// Print one JSON object.
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Doctor {
    #[command(flatten)]
    pub place: LogPlace,
    /// The running system, where its log is in a data folder; the settings' `listen`, if nobody says.
    #[arg(long, env = "CUIBAN_URL", value_name = "URL")]
    pub to: Option<String>,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Bench {
    /// Measured rounds of each row.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub rounds: u32,
    /// Only rows whose name contains this.
    #[arg(long, value_name = "PATTERN")]
    pub only: Option<String>,
    /// The rows that take minutes, too: a million tickets, a million clocks. The hour of calls runs only by its name.
    #[arg(long)]
    pub long: bool,
    /// List the rows and measure none.
    #[arg(long)]
    pub list: bool,
    /// Measure how cost grows with the number of tickets, instead of the table.
    #[arg(long)]
    pub growth: bool,
    /// The numbers of tickets at which growth is measured.
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "10000,100000",
        requires = "growth",
        value_name = "N,…"
    )]
    pub sizes: Vec<usize>,
    /// Draw growth into this folder.
    #[arg(long, requires = "growth", value_name = "DIR")]
    pub svg: Option<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Simulate {
    /// How many seeds.
    #[arg(long, default_value_t = 100, value_name = "N")]
    pub seeds: u64,
    /// The first seed.
    #[arg(long, default_value_t = 0, value_name = "S")]
    pub from: u64,
    /// Kinds of fault that do not strike, separated by commas.
    #[arg(long, value_delimiter = ',', value_name = "KIND")]
    pub without: Vec<cuiban_simulation::simulate::Fault>,
    /// Only these acts of the script, separated by commas.
    #[arg(long, value_delimiter = ',', value_name = "N")]
    pub acts: Option<Vec<usize>>,
    /// Print what happens, a line each.
    #[arg(long)]
    pub trace: bool,
    /// Leave a failing seed as it is: looking for a shorter one takes a while.
    #[arg(long)]
    pub no_shrink: bool,
    /// How many seeds at a time; one for each processor, if not given.
    #[arg(long, value_name = "N")]
    pub threads: Option<usize>,
    /// Print JSON, one object a seed.
    #[arg(long)]
    pub json: bool,
}

/// A length of time as people write it.
pub(crate) fn span(text: &str) -> anyhow::Result<Duration> {
    humantime::parse_duration(text).map_err(|error| {
        anyhow::anyhow!("{text:?} is not a length of time ({error}): write 6h, 90m or 1day 2h")
    })
}
