"""A compiled function that makes views one image after the other, each while it is in the first cache.

It does what `vision.views.resampling`, `vision.views.colours` and the blur of `vision.views.filters` do to a batch, by
the same formulas in float32. Operators on batches take longer for them: each goes through all
pixels, and of the images whose hue turns at one place of their order copies must be made.
"""

from __future__ import annotations

import math

import numpy as np

from nlprep.core.compilation import compiled

_LANES = 16
_ONE, _ZERO = np.float32(1), np.float32(0)
_TINY = np.float32(1e-12)
_OF_RED, _OF_GREEN, _OF_BLUE = np.float32(0.299), np.float32(0.587), np.float32(0.114)


@compiled
def _crop(image, box, flip, share, size, made, near, weights, row):
    """A crop of one image brought to the image's own size, so that never more than two pixels of an axis count."""
    height, width = size
    top, left, rows, columns = box[0], box[1], box[2], box[3]
    across = np.float32(columns) / np.float32(width)
    for x in range(width):
        middle = (np.float32(x) + np.float32(0.5)) * across
        if flip:
            middle = np.float32(columns) - middle
        middle = max(middle - np.float32(0.5), _ZERO)
        near[x] = min(int(middle), columns - 1)
        weights[x] = middle - np.float32(near[x])
    down = np.float32(rows) / np.float32(height)
    for channel in range(image.shape[0]):
        for y in range(height):
            middle = max((np.float32(y) + np.float32(0.5)) * down - np.float32(0.5), _ZERO)
            above = min(int(middle), rows - 1)
            below = min(above + 1, rows - 1)
            weight = (middle - np.float32(above)) * share
            rest = share - weight
            one = image[channel, top + above, left : left + columns]
            other = image[channel, top + below, left : left + columns]
            for x in range(columns):
                row[x] = rest * np.float32(one[x]) + weight * np.float32(other[x])
            # Beyond the crop's end there is its last pixel.
            row[columns] = row[columns - 1]
            line = made[channel, y * width : (y + 1) * width]
            for x in range(width):
                place = np.uint32(near[x])
                line[x] = row[place] + weights[x] * (row[place + np.uint32(1)] - row[place])


@compiled
def _turn(image, turns, side, plane):
    """Quarter turns of a square image against the clock."""
    # Where the first pixel comes from, and how far from there that of the next row and of the next column does.
    if turns == 1:
        start, down, across = side - 1, -1, side
    elif turns == 2:
        start, down, across = side * side - 1, -side, -1
    else:
        start, down, across = side * (side - 1), 1, -side
    for channel in range(image.shape[0]):
        pixels = image[channel]
        for place in range(side * side):
            plane[place] = pixels[place]
        for y in range(side):
            for x in range(side):
                pixels[y * side + x] = plane[start + y * down + x * across]


@compiled
def _mean(pixels):
    """A mean by sums beside each other, which fill a register."""
    sums = np.zeros(_LANES, np.float32)
    whole = len(pixels) - len(pixels) % _LANES
    for start in range(0, whole, _LANES):
        for lane in range(_LANES):
            sums[lane] += pixels[start + lane]
    total = _ZERO
    for lane in range(_LANES):
        total += sums[lane]
    for place in range(whole, len(pixels)):
        total += pixels[place]
    return total / np.float32(len(pixels))


@compiled
def _blend(pixels, factor, aim):
    """Pixels moved away from, or towards, one level."""
    base = (_ONE - factor) * aim
    for place in range(len(pixels)):
        value = factor * pixels[place] + base
        value = max(_ZERO, value)
        pixels[place] = min(_ONE, value)


@compiled
def _saturate(red, green, blue, factor):
    """Colours moved away from, or towards, their own luminance."""
    rest = _ONE - factor
    for place in range(len(red)):
        base = rest * (_OF_RED * red[place] + _OF_GREEN * green[place] + _OF_BLUE * blue[place])
        one, two, three = factor * red[place] + base, factor * green[place] + base, factor * blue[place] + base
        one = max(_ZERO, one)
        two = max(_ZERO, two)
        three = max(_ZERO, three)
        red[place] = min(_ONE, one)
        green[place] = min(_ONE, two)
        blue[place] = min(_ONE, three)


@compiled
def _turn_hue(red, green, blue, turn):
    """Colours whose hue is turned by a share of the circle (`vision.views.colours.turn_hue`)."""
    six = np.float32(6)
    turned = six * (turn - np.floor(turn))
    for place in range(len(red)):
        r, g, b = red[place], green[place], blue[place]
        most = max(g, r)
        most = max(b, most)
        least = min(g, r)
        least = min(b, least)
        chroma = most - least
        of_blue = r - g
        of_green = b - r
        of_red = g - b
        over = of_green if g == most else of_blue
        base = np.float32(2) if g == most else np.float32(4)
        over = of_red if r == most else over
        base = _ZERO if r == most else base
        hue = over / max(_TINY, chroma) + base + turned
        hue = hue - six if hue >= six else hue
        hue = hue + six if hue < _ZERO else hue
        # Each channel as a function of the hue: a trapezium about its own place, between the least and the most.
        r = abs(hue - np.float32(3)) - _ONE
        g = np.float32(2) - abs(hue - np.float32(2))
        b = np.float32(2) - abs(hue - np.float32(4))
        r = max(_ZERO, r)
        g = max(_ZERO, g)
        b = max(_ZERO, b)
        red[place] = least + chroma * min(_ONE, r)
        green[place] = least + chroma * min(_ONE, g)
        blue[place] = least + chroma * min(_ONE, b)


@compiled
def _jitter(image, factors, order):
    """Brightness, contrast, saturation and hue of one image, in its own order; those that are as they were are left."""
    coloured = image.shape[0] == 3
    for place in range(4):
        which = order[place]
        factor = factors[which]
        if which == 3:
            if coloured and factor != 0:
                _turn_hue(image[0], image[1], image[2], factor)
        elif factor != 1:
            if which == 2:
                if coloured:
                    _saturate(image[0], image[1], image[2], factor)
                continue
            aim = _ZERO
            if which == 1:
                aim = _mean(image[0])
                if coloured:
                    aim = _OF_RED * aim + _OF_GREEN * _mean(image[1]) + _OF_BLUE * _mean(image[2])
            for channel in range(image.shape[0]):
                _blend(image[channel], factor, aim)


@compiled
def _drop_colours(red, green, blue):
    for place in range(len(red)):
        grey = _OF_RED * red[place] + _OF_GREEN * green[place] + _OF_BLUE * blue[place]
        red[place] = grey
        green[place] = grey
        blue[place] = grey


@compiled
def _add(pixels, others, weight):
    for place in range(len(pixels)):
        pixels[place] += weight * others[place]


@compiled
def _blur(image, deviation, size, kernel, plane, row):
    """One image blurred by a Gaussian kernel along both axes (`vision.views.filters.blurred`)."""
    height, width = size
    radius = len(kernel) // 2
    total = 0.0
    for place in range(len(kernel)):
        total += math.exp(-((place - radius) ** 2) / (2 * deviation * deviation))
    for place in range(len(kernel)):
        kernel[place] = math.exp(-((place - radius) ** 2) / (2 * deviation * deviation)) / total
    for channel in range(image.shape[0]):
        pixels = image[channel]
        for y in range(height):
            line = plane[y * width : (y + 1) * width]
            for x in range(width):
                line[x] = _ZERO
            for place in range(len(kernel)):
                start = min(max(y + place - radius, 0), height - 1) * width
                _add(line, pixels[start : start + width], kernel[place])
        for y in range(height):
            line = plane[y * width : (y + 1) * width]
            inside = row[radius : radius + width]
            made = pixels[y * width : (y + 1) * width]
            for x in range(width):
                inside[x] = line[x]
                made[x] = _ZERO
            for x in range(radius):
                row[x] = line[0]
                row[radius + width + x] = line[width - 1]
            for place in range(len(kernel)):
                _add(made, row[place : place + width], kernel[place])


@compiled
def make_some(images, share, boxes, flips, turns, factors, order, grey, widths, radius, made, first, last):
    """Make views of some images of a batch: crop, mirror, quarter turns, jitter, loss of colours and blur.

    Args:
        images: (b, channels, height, width) of one or three channels.
        share: float32, what a pixel is multiplied by to be in [0, 1].
        boxes: As in `vision.views.draws.ViewDraws`, and so are the next six.
        flips: Whether it is mirrored.
        turns: Quarter turns.
        factors: Of the changes of colour.
        order: Of these.
        grey: Whether colours are lost.
        widths: Of the blur.
        radius: How far the blur's kernel reaches.
        made: (b, channels, height * width) float32, written.
        first: The first image.
        last: The one after the last.
    """
    height, width = images.shape[2:]
    near = np.empty(width, np.int64)
    weights = np.empty(width, np.float32)
    row = np.empty(width + 1 + 2 * radius, np.float32)
    plane = np.empty(height * width, np.float32)
    kernel = np.empty(2 * radius + 1, np.float32)
    for place in range(first, last):
        view = made[place]
        _crop(images[place], boxes[place], flips[place], share, (height, width), view, near, weights, row)
        if turns[place]:
            _turn(view, turns[place], height, plane)
        _jitter(view, factors[place], order[place])
        if grey[place] and view.shape[0] == 3:
            _drop_colours(view[0], view[1], view[2])
        if widths[place] > 0:
            _blur(view, widths[place], (height, width), kernel, plane, row)
        # Weights add up to 1 but for the last bit.
        for channel in range(view.shape[0]):
            pixels = view[channel]
            for pixel in range(len(pixels)):
                pixels[pixel] = min(_ONE, pixels[pixel])
