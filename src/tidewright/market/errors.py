"""All errors a user can meet. A message states the rule and the value; the class says whose fault it is.

::

    TidewrightError                exit code 1
    ├── UsageError                 2  the command or call was wrong: unknown strategy, parameter out of range
    │   └── DataError              2  an input file or stream breaks its format
    ├── NotRunningError            3  no session or exchange to talk to
    ├── ConfigError                4  a configuration that cannot be used
    ├── TimedOutError              5  no answer in time: the outcome is unknown, never "rejected"
    ├── NotFoundError              6  a file, session or order that is not there
    └── VenueError                 1  the venue said no; carries the venue's own code
"""


class TidewrightError(Exception):
    """Base of all errors shown to a user without a traceback."""

    exit_code = 1


class UsageError(TidewrightError, ValueError):
    """The caller asked for something that does not exist or is out of range."""

    exit_code = 2


class DataError(UsageError):
    """An input breaks the rules of its format."""


class NotRunningError(TidewrightError):
    """The process to talk to is not running."""

    exit_code = 3


class ConfigError(TidewrightError):
    """A configuration that cannot be used."""

    exit_code = 4


class TimedOutError(TidewrightError):
    """No answer in time. What was asked may or may not have happened."""

    exit_code = 5


class NotFoundError(TidewrightError):
    """A file, session or order that is not there."""

    exit_code = 6


class VenueError(TidewrightError):
    """The venue refused a request.

    Parameters
    ----------
    code
        The venue's own error code, for Binance a negative integer.
    message
        The venue's own words.
    """

    def __init__(self, code: int, message: str) -> None:
        super().__init__(f"venue error {code}: {message}")
        self.code = code
        self.message = message
