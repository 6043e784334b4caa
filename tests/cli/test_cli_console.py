"""Tables, notes and exit statuses."""

from __future__ import annotations

import json
import signal
import sys
import warnings
from pathlib import Path

import pytest
from tests_cli_support import one_line

from cli.console import Console, run, said_as_command
from cli.vision_commands.drawing import said
from nlprep.core.errors import FileError, NlprepError


def test_tables_are_plain_when_piped(capsys):
    Console().table(("word", "score", "n"), [("chat", 0.123456, 1200), ("[b]", 12.34, None)])
    assert capsys.readouterr().out == "word\tscore\tn\nchat\t0.1235\t1200\n[b]\t12.3\t\n"


def test_tables_are_drawn_at_a_terminal(capsys, monkeypatch):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    Console().table(("word", "score"), [("[red]chat", 0.5), ("chien", 0.25)], title="two")
    text = capsys.readouterr().out
    assert "two" in text
    assert "[red]chat" in text
    assert "─" in text
    assert "\t" not in text


def test_notes_go_to_stderr_unless_quiet(capsys):
    Console().note("hello")
    Console(quiet=True).note("silence")
    printed = capsys.readouterr()
    assert (printed.out, printed.err) == ("", "hello\n")


def test_json_keeps_accents(capsys):
    Console(json_output=True).result({"mot": "été"})
    text = capsys.readouterr().out
    assert "été" in text
    assert json.loads(text) == {"mot": "été"}


def raising(error):
    def command():
        raise error

    return command


def test_what_a_user_can_mend_is_one_line(capsys):
    assert run("prog", raising(NlprepError("two\nlines"))) == 2
    assert one_line(capsys.readouterr().err) == "prog: error: two lines"
    assert run("prog", raising(FileError("f", "is odd: mend it", line=3))) == 2
    assert one_line(capsys.readouterr().err) == "prog: error: f:3: is odd: mend it"
    assert run("prog", raising(MemoryError("1 TiB"))) == 2
    assert "out of memory (1 TiB)" in one_line(capsys.readouterr().err)


def test_ctrl_c_that_a_library_turned_into_an_error(capsys, monkeypatch):
    # The tests' own Ctrl-C is to go on working.
    monkeypatch.setattr(signal, "signal", lambda *_: None)

    def command():
        try:
            raising(KeyboardInterrupt())()
        except BaseException:
            import no_such_module_as_this  # noqa: F401

    assert run("prog", command) == 130
    assert one_line(capsys.readouterr().err) == "prog: interrupted"


def test_a_bug_is_not_hidden():
    with pytest.raises(ZeroDivisionError):
        run("prog", raising(ZeroDivisionError()))


def test_the_status_of_a_command_is_passed_on():
    assert run("prog", lambda: 0) == 0
    assert run("prog", lambda: 3) == 3


def test_warnings_are_one_line(capsys):
    def command():
        for _ in range(2):
            warnings.warn("two\nlines", stacklevel=1)
        return 0

    assert run("prog", command) == 0
    assert capsys.readouterr().err == "prog: warning: two lines\n" * 2


def test_a_loss_that_is_no_number_is_said_with_what_the_command_takes():
    from nlprep.core.training.steps.updates import NonFiniteError

    told = pytest.raises(NlprepError, match="lower the learning rate; give --overwrite with what you change")
    with told, said_as_command():
        raise NonFiniteError("the loss is nan at step 3: lower the learning rate")


def test_a_list_is_said_in_words(capsys):
    assert said(Console(), Path("f.png"), rows=["number 17", "number 3"]) == 0
    assert "rows: number 17, number 3\n" in capsys.readouterr().err
