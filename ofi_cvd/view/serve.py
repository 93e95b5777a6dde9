"""Serve the page until interrupted."""

from __future__ import annotations

import contextlib
import socket
import webbrowser
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Timer

import uvicorn

from ofi_cvd.errors import RunError
from ofi_cvd.view.http import Application
from ofi_cvd.view.requests import Page


def serve(
    data_dir: Path, *, host: str, port: int, follow: bool, browser: bool, announce: Callable[[str], None]
) -> None:
    """Serve the page over a dataset, until interrupted.

    Args:
        data_dir: the dataset.
        host: address to listen on.
        port: port; 0 takes a free one.
        follow: whether the page moves with the data at first.
        browser: open it in the browser.
        announce: told the URL once it can be opened.

    Raises:
        RunError: the port is taken.
    """
    with listening(host, port) as listener:
        url = f"http://{f'[{host}]' if ':' in host else host}:{listener.getsockname()[1]}/"
        announce(url)
        if browser:
            Timer(0.3, webbrowser.open, [url]).start()
        config = uvicorn.Config(
            Application(Page(data_dir, follow=follow), host), log_level="warning", access_log=False, lifespan="off",
            server_header=False,
        )  # fmt: skip
        uvicorn.Server(config).run(sockets=[listener])


@contextlib.contextmanager
def listening(host: str, port: int) -> Iterator[socket.socket]:
    """Yield a socket that listens.

    Raises:
        RunError: it cannot.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
        except OSError as error:
            raise RunError(
                f"{host}:{port}: expected a free port, found {error.strerror or error}; try --port 0"
            ) from None
        listener.listen(64)
        yield listener
