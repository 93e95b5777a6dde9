"""The layers a setting can come from, as sources of pydantic-settings that remember what they gave."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource

from ofi_cvd.errors import SettingError

PREFIX = "OFI_"

_opened: ContextVar[Sequence[Layer]] = ContextVar("opened", default=())


class Layer(PydanticBaseSettingsSource):
    """One layer: names in any case, each of which must be a setting.

    Attributes:
        origin: what `ofi config` calls it.
        values: what it gives, by lower-case name.
    """

    def __init__(self, settings: type[BaseSettings], origin: str, given: Mapping[str, object]) -> None:
        """Take the layer's values.

        Raises:
            SettingError: a name that is no setting.
        """
        super().__init__(settings)
        self.origin = origin
        self.values: dict[str, object] = {}
        for key, value in given.items():
            if key.lower() not in settings.model_fields:
                accepts = "a setting that `ofi config` lists"
                raise SettingError(key, found=value, accepts=accepts, origin=origin)
            self.values[key.lower()] = value

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        """Return the value of one setting, its name, and that it is not JSON."""
        del field
        return self.values.get(field_name), field_name, False

    def __call__(self) -> dict[str, Any]:
        """Return everything the layer gives."""
        return self.values


def options_layer(settings: type[BaseSettings], options: Mapping[str, object]) -> Layer:
    """Return the layer of command-line options; None stands for an option that was not given."""
    return Layer(settings, "option", {name: value for name, value in options.items() if value is not None})


def environment_layer(settings: type[BaseSettings], environ: Mapping[str, str]) -> Layer:
    """Return the layer of the environment: `OFI_<NAME>` before the bare name.

    Raises:
        SettingError: `OFI_` and a name that is no setting.
    """
    bare = {name: environ[name.upper()] for name in settings.model_fields if name.upper() in environ}
    prefixed = {key.removeprefix(PREFIX): value for key, value in environ.items() if key.startswith(PREFIX)}
    for key, value in prefixed.items():
        if key.lower() not in settings.model_fields:
            accepts = "OFI_ and a setting that `ofi config` lists"
            raise SettingError(PREFIX + key, found=value, accepts=accepts, origin="environment")
    return Layer(settings, "environment", bare | {key.lower(): value for key, value in prefixed.items()})


def toml_layer(settings: type[BaseSettings], path: Path) -> Layer:
    """Return the layer of a settings file; it need not exist.

    Raises:
        SettingError: the file is no TOML, or has a name that is no setting.
    """
    try:
        table: dict[str, object] = tomllib.loads(path.read_text("utf-8")) if path.is_file() else {}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingError(str(path), found=str(error), accepts="a TOML file in UTF-8", origin=str(path)) from None
    except OSError as error:
        raise SettingError(str(path), found=error.strerror, accepts="a file to read", origin=str(path)) from None
    return Layer(settings, str(path), table)


def layers() -> Sequence[Layer]:
    """Return the layers that are open, the strongest first."""
    return _opened.get()


@contextmanager
def opened(found: Sequence[Layer]) -> Iterator[None]:
    """Let settings that are made while the block runs read these layers."""
    token = _opened.set(found)
    try:
        yield
    finally:
        _opened.reset(token)
