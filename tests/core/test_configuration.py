from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest

from nlprep.core.configuration import check, from_mapping, option, read_toml, to_mapping
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
        ({"rate": float("nan")}, "rate = nan: must be above 0"),
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
