"""Answers for `ofi sql`: a named query with the run's parameters filled in, or any SELECT."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping
from typing import Literal

import polars as pl

from ofi_cvd.dataset.reader import Dataset, open_dataset
from ofi_cvd.errors import UsageError
from ofi_cvd.quality import queries, readonly
from ofi_cvd.quality.published import published_slices
from ofi_cvd.quality.received import received_values
from ofi_cvd.quality.span import stored_symbols, stored_window
from ofi_cvd.quality.window import Window
from ofi_cvd.settings import Settings
from ofi_cvd.spool.layout import list_hours


def answer(question: str, params: Mapping[str, str], settings: Settings) -> pl.DataFrame:
    """Return the answer to a file of `sql/` or to a SELECT; both can only read.

    Parameters of a named query that are not given are those of everything stored.

    Raises:
        InputError: the path is no dataset, and there is no spool either.
        UsageError: no such query, a wrong parameter, or SQL that is refused.
    """
    has_ledger = bool(list_hours(settings.spool_dir))
    with open_dataset(settings.data_dir, missing_ok=has_ledger, spool=settings.spool_dir) as dataset:
        if not re.fullmatch(r"\s*\w+\s*", question):
            readonly.guard(dataset)
            return readonly.ask(dataset, question, **{name: _guess(text) for name, text in params.items()})
        query = queries.load(question.strip())
        unknown = set(params) - {param.name for param in query.params}
        if unknown:
            raise UsageError(f"--param: expected parameters of {query.name}, found {', '.join(sorted(unknown))}")
        values = _defaults(dataset, settings)
        values |= {param.name: param.parse(params[param.name]) for param in query.params if param.name in params}
        absent = [param.name for param in query.params if param.name not in values]
        if absent:
            raise UsageError(f"{query.name}: expected --param {absent[0]}=..., found none")
        readonly.guard(dataset)
        return readonly.ask(dataset, query.text, **{param.name: values[param.name] for param in query.params})


def encode(frame: pl.DataFrame, form: Literal["csv", "json", "parquet"]) -> bytes:
    """Return a frame as the bytes of a file.

    Raises:
        UsageError: CSV of nested columns.
    """
    if form == "json":
        return frame.write_json().encode() + b"\n"
    buffer = io.BytesIO()
    if form == "parquet":
        frame.write_parquet(buffer)
        return buffer.getvalue()
    if any(dtype.is_nested() for dtype in frame.dtypes):
        raise UsageError("--format csv: expected plain columns, found a list or struct; --format json can hold them")
    frame.write_csv(buffer)
    return buffer.getvalue()


def _defaults(dataset: Dataset, settings: Settings) -> dict[str, object]:
    there = stored_symbols(dataset, settings)
    symbols = tuple(symbol for symbol in settings.symbols if symbol in there) or there
    window = stored_window(dataset, settings, symbols) or Window(0, 1, symbols)
    published = published_slices(dataset, settings.state_dir, window)
    return window.values(settings) | published.values() | received_values(settings, window)


def _guess(text: str) -> object:
    """Return a number where the text is one: an ad-hoc query declares no types."""
    for convert in (int, float):
        try:
            return convert(text)
        except ValueError:
            continue
    return text
