"""A map of items for a page: hover to see one, search by name, class or detail, click for its neighbours.

The page holds all it needs: places and words as JSON, pictures on sheets as data URIs, and one script, which is the
same on every page. A content security policy lets this script run by its digest, and no other; it reaches for nothing
outside the page, and writes what comes from data as text, never as markup.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
from dataclasses import dataclass, field
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np

from nlprep.core.errors import NlprepError
from nlprep.figures.cells import format_cell, is_number
from nlprep.figures.images import as_pixels
from nlprep.figures.maps import checked_map, unit_square
from nlprep.figures.style import LINE, look

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import ArrayLike, NDArray

_LONGEST = 64
_PER_ROW = 32
_QUALITY = 90


@dataclass(frozen=True)
class ItemMap:
    """Items in a plane, of anything: images, or texts by their names alone.

    Attributes:
        points: (n, 2), such as `nlprep.figures.maps.map_features` gives.
        names: n of them: a file's path, a text.
        images: As for `nlprep.figures.images.as_pixels`, n of them, kept at 64 pixels on their longer side at most;
            None for items that have none.
        classes: (n,) from 0, the places of classes in ``class_names``.
        class_names: For the legend.
        details: More to say of each item, n cells by what they are called, such as its score.
        neighbors: (n, k) rows of the items nearest to each, the nearest first; shown when it is chosen.
        caption: A line below.
    """

    points: ArrayLike
    names: Sequence[str]
    images: Any = None
    classes: ArrayLike | None = None
    class_names: Sequence[str] = ()
    details: Mapping[str, Sequence[object]] = field(default_factory=dict)
    neighbors: ArrayLike | None = None
    caption: str = ""


def format_item_map(items: ItemMap, number: int = 0) -> str:
    """The map's part of a page; `SCRIPT` brings it to life.

    Args:
        items: The map.
        number: Which of the page's maps it is.

    Raises:
        NlprepError: No items, or numbers that differ.
    """
    places, groups = checked_map(items.points, items.classes, items.class_names)
    count = len(places)
    for what, given in [
        ("names", items.names),
        *((f"cells of {name!r}", cells) for name, cells in items.details.items()),
    ]:
        if len(given) != count:
            raise NlprepError(f"{len(given)} {what} for {count} points: give one for each")
    content: dict[str, Any] = {
        "places": np.rint(unit_square(places) * 10_000).astype(int).tolist(),
        "names": [str(name) for name in items.names],
        "classes": groups.tolist() if len(items.class_names) else None,
        "classNames": list(items.class_names),
        "colours": [look(group).colour for group in range(len(items.class_names))] or [LINE],
        "details": [
            # Numbers are shown, and not searched: 3 would find every 0.3.
            [name, [format_cell(cell) for cell in cells], not any(is_number(cell) for cell in cells)]
            for name, cells in items.details.items()
        ],
        "neighbors": None if items.neighbors is None else _checked_neighbors(items.neighbors, count).tolist(),
        "tile": None,
    }
    sheets = ""
    if items.images is not None:
        tiles = _tiles(items.images, count)
        height, width = tiles.shape[1:3]
        content["tile"] = {"width": width, "height": height, "perRow": _PER_ROW, "perSheet": _PER_ROW**2}
        sheets = "".join(
            f'<img class="sheet" alt="" src="data:image/jpeg;base64,{_sheet(tiles[start : start + _PER_ROW**2])}">'
            for start in range(0, count, _PER_ROW**2)
        )
    legend = "".join(
        f'<span class="entry"><canvas width="14" height="14" data-class="{place}"></canvas>{escape(name)}</span>'
        for place, name in enumerate(items.class_names)
    )
    caption = f"<figcaption>{escape(items.caption)}</figcaption>" if items.caption else ""
    return (
        f'<figure class="item-map" id="map-{number}">\n'
        '<p class="find"><label>Search <input type="search" autocomplete="off" spellcheck="false"></label> '
        f'<output>{count:,} items</output></p>\n<p class="legend">{legend}</p>\n'
        '<div class="stage"><canvas class="plane" role="img" aria-label="Map of the items; the list below holds those '
        'found"></canvas><div class="tip" hidden></div></div>\n'
        '<p class="hint">Point at an item to see it, click for its neighbours, drag to move, turn the wheel to come '
        'nearer, click twice to see all again.</p>\n<div class="chosen" hidden></div>\n<div class="found"></div>\n'
        f"{caption}\n<noscript><p>This map needs a browser that runs the page's own script.</p></noscript>\n"
        f'<div hidden>{sheets}<script type="application/json">{_json(content)}</script></div>\n</figure>'
    )


def script_source() -> str:
    """What a content security policy calls `SCRIPT`: its digest."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(SCRIPT.encode()).digest()).decode()}'"


def _checked_neighbors(neighbors: ArrayLike, count: int) -> NDArray[np.int64]:
    rows = np.asarray(neighbors)
    if rows.ndim != 2 or len(rows) != count or not np.issubdtype(rows.dtype, np.integer):
        raise NlprepError(f"neighbours of shape {rows.shape} for {count} points: give (n, k) whole numbers")
    if rows.size and not 0 <= rows.min() <= rows.max() < count:
        raise NlprepError(f"neighbours from {rows.min()} to {rows.max()} of {count} items: give their rows, from 0")
    return rows.astype(np.int64)


def _tiles(images: Any, count: int) -> NDArray[np.uint8]:
    pixels = as_pixels(images)
    if len(pixels) != count:
        raise NlprepError(f"{len(pixels)} images for {count} points: give one for each")
    height, width = pixels.shape[1:3]
    if max(height, width) <= _LONGEST:
        return pixels
    from PIL import Image

    size = [max(1, round(side * _LONGEST / max(height, width))) for side in (width, height)]
    return np.stack(
        [np.asarray(Image.fromarray(image).resize((size[0], size[1]), Image.Resampling.BOX)) for image in pixels]
    )


def _sheet(tiles: NDArray[np.uint8]) -> str:
    """Tiles in rows of `_PER_ROW` as one JPEG, in base64."""
    from PIL import Image

    height, width = tiles.shape[1:3]
    rows = -(-len(tiles) // _PER_ROW)
    sheet = np.zeros((rows * height, min(len(tiles), _PER_ROW) * width, 3), np.uint8)
    for place, tile in enumerate(tiles):
        down, across = divmod(place, _PER_ROW)
        sheet[down * height : (down + 1) * height, across * width : (across + 1) * width] = tile
    stream = io.BytesIO()
    Image.fromarray(sheet).save(stream, "JPEG", quality=_QUALITY, subsampling=0)
    return base64.b64encode(stream.getvalue()).decode("ascii")


def _json(content: object) -> str:
    """JSON that no name can break out of: what HTML would read as markup is escaped."""
    text = json.dumps(content, ensure_ascii=False, separators=(",", ":"))
    for sign in "<>&\u2028\u2029":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return text


STYLE = """\
.item-map .stage { position: relative; border: 1px solid #ddd; }
.item-map .plane { display: block; width: 100%; height: 70vh; min-height: 22rem; cursor: crosshair;
  touch-action: none; }
.item-map .tip { position: absolute; z-index: 2; max-width: 18rem; padding: .4rem .6rem; background: #fff;
  border: 1px solid #bbb; box-shadow: 0 2px 8px #0003; font-size: .85rem; line-height: 1.35; pointer-events: none; }
.item-map .tip canvas, .item-map .found canvas, .item-map .chosen canvas { display: block; image-rendering: pixelated; }
.item-map .find, .item-map .legend, .item-map .hint { margin: .5rem 0; }
.item-map input { font: inherit; padding: .2rem .4rem; width: 16rem; max-width: 60%; }
.item-map .hint { color: #666; font-size: .85rem; }
.item-map .entry { display: inline-block; margin-right: 1rem; font-size: .9rem; }
.item-map .entry canvas { vertical-align: -2px; margin-right: .25rem; }
.item-map .found, .item-map .chosen { display: flex; flex-wrap: wrap; gap: .5rem; margin: .6rem 0; }
.item-map .chosen strong { flex-basis: 100%; }
.item-map button { font: inherit; font-size: .75rem; line-height: 1.25; width: 6.4rem; padding: .25rem;
  text-align: left;  background: #fff; border: 1px solid #ddd; cursor: pointer; overflow-wrap: anywhere; }
.item-map button:hover, .item-map button:focus-visible { border-color: #0072b2; outline: none; }
"""

SCRIPT = r"""
"use strict";
for (const root of document.querySelectorAll(".item-map")) {
  const data = JSON.parse(root.querySelector("script").textContent);
  const sheets = [...root.querySelectorAll("img.sheet")];
  const plane = root.querySelector(".plane"), tip = root.querySelector(".tip");
  const input = root.querySelector("input"), status = root.querySelector("output");
  const found = root.querySelector(".found"), chosen = root.querySelector(".chosen");
  const count = data.names.length, most = 60;
  const classOf = (item) => data.classes ? data.classNames[data.classes[item]] : "";
  const words = data.names.map((name, item) =>
    [name, classOf(item), ...data.details.filter((detail) => detail[2]).map((detail) => detail[1][item])]
      .join("\n").toLowerCase());
  let matches = new Uint8Array(count).fill(1), searching = false, selected = -1, hovered = -1;
  let zoom = 1, left = 0, top_ = 0;

  function mark(pen, group, x, y, size) {
    pen.fillStyle = data.colours[group];
    pen.beginPath();
    const shape = Math.floor(group / 6) % 4;
    if (shape === 0) pen.arc(x, y, size, 0, 7);
    else if (shape === 1) pen.rect(x - size, y - size, 2 * size, 2 * size);
    else if (shape === 2) { pen.moveTo(x, y - 1.3 * size); pen.lineTo(x + 1.2 * size, y + size);
      pen.lineTo(x - 1.2 * size, y + size); }
    else { pen.moveTo(x, y - 1.4 * size); pen.lineTo(x + 1.4 * size, y); pen.lineTo(x, y + 1.4 * size);
      pen.lineTo(x - 1.4 * size, y); }
    pen.fill();
  }
  for (const canvas of root.querySelectorAll(".legend canvas"))
    mark(canvas.getContext("2d"), Number(canvas.dataset.class), 7, 7, 4.5);

  function paint(pen, item, x, y, width, height) {
    const tile = data.tile, sheet = sheets[Math.floor(item / tile.perSheet)], place = item % tile.perSheet;
    if (!sheet.complete || !sheet.naturalWidth) return;
    pen.imageSmoothingEnabled = false;
    pen.drawImage(sheet, (place % tile.perRow) * tile.width, Math.floor(place / tile.perRow) * tile.height,
      tile.width, tile.height, x, y, width, height);
  }
  function picture(item, longest) {
    const scale = longest / Math.max(data.tile.width, data.tile.height), canvas = document.createElement("canvas");
    canvas.width = Math.max(1, Math.round(data.tile.width * scale));
    canvas.height = Math.max(1, Math.round(data.tile.height * scale));
    paint(canvas.getContext("2d"), item, 0, 0, canvas.width, canvas.height);
    return canvas;
  }
  function line(text, tag) { const part = document.createElement(tag || "div"); part.textContent = text; return part; }

  const size = () => [plane.clientWidth, plane.clientHeight];
  function spot(item) {
    const [width, height] = size(), side = Math.min(width, height) - 60;
    const [x, y] = data.places[item];
    const along = (length, share) => zoom * ((length - side) / 2 + side * share / 10000);
    return [left + along(width, x), top_ + along(height, y)];
  }
  function draw() {
    const [width, height] = size(), ratio = window.devicePixelRatio || 1;
    plane.width = width * ratio; plane.height = height * ratio;
    const pen = plane.getContext("2d");
    pen.scale(ratio, ratio);
    const seen = [];
    for (let item = 0; item < count; item++) {
      const [x, y] = spot(item);
      if (x > -40 && y > -40 && x < width + 40 && y < height + 40) seen.push([item, x, y]);
    }
    // What was searched for lies above the rest.
    seen.sort((one, other) => matches[one[0]] - matches[other[0]] || one[0] - other[0]);
    for (const [item, x, y] of seen) {
      pen.globalAlpha = matches[item] ? .8 : .12;
      mark(pen, data.classes ? data.classes[item] : 0, x, y, count > 3000 ? 2 : 3.2);
    }
    pen.globalAlpha = 1;
    if (data.tile) pictures(pen, seen.filter(([item]) => matches[item]));
    for (const item of [selected, hovered]) if (item >= 0) {
      const [x, y] = spot(item);
      pen.lineWidth = 2; pen.strokeStyle = "#000";
      pen.beginPath(); pen.arc(x, y, 9, 0, 7); pen.stroke();
    }
  }
  // Pictures of as many as have room, in an order that looks like chance and stays as one comes nearer.
  function pictures(pen, seen) {
    const longest = Math.min(56, 24 + 4 * zoom), scale = longest / Math.max(data.tile.width, data.tile.height);
    const wide = data.tile.width * scale, high = data.tile.height * scale, taken = new Map();
    const order = (item) => Math.imul(item + 1, 2654435761) >>> 0;
    const cell = (x, y) => Math.floor(x / (wide + 4)) + "," + Math.floor(y / (high + 4));
    let drawn = 0;
    for (const [item, x, y] of [...seen].sort((one, other) => order(one[0]) - order(other[0]))) {
      let free = drawn < 1500;
      for (const across of [-1, 0, 1]) for (const down of [-1, 0, 1]) {
        const other = taken.get(cell(x + across * (wide + 4), y + down * (high + 4)));
        if (other && Math.abs(other[0] - x) < wide + 4 && Math.abs(other[1] - y) < high + 4) free = false;
      }
      if (!free) continue;
      taken.set(cell(x, y), [x, y]);
      drawn += 1;
      pen.fillStyle = data.colours[data.classes ? data.classes[item] : 0];
      pen.fillRect(x - wide / 2 - 2, y - high / 2 - 2, wide + 4, high + 4);
      paint(pen, item, x - wide / 2, y - high / 2, wide, high);
    }
  }
  function nearest(x, y) {
    let best = -1, reach = 18 * 18;
    for (let item = 0; item < count; item++) if (matches[item]) {
      const [a, b] = spot(item), away = (a - x) ** 2 + (b - y) ** 2;
      if (away <= reach) { best = item; reach = away; }
    }
    return best;
  }
  function describe(item) {
    const parts = [];
    if (data.tile) parts.push(picture(item, 128));
    parts.push(line(data.names[item], "strong"));
    if (data.classes) parts.push(line(classOf(item)));
    for (const [name, cells] of data.details) parts.push(line(name + ": " + cells[item]));
    return parts;
  }
  function hover(item, x, y) {
    if (item !== hovered) { hovered = item; draw(); if (item >= 0) tip.replaceChildren(...describe(item)); }
    tip.hidden = item < 0;
    if (item < 0) return;
    const [width, height] = size();
    tip.style.left = Math.max(0, x + 18 + tip.offsetWidth > width ? x - 18 - tip.offsetWidth : x + 18) + "px";
    tip.style.top = Math.max(0, Math.min(y + 12, height - tip.offsetHeight)) + "px";
  }
  function button(item) {
    const part = document.createElement("button");
    part.type = "button";
    if (data.tile) part.append(picture(item, 64));
    part.append(line(data.names[item]));
    if (data.classes) part.append(line(classOf(item)));
    part.addEventListener("click", () => choose(item));
    return part;
  }
  function choose(item) {
    selected = item;
    chosen.hidden = item < 0;
    if (item >= 0) {
      const near = data.neighbors ? data.neighbors[item] : [];
      const title = near.length ? "Nearest to " + data.names[item] : data.names[item];
      chosen.replaceChildren(line(title, "strong"), button(item), ...near.map(button));
    }
    draw();
  }
  function search() {
    // Words in any order; what stands in quotation marks as it is.
    const terms = (input.value.toLowerCase().match(/"[^"]*"|[^\s"]+/g) || [])
      .map((term) => term.replaceAll('"', "")).filter(Boolean);
    searching = terms.length > 0;
    const hits = [];
    for (let item = 0; item < count; item++) {
      matches[item] = terms.every((term) => words[item].includes(term)) ? 1 : 0;
      if (matches[item]) hits.push(item);
    }
    const number = (value) => value.toLocaleString("en");
    status.textContent = searching ? number(hits.length) + " of " + number(count) + " items"
      + (hits.length > most ? ", the first " + most + " below" : "") : number(count) + " items";
    found.replaceChildren(...(searching ? hits.slice(0, most).map(button) : []));
    hover(-1); draw();
  }

  let held = null, moved = false;
  function at(event) {
    const box = plane.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  }
  plane.addEventListener("pointerdown", (event) => {
    held = at(event); moved = false; plane.setPointerCapture(event.pointerId);
  });
  plane.addEventListener("pointermove", (event) => {
    const [x, y] = at(event);
    if (held) {
      if (moved || Math.hypot(x - held[0], y - held[1]) > 4) {
        left += x - held[0]; top_ += y - held[1]; held = [x, y]; moved = true; hover(-1); draw();
      }
    } else hover(nearest(x, y), x, y);
  });
  plane.addEventListener("pointerup", (event) => { if (held && !moved) choose(nearest(...at(event))); held = null; });
  plane.addEventListener("pointerleave", () => { if (!held) hover(-1); });
  plane.addEventListener("wheel", (event) => {
    event.preventDefault();
    const [x, y] = at(event), times = Math.min(60 / zoom, Math.max(1 / zoom, Math.exp(-event.deltaY / 400)));
    left = x - (x - left) * times; top_ = y - (y - top_) * times; zoom *= times;
    if (zoom <= 1) { zoom = 1; left = top_ = 0; }
    hover(-1); draw();
  }, { passive: false });
  plane.addEventListener("dblclick", () => { zoom = 1; left = top_ = 0; draw(); });
  input.addEventListener("input", search);
  window.addEventListener("resize", draw);
  // A page that is opened with #map-0=words begins with a search for them.
  const asked = decodeURIComponent(location.hash.slice(1)).split("=");
  Promise.all(sheets.map((sheet) => sheet.decode().catch(() => {}))).then(() => {
    if (asked[0] === root.id && asked.length > 1) input.value = asked.slice(1).join("=");
    search();
  });
}
"""
"""What makes maps of a page answer: once at its end, whatever the number of maps."""
