//! How a command ends: its exit code, and what it says on stderr.

use std::process::ExitCode;

/// Why a command did not do what it was asked.
#[derive(Debug)]
pub(crate) enum Failure {
    /// It was asked, and could not: 1.
    Failed(anyhow::Error),
    /// It was asked something wrong: 2.
    Usage(anyhow::Error),
    /// What it needs does not answer: 3.
    Unreachable(anyhow::Error),
    /// Somebody else was faster, or the state forbids it: 4.
    Conflict(anyhow::Error),
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (Self::Failed(error) | Self::Usage(error) | Self::Unreachable(error) | Self::Conflict(error)) =
            self;
        write!(f, "{error:#}")
    }
}

impl Failure {
    /// `cuiban … | head`: the program that read stdout has closed it.
    fn is_of_a_reader_that_has_gone(&self) -> bool {
        let Self::Failed(error) = self else { return false };
        let error = error.downcast_ref::<std::io::Error>();
        error.is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
    }
}

pub(crate) type Outcome = Result<(), Failure>;

impl<E: Into<anyhow::Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

/// Turns an error into a wrong question, a silent partner or a conflict.
pub(crate) trait OrFailure<T> {
    fn or_usage(self) -> Result<T, Failure>;
    fn or_unreachable(self) -> Result<T, Failure>;
}

impl<T, E: Into<anyhow::Error>> OrFailure<T> for Result<T, E> {
    fn or_usage(self) -> Result<T, Failure> {
        self.map_err(|error| Failure::Usage(error.into()))
    }
    fn or_unreachable(self) -> Result<T, Failure> {
        self.map_err(|error| Failure::Unreachable(error.into()))
    }
}

/// Says what went wrong, cause by cause, and gives the exit code.
pub(crate) fn code_of(outcome: Outcome) -> ExitCode {
    let Err(failure) = outcome else { return ExitCode::SUCCESS };
    if failure.is_of_a_reader_that_has_gone() {
        return ExitCode::SUCCESS;
    }
    crate::output::note(format_args!("cuiban: {failure}"));
    ExitCode::from(match failure {
        Failure::Failed(_) => 1,
        Failure::Usage(_) => 2,
        Failure::Unreachable(_) => 3,
        Failure::Conflict(_) => 4,
    })
}
