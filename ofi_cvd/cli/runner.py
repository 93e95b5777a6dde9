"""What every command shares: a listing without cut sentences, and errors as one sentence with a status."""

from __future__ import annotations

import errno
import re
from typing import Any

import typer
from typer.core import TyperGroup

from ofi_cvd.common.terminal import err
from ofi_cvd.errors import OfiCvdError

INTERRUPTED = 130
_WRONG_PATH = frozenset(
    {
        errno.ENOENT,
        errno.ENOTDIR,
        errno.EISDIR,
        errno.EACCES,
        errno.EPERM,
        errno.EEXIST,
        errno.EROFS,
        errno.ENAMETOOLONG,
    }
)


class CommandGroup(TyperGroup):
    """Commands with the whole first sentence of their help, wrapped and never cut."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the list of commands."""
        rows = [
            (name, " ".join((command.help or "").partition("\n\n")[0].split()))
            for name in self.list_commands(ctx)
            if (command := self.get_command(ctx, name)) is not None and not command.hidden
        ]
        if rows:
            with formatter.section("Commands"):
                formatter.write_dl(rows)


def run(app: typer.Typer) -> int:
    """Run the command line; return its exit status, with every error of the caller or of ours said in one sentence."""
    try:
        return int(app(standalone_mode=False) or 0)
    except OfiCvdError as error:
        return _say(str(error), error.exit_code)
    except typer.Exit as stopped:
        return int(stopped.exit_code)
    except (KeyboardInterrupt, typer.Abort):
        return _say("interrupted; what was published stays, the same command resumes", INTERRUPTED)
    except OSError as error:
        return _of_system(error)
    except Exception as error:
        usage = getattr(error, "format_message", None)  # the parser's own errors
        if usage is None:
            raise
        return _wrong_usage(error, usage())


def _wrong_usage(error: Exception, message: str) -> int:
    context: Any = getattr(error, "ctx", None)
    if "\n" in message:  # no command was named: this is the help
        err.print(message, markup=False, highlight=False, soft_wrap=True)
        return 2
    path = context.command_path if context else "ofi"
    message = re.sub(r"Input should be (a valid )?(.+?)(, unable to.*)?$", r"expected \2", message)
    return _say(f"{message.rstrip('.')}; `{path} --help` shows what there is", 2)


def _of_system(error: OSError) -> int:
    """Say what the system refused: a path that cannot be is the caller's input, a full disk is a failed run."""
    reason = error.strerror or str(error)
    if error.errno in _WRONG_PATH and error.filename:
        return _say(f"{error.filename}: expected a file or folder that can be used, found {reason}", 2)
    return _say(f"{error.filename}: {reason}" if error.filename else reason, 1)


def _say(sentence: str, status: int) -> int:
    err.print(f"ofi: {sentence[:1].lower() if sentence.startswith('No ') else sentence[:1]}{sentence[1:]}",
              markup=False, highlight=False, soft_wrap=True)  # fmt: skip
    return status
