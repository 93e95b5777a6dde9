"""What the page may ask, and the answers: a question is a path and texts, an answer is a document."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Final

from ofi_cvd.errors import InputError
from ofi_cvd.publish.parts import parameters_of
from ofi_cvd.schemas import TABLES
from ofi_cvd.view.overview import next_event, next_gap, overview
from ofi_cvd.view.screen import Answer, screen
from ofi_cvd.view.summaries import Summaries

_LATEST_MS: Final = 253_402_300_800_000  # the year 10000
_LONGEST_MS: Final = 100 * 365 * 86_400_000

Params = Mapping[str, str]


@dataclass(frozen=True)
class Question:
    """One range or instant of one symbol, checked."""

    symbol: str
    params: Params

    def number(self, name: str, low: int, high: int) -> int:
        """Return a whole number of the question.

        Raises:
            InputError: it is missing, no whole number, or out of range.
        """
        text = self.params.get(name, "")
        digits = text.removeprefix("-")
        if not digits.isascii() or not digits.isdigit() or len(digits) > 15 or not low <= int(text) <= high:
            raise InputError(f"{name}: expected a whole number from {low} to {high}, found {text[:40]!r}")
        return int(text)


class Page:
    """The questions of one dataset, answered one at a time."""

    def __init__(self, data_dir: Path, *, follow: bool = False) -> None:
        self._data_dir, self._follow = data_dir, follow
        self._summaries = Summaries(data_dir)
        self._lock = Lock()
        self._answers: dict[str, Callable[[Question], Answer]] = {
            "/api/overview": lambda question: overview(self._summaries, question.symbol),
            "/api/screen": self._screen,
            "/api/next": self._next,
            "/api/news": self._news,
        }

    def answer(self, path: str, params: Params) -> Answer | None:
        """Return the answer to a question; None for a path that is no question.

        Raises:
            InputError: a value that was not expected.
            RunError: the dataset cannot be read.
        """
        with self._lock:
            if path == "/api/dataset":
                return self._dataset()
            answer = self._answers.get(path)
            if answer is None:
                return None
            symbol = params.get("symbol", "")
            if symbol not in self._summaries.symbols():
                raise InputError(f"symbol: expected one of the dataset, found {symbol[:40]!r}")
            return answer(Question(symbol, params))

    def _dataset(self) -> Answer:
        spans = {symbol: self._summaries.span(symbol) for symbol in self._summaries.symbols()}
        parameters = parameters_of(self._data_dir)
        return {
            "name": self._data_dir.resolve().name,
            "symbols": {symbol: {"start_ms": start, "end_ms": end} for symbol, (start, end) in spans.items()},
            "follow": self._follow,
            "has_depth": "depth_bid" in TABLES["ofi"].schema,
            "market": parameters.get("MARKET"),
            "sessions": parameters.get("SESSION_HOURS"),
        }

    def _screen(self, question: Question) -> Answer:
        start = question.number("start_ms", 0, _LATEST_MS)
        end = question.number("end_ms", 0, _LATEST_MS)
        if not 0 < end - start <= _LONGEST_MS:
            raise InputError(f"start_ms and end_ms: expected a start before the end, found {start} and {end}")
        pixels = question.number("pixels", 16, 8_192)
        height = question.number("height", 16, 8_192)
        return screen(self._summaries, question.symbol, start, end, pixels, height)

    def _next(self, question: Question) -> Answer:
        at, back = question.number("at_ms", 0, _LATEST_MS), question.number("back", 0, 1) == 1
        what = question.params.get("what", "")
        if what not in {"event", "gap"}:
            raise InputError(f"what: expected event or gap, found {what[:40]!r}")
        find = next_event if what == "event" else next_gap
        return {"found": find(self._summaries, question.symbol, at, back=back)}

    def _news(self, question: Question) -> Answer:
        start, end = self._summaries.span(question.symbol)
        return {"start_ms": start, "end_ms": end, "version": self._summaries.version(question.symbol)}
