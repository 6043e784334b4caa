"""What a program with commands does around them: it parses, picks the command, and answers for how it ends."""

# Ctrl-C may come at any moment: what takes time to import waits until `Program.main` can answer it.
from __future__ import annotations

import io
import sys


class Program:
    """A program with commands.

    Args:
        name: What it is called in a shell.
        description: What it is, for ``--help``.
        epilog: Examples, for ``--help``.
        commands: A line of help for each command.
        package: Where each command has a module of its name, with ``add_arguments(parser)`` and
            ``run(arguments, console)``.
    """

    def __init__(self, name: str, *, description: str, epilog: str, commands: dict[str, str], package: str) -> None:
        self.name = name
        self.description = description
        self.epilog = epilog
        self.commands = commands
        self.package = package

    def main(self, argv: list[str] | None = None) -> int:
        """Run one command.

        Args:
            argv: The words after the program's name; those of the process if None.

        Returns:
            The exit status: 0, 2 for an error that the user can mend, 130 after Ctrl-C.
        """
        if argv is not None:
            return self._answer(list(argv))
        # Words may be bytes that no encoding has, or letters that the terminal's lacks: neither is worth a failure.
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="backslashreplace")
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
        from importlib import import_module

        from cli.console import Console, is_main_process
        from cli.options import apply_file
        from cli.parser import build_parser, named_command, named_file

        name = named_command(argv, self.commands)
        file = named_file(argv)
        completion = any(word.startswith("--print-completion") for word in argv)
        # One command's options are enough, unless completion or a file with tables for all asks for every one.
        wanted = tuple(self.commands) if completion or file is not None else (name,) if name else ()
        parser, commands = build_parser(self.name, self.description, self.epilog, self.commands, self.package, wanted)
        try:
            if name is not None and file is not None:
                apply_file(file, name, commands)
            arguments = parser.parse_args(argv)
            if arguments.command is None:
                parser.print_help()
                return 0
        except SystemExit as leaving:
            # argparse leaves by itself after --help and after an error, which it has printed.
            return leaving.code if isinstance(leaving.code, int) else 2
        console = Console(json_output=arguments.json, quiet=arguments.quiet, silent=not is_main_process())
        status: int = import_module(f"{self.package}.{arguments.command}").run(arguments, console)
        return status


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
