"""What several tests of the commands share."""

from __future__ import annotations

import hashlib
import json
import socket
import subprocess
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from warm_python import WarmPython

COMMAND = [sys.executable, "-m", "cli.translate"]
# What an installed command does, telling when it has begun: while Python itself starts, Ctrl-C is not ours.
START = """
import signal
import sys
from cli import {module}

# Whoever runs the tests in the background has it ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)
begin = {module}.PROGRAM.dispatch

def tell_and_begin(argv):
    print("ready", file=sys.stderr, flush=True)
    return begin(argv)

{module}.PROGRAM.dispatch = tell_and_begin
sys.exit({module}.main())
"""


def one_line(text: str) -> str:
    """The single line of a message, checked to be one."""
    lines = text.splitlines()
    assert len(lines) == 1, text
    assert "Traceback" not in text
    return lines[0]


def snapshot(folder: Path) -> dict[str, str]:
    """Every path in a folder, hidden ones too, with a digest of its content."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
        for path in folder.rglob("*")
    }


def start(module: str, *words: object, environment, cwd, python: WarmPython | None = None) -> subprocess.Popen[str]:
    """Start a program of ``cli`` in a process and a session of its own, and wait until it has begun.

    Without ``python`` it is a Python of its own too, whose imports can be interrupted like all else.
    """
    popen = python.popen if python else lambda *said, **settings: subprocess.Popen([sys.executable, *said], **settings)
    process = popen(
        *("-c", START.format(module=module), *map(str, words)),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        env=environment,
        cwd=cwd,
        start_new_session=True,
    )
    assert process.stderr.readline() == "ready\n"
    return process


def run_twofold(
    module: str, *words: object, python: WarmPython, environment: dict[str, str]
) -> list[tuple[int, str, str]]:
    """Run a program in two processes that work together, as torchrun starts them; gives what each did."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    environment = environment | {"ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1", "WORLD_SIZE": "2"}
    environment |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    running = [
        python.popen(
            *("-m", module, *map(str, words)),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            env=environment | {"RANK": rank, "LOCAL_RANK": rank},
        )
        for rank in ("0", "1")
    ]
    main_process, other = running
    said = [main_process.communicate(timeout=120)]
    if main_process.returncode:
        # As torchrun does.
        other.terminate()
    said.append(other.communicate(timeout=120))
    return [(process.returncode, *both) for process, both in zip(running, said, strict=True)]


def asking(main, capsys) -> Callable[..., object]:
    """Runs a command that is to succeed, with ``--json --quiet``, and reads what it says."""

    def ask(*words: object) -> object:
        capsys.readouterr()
        assert main([*map(str, words), "--json", "--quiet"]) == 0
        printed = capsys.readouterr()
        assert printed.err == "", printed.err
        return json.loads(printed.out)

    return ask


def failing(main, capsys, folder: Path) -> Callable[..., str]:
    """Runs a command that is to fail and leave a folder as it stands, and gives its one line."""

    def run(*words: object) -> str:
        capsys.readouterr()
        before = snapshot(folder)
        status = main([*map(str, words), "--quiet"])
        printed = capsys.readouterr()
        assert status == 2
        assert printed.out == ""
        message = one_line(printed.err).partition("error: ")[2]
        assert snapshot(folder) == before, message
        return message

    return run
