"""Images are decoded once: what is found again, what is made again, and in how much memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
import tracemalloc

import numpy as np
import pytest
import torch
from picture_files import encoded, gradient, write_pictures, zip_folder
from PIL import Image

from nlprep.core.errors import FileError, NlprepError
from vision.images import cache as caching
from vision.images import conversion
from vision.images.cache import default_cache
from vision.images.collection import ImageExamples
from vision.images.configuration import PreprocessingConfig
from vision.images.names import PackedNames, pack_names
from vision.images.reading import list_images, read_images

pytestmark = pytest.mark.slow


@pytest.fixture
def pictures(tmp_path):
    write_pictures(tmp_path / "p", ["cat/a.png", "cat/b.png", "dog/c.png"])
    return tmp_path / "p"


@pytest.fixture
def kept(tmp_path):
    return tmp_path / "kept"


@pytest.fixture
def conversions(monkeypatch):
    """How often a source was decoded."""
    counted = []
    real = conversion.convert
    monkeypatch.setattr(caching, "convert", lambda *a, **k: (counted.append(1), real(*a, **k))[1])
    return counted


def entries(kept):
    return sorted(path.name for path in kept.iterdir())


def test_the_second_call_decodes_nothing_and_reads_no_picture(pictures, kept, conversions, monkeypatch):
    first = read_images(pictures, cache=kept)
    monkeypatch.setattr("vision.images.sources.folders.FolderReader.__call__", None)
    second = read_images(pictures, cache=kept)
    assert conversions == [1]
    np.testing.assert_array_equal(first.pixels, second.pixels)
    np.testing.assert_array_equal(first.labels, second.labels)
    assert list(first.names) == list(second.names)
    assert (first.digest, first.preprocessing, first.classes) == (second.digest, second.preprocessing, second.classes)


@pytest.mark.parametrize("kind", ["folder", "zip", "npz"])
def test_files_that_were_touched_are_not_decoded_again(pictures, kept, conversions, kind, tmp_path):
    path = pictures
    if kind == "zip":
        path = zip_folder(pictures, tmp_path / "p.zip")
    elif kind == "npz":
        path = tmp_path / "p.npz"
        np.savez(path, x=np.arange(60, dtype=np.uint8).reshape(3, 4, 5))
    digest = read_images(path, cache=kept).digest
    for file in [path, *path.rglob("*")]:
        os.utime(file, ns=(1, 1))
    assert read_images(path, cache=kept).digest == digest
    assert conversions == [1]


def test_a_copy_is_not_decoded_again(pictures, kept, conversions, tmp_path):
    write_pictures(tmp_path / "q", ["cat/a.png", "cat/b.png", "dog/c.png"])
    read_images(pictures, cache=kept)
    copy = read_images(tmp_path / "q", cache=kept)
    assert conversions == [1]
    assert copy.source == str(tmp_path / "q")


def test_a_changed_picture_of_the_same_size_and_date_is_seen(kept, conversions, tmp_path):
    (tmp_path / "p").mkdir()
    path = tmp_path / "p" / "a.bmp"
    path.write_bytes(encoded(Image.fromarray(gradient(6, 6)), "BMP"))
    os.utime(path, ns=(10**18, 10**18))
    read_images(tmp_path / "p", cache=kept)
    path.write_bytes(encoded(Image.fromarray(255 - gradient(6, 6)), "BMP"))
    os.utime(path, ns=(10**18, 10**18))
    images = read_images(tmp_path / "p", cache=kept)
    np.testing.assert_array_equal(images.pixels[0].transpose(1, 2, 0), 255 - gradient(6, 6))
    assert conversions == [1, 1]


@pytest.mark.parametrize("change", ["added", "removed", "renamed"])
def test_another_set_of_files_is_decoded(pictures, kept, conversions, change):
    read_images(pictures, cache=kept)
    if change == "added":
        write_pictures(pictures, ["dog/d.png"])
    elif change == "removed":
        (pictures / "cat/b.png").unlink()
    else:
        (pictures / "cat/b.png").rename(pictures / "dog/b.png")
    images = read_images(pictures, cache=kept)
    assert len(images) == {"added": 4, "removed": 2, "renamed": 3}[change]
    assert np.bincount(images.labels).tolist() == {"added": [2, 2], "removed": [1, 1], "renamed": [1, 2]}[change]
    assert len(conversions) == 2


def test_other_settings_are_other_entries(pictures, kept):
    whole = read_images(pictures, cache=kept)
    small = read_images(pictures, cache=kept, preprocessing=PreprocessingConfig(height=4))
    assert (whole.shape, small.shape) == ((3, 10, 12), (3, 4, 4))
    assert len(entries(kept)) == 2


@pytest.mark.parametrize("damaged", ["pixels.safetensors", "tensors.safetensors", "config.json"])
def test_a_damaged_entry_is_made_again(pictures, kept, conversions, damaged):
    before = np.array(read_images(pictures, cache=kept).pixels)
    (entry,) = kept.iterdir()
    data = (entry / damaged).read_bytes()
    (entry / damaged).write_bytes(data[: len(data) // 2])
    np.testing.assert_array_equal(read_images(pictures, cache=kept).pixels, before)
    assert conversions == [1, 1]
    assert entries(kept) == [entry.name]


def test_a_failure_leaves_nothing(pictures, kept):
    (pictures / "cat/broken.png").write_bytes(b"?")
    with pytest.raises(FileError, match=r"broken\.png"):
        read_images(pictures, cache=kept)
    assert entries(kept) == []


def test_a_cache_in_the_pictures_folder_is_refused(pictures):
    with pytest.raises(FileError, match="lies in the input"):
        read_images(pictures, cache=pictures / "kept")


def test_where_images_are_kept_by_default(monkeypatch, tmp_path, pictures):
    monkeypatch.setenv("NLPREP_CACHE", str(tmp_path / "own"))
    read_images(pictures)
    assert entries(tmp_path / "own" / "images")
    monkeypatch.delenv("NLPREP_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "x"))
    assert default_cache() == tmp_path / "x" / "nlprep" / "images"


def test_pixels_are_mapped_channels_last_and_read_only(pictures, kept):
    pixels = read_images(pictures, cache=kept).pixels
    assert not pixels.flags.writeable
    assert not pixels.flags.owndata
    assert pixels.strides == (360, 1, 36, 3)
    (entry,) = kept.iterdir()
    header = (entry / "pixels.safetensors").read_bytes()
    assert json.loads(header[8:256])["pixels"]["shape"] == [3, 10, 12, 3]


def test_batches_are_channels_last(pictures):
    images = read_images(pictures)
    found = ImageExamples(images, labels=True).batch(np.array([2, 0]), np.zeros(2, np.uint64))
    assert found["images"].is_contiguous(memory_format=torch.channels_last)
    np.testing.assert_array_equal(found["images"], images.pixels[[2, 0]])
    assert found["labels"].tolist() == [1, 0]


def test_the_file_opens_with_the_library(pictures, kept):
    from safetensors.numpy import load_file

    images = read_images(pictures, cache=kept)
    (entry,) = kept.iterdir()
    np.testing.assert_array_equal(
        load_file(entry / "pixels.safetensors")["pixels"].transpose(0, 3, 1, 2), images.pixels
    )


@pytest.mark.parametrize("forked", [False, True])
def test_several_workers_give_the_same(tmp_path, monkeypatch, forked):
    for number in range(40):
        write_pictures(tmp_path / "p", [f"{'cat' if number % 3 else 'dog'}/{number:02d}.png"], (10 + number % 7, 12))
    (tmp_path / "p/cat/33x.png").write_bytes(b"?")
    monkeypatch.setattr(conversion, "_BLOCK_ROWS", 3)
    monkeypatch.setattr(conversion, "_WORTH_FORKING", 1 if forked else 10**9)
    for path in (tmp_path / "p", zip_folder(tmp_path / "p", tmp_path / "p.zip")):
        found = []
        for threads in (1, 2):
            with pytest.warns(UserWarning, match=r"1 of 41 pictures cannot be read.*33x\.png"):
                found.append(
                    read_images(path, cache=tmp_path / f"{path.name}-{threads}", threads=threads, on_error="skip")
                )
        assert found[0].digest == found[1].digest
        assert list(found[0].names) == list(found[1].names)
        np.testing.assert_array_equal(found[0].labels, found[1].labels)
        with pytest.raises(FileError, match=r"cat/33x\.png: is no picture"):
            read_images(path, cache=tmp_path / f"{path.name}-refused", threads=2)


@pytest.mark.slow
def test_memory_does_not_grow_with_the_images(tmp_path):
    """61 MB of pixels, of which a few blocks are held at a time."""
    program = textwrap.dedent(
        """
        import sys
        from vision.images.reading import read_images
        read_images(sys.argv[1], cache=sys.argv[2])
        print(next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM")))
        """
    )
    peaks = []
    for count in (100, 15_000):
        np.savez(tmp_path / f"{count}.npz", x=np.full((count, 64, 64), 7, np.uint8))
        command = [sys.executable, "-c", program, str(tmp_path / f"{count}.npz"), str(tmp_path / "kept")]
        peaks.append(int(subprocess.run(command, check=True, capture_output=True, text=True).stdout))
    assert peaks[1] - peaks[0] < 25_000


def test_listing_a_folder_takes_little_memory_for_each_file(tmp_path):
    """Three million files are listed in a few hundred megabytes."""
    count = 3_000
    (tmp_path / "cat").mkdir()
    for number in range(count):
        (tmp_path / "cat" / f"picture-{number:07d}.png").touch()
    list_images(tmp_path)
    tracemalloc.start()
    try:
        listed = list_images(tmp_path)
        held = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert len(listed) == count
    assert held < 100 * count


def test_names_are_packed():
    names = ["cat/a.png", "", "ümlaut/ß.png", "line\nfeed.png", os.fsdecode(b"not-utf-8-\xff.png")]
    packed = PackedNames(*pack_names(names), opens=True)
    assert list(packed) == names
    # Where they are shown or written, bytes are spelled out that no file of text could hold.
    assert list(PackedNames(*pack_names(names))) == [*names[:-1], "not-utf-8-\\xff.png"]
    assert packed[-1] == names[-1]
    assert packed[1:3] == names[1:3]
    with pytest.raises(IndexError):
        packed[5]
    assert list(PackedNames(*pack_names([]))) == []


def test_names_that_are_not_utf_8_are_read(tmp_path):
    folder = tmp_path / "p" / os.fsdecode(b"caf\xe9")
    write_pictures(folder, [os.fsdecode(b"a\xff.png")])
    write_pictures(tmp_path / "p", ["tea/b.png"])
    (folder / os.fsdecode(b"b\xff.png")).write_bytes(b"?")
    with pytest.warns(UserWarning, match=r"caf\\xe9/b\\xff\.png is no picture"):
        images = read_images(tmp_path / "p", on_error="skip")
    assert images.classes == ("caf\\xe9", "tea")
    assert images.name(0) == "caf\\xe9/a\\xff.png"


def end_at_once(part):
    os._exit(1)


def test_a_worker_that_is_killed_is_an_error_of_one_line(pictures, kept, monkeypatch):
    monkeypatch.setattr(conversion, "_BLOCK_ROWS", 1)
    monkeypatch.setattr(conversion, "_WORTH_FORKING", 1)
    monkeypatch.setattr(conversion, "_convert_in_child", end_at_once)
    with pytest.raises(NlprepError, match="a process that decodes pictures was killed, perhaps for want of memory"):
        read_images(pictures, cache=kept, threads=2)
    assert entries(kept) == []


def test_a_few_pictures_are_work_for_every_thread(pictures, kept, monkeypatch):
    parts = []
    real = conversion.convert_block
    monkeypatch.setattr(
        conversion, "convert_block", lambda source, part, plan: (parts.append(part), real(source, part, plan))[1]
    )
    read_images(pictures, cache=kept, threads=2)
    assert len({part.start for part in parts}) == 3
