"""A TOML file whose values go before the defaults of commands and behind their command lines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cyclopts.argument import update_argument_collection

from nlprep.core.configuration import read_toml
from nlprep.core.errors import OptionError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from cyclopts import App, ArgumentCollection


class SettingsFile:
    """What ``--config`` names, once a command line has been parsed: a source of values for cyclopts.

    The file's keys are long option names. A table named after a command holds for that command alone, so that one
    file can serve a whole project; a table in it holds the settings of a part, such as one method's.

    Attributes:
        program: All commands, once they are known.
    """

    program: App

    def __init__(self) -> None:
        self._path = ""
        self._used: set[str] = set()

    def where(self, flags: Iterable[str]) -> str:
        """Where the values of some options come from, for errors."""
        from_file = {flag in self._used for flag in flags}
        if True not in from_file:
            return "command line"
        return self._path if False not in from_file else f"{self._path} and the command line"

    def __call__(self, _: App, commands: tuple[str, ...], arguments: ArgumentCollection) -> None:
        """Give the options that a command line leaves out the values of the file that it names.

        Raises:
            FileError: The file cannot be read.
            OptionError: It sets something that no command knows.
        """
        named = next((one.tokens for one in arguments if "--config" in one.names), None)
        if not named:
            return
        self._path = named[0].value
        names = [name for name in self.program if not name.startswith("-")]
        values = read_toml(self._path)
        tables = {key: value for key, value in values.items() if isinstance(value, dict)}
        if strange := tables.keys() - names:
            raise OptionError(f"{self._path}: unknown table [{min(strange)}]: the commands are {', '.join(names)}")
        own = _flat(tables.get(commands[0], {}))
        shared = _flat({key: value for key, value in values.items() if key not in tables})
        known = _names(arguments)
        elsewhere = [_names(self.program[name].assemble_argument_collection()) for name in names] if tables else []
        settings = shared | own
        for key in settings.keys() - known:
            if key in own or not any(key in others for others in elsewhere):
                listed = ", ".join(sorted(known)).replace("-", "_")
                raise OptionError(f"{self._path}: unknown setting {key.replace('-', '_')!r}: known ones are {listed}")
        mine = {key: value for key, value in settings.items() if key in known}
        update_argument_collection(mine, self._path, arguments, root_keys=(), allow_unknown=False)
        used = (one for one in arguments if any(token.source == self._path for token in one.tokens))
        self._used = {name for one in used for name in one.names}


def _flat(table: Mapping[str, Any]) -> dict[str, Any]:
    """The values of a table, and of the tables in it, by their long option names."""
    flat: dict[str, Any] = {}
    for key, value in table.items():
        name = key.replace("_", "-")
        flat |= (
            {f"{name}-{inner}": one for inner, one in _flat(value).items()}
            if isinstance(value, dict)
            else {name: value}
        )
    return flat


def _names(arguments: ArgumentCollection) -> set[str]:
    """The long names of the options that a file may set."""
    return {name[2:] for one in arguments for name in one.positives if name.startswith("--")} - {"config"}
