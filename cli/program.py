"""What a program with commands does around them: it parses, picks the command, and answers for how it ends."""

# Ctrl-C may come at any moment: what takes time to import waits until `Program.main` can answer it.
from __future__ import annotations

import io
import os
import sys
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from sys import UnraisableHookArgs

    from cyclopts import App


OFFLINE = {
    "HF_HUB_OFFLINE": "1",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "HF_DATASETS_DISABLE_PROGRESS_BARS": "1",
    "HF_DATASETS_OFFLINE": "1",
    "TRANSFORMERS_VERBOSITY": "error",
    "TRANSFORMERS_NO_ADVISORY_WARNINGS": "1",
}
"""What libraries read when they are first imported: what is printed is ours alone, and nothing asks a network."""


class _Dash(str):
    """A lone dash, which is standard input: it starts like an option and is none."""

    __slots__ = ()

    def startswith(self, *_: object) -> bool:
        return False


class Program:
    """A program with commands.

    Args:
        name: What it is called in a shell.
        description: What it is, for ``--help``.
        epilog: Examples, for ``--help``.
        commands: A line of help for each command.
        package: Where each command has a module of its name (with ``_`` for ``-``), with a function of that name, an
            ``EPILOG`` and, if it has very many options, ``CHAPTERS``.
        environment: Variables that are set before anything is imported, where they are not set already.
    """

    def __init__(
        self,
        name: str,
        *,
        description: str,
        epilog: str,
        commands: dict[str, str],
        package: str,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.name = name
        self.description = description
        self.epilog = epilog
        self.commands = commands
        self.package = package
        self.environment = dict(environment or {})

    def main(self, argv: list[str] | None = None) -> int:
        """Run one command.

        Args:
            argv: The words after the program's name; those of the process if None.

        Returns:
            The exit status: 0, 2 for an error that the user can mend, 130 after Ctrl-C.
        """
        for name, value in self.environment.items():
            os.environ.setdefault(name, value)
        if argv is not None:
            return self._answer(list(argv))
        # Words may be bytes that no encoding has, or letters that the terminal's lacks: neither is worth a failure.
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="backslashreplace")
        sys.unraisablehook = _send_lost_interrupt_again
        status = self._answer(sys.argv[1:])
        _leave(status)
        return status

    def _answer(self, argv: list[str]) -> int:
        try:
            from cli.console import run

            return run(self.name, lambda: self.dispatch(argv))
        except KeyboardInterrupt:
            print(f"{self.name}: interrupted", file=sys.stderr)
            return 130

    def dispatch(self, argv: list[str]) -> int:
        """Parse the words of a command line and run the command that they name.

        Raises:
            NlprepError: Something that the user can mend.
        """
        name = next((word for word in argv if not word.startswith("-")), None)
        options = argv[: argv.index("--")] if "--" in argv else argv
        if not argv or ({"--help", "-h"} & set(options) and (name is None or name in self.commands)):
            words = [word for word in options if not word.startswith("-")]
            print(self.help(name, words[1] if len(words) > 1 else None), end="")
            return 0
        from cyclopts import CycloptsError

        from nlprep.core.errors import OptionError

        if name is not None and name == argv[0] and name not in self.commands:
            raise OptionError(
                f"unknown command {name!r}: choose from {', '.join(self.commands)} (see {self.name} --help)"
            )

        # One command is enough, unless completion or a file with tables for all asks for every one.
        every = any(word.startswith(("--print-completion", "--config")) for word in argv)
        app = self.app(self.commands if every else [name])
        words = [_Dash(word) if word == "-" else word for word in argv]
        if words and words[0].startswith("--print-completion="):
            words[:1] = words[0].split("=", 1)
        try:
            command, bound, _ = app.parse_args(words, exit_on_error=False, print_error=False)
        except (CycloptsError, OptionError) as error:
            known = name if name in self.commands and name == argv[0] else None
            said = str(error)
            if isinstance(error, CycloptsError):
                from cli.mistakes import describe_mistake

                arguments = None if known is None else app[known].assemble_argument_collection()
                said = describe_mistake(error, words, arguments, program=self.name, commands=self.commands)
            asked = self.name if known is None else f"{self.name} {known}"
            raise OptionError(f"{said.rstrip('.')} (see {asked} --help)") from None
        return command(*bound.args, **bound.kwargs) or 0

    def help(self, name: str | None, word: str | None = None) -> str:
        """What ``--help`` says of a command, or of the program.

        Args:
            name: The command.
            word: The first after it: where the help is in chapters (`cli.help.Chapters`), perhaps that of one.
        """
        from importlib import import_module

        from cli.help import command_help, program_help

        if name is None:
            return program_help(self.name, self.description, self.commands, self.epilog)
        app = self.app([name])
        with app.app_stack([name]):
            arguments = app[name].assemble_argument_collection()
        function = function_name(name)
        module = import_module(f"{self.package}.{function}")
        summary = (getattr(module, function).__doc__ or "").partition("\n")[0]
        chapters = getattr(module, "CHAPTERS", None)
        known = chapters is not None and word in chapters.summaries
        return command_help(
            f"{self.name} {name}", summary, arguments, module.EPILOG, chapters=chapters, word=word if known else None
        )

    def app(self, wanted: Collection[str | None]) -> App:
        """The program as cyclopts knows it.

        Args:
            wanted: The commands that are needed; the modules of the others are not imported.
        """
        from importlib import import_module

        from cyclopts import App, Group, Parameter

        from cli.options import as_command
        from cli.settings_file import SettingsFile

        file = SettingsFile()
        app = App(
            name=self.name,
            version=self._version,
            config=file,
            group_arguments=Group("arguments", sort_key=0),
            group_parameters=Group("options", sort_key=1),
            # Words are data: no JSON in them, and what is said last holds.
            default_parameter=Parameter(negative_iterable="", json_list=False, json_dict=False, allow_repeating=True),
        )
        file.program = app
        for place, (name, summary) in enumerate(self.commands.items()):
            path = f"{self.package}.{function_name(name)}"
            if name in wanted:
                function = getattr(import_module(path), function_name(name))
                app.command(as_command(function, file), name=name, sort_key=place)
            else:
                app.command(f"{path}:{function_name(name)}", name=name, help=summary, sort_key=place)
        app.command(self.print_completion, name="--print-completion")
        return app

    def print_completion(self, shell: Literal["bash", "zsh", "fish"], /) -> int:
        """Print a script that completes this command in a shell, and leave."""
        print(self.app(self.commands).generate_completion(shell=shell))
        return 0

    def _version(self) -> str:
        from importlib.metadata import PackageNotFoundError, version

        try:
            return f"{self.name} {version('nlprep-toolkit')}"
        except PackageNotFoundError:
            return f"{self.name} (not installed)"


def function_name(command: str) -> str:
    """What the function of a command, and its module, are called: ``make-data`` is a name in a shell alone."""
    return command.replace("-", "_")


def _send_lost_interrupt_again(lost: UnraisableHookArgs) -> None:
    """Answer an exception that had nowhere to go: from Ctrl-C that came inside a destructor or a callback.

    Python would print it and go on, as though nobody had pressed a key. Imports run such callbacks by the thousand.
    """
    if not isinstance(lost.exc_value, KeyboardInterrupt):
        sys.__unraisablehook__(lost)
        return
    import _thread
    import os
    import signal
    import time

    def send() -> None:
        # Later, because what is raised in this hook is lost as well. A signal, because it ends a wait.
        time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)

    _thread.start_new_thread(send, ())


def _leave(status: int) -> None:
    """See that nothing more is said and that the status is ours once all is done."""
    import contextlib
    import os
    import signal

    # Ctrl-C while the interpreter shuts down would only bring a traceback.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if status == 130:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError):
                stream.flush()
        # Python remembers an interrupt inside exec, which dataclasses use when a module is imported, and would
        # kill the process with SIGINT although the interrupt was answered.
        os._exit(status)
