"""Settings as frozen dataclasses that live beside what they configure.

A field made by `option` carries its help text and range. The same class checks its values, reads itself from a
TOML file, becomes a command's options (`cli.options`) and is saved with the result it produced.
"""

from __future__ import annotations

import dataclasses
import tomllib
import types
import typing
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

from nlprep.core.errors import FileError, OptionError, os_errors_named

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping

T = TypeVar("T")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Bounds:
    """What `option` knows of a field besides its default."""

    help: str
    minimum: float | None = None
    maximum: float | None = None
    above: float | None = None
    choices: tuple[str, ...] | None = None


def option(
    default: T,
    help: str,  # noqa: A002
    *,
    minimum: float | None = None,
    maximum: float | None = None,
    above: float | None = None,
    choices: tuple[str, ...] | None = None,
) -> T:
    """A dataclass field with its help text and the values it accepts.

    Args:
        default: The default value.
        help: One line for ``--help``.
        minimum: The least value.
        maximum: The greatest value.
        above: A bound that the value must exceed.
        choices: The strings accepted.
    """
    bounds = Bounds(help=help, minimum=minimum, maximum=maximum, above=above, choices=choices)
    return dataclasses.field(default=default, metadata={"bounds": bounds})


def bounds_of(field: dataclasses.Field[Any]) -> Bounds:
    """The `Bounds` that `option` gave a field; empty ones for a plain field."""
    return cast("Bounds", field.metadata.get("bounds", Bounds(help="")))


def value_types(configuration: type, name: str) -> tuple[type, bool]:
    """The plain type of a field (int, float, str, bool) and whether None is a value too."""
    hint = typing.get_type_hints(configuration)[name]
    if isinstance(hint, types.UnionType) or typing.get_origin(hint) is typing.Union:
        members = [member for member in typing.get_args(hint) if member is not types.NoneType]
        return members[0], True
    if typing.get_origin(hint) is typing.Literal:
        return str, False
    return hint, False


def check(configuration: object) -> None:
    """Check every field against its type and `option` range; call it from ``__post_init__``.

    An int is accepted where a float is meant, and becomes one.

    Raises:
        OptionError: Names the field, the value and the range.
    """
    kind = type(configuration)
    for field in dataclasses.fields(configuration):  # type: ignore[arg-type]
        value = getattr(configuration, field.name)
        wanted, optional = value_types(kind, field.name)
        if value is None and optional:
            continue
        if wanted is float and isinstance(value, int) and not isinstance(value, bool):
            value = float(value)
            object.__setattr__(configuration, field.name, value)
        if not isinstance(value, wanted) or (isinstance(value, bool) and wanted is not bool):
            raise OptionError(f"{field.name} = {value!r}: expected {wanted.__name__}")
        _check_range(field.name, value, bounds_of(field))


def _check_range(name: str, value: Any, bounds: Bounds) -> None:
    if bounds.choices is not None and value not in bounds.choices:
        raise OptionError(f"{name} = {value!r}: choose from {', '.join(bounds.choices)}")
    if bounds.minimum is not None and not value >= bounds.minimum:
        raise OptionError(f"{name} = {value!r}: must be at least {bounds.minimum:g}")
    if bounds.maximum is not None and not value <= bounds.maximum:
        raise OptionError(f"{name} = {value!r}: must be at most {bounds.maximum:g}")
    if bounds.above is not None and not value > bounds.above:
        raise OptionError(f"{name} = {value!r}: must be above {bounds.above:g}")


def read_toml(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read a TOML file; keys may be written with dashes or underscores.

    Raises:
        FileError: Unreadable or not TOML.
    """
    with os_errors_named(path):
        raw = Path(path).read_bytes()
    try:
        table = tomllib.loads(raw.decode("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise FileError(path, f"not valid TOML: {error}") from None
    return {key.replace("-", "_"): value for key, value in table.items()}


def from_mapping(configuration: type[T], values: Mapping[str, Any], *, where: str) -> T:
    """Build a configuration from plain values.

    Args:
        configuration: The dataclass.
        values: Field values by name.
        where: The file or place they come from, for errors.

    Raises:
        OptionError: An unknown key (the known ones are listed) or a value out of range.
    """
    known = [field.name for field in dataclasses.fields(configuration)]  # type: ignore[arg-type]
    unknown = sorted(set(values) - set(known))
    if unknown:
        raise OptionError(f"{where}: unknown setting {unknown[0]!r}: known ones are {', '.join(known)}")
    try:
        return configuration(**values)
    except OptionError as error:
        raise OptionError(f"{where}: {error}") from None


def to_mapping(configuration: object) -> dict[str, Any]:
    """The plain values of a configuration, fit for JSON."""
    return dataclasses.asdict(configuration)  # type: ignore[call-overload, no-any-return]
