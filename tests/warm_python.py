"""A Python that has imported what takes seconds to import, and forks a process for each program it is asked to run.

What a program does is what it would do by itself, but for its imports; tests of the imports themselves, and of Ctrl-C
during them, start a fresh Python. `WarmPython.popen` takes the words of `subprocess.Popen` after the interpreter.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import json
import os
import runpy
import signal
import socket
import subprocess
import sys
import threading
import traceback
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
_LARGEST = 1 << 20


class WarmPython:
    """The warm interpreter, seen from the tests; it starts when it is first asked for something."""

    def __init__(self) -> None:
        self._server: subprocess.Popen[bytes] | None = None
        self._line: socket.socket | None = None

    def popen(self, *words: object, env: dict[str, str], cwd: object = ".", **settings: Any) -> _Warm:
        """Like ``subprocess.Popen([sys.executable, *words])``, for a script, ``-m module`` or ``-c program``."""
        if self._line is None:
            self._line, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            paths = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
            self._server = subprocess.Popen(
                [sys.executable, __file__, str(theirs.fileno())],
                env={**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"},
                pass_fds=[theirs.fileno()],
            )
            theirs.close()
        return _Warm([str(word) for word in words], line=self._line, env=env, cwd=str(cwd), **settings)

    def run(self, *words: object, text: str | None = None, timeout: float = 280, **settings: Any) -> Any:
        """Like ``subprocess.run`` of the same, with what it says captured."""
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "encoding": "utf-8"}
        process = self.popen(*words, **pipes, **settings)
        try:
            out, err = process.communicate(text, timeout=timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)

    def close(self) -> None:
        """Let the interpreter go; it ends once its line is closed."""
        if self._line is not None and self._server is not None:
            self._line.close()
            self._server.wait()


class _Warm(subprocess.Popen[str]):
    """A process that another one forked: its pipes are ours, and how it ended comes by a pipe too."""

    def __init__(self, words: list[str], *, line: socket.socket, **settings: Any) -> None:
        self._line_to_server = line
        self._ended, self._tell = os.pipe()
        super().__init__(words, **settings)

    def _execute_child(self, args: Any, *rest: Any) -> None:
        # Of its many places these have kept their order since Python 3.9: see `subprocess.Popen.__init__`.
        cwd, env = rest[4], rest[5]
        p2cread, _, _, c2pwrite, _, errwrite = rest[9:15]
        request = {"words": args, "cwd": os.path.abspath(cwd), "env": env}  # noqa: PTH100 - as it is, links and all
        data = json.dumps(request).encode()
        assert len(data) < _LARGEST
        given = [p2cread, c2pwrite, errwrite]
        nothing = os.open(os.devnull, os.O_RDWR)
        socket.send_fds(self._line_to_server, [data], [*(nothing if fd == -1 else fd for fd in given), self._tell])
        for fd in (*given, nothing, self._tell):
            if fd != -1:
                os.close(fd)
        self.pid = int(os.read(self._ended, 32))
        self._child_created = True

    def _try_wait(self, wait_flags: int) -> tuple[int, int]:
        os.set_blocking(self._ended, not wait_flags & os.WNOHANG)
        try:
            said = os.read(self._ended, 32)
        except BlockingIOError:
            return 0, 0
        os.close(self._ended)
        return self.pid, int(said)

    def _internal_poll(self, *_: object, **__: object) -> int | None:
        if self.returncode is None:
            pid, status = self._try_wait(os.WNOHANG)
            if pid:
                self._handle_exitstatus(status)
        return self.returncode


def _serve(line: socket.socket) -> None:
    """Fork a process for each request, until nobody is left who could ask; in that process, this returns."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while True:
        data, fds, _, _ = socket.recv_fds(line, _LARGEST, 4)
        if not data:
            os._exit(0)
        if os.fork() == 0:
            line.close()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            _keep(json.loads(data), fds)
            return
        for fd in fds:
            os.close(fd)


def _keep(request: dict[str, Any], fds: list[int]) -> None:
    """Fork the program's process, say its number, wait for it, and say how it ended; in that process, this returns."""
    *streams, tell = fds
    os.set_inheritable(tell, False)
    begin, go = os.pipe()
    child = os.fork()
    if child:
        for fd in (*streams, begin):
            os.close(fd)
        # Ctrl-C is for the program.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        os.write(tell, str(child).encode())
        os.write(go, b"!")
        os.write(tell, str(os.waitpid(child, 0)[1]).encode())
        os._exit(0)
    os.close(tell)
    os.setsid()
    os.read(begin, 1)
    for fd in (begin, go):
        os.close(fd)
    for number, fd in enumerate(streams):
        os.dup2(fd, number)
        os.close(fd)
    sys.stdin, sys.stdout = os.fdopen(0, encoding="utf-8"), os.fdopen(1, "w", encoding="utf-8")
    sys.stderr = os.fdopen(2, "w", encoding="utf-8", errors="backslashreplace", buffering=1)
    sys.__stdin__, sys.__stdout__, sys.__stderr__ = sys.stdin, sys.stdout, sys.stderr
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["env"])
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.argv = request["words"]


def _status() -> int:
    """Run the program to its end, and say with which status it leaves."""
    status: object = 0
    try:
        try:
            _run()
        finally:
            threading._shutdown()  # type: ignore[attr-defined]
            atexit._run_exitfuncs()
    except SystemExit as left:
        status = left.code
        if status is not None and not isinstance(status, int):
            sys.stderr.write(f"{status}\n")
            status = 1
    except BaseException:
        traceback.print_exc()
        status = 1
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    return int(status or 0)


def _run() -> None:
    """Run what ``sys.argv`` names."""
    kind, *words = sys.argv
    sys.path[0] = ""
    if kind == "-c":
        sys.argv = ["-c", *words[1:]]
        exec(compile(words[0], "<string>", "exec"), {"__name__": "__main__"})
    elif kind == "-m":
        sys.argv = words
        runpy.run_module(words[0], run_name="__main__", alter_sys=True)
    else:
        sys.path[0] = str(Path(kind).parent)
        runpy.run_path(kind, run_name="__main__")


if __name__ == "__main__":
    import accelerate  # noqa: F401
    import torch
    import torch._dynamo
    import transformers.models.auto.modeling_auto  # noqa: F401

    import nlprep.core.training.loop
    import nlprep.language_models.pretraining.training  # noqa: F401

    torch.set_num_threads(1)
    # Left as they are in the forks, which share these pages then.
    gc.freeze()
    _serve(socket.socket(fileno=int(sys.argv[1])))
    # To take down all that was imported would last a second.
    os._exit(_status())
