from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from nlprep.embeddings.vector_files import word2vec_text
from nlprep.embeddings.vector_files.text_format_kernel import BYTES_PER_NUMBER, format_rows
from nlprep.embeddings.vector_files.text_format_kernel import POWERS as FORMAT_POWERS
from nlprep.embeddings.vector_files.text_parse_kernel import POWERS, parse_lines


def parse(line: bytes, dimension: int):
    """What the kernel makes of one line: its vector, or None if it leaves the line to Python."""
    data = bytearray(line + b"\n")
    matrix = np.full((len(data) // (2 * dimension + 2) + 1, dimension), 7, dtype=np.float32)
    starts, usual = np.empty(2, dtype=np.int64), np.empty(1, dtype=np.bool_)
    packed = np.empty(len(data), dtype=np.uint8)
    parse_lines(np.frombuffer(data, np.uint8), len(data), POWERS, matrix, starts, packed, usual)
    return matrix[0] if usual[0] else None


def reference(token: str) -> np.float32:
    with np.errstate(over="ignore"):
        return np.float32(float(token))


tokens = st.one_of(
    st.floats(width=32, allow_nan=False, allow_infinity=False).map(repr),
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.from_regex(r"[+-]?[0-9]{1,30}(\.[0-9]{0,30})?([eE][+-]?[0-9]{1,3})?", fullmatch=True),
    st.from_regex(r"[+-]?\.[0-9]{1,25}([eE][+-]?[0-9]{1,2})?", fullmatch=True),
)


@settings(max_examples=800, deadline=None)
@given(token=tokens)
@example(token="0.00000000000000000000000000000000000001")
@example(token="-0")
@example(token="16777217")
@example(token="16777217.0000000000000000001")
@example(token="9007199254740993")
@example(token="7.038531e-26")
@example(token="1e-45")
@example(token="3.4028235e38")
@example(token="3.4028236e38")
@example(token="123456789012345678901234567890")
@pytest.mark.slow
def test_numbers_are_rounded_as_by_python(token):
    value = parse(b"word " + token.encode(), 1)
    expected = reference(token)
    if value is None:
        # Left to the careful path, which must agree or complain of a number beyond float32.
        if np.isfinite(expected):
            _, values = word2vec_text.parse_row(b"word " + token.encode(), 1)
            assert values.tobytes() == expected.tobytes()
        else:
            with pytest.raises(Exception, match="not a finite float32"):
                word2vec_text.parse_row(b"word " + token.encode(), 1)
    else:
        assert value.tobytes() == expected.tobytes()


def test_midpoints_between_floats_are_rounded_right():
    # The hardest numbers: half-way between two float32 numbers, and the doubles next to that on either side.
    rng = np.random.default_rng(0)
    low = (rng.standard_normal(400) * 10.0 ** rng.integers(-30, 30, 400)).astype(np.float32)
    high = np.nextafter(low, np.float32(np.inf))
    taken = 0
    for one, other in zip(low, high, strict=True):
        middle = (float(one) + float(other)) / 2
        for value in (middle, np.nextafter(middle, np.inf), np.nextafter(middle, -np.inf)):
            for token in (repr(float(value)), f"{value:.18e}", f"{value:.30e}", f"{value:.60f}"):
                parsed = parse(b"w " + token.encode(), 1)
                taken += parsed is not None
                assert parsed is None or parsed.tobytes() == reference(token).tobytes()
    # Most of these are left to Python; the test needs some that are not.
    assert taken > 50


def test_kernel_takes_the_usual_numbers_itself():
    for token in (
        "0.1",
        "-1.5e-05",
        "0.12345678901234567",
        "+3",
        "5.",
        ".5",
        "1E3",
        "0.000000000000000000001234",
    ):
        assert parse(b"w " + token.encode(), 1) is not None, token
    for token in ("nan", "inf", "1_0", "0x1", "--1", "1e", ".", "1e99", "٣"):
        assert parse(b"w " + token.encode(), 1) is None, token
    assert parse(b"w 1", 2) is None
    assert parse(b"w 1 2 3", 2) is None
    assert parse(b" w 1 2", 2) is None
    assert parse(b"w\t1  2 \r", 2) is not None


@settings(max_examples=300, deadline=None)
@given(bits=st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=20))
@example(bits=[0, 1 << 31, 1, 0x007FFFFF, 0x00800000, 0x7F7FFFFF, 0x3F800000, 0x4B800000, 0x4B7FFFFF, 0x501502F9])
@pytest.mark.slow
def test_numbers_are_written_in_the_fewest_digits(bits):
    matrix = np.array([bits], dtype=np.uint32)
    matrix = np.where(np.isfinite(matrix.view(np.float32)), matrix, np.uint32(0)).astype(np.uint32)
    line = formatted(matrix)
    assert re.fullmatch(r"w( -?\d+(\.\d+)?(e[+-]\d\d)?)+\n", line)
    for token, value in zip(line.split()[1:], matrix.view(np.float32)[0], strict=True):
        assert reference(token).tobytes() == value.tobytes()
        if value:
            shortest = np.format_float_scientific(value, unique=True, trim="-")
            assert significant(token) == significant(shortest)


def test_powers_of_two_are_written_in_the_fewest_digits():
    # Their lower neighbour is nearer than the upper one.
    matrix = np.arange(1, 255, dtype=np.uint32)[None] << 23
    text = formatted(np.concatenate([matrix - 1, matrix, matrix + 1]))
    for line, values in zip(text.splitlines(), np.concatenate([matrix - 1, matrix, matrix + 1]), strict=True):
        for token, value in zip(line.split()[1:], values.view(np.float32), strict=True):
            assert reference(token) == value
            assert significant(token) == significant(np.format_float_scientific(value, unique=True, trim="-"))


def formatted(bits: np.ndarray) -> str:
    bits = bits.copy()
    bits.flags.writeable = False
    out = np.empty(len(bits) * (2 + bits.shape[1] * BYTES_PER_NUMBER), dtype=np.uint8)
    words, ends = np.frombuffer(bytearray(b"w" * len(bits)), np.uint8), np.arange(1, len(bits) + 1)
    return out[: format_rows(words, ends, bits, FORMAT_POWERS, out)].tobytes().decode()


def significant(token: str) -> str:
    return token.lower().split("e")[0].lstrip("-").replace(".", "").strip("0")


@pytest.mark.slow
def test_kernels_work_where_nothing_can_be_kept(tmp_path):
    path = tmp_path / "v.vec"
    path.write_bytes(b"1 2\na 1 2\n")
    code = f"from nlprep.embeddings.vector_files import read_vectors; print(read_vectors({str(path)!r}))"
    # This place for compiled code exists in notebooks only, so numba finds none.
    environment = os.environ | {"NUMBA_CACHE_LOCATOR_CLASSES": "IPythonCacheLocator"}
    root = Path(__file__).parents[2]
    command = [sys.executable, "-W", "ignore", "-c", code]
    done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=False)
    assert done.stdout == "WordVectors(1 words x 2)\n", done.stderr
