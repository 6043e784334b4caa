"""What is asked of scenes: five families of questions, each of which says nothing of its answer.

- *exist*, "is there a red circle ?": asked of both images of a pair, of which one has it, and the other has its colour
  and its shape on other objects. As often yes as no, for every text and every image.
- *relate*, "is the red circle left of the blue square ?": the answer is a coin, the objects are named in the order that
  makes it true.
- *neighbour*, "what colour is the object directly above the red circle ?": colours or shapes, which are alike.
- *compare*, "are there more red objects than blue objects ?": a coin, as in relate.
- *count*, "how many circles are there ?": 0 to 3 with equal chances, of what was planted.

Objects are called by colour and shape where no other has both. What cannot be asked of an image, such as of a neighbour
where nothing has one, is left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

from multimodal.questions.configuration import NUM_SHAPES
from multimodal.questions.drawn.scenes import COLOURS, NOTHING, SHAPES, SIZES
from nlprep.core.randomness import uniforms

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from multimodal.questions.configuration import DrawnQuestionsConfig
    from multimodal.questions.drawn.scenes import Scenes
    from nlprep.core.randomness import Seeds

FAMILIES = ("exist", "relate", "neighbour", "compare", "count")

_EXIST, _RELATE, _NEIGHBOUR, _COMPARE, _COUNT = 21, 22, 23, 24, 25
_COIN = 100
"""Added to a family's purpose for draws of another end."""
_WORDS = (("left of", "right of"), ("above", "below"))
_SIDES = (("left of", 0, -1), ("right of", 0, 1), ("above", -1, 0), ("below", 1, 0))
_YES = ("no", "yes")


@dataclass(frozen=True)
class Asked:
    """Questions of one family.

    Attributes:
        images: (q,) int64, of which image each is asked.
        texts: What is asked.
        answers: The right answers.
    """

    images: NDArray[np.int64]
    texts: list[str]
    answers: list[str]


def ask(family: str, scenes: Scenes, pairs: Seeds, images: Seeds, config: DrawnQuestionsConfig) -> Asked:
    """The questions of a family about all images.

    Args:
        family: One of `FAMILIES`.
        scenes: What is in the images.
        pairs: (n / 2,) keys.
        images: (n,) keys.
        config: How many questions are asked of an image.
    """
    return _ASK[family](scenes, pairs, images, config)


def _ask_exist(scenes: Scenes, pairs: Seeds, images: Seeds, config: DrawnQuestionsConfig) -> Asked:
    del images
    held = _held(scenes).reshape(len(pairs), 2, -1) > 0
    half = config.exist // 2
    # What the one image has and the other has not; of either as many, so that each image has as many yes as no.
    only = [held[:, 0] & ~held[:, 1], held[:, 1] & ~held[:, 0]]
    most = np.minimum(half, np.minimum(only[0].sum(1), only[1].sum(1)))
    draws = uniforms(pairs, 2 * held.shape[2], purpose=_EXIST).reshape(len(pairs), 2, -1)
    numbers, texts, answers = [], list[str](), list[str]()
    for has in (0, 1):
        pair, which = _chosen(only[has], draws[:, has], half, most)
        numbers += [2 * pair + has, 2 * pair + 1 - has]
        asked = [f"is there a {_called(one)} ?" for one in which.tolist()]
        texts += asked + asked
        answers += ["yes"] * len(asked) + ["no"] * len(asked)
    return Asked(np.concatenate(numbers), texts, answers)


def _ask_relate(scenes: Scenes, pairs: Seeds, images: Seeds, config: DrawnQuestionsConfig) -> Asked:
    del pairs
    most = scenes.colours.shape[1]
    alone = _alone(scenes)
    first, second = np.triu_indices(most, 1)
    at = np.stack([scenes.places % scenes.cells, scenes.places // scenes.cells], 2)
    # (n, pairs of objects, axes): whether one is more to the left, or higher.
    differ = (at[:, first] != at[:, second]) & (alone[:, first] & alone[:, second])[..., None]
    differ = differ.reshape(len(scenes), -1)
    image, which = _chosen(differ, uniforms(images, differ.shape[1], purpose=_RELATE), config.relate)
    two, axis = np.divmod(which, 2)
    one, other = first[two], second[two]
    swapped = at[image, one, axis] > at[image, other, axis]
    lesser, greater = np.where(swapped, other, one), np.where(swapped, one, other)
    turn = _turns(image)
    draws = uniforms(images, 1 + config.relate, purpose=_RELATE + _COIN)[image]
    # The first is a coin and the next the other side of it, so that the image alone says as little.
    yes = (draws[:, 0] < 0.5) ^ (turn % 2 == 1)
    word = (np.take_along_axis(draws, 1 + turn[:, None], 1)[:, 0] < 0.5).astype(np.int64)
    # "Left of" and "above" are true of the lesser.
    subject_lesser = yes ^ (word == 1)
    names = _names(scenes)
    subject = names[image, np.where(subject_lesser, lesser, greater)].tolist()
    object_ = names[image, np.where(subject_lesser, greater, lesser)].tolist()
    texts = [
        f"is the {_called(a)} {_WORDS[x][w]} the {_called(b)} ?"
        for a, b, x, w in zip(subject, object_, axis.tolist(), word.tolist(), strict=True)
    ]
    return Asked(image, texts, [_YES[one] for one in yes.astype(int).tolist()])


def _ask_neighbour(scenes: Scenes, pairs: Seeds, images: Seeds, config: DrawnQuestionsConfig) -> Asked:
    del pairs
    count, most = scenes.places.shape
    grid = np.full((count, scenes.cells + 2, scenes.cells + 2), NOTHING)
    image, thing = np.nonzero(scenes.there)
    row, column = np.divmod(scenes.places[image, thing], scenes.cells)
    grid[image, row + 1, column + 1] = thing
    beside = np.full((count, most, len(_SIDES)), NOTHING)
    for number, (_, down, right) in enumerate(_SIDES):
        beside[image, thing, number] = grid[image, row + 1 + down, column + 1 + right]
    able = ((beside != NOTHING) & _alone(scenes)[..., None]).reshape(count, -1)
    image, which = _chosen(able, uniforms(images, able.shape[1], purpose=_NEIGHBOUR), config.neighbour)
    thing, side = np.divmod(which, len(_SIDES))
    other = beside[image, thing, side]
    coin = uniforms(images, 1, purpose=_NEIGHBOUR + _COIN)[image, 0] < 0.5
    of_colour = (coin ^ (_turns(image) % 2 == 1)).tolist()
    texts = [
        f"what {'colour' if colour else 'shape'} is the object directly {_SIDES[s][0]} the {_called(name)} ?"
        for colour, s, name in zip(of_colour, side.tolist(), _names(scenes)[image, thing].tolist(), strict=True)
    ]
    answers = [
        COLOURS[c] if colour else SHAPES[s]
        for colour, c, s in zip(
            of_colour, scenes.colours[image, other].tolist(), scenes.shapes[image, other].tolist(), strict=True
        )
    ]
    return Asked(image, texts, answers)


def _ask_compare(scenes: Scenes, pairs: Seeds, images: Seeds, config: DrawnQuestionsConfig) -> Asked:
    del pairs
    counts = [_counts(values, size) for values, size in _kinds(scenes, config)]
    kind = np.concatenate(
        [np.full(size * (size - 1) // 2, place) for place, (_, size) in enumerate(_kinds(scenes, config))]
    )
    two = np.array([both for _, size in _kinds(scenes, config) for both in combinations(range(size), 2)])
    less, more = (
        np.concatenate([found[:, two[kind == place, side]] for place, found in enumerate(counts)], 1) for side in (0, 1)
    )
    able = (less != more) & (less > 0) & (more > 0)
    draws = uniforms(images, able.shape[1] + 1, purpose=_COMPARE)
    # The kind is drawn first, where it can be: there are many more pairs of colours than of sizes.
    wanted = (draws[:, -1:] * len(counts)).astype(np.int64)
    image, which = _chosen(able, np.where(kind == wanted, draws[:, :-1] / 2, (1 + draws[:, :-1]) / 2), config.compare)
    coin = uniforms(images, 1, purpose=_COMPARE + _COIN)[image, 0] < 0.5
    yes = coin ^ (_turns(image) % 2 == 1)
    # The second of the two is named first where that is true and yes is wanted, or false and no.
    turned = (more[image, which] > less[image, which]) == yes
    names = [(_plural(k, a), _plural(k, b)) for k, (a, b) in zip(kind.tolist(), two.tolist(), strict=True)]
    texts = []
    for place, turn in zip(which.tolist(), turned.tolist(), strict=True):
        one, other = names[place][::-1] if turn else names[place]
        texts.append(f"are there more {one} than {other} ?")
    return Asked(image, texts, [_YES[one] for one in yes.astype(int).tolist()])


def _ask_count(scenes: Scenes, pairs: Seeds, images: Seeds, config: DrawnQuestionsConfig) -> Asked:
    del images
    kinds = _kinds(scenes, config)
    numbers = np.stack([(values == scenes.planted[:, [place]]).sum(1) for place, (values, _) in enumerate(kinds)], 1)
    begins = (uniforms(pairs, 1, purpose=_COUNT)[:, 0] * len(kinds)).astype(np.int64)
    image = np.repeat(np.arange(len(scenes)), config.count)
    turn = np.tile(np.arange(config.count), len(scenes))
    # Of the second image of a pair another than of the first.
    kind = (begins[image // 2] + image % 2 + turn) % len(kinds)
    texts = [
        f"how many {_plural(k, value)} are there ?"
        for k, value in zip(kind.tolist(), scenes.planted[image, kind].tolist(), strict=True)
    ]
    return Asked(image, texts, [str(number) for number in numbers[image, kind].tolist()])


_ASK: dict[str, Callable[[Scenes, Seeds, Seeds, DrawnQuestionsConfig], Asked]] = {
    "exist": _ask_exist,
    "relate": _ask_relate,
    "neighbour": _ask_neighbour,
    "compare": _ask_compare,
    "count": _ask_count,
}


def _kinds(scenes: Scenes, config: DrawnQuestionsConfig) -> list[tuple[NDArray[np.int64], int]]:
    return [(scenes.colours, config.colours), (scenes.shapes, config.shapes), (scenes.sizes, len(SIZES))]


def _counts(values: NDArray[np.int64], size: int) -> NDArray[np.int64]:
    """(n, size) how many objects have each value."""
    found: NDArray[np.int64] = (values[..., None] == np.arange(size)).sum(1)
    return found


def _names(scenes: Scenes) -> NDArray[np.int64]:
    """(n, m) colour and shape in one number; `NOTHING` where there is no object."""
    return np.where(scenes.there, scenes.colours * NUM_SHAPES + scenes.shapes, NOTHING)


def _held(scenes: Scenes) -> NDArray[np.int64]:
    """(n, names) how many objects of each colour and shape there are."""
    return _counts(_names(scenes), len(COLOURS) * NUM_SHAPES)


def _alone(scenes: Scenes) -> NDArray[np.bool_]:
    """(n, m) whether an object is there, and the only one of its colour and shape."""
    names = _names(scenes)
    found: NDArray[np.bool_] = scenes.there & ((names[:, :, None] == names[:, None, :]).sum(2) == 1)
    return found


def _called(name: int) -> str:
    colour, shape = divmod(name, NUM_SHAPES)
    return f"{COLOURS[colour]} {SHAPES[shape]}"


def _plural(kind: int, value: int) -> str:
    if kind == 1:
        return "crosses" if SHAPES[value] == "cross" else f"{SHAPES[value]}s"
    return f"{(COLOURS, SIZES)[kind // 2][value]} objects"


def _chosen(
    able: NDArray[np.bool_], draws: NDArray[np.float64], count: int, most: NDArray[np.int64] | None = None
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """So many candidates of each row at the most, those of the least draws: their rows, ascending, and columns."""
    count = min(count, able.shape[1])
    order = np.argsort(np.where(able, draws, 2.0), axis=1)[:, :count]
    limit = able.sum(1) if most is None else most
    row, turn = np.nonzero(np.arange(count) < limit[:, None])
    return row, order[row, turn]


def _turns(rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """Of ascending rows, how many of the same came before each."""
    return np.arange(len(rows)) - np.searchsorted(rows, rows)
