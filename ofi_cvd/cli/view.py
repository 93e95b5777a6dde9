"""`ofi view`: the dataset in the browser."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ofi_cvd.cli import options
from ofi_cvd.common.terminal import err, out
from ofi_cvd.errors import UsageError

_LOOPBACK = {"127.0.0.1", "localhost", "::1"}


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command()(view)


def view(
    folder: Annotated[
        Path | None, typer.Argument(metavar="[DATA_DIR]", help="the dataset; default: the setting", show_default=False)
    ] = None,
    *,
    port: Annotated[int, typer.Option(min=0, max=65535, help="port to serve on; 0 takes a free one")] = 8350,
    host: Annotated[str, typer.Option(help="address to serve on")] = "127.0.0.1",
    follow: Annotated[bool, typer.Option("--follow", help="keep up with a running harvest or build")] = False,
    browser: Annotated[bool, typer.Option("--open/--no-open", help="open the page in the browser")] = True,
    sample: Annotated[bool, typer.Option("--sample", help="look at the sample that ships with the package")] = False,
    data_dir: options.DataDir = None,
    pairs: options.Set = None,
) -> None:
    """Look at the dataset in the browser: prices, flows, scores, events and gaps on one time axis.

    Example: ofi view data/ofi_cvd --no-open
    """
    try:
        from ofi_cvd.view.serve import serve  # noqa: PLC0415  # an extra; also keeps `ofi --help` quick
    except ModuleNotFoundError as error:
        raise UsageError(
            f"expected the packages of the extra `view`, found no {error.name}: pip install 'ofi-cvd[view]'"
        ) from None
    from ofi_cvd.dataset.reader import open_dataset  # noqa: PLC0415
    from ofi_cvd.dataset.sample import SAMPLE_DIR  # noqa: PLC0415

    settings = options.effective(pairs, data_dir=data_dir).settings
    chosen = SAMPLE_DIR if sample else folder or Path(settings.data_dir)
    open_dataset(chosen, missing_ok=follow).close()
    if host not in _LOOPBACK:
        err.print(f"warning: everyone who can reach {host} can see this dataset", soft_wrap=True)

    def announce(url: str) -> None:
        out.print(f"{chosen} at {url} (Ctrl-C to stop)", soft_wrap=True)

    serve(chosen, host=host, port=port, follow=follow, browser=browser, announce=announce)
