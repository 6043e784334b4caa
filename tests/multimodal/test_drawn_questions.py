"""Questions that are drawn: every answer is right, and none of them can be told without the image."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from dataclasses import replace

import numpy as np
import pytest

from multimodal.questions.configuration import DrawnQuestionsConfig
from multimodal.questions.drawn.drawing import draw_questions
from multimodal.questions.drawn.families import FAMILIES
from multimodal.questions.drawn.files import write_drawn_questions
from multimodal.questions.drawn.pictures import PALETTE, cover_cells
from multimodal.questions.drawn.scenes import COLOURS, SHAPES, SIZES
from multimodal.questions.reading import SkippedQuestionsWarning, read_questions
from multimodal.questions.splits import find_shared_images
from nlprep.core.errors import FileError, OptionError

# Pixels are looked at elsewhere.
CONFIG = DrawnQuestionsConfig(images=2_000, cell=8, noise=0.0)


@pytest.fixture(scope="module")
def drawn():
    return draw_questions(CONFIG)


@pytest.fixture(scope="module")
def others():
    return draw_questions(replace(CONFIG, seed=2)).questions


# Answers, found slowly by going through the things in the image


def the_one(things, colour, shape):
    (found,) = [thing for thing in things if (thing.colour, thing.shape) == (colour, shape)]
    return found


def having(things, words):
    """Things of which a plural speaks: "red objects", "small objects", "circles"."""
    word = words.removesuffix(" objects")
    if word == words:
        word = words.removesuffix("es") if words == "crosses" else words.removesuffix("s")
    assert word in (*COLOURS, *SHAPES, *SIZES), words
    return [thing for thing in things if word in (thing.colour, thing.shape, thing.size)]


def yes(truth):
    return "yes" if truth else "no"


STEPS = {"left of": (0, -1), "right of": (0, 1), "above": (-1, 0), "below": (1, 0)}
SIDE = "(left of|right of|above|below)"


def slow_answer(text, things):
    if found := re.fullmatch(r"is there a (\w+) (\w+) \?", text):
        return yes(found.groups() in [(thing.colour, thing.shape) for thing in things])
    if found := re.fullmatch(rf"is the (\w+) (\w+) {SIDE} the (\w+) (\w+) \?", text):
        one, other = the_one(things, *found.group(1, 2)), the_one(things, *found.group(4, 5))
        down, right = STEPS[found[3]]
        return yes(down * (one.row - other.row) + right * (one.column - other.column) > 0)
    if found := re.fullmatch(rf"what (colour|shape) is the object directly {SIDE} the (\w+) (\w+) \?", text):
        one = the_one(things, *found.group(3, 4))
        down, right = STEPS[found[2]]
        (beside,) = [t for t in things if (t.row, t.column) == (one.row + down, one.column + right)]
        return getattr(beside, found[1])
    if found := re.fullmatch(r"are there more ([\w ]+) than ([\w ]+) \?", text):
        one, other = (len(having(things, words)) for words in found.groups())
        assert one != other
        assert min(one, other) > 0
        return yes(one > other)
    found = re.fullmatch(r"how many ([\w ]+) are there \?", text)
    return str(len(having(things, found[1])))


@pytest.mark.parametrize(
    "config",
    [
        pytest.param(CONFIG, marks=pytest.mark.slow),
        DrawnQuestionsConfig(images=200, cells=5, fewest=8, most=20, colours=8, shapes=6, relate=6, neighbour=5,
                             compare=3, count=3, seed=5),
        DrawnQuestionsConfig(images=300, cells=2, fewest=4, most=4, colours=2, shapes=2, seed=6),
    ],
    ids=["default", "hard", "least"],
)  # fmt: skip
def test_every_answer_is_right(config, drawn):
    made = drawn if config is CONFIG else draw_questions(replace(config, cell=8, noise=0.0))
    questions = made.questions
    assert set(questions.question_types) == set(FAMILIES)
    assert len(questions) > 4 * config.images
    for text, place, (answer,) in zip(questions.texts, questions.places.tolist(), questions.answers, strict=True):
        assert slow_answer(text, made.scenes.things(place)) == answer, (place, text)


def test_no_question_is_asked_twice_of_an_image(drawn):
    questions = drawn.questions
    asked = Counter(zip(questions.places.tolist(), questions.texts, strict=True))
    assert max(asked.values()) == 1
    assert (np.diff(questions.places) >= 0).all()


def test_binding_is_all_that_tells_whether_there_is_one(drawn):
    """In every no the colour is there and so is the shape; the same text is asked of the other image of the pair."""
    questions = drawn.questions
    pairs = defaultdict(list)
    for text, kind, place, (answer,) in zip(
        questions.texts, questions.question_types, questions.places.tolist(), questions.answers, strict=True
    ):
        if kind == "exist":
            pairs[place // 2, text].append(answer)
            colour, shape = text.split()[3:5]
            things = drawn.scenes.things(place)
            assert colour in [thing.colour for thing in things]
            assert shape in [thing.shape for thing in things]
    assert len(pairs) > 2_000
    assert all(sorted(answers) == ["no", "yes"] for answers in pairs.values())


def test_a_pair_has_the_same_colours_shapes_and_sizes(drawn):
    for number in range(0, 200, 2):
        one, other = drawn.scenes.things(number), drawn.scenes.things(number + 1)
        for of in ("colour", "shape", "size"):
            assert sorted(getattr(t, of) for t in one) == sorted(getattr(t, of) for t in other)
        for things in (one, other):
            assert len({(t.row, t.column) for t in things}) == len(things)
            assert CONFIG.fewest <= len(things) <= CONFIG.most


def of_family(questions, family):
    return questions.select(np.flatnonzero(np.array(questions.question_types) == family))


def question_only_accuracy(train, test, family):
    """Of who gives each text the answer that it has most often in training."""
    votes = defaultdict(Counter)
    learned, asked = of_family(train, family), of_family(test, family)
    for text, (answer,) in zip(learned.texts, learned.answers, strict=True):
        votes[text][answer] += 1
    usual = Counter(learned.main_answers)
    right = [
        (votes[text] or usual).most_common(1)[0][0] == answer
        for text, (answer,) in zip(asked.texts, asked.answers, strict=True)
    ]
    return np.mean(right)


@pytest.mark.parametrize(
    ("family", "chance", "within"),
    [("exist", 1 / 2, 0), ("relate", 1 / 2, 0.03), ("compare", 1 / 2, 0.03), ("count", 1 / 4, 0.04),
     ("neighbour", (1 / 6 + 1 / 4) / 2, 0.04)],
)  # fmt: skip
def test_the_question_alone_is_chance(drawn, others, family, chance, within):
    assert question_only_accuracy(drawn.questions, others, family) == pytest.approx(chance, abs=within + 1e-12)
    # The answers by themselves.
    shares = np.array(list(Counter(of_family(others, family).main_answers).values())) / len(of_family(others, family))
    if family != "neighbour":
        assert len(shares) == round(1 / chance)
        assert abs(shares - chance).max() <= within + 1e-12


def test_neighbours_are_as_often_of_every_colour_and_shape(drawn):
    questions = of_family(drawn.questions, "neighbour")
    for word, values in (("colour", COLOURS[:6]), ("shape", SHAPES[:4])):
        found = Counter(a for a, text in zip(questions.main_answers, questions.texts, strict=True) if word in text)
        shares = np.array([found[value] for value in values]) / sum(found.values())
        assert abs(shares - 1 / len(values)).max() < 0.03
        assert set(found) == set(values)


def test_the_image_alone_is_chance_where_yes_and_no_are_asked_alike(drawn):
    """Of every image, exist has as many yes as no; so has relate where it is asked twice."""
    for family in ("exist", "relate"):
        questions = of_family(drawn.questions, family)
        said = np.array([answer == "yes" for answer in questions.main_answers])
        of_image = np.bincount(questions.places, weights=said), np.bincount(questions.places)
        whole = of_image[1] % 2 == 0
        assert whole.mean() > 0.9
        assert (2 * of_image[0][whole] == of_image[1][whole]).all()


# Pixels


def test_things_are_drawn_where_and_as_they_are():
    config = DrawnQuestionsConfig(images=40, cell=24, tint=0.0, noise=0.0, shapes=6, colours=8)
    made = draw_questions(config)
    pixels = made.questions.images.pixels.transpose(0, 2, 3, 1).astype(int)
    assert pixels.shape == (40, 72, 72, 3)
    areas = defaultdict(list)
    for number in range(40):
        cells = pixels[number].reshape(3, 24, 3, 24, 3).transpose(0, 2, 1, 3, 4)
        things = made.scenes.things(number)
        ground = round(20 + 60 * made.scenes.grounds[number] - 0.5), round(20 + 60 * made.scenes.grounds[number] + 0.5)
        empty = {(row, column) for row in range(3) for column in range(3)} - {(t.row, t.column) for t in things}
        assert all(ground[0] <= cells[at].min() <= cells[at].max() <= ground[1] for at in empty)
        for thing in things:
            cell = cells[thing.row, thing.column]
            colour = PALETTE[COLOURS.index(thing.colour)]
            assert (abs(cell - colour) <= 1).all(-1).any()
            clearest = abs(colour - ground[0]).argmax()
            shares = (cell[..., clearest] - np.mean(ground)) / (colour[clearest] - np.mean(ground))
            areas[thing.shape, thing.size].append(shares.sum())
    # Whole, wherever they lie in their cells: of a radius r, as large as such a shape is.
    unit = {
        "circle": np.pi,
        "square": 1.72**2,
        "triangle": 1.85**2 / 2,
        "cross": 2.04,
        "ring": 0.67 * np.pi,
        "diamond": 2,
    }
    for (shape, size), found in areas.items():
        radius = 24 * {"small": 0.23, "large": 0.42}[size]
        np.testing.assert_allclose(found, unit[shape] * radius**2, rtol=0.08, err_msg=f"{size} {shape}")


def test_everything_that_is_asked_can_be_seen():
    """In the noise and colours of the default: the best match of all shapes at all places, and the nearest colour."""
    made = draw_questions(DrawnQuestionsConfig(images=60, seed=3))
    scenes = made.scenes
    shown = made.questions.images.pixels.transpose(0, 2, 3, 1).reshape(60, 3, 16, 3, 16, 3).transpose(0, 1, 3, 2, 4, 5)
    shown = shown.reshape(60, 9, 256, 3).astype(np.float32)
    image, thing = np.nonzero(scenes.there)
    filled = np.zeros((60, 9), bool)
    filled[image, scenes.places[image, thing]] = True
    ground = np.array([shown[number][~filled[number]].mean() for number in range(60)], np.float32)[image, None]
    above = shown[image, scenes.places[image, thing]].transpose(0, 2, 1) - ground[..., None]
    covers = cover_cells(16, 4, 1.0)
    flat = covers.reshape(-1, 256)
    unit = flat / np.linalg.norm(flat, axis=1, keepdims=True)
    match = ((above.reshape(-1, 256) @ unit.T).reshape(len(image), 3, -1) ** 2).sum(1).argmax(1)
    shape, size = np.unravel_index(match, covers.shape[:4])[:2]
    colour = np.einsum("ncp,np->nc", above, flat[match]) / (flat[match] ** 2).sum(1)[:, None] + ground
    nearest = ((colour[:, None] - PALETTE[:6]) ** 2).sum(2).argmin(1)
    for found, true in ((shape, scenes.shapes), (size, scenes.sizes), (nearest, scenes.colours)):
        assert (found == true[image, thing]).mean() > 0.995


def test_jitter_tint_and_noise_are_as_asked():
    still = DrawnQuestionsConfig(images=40, jitter=0.0, tint=0.0, noise=0.0)
    plain = draw_questions(still).questions.images.pixels
    noisy = draw_questions(replace(still, noise=0.1)).questions.images.pixels
    difference = noisy.astype(int) - plain
    assert abs(difference).max() <= 26
    assert abs(difference.mean()) < 0.1
    assert difference.std() == pytest.approx(2 * 25.5 / 12**0.5, rel=0.03)
    assert (draw_questions(replace(still, tint=0.1)).questions.images.pixels != plain).any()
    moved = draw_questions(replace(still, jitter=1.0)).questions.images.pixels
    assert (moved != plain).any()
    assert draw_questions(replace(still, jitter=1.0)).questions.texts == draw_questions(still).questions.texts


# Seeds and files


def test_a_smaller_set_is_the_beginning_of_a_larger_one():
    few, many = (draw_questions(replace(CONFIG, images=images)).questions for images in (20, 40))
    assert many.texts[: len(few)] == few.texts
    assert many.answers[: len(few)] == few.answers
    np.testing.assert_array_equal(many.images.pixels[:20], few.images.pixels)
    other = draw_questions(replace(CONFIG, images=20, seed=2)).questions
    assert other.texts != few.texts
    assert (other.images.pixels != few.images.pixels).any((1, 2, 3)).all()


@pytest.mark.slow
def test_files_are_read_as_they_were_drawn_and_the_same_seed_gives_the_same_bytes(tmp_path):
    config = DrawnQuestionsConfig(images=30, seed=4)
    for name in ("one", "two"):
        write_drawn_questions(tmp_path / name, config, validation=10, test=20)
    files = {path.relative_to(tmp_path / "one"): path for path in (tmp_path / "one").rglob("*") if path.is_file()}
    assert {"train.jsonl", "validation_images.npz", "test.jsonl", "settings.json", "examples/00.png"} <= {
        path.as_posix() for path in files
    }
    for name, path in files.items():
        assert path.read_bytes() == (tmp_path / "two" / name).read_bytes(), name
    train, test = (read_questions(tmp_path / "one", split=split) for split in (None, "test"))
    assert (len(train.images), len(test.images)) == (30, 20)
    assert not find_shared_images(train, test)
    assert set(train.question_types) == set(FAMILIES)
    assert set(train.answer_types) == {"yes/no", "number", "other"}
    with pytest.warns(SkippedQuestionsWarning):
        seen = read_questions(tmp_path / "one" / "test.jsonl", tmp_path / "one" / "examples", on_error="skip")
    np.testing.assert_array_equal(seen.images.pixels, test.images.pixels[:12])
    # Ours alone is replaced.
    write_drawn_questions(tmp_path / "one", replace(config, seed=5), test=0, validation=0)
    assert not (tmp_path / "one" / "test.jsonl").exists()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "mine.txt").write_text("mine")
    with pytest.raises(FileError):
        write_drawn_questions(tmp_path / "other", config)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"images": 31}, "images = 31: give an even number"),
        ({"exist": 3}, "exist = 3: give an even number"),
        ({"fewest": 6, "most": 5}, "fewest = 6, most = 5: give numbers in this order"),
        ({"most": 10}, "no more objects than the 9 cells"),
        (dict.fromkeys(FAMILIES, 0), "no family of questions is asked for"),
        ({"count": 4}, "count = 4: must be at most 3"),
    ],
)
def test_settings_that_cannot_be_drawn(settings, said):
    with pytest.raises(OptionError, match=re.escape(said)):
        DrawnQuestionsConfig(**settings)


def test_a_family_alone():
    questions = draw_questions(
        DrawnQuestionsConfig(images=4, exist=0, relate=0, neighbour=0, compare=0, count=3)
    ).questions
    assert Counter(questions.question_types) == {"count": 12}
