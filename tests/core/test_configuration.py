from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest

from nlprep.core.configuration import (
    check,
    from_mapping,
    nest,
    option,
    read_toml,
    settings_of,
    to_mapping,
)
from nlprep.core.errors import FileError, OptionError


@dataclass(frozen=True, kw_only=True)
class Settings:
    size: int = option(3, "a size", minimum=1, maximum=9)
    rate: float = option(0.5, "a rate", above=0)
    name: str = option("a", "a name", choices=("a", "b"))
    mode: Literal["x", "y"] = option("x", "a mode", choices=("x", "y"))
    limit: int | None = option(None, "a limit", minimum=0)
    flag: bool = option(False, "a flag")

    def __post_init__(self) -> None:
        check(self)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"size": 0}, "size = 0: must be at least 1"),
        ({"size": 10}, "size = 10: must be at most 9"),
        ({"size": True}, "size = True: expected int"),
        ({"size": 2.5}, "size = 2.5: expected int"),
        ({"rate": 0.0}, "rate = 0.0: must be above 0"),
        ({"rate": float("nan")}, "rate = nan: is not a number: give one"),
        ({"name": "c"}, "name = 'c': choose from a, b"),
        ({"limit": -1}, "limit = -1: must be at least 0"),
        ({"flag": 1}, "flag = 1: expected bool"),
        ({"colour": 1}, "unknown setting 'colour': known ones are size, rate, name, mode, limit, flag"),
    ],
)
def test_a_bad_value_is_named_with_its_range(values: dict[str, object], message: str) -> None:
    with pytest.raises(OptionError) as caught:
        from_mapping(Settings, values, where="here.toml")
    assert str(caught.value) == f"here.toml: {message}"


def test_whole_numbers_serve_as_fractions_and_none_as_no_limit() -> None:
    settings = Settings(rate=1, limit=None)
    assert isinstance(settings.rate, float)
    assert to_mapping(settings) == {"size": 3, "rate": 1.0, "name": "a", "mode": "x", "limit": None, "flag": False}


def test_toml_keys_may_have_dashes(tmp_path: Path) -> None:
    path = tmp_path / "s.toml"
    path.write_text("min-size = 3\n")
    assert read_toml(path) == {"min_size": 3}
    path.write_text("= 3")
    with pytest.raises(FileError, match=r"s\.toml: not valid TOML"):
        read_toml(path)


@dataclass(frozen=True, kw_only=True)
class Whole:
    mode: str = option("plain", "a mode")
    first: Settings = option(Settings(), "of the first method")
    second: Settings = option(Settings(size=7), "of the second method")

    def __post_init__(self) -> None:
        check(self)


def test_a_nested_configuration_goes_to_plain_values_and_back() -> None:
    whole = Whole(mode="other", first=Settings(size=1, limit=4))
    plain = to_mapping(whole)
    assert json.loads(json.dumps(plain)) == plain
    assert plain["first"]["limit"] == 4
    assert from_mapping(Whole, plain, where="here") == whole


def test_what_a_table_leaves_out_stays_at_the_default_of_the_field() -> None:
    built = from_mapping(Whole, {"second": {"rate": 1}}, where="here")
    assert (built.second.size, built.second.rate) == (7, 1.0)
    assert built.first == Settings()
    assert from_mapping(Whole, {"second": Settings(size=2)}, where="here").second.size == 2


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"first": {"size": 0}}, "here.toml: [first]: size = 0: must be at least 1"),
        ({"first": {"colour": 1}}, "here.toml: [first]: unknown setting 'colour': known ones are size, rate"),
        ({"first": 3}, "here.toml: first = 3: expected a table of settings, such as [first]"),
        ({"third": {}}, "here.toml: unknown setting 'third': known ones are mode, first, second"),
    ],
)
def test_a_bad_value_in_a_table_is_named_with_the_table(values: dict[str, object], message: str) -> None:
    with pytest.raises(OptionError) as caught:
        from_mapping(Whole, values, where="here.toml")
    assert str(caught.value).startswith(message)


def test_a_nested_field_takes_its_own_kind_alone() -> None:
    with pytest.raises(OptionError, match=r"first = \{'size': 1\}: expected Settings"):
        Whole(first={"size": 1})  # type: ignore[arg-type]


def test_every_plain_setting_is_found_with_its_path_and_default() -> None:
    settings = settings_of(Whole)
    assert [setting.name for setting in settings[:3]] == ["mode", "first_size", "first_rate"]
    assert len(settings) == 1 + 2 * 6
    defaults = {setting.name: setting.default for setting in settings}
    assert (defaults["first_size"], defaults["second_size"]) == (3, 7)
    given = {"second_size": 4, "mode": "b", "strange": 1}
    assert nest(settings, given) == {"mode": "b", "second": {"size": 4}}


def test_two_settings_of_one_name_are_a_mistake_in_the_class() -> None:
    @dataclass(frozen=True, kw_only=True)
    class Twice:
        first_size: int = option(1, "a size")
        first: Settings = option(Settings(), "more")

    with pytest.raises(TypeError, match="two settings named first_size"):
        settings_of(Twice)


def test_tables_of_a_file_may_have_dashes(tmp_path: Path) -> None:
    path = tmp_path / "s.toml"
    path.write_text("[hard-negatives]\nbatch-size = 3\n")
    assert read_toml(path) == {"hard_negatives": {"batch_size": 3}}
