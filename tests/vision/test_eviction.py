"""The cache of images keeps to a size, removes what was not used for longest, and nothing that is in use."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import textwrap
import warnings

import numpy as np
import pytest

from nlprep.core.errors import OptionError
from vision.images.eviction import SIZE_VARIABLE, RemovedImagesWarning, largest_cache
from vision.images.reading import read_images

pytestmark = pytest.mark.slow

SIDE = 64
ENTRY = 16 * SIDE * SIDE
"""Bytes of pixels of what `write_numbers` writes."""


@pytest.fixture
def kept(tmp_path):
    return tmp_path / "kept"


def write_numbers(folder, value):
    path = folder / f"{value}.npz"
    np.savez(path, x=np.full((16, SIDE, SIDE), 10 * value, np.uint8))
    return path


def read(path, kept):
    """Pixels of a file that nothing refers to afterwards."""
    return int(read_images(path, cache=kept).pixels[0, 0, 0, 0]) // 10


def entries(kept):
    return {int(np.fromfile(path / "pixels.safetensors", np.uint8)[-1]) // 10: path for path in kept.iterdir()}


def age(kept, *values):
    """Say that these were used long ago, the first of them first."""
    for number, value in enumerate(values):
        os.utime(entries(kept)[value], (10**9 + number, 10**9 + number))


def limit(monkeypatch, count):
    """Room for so many entries and their small files."""
    monkeypatch.setenv(SIZE_VARIABLE, str((count + 0.5) * ENTRY / 2**30))


def test_those_not_used_for_longest_are_removed(tmp_path, kept, monkeypatch):
    for value in (1, 2, 3):
        read(write_numbers(tmp_path, value), kept)
    age(kept, 2, 1, 3)
    limit(monkeypatch, 2)
    with pytest.warns(
        RemovedImagesWarning, match=r"2 sets of decoded images .*not used since 2001.*set NLPREP_CACHE_GIB"
    ):
        read(write_numbers(tmp_path, 4), kept)
    assert set(entries(kept)) == {3, 4}


def test_reading_is_use(tmp_path, kept, monkeypatch):
    paths = [write_numbers(tmp_path, value) for value in (1, 2)]
    for path in paths:
        read(path, kept)
    age(kept, 1, 2)
    read(paths[0], kept)
    gc.collect()
    limit(monkeypatch, 2)
    with pytest.warns(RemovedImagesWarning):
        read(write_numbers(tmp_path, 3), kept)
    assert set(entries(kept)) == {1, 3}


def test_what_was_just_read_stays_however_large(tmp_path, kept, monkeypatch):
    limit(monkeypatch, 0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert read(write_numbers(tmp_path, 7), kept) == 7
    assert set(entries(kept)) == {7}


def test_what_this_process_has_open_stays_until_it_is_dropped(tmp_path, kept, monkeypatch):
    images = read_images(write_numbers(tmp_path, 1), cache=kept)
    part = images.pixels[3:5]
    del images
    age(kept, 1)
    limit(monkeypatch, 0)
    read(write_numbers(tmp_path, 2), kept)
    assert set(entries(kept)) == {1, 2}
    assert (part == 10).all()
    del part
    gc.collect()
    with pytest.warns(RemovedImagesWarning):
        read(write_numbers(tmp_path, 3), kept)
    assert set(entries(kept)) == {3}


def test_what_another_process_has_open_stays_until_it_ends(tmp_path, kept, monkeypatch):
    program = textwrap.dedent(
        """
        import sys
        from vision.images.reading import read_images
        images = read_images(sys.argv[1], cache=sys.argv[2])
        print("open", flush=True)
        sys.stdin.readline()
        print(int(images.pixels.max()))
        """
    )
    command = [sys.executable, "-c", program, str(write_numbers(tmp_path, 1)), str(kept)]
    limit(monkeypatch, 0)
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == "open\n"
        age(kept, 1)
        read(write_numbers(tmp_path, 2), kept)
        assert set(entries(kept)) == {1, 2}
        assert other.communicate("\n")[0] == "10\n"
    with pytest.warns(RemovedImagesWarning):
        read(write_numbers(tmp_path, 3), kept)
    assert set(entries(kept)) == {3}


def test_nothing_else_in_the_folder_is_touched(tmp_path, kept, monkeypatch):
    (kept / "mine").mkdir(parents=True)
    (kept / "mine" / "thesis.txt").write_text("x" * ENTRY)
    limit(monkeypatch, 0)
    for value in (1, 2):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RemovedImagesWarning)
            read(write_numbers(tmp_path, value), kept)
    gc.collect()
    assert (kept / "mine" / "thesis.txt").exists()
    assert len(list(kept.iterdir())) == 2


def test_how_large_it_may_be(monkeypatch):
    monkeypatch.delenv(SIZE_VARIABLE, raising=False)
    assert largest_cache() == 32 * 2**30
    monkeypatch.setenv(SIZE_VARIABLE, "0.5")
    assert largest_cache() == 2**29
    monkeypatch.setenv(SIZE_VARIABLE, "0")
    assert largest_cache() is None


@pytest.mark.parametrize("value", ["much", "-1", "inf", "nan"])
def test_a_size_that_is_none_is_refused(monkeypatch, value):
    monkeypatch.setenv(SIZE_VARIABLE, value)
    with pytest.raises(OptionError, match=r"NLPREP_CACHE_GIB = .*give a number of GiB, or 0"):
        largest_cache()
