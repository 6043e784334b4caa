"""Images from folders and archives: classes, splits, what is decided by the data, and what is refused by name."""

from __future__ import annotations

import io
import os
import stat
import struct
import warnings
import zipfile

import numpy as np
import pytest
from picture_files import encoded, gradient, write_pictures, zip_folder
from PIL import Image

from nlprep.core.errors import FileError, NlprepError, OptionError
from vision.images import conversion
from vision.images.configuration import PreprocessingConfig
from vision.images.reading import read_images
from vision.images.sources.source import SkippedPicturesWarning


def labelled_names(images):
    return {images.name(place): images.classes[images.labels[place]] for place in range(len(images))}


def test_folders_are_classes_whatever_lies_deeper(tmp_path):
    write_pictures(tmp_path, ["dog/a.png", "cat/b.png", "cat/old/deep/c.png", "ant/d.PNG"])
    images = read_images(tmp_path)
    assert images.classes == ("ant", "cat", "dog")
    assert labelled_names(images) == {
        "ant/d.PNG": "ant",
        "cat/b.png": "cat",
        "cat/old/deep/c.png": "cat",
        "dog/a.png": "dog",
    }
    place = list(images.names).index("cat/old/deep/c.png")
    np.testing.assert_array_equal(images.pixels[place].transpose(1, 2, 0), np.roll(gradient(10, 12), 2, axis=0))


def test_classes_that_are_numbers_are_in_their_order(tmp_path):
    write_pictures(tmp_path, ["10/a.png", "9/b.png", "2/c.png"])
    assert read_images(tmp_path).classes == ("2", "9", "10")


def test_a_flat_folder_has_no_labels(tmp_path):
    write_pictures(tmp_path, ["b.png", "a.png"])
    images = read_images(tmp_path)
    assert images.labels is None
    assert list(images.names) == ["a.png", "b.png"]
    with pytest.raises(
        NlprepError, match="has no labels, which a probe needs: put pictures in a folder for each class"
    ):
        images.required_labels("a probe")


def test_pictures_beside_folders_leave_no_labels(tmp_path):
    write_pictures(tmp_path, ["b.png", "cat/a.png"])
    assert read_images(tmp_path).labels is None


def test_one_class_is_refused_where_labels_are_needed(tmp_path):
    write_pictures(tmp_path, ["cat/a.png", "cat/b.png"])
    images = read_images(tmp_path)
    assert images.classes == ("cat",)
    with pytest.raises(NlprepError, match=r"the only class is 'cat', and a probe needs at least two: add another"):
        images.required_labels("a probe")


@pytest.mark.parametrize("archived", [False, True])
def test_splits_are_chosen_and_share_their_classes(tmp_path, archived):
    write_pictures(
        tmp_path / "in" / "wrapping", ["train/cat/a.png", "train/dog/b.png", "Test/dog/c.png", "val/eel/d.png"]
    )
    path = zip_folder(tmp_path / "in", tmp_path / "all.zip") if archived else tmp_path / "in"
    assert [image.rpartition("/")[2] for image in read_images(path).names] == ["a.png", "b.png"]
    test = read_images(path, split="test")
    assert list(labelled_names(test).values()) == ["dog"]
    assert test.classes == ("cat", "dog", "eel")
    assert len(read_images(path, split="validation")) == len(read_images(path, split="val")) == 1
    assert len(read_images(path, split="all")) == 4
    with pytest.raises(FileError, match=r"has no split 'held-out': it has test, train, validation; ask for one"):
        read_images(path, split="held-out")


def test_a_split_that_is_not_there_is_refused(tmp_path):
    write_pictures(tmp_path, ["cat/a.png", "train/b.png"])
    assert read_images(tmp_path).classes == ("cat", "train")
    with pytest.raises(FileError, match="has no split 'test': it is not divided into folders train, test"):
        read_images(tmp_path, split="test")


def test_an_archive_reads_as_its_folder(tmp_path):
    write_pictures(tmp_path / "in", ["dog/a.png", "cat/b.png", "cat/c.png"])
    folder = read_images(tmp_path / "in")
    for compression in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        archive = read_images(zip_folder(tmp_path / "in", tmp_path / f"{compression}.zip", compression=compression))
        np.testing.assert_array_equal(archive.pixels, folder.pixels)
        np.testing.assert_array_equal(archive.labels, folder.labels)
        assert list(archive.names) == list(folder.names)
        assert archive.digest == folder.digest


def test_hidden_files_and_what_a_mac_adds_are_no_pictures(tmp_path):
    write_pictures(tmp_path, ["cat/a.png", "dog/b.png"])
    for name in ("cat/._a.png", ".thumbs/c.png", "__MACOSX/cat/a.png", "notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True, parents=True)
        (tmp_path / name).write_bytes(b"not a picture")
    assert list(read_images(tmp_path).names) == ["cat/a.png", "dog/b.png"]
    assert list(read_images(zip_folder(tmp_path, tmp_path.parent / "mac.zip")).names) == ["cat/a.png", "dog/b.png"]


def test_kinds_that_are_not_read_are_missed_aloud(tmp_path):
    write_pictures(tmp_path, ["a.png"])
    (tmp_path / "b.HEIC").write_bytes(b"?")
    for path in (tmp_path, zip_folder(tmp_path, tmp_path.parent / "heic.zip")):
        with pytest.warns(SkippedPicturesWarning, match=r"1 picture is of kinds that are not read, such as b\.HEIC"):
            assert len(read_images(path)) == 1


def test_links_are_followed_once(tmp_path):
    write_pictures(tmp_path / "in", ["cat/a.png", "dog/b.png"])
    write_pictures(tmp_path / "elsewhere", ["c.png"])
    (tmp_path / "in" / "eel").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "in" / "dog" / "back").symlink_to(tmp_path / "in")
    (tmp_path / "in" / "dog" / "up").symlink_to(tmp_path)
    assert list(read_images(tmp_path / "in").names) == ["cat/a.png", "dog/b.png", "eel/c.png"]


# What is decided by the data


def test_small_pictures_of_one_size_are_kept(tmp_path):
    write_pictures(tmp_path, ["a.png", "b.png"], (100, 128))
    assert read_images(tmp_path).shape == (3, 100, 128)


def test_mixed_sizes_become_64_whichever_comes_last(tmp_path):
    write_pictures(tmp_path / "x", ["a.png", "b.png"], (10, 12))
    write_pictures(tmp_path / "x", ["c.png"], (12, 10))
    images = read_images(tmp_path / "x")
    assert images.shape == (3, 64, 64)
    assert len(images) == 3


def test_large_pictures_become_64(tmp_path):
    write_pictures(tmp_path, ["a.png", "b.png"], (10, 129))
    assert read_images(tmp_path).shape == (3, 64, 64)


def test_turned_pictures_count_by_their_upright_size(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    (tmp_path / "a.jpg").write_bytes(encoded(Image.fromarray(gradient(20, 30)), "JPEG"))
    (tmp_path / "b.jpg").write_bytes(encoded(Image.fromarray(gradient(30, 20)), "JPEG", exif=exif))
    assert read_images(tmp_path).shape == (3, 20, 30)


def test_grey_is_grey_until_a_colour_is_seen(tmp_path):
    write_pictures(tmp_path / "x", ["a.png", "c.png"], grey=True)
    Image.fromarray(gradient(10, 12)[..., :1].repeat(3, axis=2)).save(tmp_path / "x" / "b.png")
    grey = read_images(tmp_path / "x")
    assert grey.shape == (1, 10, 12)
    np.testing.assert_array_equal(grey.pixels[0], grey.pixels[1])
    write_pictures(tmp_path / "x", ["d.png"])
    mixed = read_images(tmp_path / "x")
    assert mixed.shape == (3, 10, 12)
    np.testing.assert_array_equal(mixed.pixels[:3], grey.pixels.repeat(3, axis=1))


def test_what_is_decided_does_not_depend_on_the_order(tmp_path):
    sizes = [(10, 12), (200, 12), (12, 10)]
    for first in range(3):
        folder = tmp_path / str(first)
        for number in range(3):
            write_pictures(folder, [f"{number}.png"], sizes[(first + number) % 3], grey=number == first)
        images = read_images(folder)
        assert images.shape == (3, 64, 64)
        assert images.preprocessing == read_images(tmp_path / "0").preprocessing


def test_what_is_asked_for_is_had(tmp_path):
    write_pictures(tmp_path, ["a.png", "b.png"])
    config = PreprocessingConfig(height=6, width=9, channels=1, fit="stretch")
    images = read_images(tmp_path, preprocessing=config)
    assert images.shape == images.preprocessing.shape == (1, 6, 9)
    assert read_images(tmp_path, preprocessing=PreprocessingConfig(height=5)).shape == (3, 5, 5)
    assert read_images(tmp_path, preprocessing=PreprocessingConfig(channels=1)).shape == (1, 10, 12)


# What cannot be read


@pytest.fixture
def some_broken(tmp_path):
    write_pictures(tmp_path / "p", ["cat/a.png", "cat/f.png", "dog/b.png"])
    (tmp_path / "p/cat/c.png").write_text("dear diary")
    (tmp_path / "p/dog/d.jpg").write_bytes(encoded(Image.fromarray(gradient(64, 64)), "JPEG")[:700])
    (tmp_path / "p/dog/e.gif").write_bytes(b"")
    (tmp_path / "p/dog/g.png").symlink_to(tmp_path / "nowhere")
    return tmp_path / "p"


def test_broken_pictures_are_skipped_and_listed_once(some_broken, tmp_path):
    expected = (
        r"p: 4 of 7 pictures cannot be read and are left out: cat/c\.png is no picture.*; dog/d\.jpg is damaged.*; "
        r"dog/e\.gif is empty \(0 bytes\); dog/g\.png no such file"
    )
    with pytest.warns(SkippedPicturesWarning, match=expected):
        images = read_images(some_broken, on_error="skip", cache=tmp_path / "cache")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        # As they are, and in the shape of a model that was trained on them.
        for asked in (PreprocessingConfig(), PreprocessingConfig(height=10, width=12, channels=3)):
            again = read_images(some_broken, on_error="skip", cache=tmp_path / "cache", preprocessing=asked)
            assert list(again.names) == list(images.names)
    assert labelled_names(images) == {"cat/a.png": "cat", "cat/f.png": "cat", "dog/b.png": "dog"}
    np.testing.assert_array_equal(images.pixels[2].transpose(1, 2, 0), np.roll(gradient(10, 12), 2, axis=0))


@pytest.mark.parametrize("skipped_before", [False, True])
def test_broken_pictures_are_refused_by_name(some_broken, tmp_path, skipped_before):
    if skipped_before:
        with pytest.warns(SkippedPicturesWarning):
            read_images(some_broken, on_error="skip", cache=tmp_path / "cache")
    others = r", and 3 more of 7 pictures cannot be read \(\S*/p/dog/d\.jpg, \S*/p/dog/e\.gif, \S*/p/dog/g\.png\): "
    with pytest.raises(FileError, match=rf"p/cat/c\.png: is no picture.*{others}remove or rename it") as raised:
        read_images(some_broken, cache=tmp_path / "cache")
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(("rows", "said"), [(1, "and others of 7 pictures may be"), (9, "and at least 3 more of 7")])
def test_of_very_many_pictures_those_that_were_seen_are_named(some_broken, tmp_path, monkeypatch, rows, said):
    monkeypatch.setattr(conversion, "_WORTH_LOOKING", 6)
    monkeypatch.setattr(conversion, "_BLOCK_ROWS", rows)
    monkeypatch.setattr(conversion, "_PARTS", 1)
    with pytest.raises(FileError, match=rf"p/cat/c\.png: is no picture.*, {said} .*: remove or rename it"):
        read_images(some_broken, threads=1, cache=tmp_path / "cache")


def test_whole_pictures_are_not_warned_of(tmp_path):
    write_pictures(tmp_path, ["a.png"])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read_images(tmp_path, on_error="skip")


def test_nothing_but_broken_pictures_is_refused(tmp_path):
    (tmp_path / "a.png").write_bytes(b"")
    (tmp_path / "b.png").write_bytes(b"?")
    with pytest.raises(FileError, match=r"none of its 2 pictures can be read: first of them, .*a\.png: is empty"):
        read_images(tmp_path, on_error="skip")


def test_an_empty_folder_is_refused(tmp_path):
    with pytest.raises(FileError, match="holds no pictures, it is empty: name a folder of JPEG, PNG"):
        read_images(tmp_path)
    (tmp_path / "notes.txt").write_text("?")
    with pytest.raises(FileError, match=r"holds no pictures \(but 'notes.txt', for one\)"):
        read_images(tmp_path)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("missing", None, "no such file"),
        ("a.png", encoded(Image.fromarray(gradient(4, 4))), "is one file: name the folder that it is in"),
        ("a.txt", b"words", "is none of the files that are read, it begins with b'words'"),
        ("a.pkl", b"\x80\x04\x95", "looks like a pickle, which may run anything"),
        ("a.zip", b"PK\x03\x04 and no more", "is no whole zip archive"),
    ],
)
def test_what_is_none_of_these_is_refused(tmp_path, name, content, said):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(FileError, match=said):
        read_images(tmp_path / name)


def test_other_ways_with_errors_are_refused(tmp_path):
    with pytest.raises(OptionError, match="choose refuse or skip"):
        read_images(tmp_path, on_error="ignore")


# Archives that would do harm


@pytest.mark.parametrize(
    "name", ["../a.png", "cat/../../a.png", "/etc/a.png", "C:\\a.png", "..\\a.png", "\\\\host\\a.png"]
)
def test_an_archive_that_escapes_its_folder_is_refused(tmp_path, name):
    with zipfile.ZipFile(tmp_path / "bad.zip", "w") as archive:
        archive.writestr("cat/good.png", encoded(Image.fromarray(gradient(4, 4))))
        archive.writestr(name, encoded(Image.fromarray(gradient(4, 4))))
    for on_error in ("refuse", "skip"):
        with pytest.raises(FileError, match=r"holds '.*a\.png', a path that leads out of it"):
            read_images(tmp_path / "bad.zip", on_error=on_error)


def test_names_with_dots_do_not_escape(tmp_path):
    with zipfile.ZipFile(tmp_path / "good.zip", "w") as archive:
        archive.writestr("cat.../..a/b..png", b"")
        archive.writestr("cat.../a..b.png", encoded(Image.fromarray(gradient(4, 4))))
    assert len(read_images(tmp_path / "good.zip", on_error="skip")) == 1


@pytest.mark.slow
def test_zip_bombs_are_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "one.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.bmp", bytes(65 << 20))
    with pytest.raises(FileError, match=r"'a\.bmp' in it would fill 68,157,440 bytes from .*, as a zip bomb does"):
        read_images(tmp_path / "one.zip")


@pytest.mark.slow
def test_many_small_bombs_are_one(tmp_path):
    with zipfile.ZipFile(tmp_path / "many.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(9):
            archive.writestr(f"{number}.bmp", bytes(8 << 20))
    with pytest.raises(FileError, match="all would fill 75,497,472 bytes"):
        read_images(tmp_path / "many.zip")


def test_a_member_that_holds_more_than_it_says_is_damaged(tmp_path):
    data = encoded(Image.fromarray(gradient(40, 40)), "BMP")
    with zipfile.ZipFile(tmp_path / "lies.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.bmp", data)
    raw = (tmp_path / "lies.zip").read_bytes()
    assert raw.count(struct.pack("<I", len(data))) >= 2
    (tmp_path / "lies.zip").write_bytes(raw.replace(struct.pack("<I", len(data)), struct.pack("<I", len(data) - 9)))
    with pytest.raises(FileError, match=r"a\.bmp: is damaged in the archive"):
        read_images(tmp_path / "lies.zip")


def test_one_damaged_member_is_skipped_or_refused(tmp_path):
    write_pictures(tmp_path / "in", ["a.png", "b.png"], (40, 40))
    archive = zip_folder(tmp_path / "in", tmp_path / "some.zip", compression=zipfile.ZIP_STORED)
    raw = bytearray(archive.read_bytes())
    raw[100] ^= 255
    archive.write_bytes(raw)
    with pytest.raises(FileError, match=r"some\.zip/a\.png: is damaged in the archive: make the archive again"):
        read_images(archive)
    with pytest.warns(SkippedPicturesWarning, match=r"a\.png is damaged in the archive"):
        assert list(read_images(archive, on_error="skip").names) == ["b.png"]


def test_encrypted_archives_are_refused(tmp_path):
    archive = zip_folder_of_one(tmp_path)
    raw = bytearray(archive.read_bytes())
    raw[raw.index(b"PK\x01\x02") + 8] |= 1
    archive.write_bytes(raw)
    with pytest.raises(FileError, match=r"'a\.png' in it is encrypted"):
        read_images(archive)


def zip_folder_of_one(tmp_path):
    write_pictures(tmp_path / "in", ["a.png"])
    return zip_folder(tmp_path / "in", tmp_path / "one.zip")


def test_an_archive_without_pictures_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "none.zip", "w") as archive:
        archive.writestr("notes.txt", "?")
    with pytest.raises(FileError, match="holds no pictures: name an archive"):
        read_images(tmp_path / "none.zip")


def test_nothing_is_ever_unpacked(tmp_path):
    archive = zip_folder_of_one(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    read_images(archive)
    assert sorted(tmp_path.rglob("*")) == before


def test_a_pipe_that_looks_like_a_picture_is_passed_by(tmp_path):
    write_pictures(tmp_path, ["a.png"])
    os.mkfifo(tmp_path / "b.png")
    assert stat.S_ISFIFO((tmp_path / "b.png").stat().st_mode)
    assert list(read_images(tmp_path).names) == ["a.png"]


def test_bombs_of_pixels_are_skipped_or_refused(tmp_path, monkeypatch):
    write_pictures(tmp_path, ["a.png"], (10, 12))
    write_pictures(tmp_path, ["b.png"], (11, 12))
    monkeypatch.setattr("vision.images.decoding.MAX_PIXELS", 125)
    with pytest.raises(FileError, match=r"b\.png: says that it is 12 x 11, more than 125 pixels, a decompression bomb"):
        read_images(tmp_path)
    with pytest.warns(SkippedPicturesWarning, match=r"b\.png says that it is 12 x 11"):
        assert len(read_images(tmp_path, on_error="skip")) == 1


@pytest.mark.slow
def test_the_real_cifar_pictures_are_read(shared_data):
    path = shared_data / "images" / "cifar10_jpeg_20k_5k.zip"
    images = read_images(path, split="test")
    assert images.shape == (3, 32, 32)
    assert len(images) == 5000
    assert images.classes[:3] == ("airplane", "automobile", "bird")
    np.testing.assert_array_equal(np.bincount(images.labels), [500] * 10)
    place = 1234
    with zipfile.ZipFile(path) as archive:
        alone = np.asarray(Image.open(io.BytesIO(archive.read(images.name(place)))))
    np.testing.assert_array_equal(images.pixels[place].transpose(1, 2, 0), alone)
