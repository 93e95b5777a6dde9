"""Options that several commands share, and the way from options to settings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from ofi_cvd.errors import UsageError

if TYPE_CHECKING:
    from ofi_cvd.settings import Effective

Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="NAME=VALUE", help="any setting of `ofi config`; may be repeated", show_default=False
    ),
]
Symbols = Annotated[
    str | None, typer.Option("--symbols", metavar="A,B", help="symbols, e.g. BTCUSDT,ETHUSDT", show_default=False)
]
SpoolDir = Annotated[str | None, typer.Option("--spool-dir", metavar="DIR", help="the spool", show_default=False)]
DataDir = Annotated[str | None, typer.Option("--data-dir", metavar="DIR", help="the dataset", show_default=False)]
StateDir = Annotated[
    str | None, typer.Option("--state-dir", metavar="DIR", help="checkpoint and states", show_default=False)
]
ArtifactsDir = Annotated[
    str | None, typer.Option("--artifacts-dir", metavar="DIR", help="reports and logs", show_default=False)
]
Json = Annotated[bool, typer.Option("--json", help="print JSON for scripts")]


def effective(pairs: list[str] | None = None, **options: object) -> Effective:
    """Return the effective settings for a command's options; `pairs` are its `--set NAME=VALUE`.

    Raises:
        UsageError: a pair without `=`.
        SettingError: a bad name or value.
    """
    from ofi_cvd.settings import load  # noqa: PLC0415  # keeps `ofi --help` quick

    merged: dict[str, object] = {}
    for pair in pairs or []:
        name, equals, value = pair.partition("=")
        if not equals:
            raise UsageError(f"--set: expected NAME=VALUE, found {pair!r}")
        merged[name] = value
    merged.update({name: value for name, value in options.items() if value is not None})
    return load(merged)
