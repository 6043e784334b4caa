"""A map on a page: it holds everything, runs one script and no other, and answers in a browser."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import re
import shutil
import subprocess
from html import unescape

import numpy as np
import pytest
from PIL import Image

from nlprep.core.errors import NlprepError
from nlprep.figures.item_map import SCRIPT, ItemMap
from nlprep.figures.report import Heading, Paragraph, format_report, write_report

HOSTILE = '</script><script>alert(1)</script><!-- \u2028 & "quotes" \' <img src=x onerror=alert(1)>'
IMAGES = np.random.default_rng(0).integers(0, 256, (40, 8, 12, 3), dtype=np.uint8)
POINTS = np.random.default_rng(1).normal(size=(40, 2))
ITEMS = ItemMap(
    POINTS,
    [f"folder/{number:02}.png" for number in range(40)],
    IMAGES,
    np.arange(40) % 2,
    ["cat", "dog"],
    {"oddness": [0.25 * number for number in range(40)], "camera": ["old", "new"] * 20},
    (np.arange(40)[:, None] + [1, 2]) % 40,
    "A caption",
)


def content(document: str, number: int = 0) -> dict:
    return json.loads(re.findall(r'<script type="application/json">(.*?)</script>', document)[number])


def test_it_holds_everything_itself_and_runs_one_script(tmp_path):
    for name in ("a.html", "b.html"):
        write_report("Page", [Heading("Map"), ITEMS, Paragraph("then"), ITEMS], tmp_path / name)
    document = (tmp_path / "a.html").read_text(encoding="utf-8")
    assert document == (tmp_path / "b.html").read_text(encoding="utf-8")
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]*)"', document)
    (digest,) = re.findall(r"script-src 'sha256-([^']*)';", policy)
    (script,) = re.findall(r"<script>(.*?)</script>", document, re.DOTALL)
    assert script == SCRIPT
    assert base64.b64decode(digest) == hashlib.sha256(script.encode()).digest()
    assert "default-src 'none'" in policy
    assert "unsafe-inline" not in policy.replace("style-src 'unsafe-inline'", "")
    for word in ("http:", "https:", "//cdn", "@import", "fetch(", "XMLHttp", "innerHTML", "eval("):
        assert word not in re.sub(r"base64,[^\"]*", "", document), word
    assert 'id="map-0"' in document
    assert 'id="map-1"' in document
    # A page without a map has none of it.
    plain = format_report("Page", [Heading("x")])
    assert "script" not in plain
    assert "item-map" not in plain


def test_places_words_and_pictures_are_the_items(tmp_path):
    document = format_report("Page", [ITEMS])
    found = content(document)
    assert found["names"] == list(ITEMS.names)
    assert found["classes"] == (np.arange(40) % 2).tolist()
    assert found["details"][0][1][:3] == ["0.000", "0.2500", "0.5000"]
    # Words can be searched for, numbers not.
    assert [detail[2] for detail in found["details"]] == [False, True]
    places = np.array(found["places"])
    assert places.min() == 0
    assert places.max() == 10_000
    drawn, given = places - places.mean(axis=0), (POINTS - POINTS.mean(axis=0)) * [1, -1]
    np.testing.assert_allclose(drawn / np.abs(drawn).max(), given / np.abs(given).max(), atol=1e-3)
    (sheet,) = re.findall(r'src="data:image/jpeg;base64,([^"]*)"', document)
    pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(sheet)))).astype(int)
    assert pixels.shape == (2 * 8, 32 * 12, 3)
    assert found["tile"] == {"width": 12, "height": 8, "perRow": 32, "perSheet": 1024}
    for item in (0, 31, 32, 39):
        down, across = divmod(item, 32)
        tile = pixels[8 * down : 8 * down + 8, 12 * across : 12 * across + 12]
        # JPEG of noise: near, and nearer than any other.
        apart = np.abs(tile - IMAGES.astype(int)).mean(axis=(1, 2, 3))
        assert apart.argmin() == item


def test_many_and_large_pictures_and_none():
    large = ItemMap(np.ones((2, 2)), ["a", "b"], np.zeros((2, 200, 100)))
    assert content(format_report("p", [large]))["tile"]["height"] == 64
    many = ItemMap(np.zeros((1030, 2)), ["x"] * 1030, np.zeros((1030, 2, 2)))
    assert format_report("p", [many]).count('class="sheet"') == 2
    texts = ItemMap(POINTS, [f"text {number}" for number in range(40)])
    document = format_report("p", [texts])
    assert content(document)["tile"] is None
    assert "data:image" not in document


def test_no_name_breaks_out():
    items = ItemMap([[0.0, 0.0]], [HOSTILE], np.zeros((1, 2, 2)), [0], [HOSTILE], {HOSTILE: [HOSTILE]}, caption=HOSTILE)
    document = format_report(HOSTILE, [items])
    assert len(re.findall("<script", document)) == 2
    assert "<img src=x" not in document
    assert "<!--" not in document
    assert content(document)["names"] == content(document)["classNames"] == [HOSTILE]
    assert content(document)["details"] == [[HOSTILE, [HOSTILE], True]]


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("chromium") is None, reason="no browser to open a page with")
def test_a_browser_finds_what_is_searched_for(tmp_path):
    hostile = ItemMap([[0.0, 0.0], [1.0, 1.0]], [HOSTILE, "plain"], np.zeros((2, 2, 2)))
    write_report("Page", [ITEMS, hostile], tmp_path / "page.html")

    def opened(fragment):
        command = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=3000"]
        command += [f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom", f"file://{tmp_path}/page.html{fragment}"]
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
        return [unescape(part) for part in re.findall(r"<output>(.*?)</output>", done.stdout)], done.stdout

    (status, other), document = opened("#map-0=%22cat%22%20new%20OR")
    assert status == "0 of 40 items"
    assert other == "2 items"
    (status, _), document = opened("#map-0=DOG%20%22folder/1%22%20new")
    assert status == "5 of 40 items"
    assert re.findall(r"<div>(folder/\d\d\.png)</div><div>dog</div>", document) == [
        f"folder/{number}.png" for number in (11, 13, 15, 17, 19)
    ]
    (_, status), document = opened("#map-1=onerror")
    assert status == "1 of 2 items"
    # It is a text in a button, and nothing that a browser would run.
    assert "<img src=" not in re.sub(r'<img class="sheet"', "", document).replace("&lt;img src=", "")


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"names": ["a"]}, "1 names for 40 points"),
        ({"images": IMAGES[:3]}, "3 images for 40 points"),
        ({"details": {"x": [1]}}, "1 cells of 'x' for 40 points"),
        ({"neighbors": np.zeros((3, 2), int)}, r"neighbours of shape \(3, 2\) for 40 points"),
        ({"neighbors": np.full((40, 2), 40)}, "neighbours from 40 to 40 of 40 items"),
        ({"classes": None}, "2 classes are named and no item has one"),
        ({"points": np.full((40, 2), np.nan)}, "two finite numbers"),
    ],
)
def test_what_makes_no_map(change, problem):
    with pytest.raises(NlprepError, match=problem):
        format_report("p", [ItemMap(**(vars(ITEMS) | change))])
