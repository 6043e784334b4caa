"""Settings as frozen dataclasses that live beside what they configure.

A field made by `option` carries its help text and range. The same class checks its values, reads itself from a
TOML file, becomes a command's options (`cli.options`) and is saved with the result it produced.

A field may itself be a configuration, such as the settings of one method of several: a table in a file
(``[adversarial]``, ``games = 4``) and a prefix on the command line (``--adversarial-games 4``).
"""

from __future__ import annotations

import dataclasses
import functools
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

from nlprep.core.errors import FileError, OptionError, os_errors_named

if TYPE_CHECKING:
    import os
    from collections.abc import Collection

T = TypeVar("T")


@dataclasses.dataclass(frozen=True)
class Setting:
    """A field of a configuration, or of one nested in it, that holds a plain value.

    Attributes:
        path: The names of the fields that lead to it, its own last.
        owner: The dataclass whose field it is.
        field: The field.
        default: Its value where nothing is set.
    """

    path: tuple[str, ...]
    owner: type
    field: dataclasses.Field[Any]
    default: Any

    @property
    def name(self) -> str:
        """The path in one word, such as ``adversarial_games``."""
        return "_".join(self.path)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Bounds:
    """What `option` knows of a field besides its default."""

    help: str
    minimum: float | None = None
    maximum: float | None = None
    above: float | None = None
    choices: tuple[str, ...] | None = None
    counts_for: tuple[str, tuple[str, ...]] | None = None
    instead_of: str | None = None


def option(
    default: T,
    help: str,  # noqa: A002
    *,
    minimum: float | None = None,
    maximum: float | None = None,
    above: float | None = None,
    choices: tuple[str, ...] | None = None,
    counts_for: tuple[str, tuple[str, ...]] | None = None,
    instead_of: str | None = None,
) -> T:
    """A dataclass field with its help text and the values it accepts.

    Args:
        default: The default value.
        help: One line for ``--help``.
        minimum: The least value.
        maximum: The greatest value.
        above: A bound that the value must exceed.
        choices: The strings accepted.
        counts_for: A field of the same class that chooses, and those of its values under which this one counts, such
            as ``("method", ("adversarial",))``; a command refuses it under others.
        instead_of: A field of the same class that says the same in another way, and does not count where this one is
            set; a command refuses both at once, and leaves out this one's default where the other is given.
    """
    bounds = Bounds(
        help=help,
        minimum=minimum,
        maximum=maximum,
        above=above,
        choices=choices,
        counts_for=counts_for,
        instead_of=instead_of,
    )
    return dataclasses.field(default=default, metadata={"bounds": bounds})


def bounds_of(field: dataclasses.Field[Any]) -> Bounds:
    """The `Bounds` that `option` gave a field; empty ones for a plain field."""
    return cast("Bounds", field.metadata.get("bounds", Bounds(help="")))


# Resolving annotations takes long, and every field asks for them.
_type_hints = functools.cache(typing.get_type_hints)


def value_types(configuration: type, name: str) -> tuple[type, bool]:
    """The type of a field (int, float, str, bool, or a nested configuration) and whether None is a value too."""
    hint = _type_hints(configuration)[name]
    if isinstance(hint, types.UnionType) or typing.get_origin(hint) is typing.Union:
        members = [member for member in typing.get_args(hint) if member is not types.NoneType]
        return members[0], True
    if typing.get_origin(hint) is typing.Literal:
        return str, False
    return hint, False


def settings_of(configuration: type, path: tuple[str, ...] = (), defaults: object = None) -> list[Setting]:
    """All fields that hold plain values, those of nested configurations among them, in order.

    Args:
        configuration: The dataclass.
        path: What leads to it, where it is nested itself.
        defaults: An instance of it whose values are the defaults; by default those of the class.

    Raises:
        TypeError: Two of them would have one name: rename a field.
    """
    found: list[Setting] = []
    for field in dataclasses.fields(configuration):
        default = field.default if defaults is None else getattr(defaults, field.name)
        kind, _ = value_types(configuration, field.name)
        if dataclasses.is_dataclass(kind):
            found += settings_of(kind, (*path, field.name), default)
        else:
            found.append(Setting((*path, field.name), configuration, field, default))
    names = [setting.name for setting in found]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise TypeError(f"{configuration.__name__} has two settings named {twice}")
    return found


def nest(settings: Collection[Setting], values: Mapping[str, Any]) -> dict[str, Any]:
    """Values by `Setting.name` as `from_mapping` takes them, those of nested configurations in mappings of their own.

    Names that are none of the settings' are left out.
    """
    nested: dict[str, Any] = {}
    for setting in settings:
        if setting.name in values:
            table = nested
            for name in setting.path[:-1]:
                table = table.setdefault(name, {})
            table[setting.path[-1]] = values[setting.name]
    return nested


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
        check_range(field.name, value, bounds_of(field))


def check_range(name: str, value: Any, bounds: Bounds) -> None:
    """Check one value against the range that `option` gave.

    Args:
        name: What it is called in the error.
        value: Of the right type.
        bounds: The range.

    Raises:
        OptionError: Names the value and the range.
    """
    if isinstance(value, float) and value != value:
        raise OptionError(f"{name} = nan: is not a number: give one")
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
    import tomllib

    with os_errors_named(path):
        raw = Path(path).read_bytes()
    try:
        table = tomllib.loads(raw.decode("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise FileError(path, f"not valid TOML: {error}") from None
    return _with_underscores(table)


def _with_underscores(table: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key.replace("-", "_"): _with_underscores(value) if isinstance(value, dict) else value
        for key, value in table.items()
    }


def from_mapping(configuration: type[T], values: Mapping[str, Any], *, where: str) -> T:
    """Build a configuration from plain values.

    Args:
        configuration: The dataclass.
        values: Field values by name; for a nested configuration a mapping, whose absent keys stay at their defaults.
        where: The file or place they come from, for errors.

    Raises:
        OptionError: An unknown key (the known ones are listed), a value out of range, or a plain value where a nested
            configuration is meant.
    """
    known = [field.name for field in dataclasses.fields(configuration)]  # type: ignore[arg-type]
    unknown = sorted(set(values) - set(known))
    if unknown:
        raise OptionError(f"{where}: unknown setting {unknown[0]!r}: known ones are {', '.join(known)}")
    built = {name: _nested(configuration, name, value, where) for name, value in values.items()}
    try:
        return configuration(**built)
    except OptionError as error:
        raise OptionError(f"{where}: {error}") from None


def _nested(configuration: type, name: str, value: Any, where: str) -> Any:
    """A value, or the nested configuration that a mapping describes."""
    kind, _ = value_types(configuration, name)
    if not dataclasses.is_dataclass(kind) or isinstance(value, kind):
        return value
    if not isinstance(value, Mapping):
        raise OptionError(f"{where}: {name} = {value!r}: expected a table of settings, such as [{name}]")
    defaults = {field.name: field.default for field in dataclasses.fields(configuration)}[name]
    # The field's default may differ from that of its class.
    fallback = {field.name: getattr(defaults, field.name) for field in dataclasses.fields(kind)}
    return from_mapping(kind, fallback | dict(value), where=f"{where}: [{name}]")


def to_mapping(configuration: object) -> dict[str, Any]:
    """The plain values of a configuration, fit for JSON; those of a nested one in a mapping of their own."""
    return dataclasses.asdict(configuration)  # type: ignore[call-overload, no-any-return]
