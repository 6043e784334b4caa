"""Questions from files of every kind, and what is said of those that are not as they should be."""

from __future__ import annotations

import csv
import gzip
import json
import zipfile

import numpy as np
import pytest
from PIL import Image

from multimodal.questions.reading import (
    RepeatedQuestionsWarning,
    SkippedQuestionsWarning,
    read_questions,
)
from nlprep.core.errors import FileError, NlprepError, OptionError

ROWS = [
    {"question": "what colour is it ?", "answer": "red", "image": "a.png"},
    {"question": "is it small ?", "answers": ["yes", "no", "yes"], "image": "b.png", "question_type": "is it"},
    {"question": "how many ?", "answer": 2, "image": "a.png", "answer_type": "number"},
]


def picture(number: int) -> np.ndarray:
    return np.random.default_rng(number).integers(0, 256, (6, 8, 3)).astype(np.uint8)


def write_folder(folder, names):
    for number, name in enumerate(names):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture(number)).save(path)
    return folder


def write_lines(path, rows):
    data = "".join(json.dumps(row) + "\n" for row in rows).encode()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


@pytest.fixture
def folder(tmp_path):
    return write_folder(tmp_path / "pictures", ["a.png", "b.png", "c.png"])


def shown(questions):
    """The top left colour of each question's image."""
    return questions.images.pixels[questions.places][:, :, 0, 0].tolist()


def test_json_lines_and_a_folder(tmp_path, folder):
    questions = read_questions(write_lines(tmp_path / "q.jsonl", ROWS), folder)
    assert questions.texts == ["what colour is it ?", "is it small ?", "how many ?"]
    assert questions.answers == [("red",), ("yes", "no", "yes"), ("2",)]
    assert questions.main_answers == ("red", "yes", "2")
    assert questions.places.tolist() == [0, 1, 0]
    assert [questions.image_name(number) for number in range(3)] == ["a.png", "b.png", "a.png"]
    # What the file says, or else the first two words and the kind of the answer.
    assert questions.question_types == ["what colour", "is it", "how many"]
    assert questions.answer_types == ["other", "yes/no", "number"]
    assert questions.lines == [1, 2, 3]
    assert len(questions.images) == 3
    assert questions.images.labels is None
    assert shown(questions) == [picture(number)[0, 0].tolist() for number in (0, 1, 0)]
    groups = questions.by_image()
    assert (groups.places.tolist(), groups.order.tolist(), groups.ends.tolist()) == ([0, 1], [0, 2, 1], [0, 2, 3])


def test_the_same_from_a_zip_archive_compressed_lines_and_a_table(tmp_path, folder):
    archive = tmp_path / "pictures.zip"
    with zipfile.ZipFile(archive, "w") as made:
        for path in folder.iterdir():
            made.write(path, path.name)
    wanted = shown(read_questions(write_lines(tmp_path / "q.jsonl", ROWS), folder))
    assert shown(read_questions(write_lines(tmp_path / "q.jsonl.gz", ROWS), archive)) == wanted
    with (tmp_path / "q.csv").open("w", newline="") as stream:
        table = csv.writer(stream)
        table.writerow(["question", "answer", "image"])
        table.writerows([row["question"], row.get("answer", "yes"), row["image"]] for row in ROWS)
    assert shown(read_questions(tmp_path / "q.csv", archive)) == wanted


def test_images_as_numbers_are_called_by_their_ids(tmp_path):
    pixels = np.stack([picture(number) for number in range(3)])
    np.savez(tmp_path / "q_images.npz", x=pixels, ids=np.array([70, 7, 700]))
    rows = [{**ROWS[0], "image": 700}, {**ROWS[0], "image": 7}]
    questions = read_questions(write_lines(tmp_path / "q.jsonl", rows))
    assert questions.places.tolist() == [2, 1]
    assert shown(questions) == [picture(2)[0, 0].tolist(), picture(1)[0, 0].tolist()]
    # By their place where they have none.
    np.savez(tmp_path / "q_images.npz", x=pixels)
    assert read_questions(write_lines(tmp_path / "q.jsonl", [{**ROWS[0], "image": 2}])).places.tolist() == [2]
    np.savez(tmp_path / "q_images.npz", x=pixels, ids=np.array([1, 2]))
    with pytest.raises(FileError, match="has 2 ids for 3 images: give one for each"):
        read_questions(tmp_path / "q.jsonl")
    np.savez(tmp_path / "q_images.npz", x=pixels, ids=np.array([1, None, 3], object))
    with pytest.raises(FileError, match="array 'ids' cannot be read"):
        read_questions(tmp_path / "q.jsonl")


@pytest.mark.parametrize(
    "name", ["train/0007.jpg.png", "0007.jpg.png", "x/train/0007.jpg.png", "./train/0007.jpg.png", 7]
)
def test_names_are_matched_by_their_end_or_their_number(tmp_path, name):
    folder = write_folder(tmp_path / "pictures", ["test/70.png", "train/0007.jpg.png"])
    assert read_questions(write_lines(tmp_path / "q.jsonl", [{**ROWS[0], "image": name}]), folder).places.tolist() == [
        1
    ]


def test_a_name_that_several_have_is_refused(tmp_path):
    folder = write_folder(tmp_path / "pictures", ["test/a.png", "train/a.png"])
    lines = write_lines(tmp_path / "q.jsonl", ROWS[:1])
    with pytest.raises(
        FileError, match=r"q.jsonl:1: .*may be any of test/a.png, train/a.png .*: write more of its name"
    ):
        read_questions(lines, folder)


@pytest.mark.parametrize(
    ("second", "said"),
    [
        ('{"question": "is it', r"q.jsonl:2: is not JSON \(.*\): write one object a line"),
        ('{"question": " ", "answer": "no", "image": "a.png"}', "q.jsonl:2: has an empty question: write one"),
        ('{"question": "is it ?", "image": "a.png"}', "q.jsonl:2: has no answer: add one"),
        ('{"question": "is it ?", "answers": [], "image": "a.png"}', "q.jsonl:2: has no answer: add one"),
        ('{"question": "is it ?", "answer": " ", "image": "a.png"}', "q.jsonl:2: has an empty answer"),
        ('{"question": "is it ?", "answer": true, "image": "a.png"}', "q.jsonl:2: expected texts in 'answer', found T"),
        ('{"question": "is it ?", "answer": "no"}', "q.jsonl:2: expected the name or number of an image in 'image'"),
        ('{"question": 7, "answer": "no", "image": "a.png"}', "q.jsonl:2: expected a text in 'question', found 7"),
        ('{"question": "is it ?", "answer": "no", "image": "z.png"}', "q.jsonl:2: asks about an image that is not"),
        ('{"question": "why ?", "answer": "no", "image": "a.png", "id": 5}', "q.jsonl:2: is question '5', and so is"),
        ('["why ?", "no", "a.png"]', "q.jsonl:2: expected a JSON object"),
    ],
)  # fmt: skip
def test_a_bad_line_is_named(tmp_path, folder, second, said):
    lines = tmp_path / "q.jsonl"
    lines.write_text('{"question": "what ?", "answer": "red", "image": "b.png", "id": 5}\n' + second + "\n")
    with pytest.raises(FileError, match=said):
        read_questions(lines, folder)


def test_a_damaged_picture_is_named_with_the_line_that_asks_about_it(tmp_path, folder):
    (folder / "b.png").write_bytes((folder / "b.png").read_bytes()[:60])
    lines = write_lines(tmp_path / "q.jsonl", ROWS)
    with pytest.raises(FileError, match=r"q.jsonl:2: asks about .*pictures/b.png, which is damaged or cut short"):
        read_questions(lines, folder)
    with (
        pytest.warns(SkippedQuestionsWarning, match=r"1 of 3 questions are left out.*line 2 \(image 'b.png'\)"),
        pytest.warns(UserWarning, match="1 of 3 pictures cannot be read"),
    ):
        questions = read_questions(lines, folder, on_error="skip")
    assert [questions.image_name(number) for number in range(2)] == ["a.png", "a.png"]
    assert questions.texts == ["what colour is it ?", "how many ?"]


def test_questions_about_missing_images_may_be_left_out_but_not_all(tmp_path, folder):
    lines = write_lines(tmp_path / "q.jsonl", [{**ROWS[0], "image": "z.png"}, ROWS[1]])
    with pytest.warns(SkippedQuestionsWarning, match="1 of 2 questions are left out"):
        assert read_questions(lines, folder, on_error="skip").lines == [2]
    write_lines(lines, [{**ROWS[0], "image": "z.png"}])
    with pytest.warns(SkippedQuestionsWarning), pytest.raises(FileError, match="asks about no image that can be read"):
        read_questions(lines, folder, on_error="skip")


def test_pictures_of_every_kind_are_red_green_and_blue_bytes(tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    colours = Image.fromarray(picture(1))
    opaque = colours.convert("RGBA")
    opaque.putalpha(255)
    deep = Image.fromarray((np.arange(48).reshape(6, 8) * 257).astype(np.uint16))
    kinds = {
        "colour": colours,
        "rgba": opaque,
        "grey": colours.convert("L"),
        "palette": colours.quantize(200),
        "deep": deep,
    }
    for name, one in kinds.items():
        one.save(folder / f"{name}.png")
    rows = [{**ROWS[0], "image": name} for name in kinds]
    questions = read_questions(write_lines(tmp_path / "q.jsonl", rows), folder)
    found = dict(zip(kinds, questions.images.pixels[questions.places], strict=True))
    assert questions.images.shape == (3, 6, 8)
    for name in ("colour", "rgba", "palette"):
        np.testing.assert_array_equal(found[name].transpose(1, 2, 0), picture(1), err_msg=name)
    assert (found["grey"] == np.asarray(colours.convert("L"))).all()
    assert (found["deep"] == np.arange(48).reshape(6, 8)).all()


def test_repeated_questions_are_said_or_refused(tmp_path, folder):
    lines = write_lines(tmp_path / "q.jsonl", [*ROWS, {**ROWS[0], "answer": "pink"}])
    with pytest.warns(
        RepeatedQuestionsWarning, match=r"1 of 4 questions .* 1 of them with another answer.* line 4 and line 1"
    ):
        assert len(read_questions(lines, folder)) == 4
    with pytest.raises(FileError, match=r"q.jsonl:4: asks 'what colour is it \?' of the same image as line 1 does"):
        read_questions(lines, folder, repeated="refuse")


def test_what_cannot_be_read_says_what_to_do(tmp_path, folder):
    lines = write_lines(tmp_path / "q.jsonl", ROWS)
    with pytest.raises(FileError, match=r"q_images.npz is not beside it: name them with images="):
        read_questions(lines)
    with pytest.raises(FileError, match="is one file, and has no split 'test'"):
        read_questions(lines, folder, split="test")
    with pytest.raises(FileError, match="holds no questions"):
        read_questions(write_lines(tmp_path / "none.jsonl", []), folder)
    with pytest.raises(FileError, match=r"holds no questions: name a folder with train.jsonl"):
        read_questions(folder)
    with pytest.raises(OptionError, match="choose warn or refuse"):
        read_questions(lines, folder, repeated="never")
    with pytest.raises(OptionError, match="choose refuse or skip"):
        read_questions(lines, folder, on_error="ignore")


def test_questions_to_be_asked_need_no_answers(tmp_path, folder):
    lines = write_lines(tmp_path / "q.jsonl", [{"question": "why ?", "image": "a.png"}])
    questions = read_questions(lines, folder, answered=False)
    assert (questions.answers, questions.answer_types, questions.question_types) == (None, None, ["why"])
    with pytest.raises(NlprepError, match="has no answers, which are needed to count them"):
        _ = questions.main_answers


# VQA v2


def write_vqa(folder, questions, annotations):
    paths = folder / "v2_questions.json", folder / "v2_annotations.json"
    for path, key, values in zip(paths, ("questions", "annotations"), (questions, annotations), strict=True):
        path.write_text(json.dumps({"info": {}, "data_type": "mscoco", "license": {}, key: values}))
    return paths


def vqa_pair():
    questions = [
        {"image_id": 9, "question": "What color is it?", "question_id": 90},
        {"image_id": 25, "question": "How many dogs?", "question_id": 250},
    ]
    annotations = [
        {"question_id": 250, "image_id": 25, "question_type": "how many", "answer_type": "number",
         "multiple_choice_answer": "2", "answers": [{"answer": "two", "answer_id": k} for k in range(1, 11)]},
        {"question_id": 90, "image_id": 9, "question_type": "what color", "answer_type": "other",
         "multiple_choice_answer": "red",
         "answers": [{"answer": "Red."}, *({"answer": "the red", "answer_id": k} for k in range(2, 11))]},
    ]  # fmt: skip
    return questions, annotations


@pytest.fixture
def coco(tmp_path):
    return write_folder(tmp_path / "pictures", [f"COCO_train2014_{number:012d}.jpg" for number in (9, 25, 30)])


def test_the_two_files_of_vqa(tmp_path, coco):
    paths = write_vqa(tmp_path, *vqa_pair())
    questions = read_questions(paths[0], coco, annotations=paths[1])
    assert questions.texts == ["What color is it?", "How many dogs?"]
    assert questions.answers == [("red",) * 10, ("2",) * 10]
    assert questions.question_types == ["what color", "how many"]
    assert questions.answer_types == ["other", "number"]
    assert questions.numbers == ["90", "250"]
    assert questions.places.tolist() == [0, 1]
    raw = read_questions(paths[0], coco, annotations=paths[1], normalize=False)
    assert raw.answers[0] == ("Red.", *["the red"] * 9)
    assert read_questions(paths[0], coco, answered=False).answers is None


def test_files_of_vqa_that_do_not_belong_together(tmp_path, coco):
    def refused(said, questions, annotations):
        paths = write_vqa(tmp_path, questions, annotations)
        with pytest.raises(FileError, match=said):
            read_questions(paths[0], coco, annotations=paths[1])

    questions, annotations = vqa_pair()
    refused(r"questions\[0\]: question 90 has no answer in .*annotations.json", questions, annotations[:1])
    refused(r"1 questions that .* does not ask, such as 250", questions[:1], annotations)
    refused(
        r"questions\[1\]: question 250 is about image 9", [questions[0], {**questions[1], "image_id": 9}], annotations
    )
    refused(r"annotations\[2\]: answers question 90 once more", questions, [*annotations, annotations[1]])
    refused(r"questions\[1\]: has an empty question", [questions[0], {**questions[1], "question": ""}], annotations)
    refused(r"questions\[0\]: has no answer", questions, [annotations[0], {**annotations[1], "answers": []}])
    refused(r"questions\[2\]: is question '90', and so is questions\[0\]", [*questions, questions[0]], annotations)
    refused("no list 'annotations'", questions, None)
    paths = write_vqa(tmp_path, questions, annotations)
    with pytest.raises(FileError, match="holds questions without answers: give annotations="):
        read_questions(paths[0], coco)
    with pytest.raises(FileError, match="holds VQA v2's answers: name the file of questions"):
        read_questions(paths[1], coco)
    paths[0].write_text(json.dumps({"questions": questions}, indent=1)[:-60])
    with pytest.raises(FileError, match=r"v2_questions.json:\d+: is not whole JSON .*: copy it again"):
        read_questions(paths[0], coco, annotations=paths[1])


# easy-VQA


def test_the_original_layout_of_easy_vqa(tmp_path):
    for split in ("train", "test"):
        write_folder(tmp_path / split / "images", ["0.png", "1.png"])
        (tmp_path / split / "questions.json").write_text(
            json.dumps([["what shape is it?", split, 1], ["is it?", "no", 0]])
        )
    (tmp_path / "answers.txt").write_text("circle\n")
    questions = read_questions(tmp_path)
    assert (questions.answers, questions.places.tolist()) == ([("train",), ("no",)], [1, 0])
    assert read_questions(tmp_path, split="test").answers[0] == ("test",)
    assert read_questions(tmp_path / "test").answers[0] == ("test",)
    assert read_questions(tmp_path / "test" / "questions.json").answers[0] == ("test",)
    (tmp_path / "test" / "questions.json").write_text(json.dumps([["what ?", "red"]]))
    with pytest.raises(FileError, match=r"questions.json: \[0\]: expected \[question, answer, image number\], found"):
        read_questions(tmp_path, split="test")


# Saved by datasets


@pytest.mark.slow
def test_a_saved_data_set_has_each_picture_once(tmp_path):
    datasets = pytest.importorskip("datasets")
    features = datasets.Features(
        {"image": datasets.Image(), "question": datasets.Value("string"), "answers": [datasets.Value("string")]}
    )
    pictures = [Image.fromarray(picture(number)) for number in (3, 5, 3)]
    rows = {"image": pictures, "question": ["one ?", "two ?", "three ?"], "answers": [["a"], ["b", "b"], ["c"]]}
    datasets.Dataset.from_dict(rows, features=features).save_to_disk(str(tmp_path / "saved"))
    questions = read_questions(tmp_path / "saved")
    assert (len(questions.images), questions.places.tolist()) == (2, [0, 1, 0])
    assert shown(questions) == [picture(number)[0, 0].tolist() for number in (3, 5, 3)]
    assert questions.answers == [("a",), ("b", "b"), ("c",)]
    rows["question"][1] = ""
    datasets.Dataset.from_dict(rows, features=features).save_to_disk(str(tmp_path / "saved"))
    with pytest.raises(FileError, match="saved: row 1: has an empty question"):
        read_questions(tmp_path / "saved")


# Real data


def head_of(path, count, opened):
    with opened(path, "rt") as stream:
        return [json.loads(next(stream)) for _ in range(count)]


def test_daquar_by_numbers(shared_data, tmp_path):
    rows = head_of(shared_data / "vqa/daquar_test.jsonl", 40, open)
    wanted = {f"{row['image']}.jpg" for row in rows}
    archive = shared_data / "vqa/daquar_images_96x128.zip"
    with zipfile.ZipFile(archive) as whole, zipfile.ZipFile(tmp_path / "some.zip", "w") as some:
        for name in wanted:
            some.writestr(name, whole.read(name))
    questions = read_questions(write_lines(tmp_path / "q.jsonl", rows), tmp_path / "some.zip")
    assert [questions.image_name(number) for number in range(40)] == [f"{row['image']}.jpg" for row in rows]
    assert questions.images.shape == (3, 96, 128)
    assert questions.main_answers[0] == "garbage_bin"


def test_easy_vqa_by_ids(shared_data, tmp_path):
    rows = head_of(shared_data / "vqa/easyvqa_test.jsonl.gz", 40, gzip.open)
    with np.load(shared_data / "vqa/easyvqa_test_images.npz") as arrays:
        pixels = arrays["x"][:10]
    # In another order than their ids'.
    np.savez(tmp_path / "q_images.npz", x=pixels[::-1], ids=np.arange(10)[::-1])
    questions = read_questions(write_lines(tmp_path / "q.jsonl", rows))
    for number, row in enumerate(rows):
        found = questions.images.pixels[questions.places[number]]
        np.testing.assert_array_equal(found.transpose(1, 2, 0), pixels[row["image"]])
