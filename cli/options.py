"""Commands as typed functions: their parameters, and every field of their configurations, become options.

What a command's annotations and docstring say is what ``--help`` says. A parameter whose type is a configuration
becomes one option for each field, those of nested configurations included, and is filled from these options alone.
cyclopts parses; ours is how a configuration is spelled, what a number is, and that a method's options are refused for
others.
"""

import functools
import inspect
import re
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, is_dataclass
from pathlib import Path
from types import NoneType
from typing import Annotated, Any, Generic, Literal, TypeVar

from cyclopts import Group, Parameter, Token

from cli.console import Console, is_main_process
from cli.settings_file import SettingsFile
from nlprep.core.configuration import (
    Bounds,
    Setting,
    bounds_of,
    check_range,
    from_mapping,
    nest,
    settings_of,
    value_types,
)
from nlprep.core.errors import OptionError

T = TypeVar("T")

_OF_A_SETTING = re.compile(r"command line: (?P<tables>(?:\[\w+\]: )*)(?P<name>\w+) =(?P<rest>.*)", re.DOTALL)
_TABLE = re.compile(r"\[(\w+)\]")
GENERAL = "general options"
AtLeastOne = Annotated[int, Bounds(help="", minimum=1)]
AtLeastOneIfAny = Annotated[int | None, Bounds(help="", minimum=1)]
Threads = Annotated[int | None, Bounds(help="", minimum=1), Parameter(group=GENERAL)]
Switch = Annotated[bool, Parameter(negative="", show_default=False)]
"""A flag that is given or is not; it has no ``--no-``."""
Output = Annotated[Path, Parameter(alias="-o")]
EncodingErrors = Literal["strict", "replace", "ignore", "skip-line"]


@dataclass(frozen=True, kw_only=True)
class Options:
    """How the fields of a configuration stand in ``--help``; annotates the parameter of a command.

    Attributes:
        title: The heading.
        first: The fields under it, in this order, where the others stand farther down or nowhere; none for all.
        rest: The heading of the others, below all first ones; None if they are no options.
        omit: Fields that are no options, nested ones included.
        shown: What ``--help`` says for a default that depends on another option.
        names: Option names of fields whose own name another configuration of the command has.
        told: What ``--help`` says of fields of which the command makes more than the configuration does.
    """

    title: str
    first: tuple[str, ...] = ()
    rest: str | None = None
    omit: tuple[str, ...] = ()
    shown: Mapping[str, str] = field(default_factory=dict)
    names: Mapping[str, str] = field(default_factory=dict)
    told: Mapping[str, str] = field(default_factory=dict)

    def flag(self, name: str) -> str:
        """The option of a `Setting.name`."""
        return f"--{self.names.get(name, name).replace('_', '-')}"

    def headed(self, configuration: type, *, first: bool) -> Iterator[tuple[Setting, str]]:
        """The settings that stand above, or else below, each with its heading; a nested part has one of its own."""
        known = {
            setting.name: setting for setting in settings_of(configuration) if not set(setting.path) & set(self.omit)
        }
        title = self.title if first else self.rest
        listed = self.first or tuple(known)
        for name in listed if first else [name for name in known if name not in listed]:
            if title is not None:
                part = " ".join(known[name].path[:-1]).replace("_", " ")
                yield known[name], f"{title}: {part}" if part else title


class Given(Generic[T]):
    """What the command line and a settings file say of a configuration, for a command that knows the rest.

    Args:
        configuration: The dataclass.
        options: How its fields became options.
        values: What was given, by `Setting.name`.
        where: Where the values come from, for errors.
    """

    def __init__(self, configuration: type[T], options: Options, values: Mapping[str, Any], where: str) -> None:
        self._configuration = configuration
        self._options = options
        self._values = values
        self._where = where

    @property
    def flags(self) -> list[str]:
        """The options that were given."""
        return [self._options.flag(name) for name in self._values]

    def resolve(self, defaults: Mapping[str, object] | None = None, **fixed: object) -> T:
        """The configuration: defaults, under what was given, under what is fixed.

        Raises:
            OptionError: Values that do not go together, or one that does not count for what was chosen.
        """
        settings = settings_of(self._configuration)
        values = {**(defaults or {}), **self._values, **fixed}
        for setting in settings:
            other = bounds_of(setting.field).instead_of
            if other is None:
                continue
            replaced = "_".join((*setting.path[:-1], other))
            if replaced in self._values:
                if self._values.get(setting.name) is not None:
                    one, two = self._options.flag(setting.name), self._options.flag(replaced)
                    raise OptionError(f"{one} and {two}: one is instead of the other: give one of them")
                # Its default would win, and what was asked for count for nothing.
                values[setting.name] = None
        try:
            made = from_mapping(self._configuration, nest(settings, values), where=self._where)
        except OptionError as error:
            raise OptionError(self._flagged(str(error), settings)) from None
        for setting in settings:
            if setting.name in self._values:
                _check_counts(made, setting, self._options.flag(setting.name))
        return made

    def _flagged(self, said: str, settings: Sequence[Setting]) -> str:
        """What is wrong with a setting, said of the option that it is, if it is not in a file."""
        found = _OF_A_SETTING.fullmatch(said)
        if found is None:
            return said
        path = (*_TABLE.findall(found["tables"]), found["name"])
        name = "_".join(path)
        known = any(setting.path == path for setting in settings)
        return f"{self._options.flag(name)} ={found['rest']}" if known else said


def _check_counts(configuration: Any, setting: Setting, flag: str) -> None:
    """Refuse an option of a method that is not the one chosen."""
    for name in setting.path:
        counts_for = bounds_of(type(configuration).__dataclass_fields__[name]).counts_for
        if counts_for is not None and (chosen := getattr(configuration, counts_for[0])) not in counts_for[1]:
            meant = " or ".join(value for value in counts_for[1] if value != "auto")
            raise OptionError(f"{flag} is for the {meant} {counts_for[0]}, not for {chosen}")
        configuration = getattr(configuration, name)


def as_command(function: Callable[..., int], file: SettingsFile) -> Callable[..., int]:
    """The function that cyclopts is given for a command: it has one plain parameter for each option.

    Args:
        function: The command. Its `Console` is made here; ``--json``, ``--quiet`` and ``--config`` are added.
        file: What ``--config`` names, once that is known.
    """
    hints, own, configured, signature = _described(function)

    @functools.wraps(function)
    def command(*words: Any, **options: Any) -> int:
        given = signature.bind_partial(*words, **options).arguments
        call = own.bind_partial()
        for name in own.parameters:
            if name in configured:
                call.arguments[name] = _filled(name, *configured[name], given, file)
            elif hints[name] is Console:
                call.arguments[name] = Console(
                    json_output=given.get("json", False),
                    quiet=given.get("quiet", False),
                    silent=not is_main_process(),
                    settings_file=given.get("config"),
                )
            elif name in given:
                call.arguments[name] = given[name]
        return function(*call.args, **call.kwargs)

    command.__signature__ = signature  # type: ignore[attr-defined]
    command.__annotations__ = {name: one.annotation for name, one in signature.parameters.items()}
    return command


@functools.cache
def _described(
    function: Callable[..., int],
) -> tuple[dict[str, Any], inspect.Signature, dict[str, tuple[type, Options, bool]], inspect.Signature]:
    """A command's types, its own signature, the configurations among its parameters, and the signature it is given.

    It is made once: many command lines may be parsed in one process.
    """
    hints = typing.get_type_hints(function, include_extras=True)
    own = inspect.signature(function)
    configured = {name: found for name, hint in hints.items() if (found := _configured(hint))}
    told = _told(function)
    parameters: list[inspect.Parameter] = []
    for name, parameter in own.parameters.items():
        if name in configured:
            kind, options, _ = configured[name]
            parameters += [_option(name, *headed, options) for headed in options.headed(kind, first=True)]
        elif hints[name] is not Console:
            described: Any = Annotated[_strict(hints[name]), Parameter(help=told.get(name, ""))]
            parameters.append(parameter.replace(annotation=described))
    for name, (kind, options, _) in configured.items():
        parameters += [_option(name, *headed, options) for headed in options.headed(kind, first=False)]
    parameters += _general()
    flags = [_spelled(one) for one in parameters]
    if len(set(flags)) < len(flags):
        twice = next(flag for flag in flags if flags.count(flag) > 1)
        raise TypeError(f"{function.__name__} has two options named {twice}: rename one with Options(names)")
    return hints, own, configured, inspect.Signature(_grouped(parameters))


def _told(function: Callable[..., int]) -> dict[str, str]:
    """What the docstring of a command says of each parameter.

    cyclopts would ask docstring_parser, whose import takes longer than the text of ``--help``.
    """
    told: dict[str, str] = {}
    name = ""
    section = inspect.cleandoc(function.__doc__ or "").partition("\nArgs:\n")[2].partition("\n\n")[0]
    for line in section.splitlines():
        if line.startswith(" " * 8):
            told[name] += f" {line.strip()}"
        else:
            name, _, told[name] = (part.strip() for part in line.partition(":"))
    return told


def _spelled(parameter: inspect.Parameter) -> str:
    """The option that a parameter is, or its own name if it is a word."""
    named = [one.name for one in _parts_of(parameter.annotation)[1] if isinstance(one, Parameter) and one.name]
    if parameter.kind is not inspect.Parameter.KEYWORD_ONLY:
        return parameter.name
    return str(named[-1][0]) if named else f"--{parameter.name.replace('_', '-')}"  # type: ignore[index]


def _parts_of(hint: Any) -> tuple[Any, list[Any]]:
    """A type, and what annotates it."""
    return (hint.__origin__, list(hint.__metadata__)) if typing.get_origin(hint) is Annotated else (hint, [])


def _configured(hint: Any) -> tuple[type, Options, bool] | None:
    """The configuration that a parameter is, how its fields become options, and whether it is wanted as `Given`."""
    base, extras = _parts_of(hint)
    as_given = typing.get_origin(base) is Given
    kind: type = typing.get_args(base)[0] if as_given else base
    return (kind, next(one for one in extras if isinstance(one, Options)), as_given) if is_dataclass(kind) else None


def _filled(
    name: str, kind: type, options: Options, as_given: bool, given: Mapping[str, Any], file: SettingsFile
) -> Any:
    prefix = f"{name}__"
    values = {key.removeprefix(prefix): value for key, value in given.items() if key.startswith(prefix)}
    found: Given[Any] = Given(kind, options, values, file.where(map(options.flag, values)))
    return found if as_given else found.resolve()


def _option(name: str, setting: Setting, heading: str, options: Options) -> inspect.Parameter:
    kind, optional = value_types(setting.owner, setting.field.name)
    bounds = bounds_of(setting.field)
    shown = options.shown.get(setting.name) or _shown(setting.default)
    hint: Any = Literal[bounds.choices] if bounds.choices else kind
    described = Parameter(
        name=options.flag(setting.name),
        help=options.told.get(setting.name, bounds.help),
        group=heading,
        show_default=lambda _: shown,
    )
    return inspect.Parameter(
        f"{name}__{setting.name}",
        inspect.Parameter.KEYWORD_ONLY,
        default=setting.default,
        annotation=_strict(Annotated[hint | None if optional else hint, bounds, described]),
    )


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "none" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def _general() -> Iterator[inspect.Parameter]:
    described: tuple[tuple[str, Any, Any, str], ...] = (
        ("json", Switch, False, "write one JSON document to stdout"),
        ("quiet", Switch, False, "no remarks and no progress bars"),
        ("config", Path | None, None, "a TOML file to read options from; those of the command line win"),
    )
    for name, hint, default, text in described:
        annotation: Any = Annotated[hint, Parameter(help=text, group=GENERAL)]
        yield inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def _grouped(parameters: list[inspect.Parameter]) -> list[inspect.Parameter]:
    """The parameters, their headings in the order in which they first come, the general one last."""
    titles = [_title(one) for one in parameters]
    order = [title for title in dict.fromkeys(titles) if title not in (None, GENERAL)]
    groups = {title: Group(title, sort_key=number) for number, title in enumerate([*order, GENERAL], start=2)}
    grouped = [
        one.replace(annotation=_combined(one.annotation, None if title is None else Parameter(group=groups[title])))
        for one, title in zip(parameters, titles, strict=True)
    ]
    return sorted(grouped, key=lambda one: one.kind)


def _combined(hint: Any, last: Parameter | None) -> Any:
    """A hint whose parameters are one, under ``last``: cyclopts would combine them anew for every command line."""
    base, extras = _parts_of(hint)
    others = [one for one in extras if not isinstance(one, Parameter)]
    combined = Parameter.combine(*(one for one in extras if isinstance(one, Parameter)), last)
    return Annotated[base, *others, combined]


def _title(parameter: inspect.Parameter) -> str | None:
    named = [one.group for one in _parts_of(parameter.annotation)[1] if isinstance(one, Parameter) and one.group]
    return str(named[-1][0]) if named else None  # type: ignore[index]


def _strict(hint: Any) -> Any:
    """A hint whose numbers and choices `_convert` takes care of: left alone, cyclopts makes 2 of 1.5."""
    base, extras = _parts_of(hint)
    members = [member for member in typing.get_args(base) if member is not NoneType]
    optional = len(members) < len(typing.get_args(base))
    kind = members[0] if optional else base
    bounds = next((one for one in extras if isinstance(one, Bounds)), None)
    if typing.get_origin(kind) is Literal:
        kind, bounds = str, Bounds(help="", choices=typing.get_args(kind))
    elif kind not in (int, float) and not (kind is str and optional and bounds):
        return hint
    converter = functools.partial(_convert, kind, optional, bounds or Bounds(help=""))
    return Annotated[base, *extras, Parameter(converter=converter)]


def _convert(kind: type, optional: bool, bounds: Bounds, _: Any, tokens: tuple[Token, ...]) -> Any:
    (token,) = tokens
    if optional and token.value.lower() == "none":
        return None
    # cyclopts writes the keys of a file in brackets.
    name = str(token.keyword) if token.source == "cli" else f"{token.source}: {str(token.keyword).strip('[]')}"
    try:
        value = kind(token.value)
    except ValueError:
        wanted = "a whole number" if kind is int else "a number"
        raise OptionError(f"{name} = {token.value!r}: expected {wanted}") from None
    check_range(name, value, bounds)
    return value
