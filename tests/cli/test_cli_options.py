"""Defaults, then the file, then the command line; and options as they are made from configurations."""

from __future__ import annotations

import dataclasses
import json

import pytest

from cli.options import (
    Parser,
    add_common_options,
    add_configuration,
    apply_file,
    positive_integer,
    resolve_configuration,
)
from cli.translate import main
from nlprep.core.configuration import check, option
from nlprep.core.errors import NlprepError, OptionError


@dataclasses.dataclass(frozen=True, kw_only=True)
class Steam:
    bursts: int = option(2, "of steam", minimum=1)

    def __post_init__(self):
        check(self)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Baking:
    minutes: int = option(40, "time in the oven; 100% of it", minimum=1)
    heat: float = option(180.0, "degrees", above=0)
    fan: bool = option(True, "use the fan")
    shape: str = option("round", "of the loaf", choices=("round", "long"))
    rest: int | None = option(None, "minutes to rest", minimum=0)
    steam: Steam = option(Steam(), "how steam is given")

    def __post_init__(self):
        check(self)


def parsers() -> tuple[Parser, dict[str, Parser]]:
    top = Parser(prog="kitchen")
    commands = top.add_subparsers(dest="command", parser_class=Parser)
    named = {name: commands.add_parser(name) for name in ("bake", "boil")}
    named["bake"].add_argument("things", nargs="*")
    named["bake"].add_argument("--output", required=True)
    named["bake"].add_argument("--top", type=positive_integer, default=5)
    named["bake"].add_argument("--mode", choices=("a", "b"), default="a")
    add_configuration(named["bake"], Baking, title="baking")
    named["boil"].add_argument("--salt", default="no")
    for parser in named.values():
        add_common_options(parser)
    return top, named


def resolve(tmp_path, toml: str, *words: str):
    top, named = parsers()
    if toml:
        path = tmp_path / "settings.toml"
        path.write_text(toml)
        apply_file(str(path), "bake", named)
        words = (*words, "--config", str(path))
    arguments = top.parse_args(["bake", *words])
    return arguments, resolve_configuration(Baking, arguments)


def test_precedence(tmp_path):
    toml = 'minutes = 50\nheat = 200\noutput = "here"\ntop = 7\nquiet = true\n'
    _, config = resolve(tmp_path, "", "--output", "x")
    assert config == Baking()
    arguments, config = resolve(tmp_path, toml)
    assert config == Baking(minutes=50, heat=200.0)
    assert (arguments.output, arguments.top, arguments.quiet, arguments.json) == ("here", 7, True, False)
    arguments, config = resolve(tmp_path, toml, "--minutes", "60", "--top", "1", "--output", "there")
    assert config == Baking(minutes=60, heat=200.0)
    assert (arguments.output, arguments.top) == ("there", 1)


def test_tables_hold_for_their_command(tmp_path):
    toml = 'minutes = 50\ntop = 3\nsalt = "yes"\n[bake]\nminutes = 55\noutput = "x"\n[boil]\nsalt = "much"\n'
    arguments, config = resolve(tmp_path, toml)
    assert config.minutes == 55
    assert arguments.top == 3


def test_nested_settings_are_tables_in_a_file_and_prefixes_on_the_command_line(tmp_path):
    _, config = resolve(tmp_path, "[steam]\nbursts = 3\n", "--output", "x")
    assert config == Baking(steam=Steam(bursts=3))
    _, config = resolve(tmp_path, "[steam]\nbursts = 3\n[bake.steam]\nbursts = 4\n", "--output", "x")
    assert config.steam.bursts == 4
    _, config = resolve(tmp_path, "[steam]\nbursts = 3\n", "--output", "x", "--steam-bursts", "5")
    assert config.steam.bursts == 5
    with pytest.raises(OptionError, match=r"settings.toml: \[steam\]: bursts = 0: must be at least 1"):
        resolve(tmp_path, "[steam]\nbursts = 0\n", "--output", "x")
    with pytest.raises(OptionError, match="unknown setting 'steam_burst'"):
        resolve(tmp_path, "[steam]\nburst = 1\n", "--output", "x")


def test_values_from_the_command_line_have_their_types(tmp_path):
    words = ["--minutes", "1_000", "--heat", "1e2", "--no-fan", "--shape", "long", "--rest", "3"]
    _, config = resolve(tmp_path, "", "--output", "x", *words)
    assert config == Baking(minutes=1000, heat=100.0, fan=False, shape="long", rest=3)
    _, config = resolve(tmp_path, "rest = 4\n", "--output", "x", "--rest", "none")
    assert config.rest is None


@pytest.mark.parametrize(
    ("toml", "message"),
    [
        ("minuts = 5\n", "unknown setting 'minuts': known ones are .*minutes"),
        ("[broil]\nheat = 3\n", r"unknown table \[broil\]"),
        ("minutes = 0\n", "settings.toml: minutes = 0: must be at least 1"),
        ("minutes = 'long'\n", "settings.toml: minutes = 'long': expected int"),
        ("shape = 'flat'\n", "settings.toml: shape = 'flat': choose from round, long"),
        ("top = 0\n", "settings.toml: top = 0: "),
        ("top = [1]\n", r"settings.toml: top = \[1\]: expected a single value"),
        ("mode = 'c'\n", "settings.toml: mode = 'c': choose from a, b"),
        ("quiet = 'yes'\n", "settings.toml: quiet = 'yes': expected true or false"),
        ("[bake]\nsalt = 'yes'\n", "unknown setting 'salt'"),
        ("config = 'other.toml'\n", "unknown setting 'config'"),
        ("minutes = \n", "not valid TOML"),
    ],
)
def test_bad_files(tmp_path, toml, message):
    with pytest.raises(NlprepError, match=message):
        resolve(tmp_path, toml, "--output", "x")


def test_an_error_on_the_command_line_is_not_blamed_on_the_file(tmp_path):
    with pytest.raises(OptionError, match=r"^command line: minutes = 0"):
        resolve(tmp_path, "minutes = 3\n", "--output", "x", "--minutes", "0")


def test_options_may_stand_among_words(tmp_path):
    arguments, config = resolve(tmp_path, "", "a", "--output", "x", "b", "--minutes", "3", "c")
    assert arguments.things == ["a", "b", "c"]
    assert config.minutes == 3


def test_help_shows_defaults():
    text = parsers()[1]["bake"].format_help()
    assert "100% of it (default: 40)" in " ".join(text.split())
    assert "--no-fan" in text
    assert "(default: none)" in text
    assert "{round,long}" in text


def test_options_are_not_abbreviated(capsys):
    with pytest.raises(SystemExit):
        parsers()[0].parse_args(["bake", "--output", "x", "--minut", "3"])
    assert "unrecognized arguments" in capsys.readouterr().err


def test_train_with_a_file_saves_the_resolved_settings(made, tmp_path, capsys):
    file = tmp_path / "project.toml"
    file.write_text("threads = 1\n[train]\ndimension = 6\nepochs = 3\nmin-count = 7\n[align]\nrefine = 0\n")
    words = ["train", str(made.text.english), "-o", str(tmp_path / "out"), "--epochs", "1", f"--config={file}"]
    assert main([*words, "--json", "--quiet"]) == 0
    said = json.loads(capsys.readouterr().out)["settings"]
    assert (said["dimension"], said["epochs"], said["min_count"]) == (6, 1, 7)
    saved = json.loads((tmp_path / "out" / "config.json").read_text())["training"]
    assert saved == said
