"""Defaults, then the file, then the command line; and options as they are made of functions and configurations."""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Annotated, Literal

import pytest
from cyclopts import Parameter
from tests_cli_support import one_line

from cli.console import Console
from cli.options import AtLeastOne, Given, Options, Output
from cli.program import Program
from cli.translate import main
from nlprep.core.configuration import check, option
from nlprep.core.errors import OptionError
from nlprep.core.training.configuration import TrainingConfig


@dataclasses.dataclass(frozen=True, kw_only=True)
class Yeast:
    grams: int = option(7, "weight of it", minimum=1)
    hours: float = option(1.0, "time to rise", above=0)
    wild: bool = option(False, "caught in the air")

    def __post_init__(self):
        check(self)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Baking:
    minutes: int = option(40, "time in the oven; 100% of it", minimum=1)
    heat: float = option(180.0, "degrees", above=0)
    fan: bool = option(True, "use the fan")
    shape: str = option("round", "of the loaf", choices=("round", "long"))
    rest: int | None = option(None, "minutes to rest", minimum=0)
    leaven: str = option("none", "what makes it rise", choices=("none", "yeast", "soda"))
    yeast: Yeast = option(Yeast(grams=9), "how yeast is used", counts_for=("leaven", ("yeast",)))
    bubbles: int = option(3, "of soda or yeast", minimum=1, counts_for=("leaven", ("yeast", "soda")))

    def __post_init__(self):
        check(self)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Serving:
    heat: float = option(20.0, "degrees at the table", above=0)
    slices: int = option(8, "to cut", minimum=1)

    def __post_init__(self):
        check(self)


def bake(
    *things: str,
    output: Output,
    top: AtLeastOne = 5,
    number: int = 1,
    boil: str = "never",
    mode: Literal["a", "b"] = "a",
    spices: Annotated[list[str], Parameter(alias="-s")] = [],  # noqa: B006
    baking: Annotated[Baking, Options(title="baking", first=("heat", "minutes"), rest="baking in detail")],
    serving: Annotated[
        Given[Serving], Options(title="serving", names={"heat": "table_heat"}, shown={"slices": "many"})
    ],
    console: Console,
) -> int:
    """Bake.

    Args:
        things: What goes in.
        output: Where it goes.
        top: How many.
        number: Any.
        boil: When; a command is called so, too.
        mode: Of two.
        spices: Some.
        baking: How.
        serving: For whom.
        console: Who hears of it.
    """
    KITCHEN["seen"] = {
        "things": things,
        "output": output,
        "top": top,
        "boil": boil,
        "mode": mode,
        "spices": spices,
        "baking": baking,
        "console": console,
        "serving": serving.resolve({"slices": 6}),
        "flags": serving.flags,
    }
    return 0


def boil(*, salt: str = "no", console: Console) -> int:
    """Boil.

    Args:
        salt: How much.
        console: Who hears of it.
    """
    KITCHEN["seen"] = {"salt": salt}
    return 0


KITCHEN = {}
PROGRAM = Program(
    "kitchen", description="Food.", epilog="", commands={"bake": "bake", "boil": "boil"}, package="kitchen"
)


@pytest.fixture(autouse=True)
def kitchen(monkeypatch):
    for name, function in (("bake", bake), ("boil", boil)):
        module = ModuleType(f"kitchen.{name}")
        setattr(module, name, function)
        module.EPILOG = "examples: 100%\n"
        monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setitem(sys.modules, "kitchen", ModuleType("kitchen"))
    KITCHEN.clear()


def test_what_is_instead_of_another_is_not_given_beside_it():
    def given(**values):
        return Given(TrainingConfig, Options(title="training"), values, "here")

    with pytest.raises(OptionError, match="--steps and --epochs: one is instead of the other: give one of them"):
        given(steps=3, epochs=2.0).resolve()
    with pytest.raises(OptionError, match="--checkpoint-every and --checkpoint-minutes"):
        given(checkpoint_every=3, checkpoint_minutes=2.0).resolve()
    # A default of the one does not make what was asked for of the other count for nothing.
    assert given(epochs=2.0).resolve({"steps": 7}).num_steps(320) == 20
    assert given().resolve({"steps": 7}).steps == 7
    assert given(steps=3).resolve({"epochs": 7.0}).steps == 3


def resolve(tmp_path, toml: str, *words: str) -> dict[str, object]:
    if toml:
        path = tmp_path / "settings.toml"
        path.write_text(toml)
        words = (*words, "--config", str(path))
    assert PROGRAM.main(["bake", *words]) == 0
    return KITCHEN["seen"]


@pytest.fixture
def refuse(capsys):
    def run(*words: str) -> str:
        assert PROGRAM.main(["bake", *words]) == 2
        assert KITCHEN == {}
        return one_line(capsys.readouterr().err).removeprefix("kitchen: error: ")

    return run


def test_precedence(tmp_path):
    toml = 'minutes = 50\nheat = 200\noutput = "here"\ntop = 7\nquiet = true\nspices = ["salt", "cumin"]\n'
    assert resolve(tmp_path, "", "--output", "x")["baking"] == Baking()
    seen = resolve(tmp_path, toml)
    assert seen["baking"] == Baking(minutes=50, heat=200.0)
    assert (seen["output"], seen["top"], seen["spices"]) == (Path("here"), 7, ["salt", "cumin"])
    assert (seen["console"].quiet, seen["console"].json_output) == (True, False)
    words = ["--minutes", "60", "--top", "1", "--output", "there", "-s", "anise", "--spices", "clove"]
    seen = resolve(tmp_path, toml, *words)
    assert seen["baking"] == Baking(minutes=60, heat=200.0)
    assert (seen["output"], seen["top"], seen["spices"]) == (Path("there"), 1, ["anise", "clove"])


def test_tables_hold_for_their_command_and_tables_in_them_for_their_part(tmp_path):
    toml = 'minutes = 50\ntop = 3\nsalt = "yes"\n[bake]\nboil = "first"\nminutes = 55\noutput = "x"\nleaven = "yeast"\n'
    toml += '[bake.yeast]\ngrams = 4\n[boil]\nsalt = "much"\n'
    seen = resolve(tmp_path, toml)
    assert seen["baking"] == Baking(minutes=55, leaven="yeast", yeast=Yeast(grams=4))
    assert (seen["top"], seen["boil"]) == (3, "first")
    assert PROGRAM.main(["boil", "--config", str(tmp_path / "settings.toml")]) == 0
    assert KITCHEN["seen"] == {"salt": "much"}


def test_values_from_the_command_line_have_their_types(tmp_path):
    words = ["--minutes", "1_000", "--heat", "1e2", "--no-fan", "--shape", "long", "--rest", "3", "--output", "x"]
    expected = Baking(minutes=1000, heat=100.0, fan=False, shape="long", rest=3)
    assert resolve(tmp_path, "", *words)["baking"] == expected
    assert resolve(tmp_path, "rest = 4\n", "--output", "x", "--rest", "none")["baking"].rest is None


def test_a_nested_configuration_has_options_of_its_own(tmp_path):
    words = ["--output", "x", "--leaven", "yeast", "--yeast-hours", "2", "--yeast-wild", "--bubbles", "4"]
    # What is not said of it stays at the default of the field, which is not that of its class.
    expected = Baking(leaven="yeast", yeast=Yeast(grams=9, hours=2.0, wild=True), bubbles=4)
    assert resolve(tmp_path, "", *words)["baking"] == expected


def test_options_of_another_method_are_refused_by_name(refuse, tmp_path):
    words = ["--output", "x", "--yeast-grams", "4"]
    assert refuse(*words) == "--yeast-grams is for the yeast leaven, not for none"
    assert refuse(*words, "--leaven", "soda") == "--yeast-grams is for the yeast leaven, not for soda"
    assert refuse("--output", "x", "--bubbles", "3") == "--bubbles is for the yeast or soda leaven, not for none"
    (tmp_path / "file.toml").write_text("[bake.yeast]\nwild = true\n")
    assert "--yeast-wild is for" in refuse("--output", "x", "--config", str(tmp_path / "file.toml"))


def test_a_configuration_is_filled_from_its_own_options_alone(tmp_path):
    seen = resolve(tmp_path, "", "--output", "x", "--heat", "99")
    assert (seen["baking"].heat, seen["serving"]) == (99.0, Serving(heat=20.0, slices=6))
    assert seen["flags"] == []
    seen = resolve(tmp_path, "table-heat = 30\n", "--output", "x", "--slices", "9")
    assert (seen["baking"].heat, seen["serving"]) == (180.0, Serving(heat=30.0, slices=9))
    assert sorted(seen["flags"]) == ["--slices", "--table-heat"]


def test_two_configurations_with_one_name_for_a_field_are_a_mistake(monkeypatch):
    def fry(
        *,
        baking: Annotated[Baking, Options(title="baking")],
        serving: Annotated[Serving, Options(title="serving")],
        console: Console,
    ) -> int:
        """Fry."""
        return 0

    monkeypatch.setattr(sys.modules["kitchen.boil"], "boil", fry)
    with pytest.raises(TypeError, match="fry has two options named --heat"):
        PROGRAM.main(["boil", "--heat", "3"])


@pytest.mark.parametrize(
    ("toml", "message"),
    [
        ("minuts = 5\n", "settings.toml: unknown setting 'minuts': known ones are .*minutes"),
        ("[broil]\nheat = 3\n", r"settings.toml: unknown table \[broil\]: the commands are bake, boil"),
        ("minutes = 0\n", "settings.toml: minutes = 0: must be at least 1"),
        ("minutes = 'long'\n", "settings.toml: minutes = 'long': expected a whole number"),
        ("minutes = 1.5\n", "settings.toml: minutes = '1.5': expected a whole number"),
        ("minutes = true\n", "settings.toml: minutes = 'True': expected a whole number"),
        ("shape = 'flat'\n", "settings.toml: shape = 'flat': choose from round, long"),
        ("top = 0\n", "settings.toml: top = 0: must be at least 1"),
        ("top = [1]\n", r"settings.toml.*top|top.*settings.toml"),
        ("mode = 'c'\n", "settings.toml: mode = 'c': choose from a, b"),
        ("fan = 'perhaps'\n", "fan.*settings.toml|settings.toml.*fan"),
        ("[bake]\nsalt = 'yes'\n", "settings.toml: unknown setting 'salt'"),
        ("[bake.yeast]\nflour = 1\n", "settings.toml: unknown setting 'yeast_flour'"),
        ("[bake.yeast]\ngrams = 0\n", "settings.toml: yeast-grams = 0: must be at least 1"),
        ("config = 'other.toml'\n", "unknown setting 'config'"),
        ("minutes = \n", "settings.toml: not valid TOML"),
    ],
)
def test_bad_files(refuse, tmp_path, toml, message):
    import re

    path = tmp_path / "settings.toml"
    path.write_text(toml)
    said = refuse("--output", "x", "--config", str(path))
    assert re.search(message, said), said
    assert "kitchen bake --help" in said or "not valid TOML" in said


def test_an_error_on_the_command_line_is_not_blamed_on_the_file(refuse, tmp_path):
    path = tmp_path / "settings.toml"
    path.write_text("minutes = 3\n")
    said = refuse("--output", "x", "--minutes", "0", "--config", str(path))
    assert said == "--minutes = 0: must be at least 1 (see kitchen bake --help)"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--top", "1.5"], "--top = '1.5': expected a whole number"),
        (["--number", "2.0"], "--number = '2.0': expected a whole number"),
        (["--minutes", "1e3"], "--minutes = '1e3': expected a whole number"),
        (["--heat", "warm"], "--heat = 'warm': expected a number"),
        (["--heat", "nan"], "--heat = nan: is not a number: give one"),
        (["--shape", "flat"], "--shape = 'flat': choose from round, long"),
        (["--mode", "c"], "--mode = 'c': choose from a, b"),
        (["--minut", "3"], "unknown option --minut: did you mean --minutes? ("),
        (["--hat=3"], "unknown option --hat: did you mean --heat? ("),
        (["--Fan"], "unknown option --Fan: did you mean --fan? ("),
        (["--text"], "unknown option --text ("),
        (["--things", "a"], "unknown option --things: things is given as a word, without a name before it"),
        (["--top", "--quiet"], "--top: expected a value, found the option --quiet"),
        (["--things=a"], "unknown option --things: things is given as a word"),
        (["--fan=perhaps"], "--fan"),
        (["--top"], "--top: expected a value ("),
    ],
)
def test_bad_words(refuse, words, message):
    said = refuse("--output", "x", *words)
    assert message in said
    assert said.endswith("(see kitchen bake --help)")


def test_options_may_stand_among_words_and_words_may_look_like_options(tmp_path):
    seen = resolve(tmp_path, "", "a", "--output", "x", "b", "--minutes", "3", "c", "-")
    assert seen["things"] == ("a", "b", "c", "-")
    assert seen["baking"].minutes == 3
    seen = resolve(tmp_path, "", "[MASK] {x}", "--output", "x", "-3", "none", "--", "-b", "--minutes", "--", "\udcff")
    assert seen["things"] == ("[MASK] {x}", "-3", "none", "-b", "--minutes", "--", "\udcff")
    # What is said last holds.
    assert resolve(tmp_path, "", "--top", "3", "--output", "x", "--top", "4", "--output=y")["top"] == 4


def test_help_shows_groups_and_defaults(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    assert PROGRAM.main(["bake", "a", "--help"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert all(len(line) <= 80 for line in lines)
    text = " ".join(" ".join(lines).split())
    assert text.startswith(
        "usage: kitchen bake [options] --output, -o PATH [THINGS...] Bake. arguments: [THINGS...] what"
    )
    assert "--minutes N time in the oven; 100% of it [default: 40]" in text
    assert "--fan, --no-fan use the fan [default: yes]" in text
    assert "--rest N minutes to rest [default: none]" in text
    assert "--shape {round,long} of the loaf [default: round]" in text
    # It may be repeated, and takes one value each time.
    assert "--spices, -s TEXT some" in text
    assert "--mode {a,b} of two [default: a]" in text
    assert "--slices N to cut [default: many]" in text
    assert "--output, -o PATH where it goes [needed]" in text
    headings = ["options:", "baking:", "serving:", "baking in detail:", "baking in detail: yeast:", "general options:"]
    places = [lines.index(heading) for heading in headings]
    assert places == sorted(places)
    assert text.index("--heat") < text.index("--minutes N") < text.index("--shape")
    assert lines[-1] == "examples: 100%"
    # After two dashes it is a word.
    assert PROGRAM.main(["bake", "-o", "x", "--", "--help"]) == 0
    assert KITCHEN["seen"]["things"] == ("--help",)


def test_train_with_a_file_saves_the_resolved_settings(made, tmp_path, capsys):
    file = tmp_path / "project.toml"
    file.write_text("threads = 1\n[train]\ndimension = 6\nepochs = 3\nmin-count = 7\n[align]\nrefine = 0\n")
    words = ["train", str(made.text.english), "-o", str(tmp_path / "out"), "--epochs", "1", f"--config={file}"]
    assert main([*words, "--json", "--quiet"]) == 0
    said = json.loads(capsys.readouterr().out)["settings"]
    assert (said["dimension"], said["epochs"], said["min_count"]) == (6, 1, 7)
    saved = json.loads((tmp_path / "out" / "config.json").read_text())["training"]
    assert saved == said


def test_a_setting_that_will_not_do_is_called_by_its_option():
    options = Options(title="baking", names={"yeast_grams": "weight"})
    for values, said in (({"minutes": 0}, "--minutes = 0: must"), ({"yeast_grams": 0}, "--weight = 0: must")):
        with pytest.raises(OptionError, match=f"^{said}"):
            Given(Baking, options, values, "command line").resolve()
    with pytest.raises(OptionError, match=r"^bread.toml: minutes = 0: must"):
        Given(Baking, options, {"minutes": 0}, "bread.toml").resolve()
