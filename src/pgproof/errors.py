"""Every way in which pgproof says no, with its exit code and what to do next.

    PgproofError            1   failed; nothing was changed or lost
    ├── ProgramFailed       1   a program that was started ended badly
    ├── QueryFailed         1   the server refused a question or a statement
    ├── NotFound            1   a name that is not in the store
    ├── AlreadyExists       1   a name that is in the store and must not be
    ├── UsageError          2   the command line asks for what cannot be
    │   └── ConfigError     2   the configuration does
    ├── Damaged             3   stored bytes are not what was stored
    │   └── NotProven       3   the drill found a difference, or could not run
    ├── Refused             4   the target or the moment is not safe
    │   └── Frozen          4   it lies in an archive, and must be asked back first
    ├── Busy                5   another run holds the lock
    ├── Unreachable         6   server or store does not answer
    ├── Degraded            7   done, but something asked for is missing
    └── Interrupted       130   Ctrl-C or SIGTERM; what could not be removed is named

The exit codes are those of docs/design.md, section 5. A message is one sentence about what happened;
the hint says what the reader can do about it. Neither ever holds a secret.
"""


class PgproofError(Exception):
    """The root: `message` is one sentence, `hint` what to do next, `exit_code` the program's."""

    exit_code = 1

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class ProgramFailed(PgproofError):
    """A child process ended badly; the message has its exit status or signal and the tail of its stderr."""


class QueryFailed(PgproofError):
    """The server answered with an error; `sqlstate` is PostgreSQL's five-character code."""

    def __init__(self, message: str, *, hint: str = "", sqlstate: str = "") -> None:
        super().__init__(message, hint=hint)
        self.sqlstate = sqlstate


class NotFound(PgproofError):
    """There is nothing of this name in the store."""


class AlreadyExists(PgproofError):
    """Something of this name is in the store already; nothing stored is ever overwritten."""


class UsageError(PgproofError):
    exit_code = 2


class ConfigError(UsageError):
    """A line of the configuration cannot be; the message names its path."""


class Damaged(PgproofError):
    exit_code = 3


class NotProven(Damaged):
    """The drill could not run, or ran and found a difference."""


class Refused(PgproofError):
    exit_code = 4


class Frozen(Refused):
    """Stored bytes lie in an archive (S3's Glacier, say) and cannot be read yet."""


class Busy(PgproofError):
    exit_code = 5


class Unreachable(PgproofError):
    exit_code = 6


class Degraded(PgproofError):
    exit_code = 7


class Interrupted(PgproofError):
    exit_code = 130
