"""What a setting accepts, in words: for the settings page, and for the one sentence when a value is refused."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt
from pydantic import TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from ofi_cvd.errors import SettingError

_NO_VALUE = "?"  # what no check of ours accepts: its refusal says what would do


def accepts(field: FieldInfo) -> str:
    """Return what a setting accepts, from its type or from its own refusal."""
    kind: Any = field.annotation
    if get_origin(kind) is Literal:
        *most, last = map(str, get_args(kind))
        return f"{', '.join(most)} or {last}" if most else last
    if kind is bool:
        return "true or false"
    if kind is Path:
        return "a folder"
    if kind in {int, float}:
        return _range(field, kind)
    checked: TypeAdapter[object] = TypeAdapter(field.rebuild_annotation())
    try:
        checked.validate_python(_NO_VALUE)
    except ValidationError as error:
        return error.errors()[0]["msg"].removeprefix("Value error, ")
    raise AssertionError(f"{field} accepts {_NO_VALUE!r}")


def setting_error(error: ValidationError, fields: Mapping[str, FieldInfo], origins: Mapping[str, str]) -> SettingError:
    """Return the first refusal as an error of ours, in our words."""
    detail = error.errors()[0]
    name = str(detail["loc"][0]) if detail["loc"] else "settings"
    said = detail["msg"].removeprefix("Value error, ") if detail["type"] == "value_error" else None
    words = said or (accepts(fields[name]) if name in fields else "a setting that `ofi config` lists")
    return SettingError(name.upper(), found=detail["input"], accepts=words, origin=origins.get(name, "settings"))


def _range(field: FieldInfo, kind: type) -> str:
    marks = {Ge: "at least", Gt: "above", Le: "at most", Lt: "below"}
    bounds = [
        f"{words} {_plain(getattr(part, mark.__name__.lower()))}"
        for part in field.metadata
        for mark, words in marks.items()
        if isinstance(part, mark)
    ]
    return " ".join([("a whole number" if kind is int else "a number"), ", ".join(bounds)]).strip()


def _plain(value: float) -> str:
    return str(int(value)) if float(value).is_integer() else str(value)
