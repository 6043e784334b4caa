"""Command-line options made from configurations; a TOML file goes before their defaults."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from nlprep.core.configuration import bounds_of, from_mapping, nest, read_toml, settings_of, value_types
from nlprep.core.errors import OptionError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

T = TypeVar("T")


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one line, like every other error here."""

    def __init__(self, *args: Any, **settings: Any) -> None:
        settings.setdefault("formatter_class", argparse.RawDescriptionHelpFormatter)
        settings.setdefault("allow_abbrev", False)
        super().__init__(*args, **settings)
        self._intermixing = False

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> tuple[Any, list[str]]:
        """Parse, letting options stand among the words of a command.

        Left alone, argparse reads ``MODEL --top 3 WORD`` as no words at all and one too many.
        """
        if self._intermixing or self._subparsers is not None:
            return super().parse_known_args(args, namespace)
        self._intermixing = True
        try:
            return self.parse_known_intermixed_args(args, namespace)
        finally:
            self._intermixing = False

    def error(self, message: str) -> NoReturn:
        """Leave with status 2 and one line on stderr."""
        self.exit(2, f"{self.prog}: error: {message} (see {self.prog} --help)\n")

    def options(self) -> dict[str, argparse.Action]:
        """The options that a file may set, by their long names with underscores."""
        return {
            next(flag for flag in action.option_strings if flag.startswith("--"))[2:].replace("-", "_"): action
            for action in self._actions
            if action.option_strings and action.dest not in ("help", "config")
        }


def complete(action: argparse.Action, kind: str = "file") -> argparse.Action:
    """Tell shell completion that an argument is a file (``file``) or a directory (``directory``).

    The hint is shtab's, written without importing shtab.
    """
    hints = {
        "file": {"bash": "_shtab_compgen_files", "zsh": "_files", "tcsh": "f"},
        "directory": {"bash": "_shtab_compgen_dirs", "zsh": "_files -/", "tcsh": "d"},
    }
    action.complete = hints[kind]  # type: ignore[attr-defined]
    return action


def add_common_options(parser: argparse.ArgumentParser, *, threads: bool = True) -> None:
    """Add ``--json``, ``--quiet``, ``--config`` and, for commands that compute, ``--threads``."""
    group = parser.add_argument_group("general options")
    if threads:
        group.add_argument("--threads", type=positive_integer, metavar="N", help="processor threads (default: all)")
    group.add_argument("--json", action="store_true", help="write one JSON document to stdout")
    group.add_argument("--quiet", action="store_true", help="no remarks and no progress bars")
    complete(
        group.add_argument(
            "--config", metavar="FILE.toml", help="read options from a file; those of the command line win"
        )
    )


def add_output(
    parser: argparse._ActionsContainer, what: str, *, metavar: str, kind: str = "file", **settings: Any
) -> None:
    """Add ``--output`` and ``--overwrite``.

    Args:
        parser: The command's parser.
        what: The help of ``--output``.
        metavar: What stands for its value.
        kind: ``file`` or ``directory``, for completion.
        settings: More for ``add_argument``, such as ``required``.
    """
    complete(parser.add_argument("--output", "-o", metavar=metavar, help=what, **settings), kind)
    add_overwrite(parser)


def add_overwrite(parser: argparse._ActionsContainer) -> None:
    """Add ``--overwrite``."""
    parser.add_argument(
        "--overwrite",
        action="store_true",
        help="replace what nlprep wrote even if it is of another kind, or vectors in a file; never anything else",
    )


def inputs_of(arguments: argparse.Namespace, *names: str) -> list[str]:
    """The files that a command reads, by the names of its arguments: no output may touch them."""
    given: list[str] = []
    for name in (*names, "config"):
        value = getattr(arguments, name)
        given += value if isinstance(value, list) else [] if value is None else [value]
    return given


def positive_integer(text: str) -> int:
    """Parse a whole number of at least 1.

    Raises:
        argparse.ArgumentTypeError: It is none.
    """
    try:
        value = int(text.replace("_", ""))
    except ValueError:
        value = 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least 1")
    return value


def add_configuration(
    parser: argparse.ArgumentParser,
    configuration: type,
    *,
    title: str,
    omit: Collection[str] = (),
    only: Collection[str] | None = None,
    defaults: Mapping[str, object] | None = None,
) -> argparse._ArgumentGroup:
    """Add an option for every field of a configuration; `resolve_configuration` collects them.

    Args:
        parser: The command's parser.
        configuration: A dataclass whose fields `nlprep.core.configuration.option` made.
        title: The heading in ``--help``.
        omit: Fields to leave out.
        only: The fields to add, in this order; None for all.
        defaults: Defaults of this command that are not the configuration's; give them to `resolve_configuration` too.

    Returns:
        The group of options that was added.
    """
    group = parser.add_argument_group(title)
    added = group
    known = {setting.name: setting for setting in settings_of(configuration) if setting.name not in omit}
    for setting in known.values() if only is None else [known[name] for name in only]:
        kind, optional = value_types(setting.owner, setting.field.name)
        bounds = bounds_of(setting.field)
        default = (defaults or {}).get(setting.name, setting.default)
        shown = "none" if default is None else _shown(default)
        settings: dict[str, Any] = {
            "dest": setting.name,
            "default": argparse.SUPPRESS,
            "help": f"{bounds.help} (default: {shown})".replace("%", "%%"),
        }
        flag = f"--{setting.name.replace('_', '-')}"
        nested = " ".join(setting.path[:-1])
        # The settings of a method have a heading of their own.
        if nested and group.title != f"{title}: {nested}".replace("_", "-"):
            group = parser.add_argument_group(f"{title}: {nested}".replace("_", "-"))
        if kind is bool:
            group.add_argument(flag, action=argparse.BooleanOptionalAction, **settings)
        elif bounds.choices is not None:
            group.add_argument(flag, choices=bounds.choices, **settings)
        else:
            metavar = {int: "N", float: "X"}.get(kind, "TEXT")
            group.add_argument(flag, type=_parser_of(kind, optional), metavar=metavar, **settings)
    return added


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _parser_of(kind: type, optional: bool) -> Any:
    def parse(text: str) -> Any:
        if optional and text.lower() == "none":
            return None
        return kind(text.replace("_", "") if kind is int else text)

    # argparse names the function in its error.
    parse.__name__ = {int: "whole number", float: "number"}.get(kind, "text")
    return parse


def resolve_configuration(
    configuration: type[T],
    arguments: argparse.Namespace,
    defaults: Mapping[str, object] | None = None,
    **fixed: object,
) -> T:
    """Build a configuration from defaults, then the file given with ``--config``, then the command line.

    Args:
        configuration: The dataclass that `add_configuration` added.
        arguments: What was parsed, its file applied by `apply_file`.
        defaults: As given to `add_configuration`.
        fixed: Values that no option sets.

    Raises:
        OptionError: A value out of range.
    """
    settings = settings_of(configuration)
    from_file = getattr(arguments, "from_file", {})
    if nest(settings, from_file):
        # First alone, so that an error in the file is blamed on the file.
        from_mapping(configuration, nest(settings, from_file), where=str(arguments.config))
    values = {**(defaults or {}), **from_file, **vars(arguments), **fixed}
    return from_mapping(configuration, nest(settings, values), where="command line")


def given_options(configuration: type, arguments: argparse.Namespace) -> list[str]:
    """The options of a configuration that the command line or the file set, as flags."""
    given = vars(arguments).keys() | getattr(arguments, "from_file", {}).keys()
    names = [setting.name for setting in settings_of(configuration)]
    return [f"--{name.replace('_', '-')}" for name in names if name in given]


def apply_file(path: str, name: str, commands: Mapping[str, Parser]) -> None:
    """Make the values in a TOML file the defaults of a command.

    The file's keys are long option names. A table named after a command holds for that command alone, so that
    one file can serve a whole project.

    Args:
        path: The file.
        name: The command.
        commands: Every command's parser, this one's included.

    Raises:
        FileError: The file cannot be read.
        OptionError: It sets something that the command does not know, or to a value of another kind.
    """
    values = read_toml(path)
    # Tables are named after commands, or hold the settings of a part such as one method's.
    tables = {key: table for key, table in values.items() if isinstance(table, dict) and key in commands}
    known = commands[name].options()
    known_somewhere = {option for command in commands.values() for option in command.options()}
    for key, table in values.items():
        if isinstance(table, dict) and key not in tables and not _is_part(key, known_somewhere):
            raise OptionError(f"{path}: unknown table [{key}]: the commands are {', '.join(commands)}")
    own = _flatten(tables.get(name, {}))
    shared = _flatten({key: value for key, value in values.items() if key not in tables})
    settings = {}
    for key, value in (shared | own).items():
        if key in known:
            settings[key] = _checked(path, key, value, known[key])
        elif key in own or not tables or key not in known_somewhere:
            raise OptionError(f"{path}: unknown setting {key!r}: known ones are {', '.join(sorted(known))}")
    # What belongs to a configuration has no default here: resolve_configuration asks for it.
    configured = {key: value for key, value in settings.items() if known[key].default is argparse.SUPPRESS}
    plain = {key: value for key, value in settings.items() if key not in configured}
    for key in plain:
        known[key].required = False
    defaults = {known[key].dest: value for key, value in plain.items()}
    commands[name].set_defaults(from_file=configured, **defaults)


def _flatten(table: Mapping[str, Any]) -> dict[str, Any]:
    """The values of tables within a table by their long names."""
    flat: dict[str, Any] = {}
    for key, value in table.items():
        inner = {f"{key}_{name}": each for name, each in _flatten(value).items()} if isinstance(value, dict) else None
        flat |= {key: value} if inner is None else inner
    return flat


def _is_part(table: str, options: Collection[str]) -> bool:
    return any(option.startswith(f"{table}_") for option in options)


class Repeated(argparse.Action):
    """An option that may be given several times; what the command line gives replaces what a file gave."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,  # noqa: ARG002 - argparse's signature
        namespace: argparse.Namespace,
        values: object,
        option_string: str | None = None,  # noqa: ARG002
    ) -> None:
        """Take note of one more value."""
        given: list[object] = [*getattr(namespace, f"{self.dest}_given", ()), values]
        setattr(namespace, f"{self.dest}_given", given)
        setattr(namespace, self.dest, given)


def _checked(path: str, name: str, value: object, action: argparse.Action) -> object:
    if action.default is argparse.SUPPRESS:
        # Fields of a configuration are checked by it.
        return value
    if action.nargs == 0:
        if not isinstance(value, bool):
            raise OptionError(f"{path}: {name} = {value!r}: expected true or false")
        return value
    if isinstance(action, Repeated):
        listed = value if isinstance(value, list) else [value]
        if not all(isinstance(item, str) for item in listed):
            raise OptionError(f"{path}: {name} = {value!r}: expected a text, or a list of them")
        return listed
    if isinstance(value, list | bool):
        raise OptionError(f"{path}: {name} = {value!r}: expected a single value")
    convert = action.type if callable(action.type) else str
    try:
        converted = convert(str(value))
    except (ValueError, argparse.ArgumentTypeError) as error:
        raise OptionError(f"{path}: {name} = {value!r}: {error}") from None
    if action.choices is not None and converted not in action.choices:
        raise OptionError(f"{path}: {name} = {value!r}: choose from {', '.join(map(str, action.choices))}")
    return converted
