"""The compiled reader of lines of the form ``word number number ...``.

Numbers are rounded as ``numpy.float32(float(token))`` rounds them. A decimal number is w * 10^e with an
integer w. If w < 2^53 and |e| <= 22, both w and 10^|e| are doubles, so one multiplication or division is the
correctly rounded double (Clinger 1990). Otherwise w is cut to 19 digits and the product is within 2^-50 of
the truth, relatively; when both ends of that interval round to the same float32, so does the truth, since
rounding is monotone. What is left, about one number in 10^8, is handed back to Python with its whole line,
as is everything unusual.
"""

from __future__ import annotations

import numpy as np

from nlprep.core.compilation import compiled

_SPACE, _TAB, _LINE_FEED, _RETURN = 32, 9, 10, 13
_ZERO, _POINT, _PLUS, _MINUS, _SMALL_E, _BIG_E = 48, 46, 43, 45, 101, 69
_EXACT_MANTISSA = np.uint64(1 << 53)
_EXACT_POWER = 22
_LARGEST_POWER = 80
_MOST_DIGITS = 19
_BELOW, _ABOVE = 1.0 - 2.0**-50, 1.0 + 2.0**-50
_LARGEST = 3.4e38

POWERS = np.array([float(f"1e{exponent}") for exponent in range(_LARGEST_POWER + 1)])
"""10^0 to 10^80, each correctly rounded to a double: an argument of `parse_lines`."""


@compiled
def _long_number(buffer, position):  # type: ignore[no-untyped-def]
    """Cut a number of more than 19 digits to its first 19 significant ones: the integer and its exponent."""
    mantissa = np.uint64(0)
    digits = 0
    exponent = 0
    after_point = False
    while True:
        character = buffer[position]
        if character == _POINT:
            after_point = True
        elif _ZERO <= character < _ZERO + 10:
            if digits < _MOST_DIGITS:
                mantissa = mantissa * np.uint64(10) + np.uint64(character - _ZERO)
                if mantissa > 0:
                    digits += 1
                if after_point:
                    exponent -= 1
            elif not after_point:
                exponent += 1
        else:
            return mantissa, exponent
        position += 1


@compiled
def count_lines(buffer, stop):  # type: ignore[no-untyped-def]
    """The line feeds in ``buffer[:stop]``, (at least stop,) uint8."""
    count = 0
    for position in range(stop):
        count += buffer[position] == _LINE_FEED
    return count


@compiled
def parse_lines(buffer, stop, powers, matrix, starts, packed, usual):  # type: ignore[no-untyped-def]
    """Parse every line of ``buffer[:stop]``, whose last byte is a line feed.

    Args:
        buffer: (at least stop,) uint8.
        stop: How many bytes there are.
        powers: `POWERS`.
        matrix: (at least stop // (2 d + 2) + 1, d) float32, filled with the vectors of the usual lines, close
            together: such a line takes 2 d + 2 bytes or more, and one that turns out unusual needs a row.
        starts: (lines + 1,) int64, filled with where each line starts, and the end.
        packed: (stop,) uint8, filled with the first field of every line, a line feed after each.
        usual: (lines,) bool, filled with whether a line is a word and d finite numbers.

    Returns:
        The bytes of ``packed`` that were filled.
    """
    dimension = matrix.shape[1]
    position = 0
    line = 0
    row = 0
    filled = 0
    while position < stop:
        starts[line] = position
        character = buffer[position]
        good = character != _SPACE and character != _TAB
        while character != _SPACE and character != _TAB and character != _LINE_FEED:
            packed[filled] = character
            filled += 1
            position += 1
            character = buffer[position]
        packed[filled] = _LINE_FEED
        filled += 1
        column = 0
        while good:
            while character in (_SPACE, _TAB):
                position += 1
                character = buffer[position]
            if character in (_LINE_FEED, _RETURN):
                break
            if column == dimension:
                good = False
                break
            negative = character == _MINUS
            if negative or character == _PLUS:
                position += 1
                character = buffer[position]
            first = position
            mantissa = np.uint64(0)
            exponent = 0
            while _ZERO <= character < _ZERO + 10:
                mantissa = mantissa * np.uint64(10) + np.uint64(character - _ZERO)
                position += 1
                character = buffer[position]
            digits = position - first
            if character == _POINT:
                position += 1
                character = buffer[position]
                fraction = position
                while _ZERO <= character < _ZERO + 10:
                    mantissa = mantissa * np.uint64(10) + np.uint64(character - _ZERO)
                    position += 1
                    character = buffer[position]
                exponent = fraction - position
                digits -= exponent
            if digits == 0:
                good = False
                break
            exact = True
            if digits > _MOST_DIGITS:
                mantissa, exponent = _long_number(buffer, first)
                exact = False
            if character in (_SMALL_E, _BIG_E):
                position += 1
                character = buffer[position]
                down = character == _MINUS
                if down or character == _PLUS:
                    position += 1
                    character = buffer[position]
                fraction = position
                written = 0
                while _ZERO <= character < _ZERO + 10:
                    written = min(written * 10 + (character - _ZERO), 100_000)
                    position += 1
                    character = buffer[position]
                if position == fraction:
                    good = False
                    break
                exponent += -written if down else written
            if character != _SPACE and character != _TAB and character != _LINE_FEED and character != _RETURN:
                good = False
                break
            if mantissa == 0:
                value = 0.0
            elif exact and mantissa < _EXACT_MANTISSA and -_EXACT_POWER <= exponent <= _EXACT_POWER:
                value = np.float64(mantissa)
                if exponent < 0:
                    value /= powers[-exponent]
                else:
                    value *= powers[exponent]
            elif -_LARGEST_POWER <= exponent <= _LARGEST_POWER:
                value = np.float64(mantissa)
                if exponent < 0:
                    value /= powers[-exponent]
                else:
                    value *= powers[exponent]
                if np.float32(value * _BELOW) != np.float32(value * _ABOVE):
                    good = False
                    break
            else:
                good = False
                break
            if value > _LARGEST:
                good = False
                break
            matrix[row, column] = -value if negative else value
            column += 1
        if good and character == _RETURN:
            position += 1
            character = buffer[position]
        usual[line] = good and column == dimension and character == _LINE_FEED
        if usual[line]:
            row += 1
        while buffer[position] != _LINE_FEED:
            position += 1
        position += 1
        line += 1
    starts[line] = stop
    return filled
