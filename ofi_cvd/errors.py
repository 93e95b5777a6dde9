"""The one error tree.

    OfiCvdError
    |-- UsageError          wrong input, option or setting       (exit 2)
    |   |-- SettingError    a setting has a bad name or value
    |   `-- InputError      a file or argument is not what was expected
    `-- RunError            the run failed                       (exit 1)
        |-- SpoolError      the spool cannot be read or written
        |-- PublishError    a dataset file could not be published
        |-- LockedError     another process holds the spool or the dataset
        `-- ExchangeError   the exchange answered something unusable

A message is one sentence that says what was expected and what was found.
"""

from __future__ import annotations


class OfiCvdError(Exception):
    """Base of every error this package raises on purpose; `exit_code` is the status of the command."""

    exit_code = 1


class UsageError(OfiCvdError):
    """The caller asked for something that cannot be done as asked."""

    exit_code = 2


class SettingError(UsageError):
    """A setting has an unknown name, a wrong type or a value out of range.

    Attributes:
        key: the setting's name.
        found: what was given, as text.
        accepts: what would have been accepted.
        origin: where the value came from (`environment`, `ofi.toml`, ...).
    """

    def __init__(self, key: str, *, found: object, accepts: str, origin: str) -> None:
        self.key, self.found, self.accepts, self.origin = key, found, accepts, origin
        super().__init__(key, found, accepts, origin)

    def __str__(self) -> str:
        return f"setting {self.key} (from {self.origin}): expected {self.accepts}, found {self.found!r}"


class InputError(UsageError):
    """A file or an argument is not what was expected."""


class RunError(OfiCvdError):
    """The command was understood and could not be carried out."""


class SpoolError(RunError):
    """The spool cannot be read or written."""


class PublishError(RunError):
    """A dataset file could not be published; what was published before is untouched."""


class LockedError(RunError):
    """Another process holds the spool or the dataset."""


class ExchangeError(RunError):
    """The exchange refused, or answered something unusable."""
