"""``rep-translate``: from two text files and a dictionary to a word translator."""

# Ctrl-C may come at any moment: what takes time to import waits until `main` can answer it.
from __future__ import annotations

import io
import sys

PROGRAM = "rep-translate"

COMMANDS = {
    "train": "learn word vectors from text",
    "align": "bring two languages' vectors together with a dictionary",
    "translate": "translate words",
    "evaluate": "measure translations against a dictionary",
    "neighbors": "list the words nearest to a word",
    "analogy": "answer 'a is to b as c is to ...?'",
    "convert": "change the format of word vectors",
    "plot": "draw words of both languages in one plane",
    "demo": "run everything on generated text",
}
"""Each command has a module of its name in `cli.translate_commands`."""

DESCRIPTION = "From two text files and a dictionary to a word translator."
EPILOG = """\
the main job, in four commands:
  rep-translate train english.txt --output en
  rep-translate train french.txt --output fr
  rep-translate align en fr --dictionary en-fr.txt --output en-fr
  rep-translate translate en-fr cat dog

without data of your own:
  rep-translate demo

exit status: 0 done, 2 something to mend (one line on stderr says what), 130 interrupted by Ctrl-C
"""


def main(argv: list[str] | None = None) -> int:
    """Run one command.

    Args:
        argv: The words after the program's name; those of the process if None.

    Returns:
        The exit status: 0, 2 for an error that the user can mend, 130 after Ctrl-C.
    """
    if argv is not None:
        return _answer(list(argv))
    # Words may be bytes that no encoding has, or letters that the terminal's lacks: neither is worth a failure.
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    status = _answer(sys.argv[1:])
    _leave(status)
    return status


def _answer(argv: list[str]) -> int:
    try:
        from cli.console import run

        return run(PROGRAM, lambda: _dispatch(argv))
    except KeyboardInterrupt:
        print(f"{PROGRAM}: interrupted", file=sys.stderr)
        return 130


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


def _dispatch(argv: list[str]) -> int:
    from importlib import import_module

    from cli.console import Console
    from cli.options import apply_file
    from cli.parser import build_parser, named_command, named_file

    name = named_command(argv, COMMANDS)
    file = named_file(argv)
    completion = any(word.startswith("--print-completion") for word in argv)
    # One command's options are enough, unless completion or a file with tables for all asks for every one.
    wanted = tuple(COMMANDS) if completion or file is not None else (name,) if name else ()
    parser, commands = build_parser(PROGRAM, DESCRIPTION, EPILOG, COMMANDS, "cli.translate_commands", wanted)
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
    console = Console(json_output=arguments.json, quiet=arguments.quiet)
    status: int = import_module(f"cli.translate_commands.{arguments.command}").run(arguments, console)
    return status


if __name__ == "__main__":
    sys.exit(main())
