"""Models that answer questions about images: what they compute, what their runs keep, and what their scores say."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from answerer_toys import ask_of_halves, short, small

from multimodal.answerers.answerer import Answerer
from multimodal.answerers.configuration import ImageNetworkConfig, QuestionNetworkConfig
from multimodal.answerers.evaluation import TRAINED_SO, evaluate_answerer, measure_lead
from multimodal.answerers.examples import AskedImages
from multimodal.answerers.network import AnswererNetwork
from multimodal.answerers.question_network import QuestionNetwork
from multimodal.answerers.training import train_answerer
from multimodal.answerers.words import PADDING, UNKNOWN, QuestionWords, fit_words, split_words
from multimodal.questions.splits import SharedImagesWarning, split_questions
from multimodal.questions.vocabulary import fit_answers, soft_targets, unseen_share
from nlprep.core.errors import FileError, NlprepError, OptionError
from nlprep.embeddings.word_vectors import WordVectors
from vision.backbones.configuration import BackboneConfig
from vision.encoders.image_encoder import ImageEncoder
from vision.images.collection import Images
from vision.images.preprocessing import Preprocessing
from vision.models.files import SavedModel, build


@pytest.fixture(scope="module")
def questions():
    return ask_of_halves()


@pytest.fixture(scope="module")
def run(questions, tmp_path_factory):
    return train_answerer(questions, tmp_path_factory.mktemp("answerer") / "run", config=small(), training=short())


@pytest.fixture(scope="module")
def answerer(run):
    return run.answerer


def encoder_of(kind="residual", seed=1):
    """With batch norm, which is what moves if nobody takes care."""
    config = BackboneConfig(kind=kind, width=8, norm="batch" if kind == "residual" else "group")
    model = build(None, (3, 8, 8), config, seed=seed).eval()
    return ImageEncoder(SavedModel(model=model, config=config, preprocessing=Preprocessing(height=8, width=8)))


def state_of(module):
    return {name: tensor.clone() for name, tensor in module.state_dict().items()}


def same_states(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


# Words


def test_words_are_those_of_the_training_questions_and_every_row_has_one():
    vocabulary = fit_words(["What's that ?", "what's THIS", "a what's"], minimum=2)
    assert vocabulary.words == ["what's"]
    words = QuestionWords(vocabulary)
    assert words.numbers(["What's this?", "?"]).tolist() == [[2, UNKNOWN], [UNKNOWN, PADDING]]
    assert words.unknown("what's new") == ["new"]
    assert len(words) == 3
    assert split_words("it's 2-2") == ["it's", "2", "2"]


def test_a_question_is_read_at_its_last_word_whatever_is_behind_it():
    network = QuestionNetwork(9, QuestionNetworkConfig(dimension=4, width=5)).eval()
    short_one = torch.tensor([[3, 4]])
    beside = torch.tensor([[3, 4, 0, 0, 0], [5, 6, 7, 8, 2], [3, 4, 0, 0, 0]])
    alone, together = network(short_one), network(beside)
    torch.testing.assert_close(together[0], alone[0])
    assert torch.equal(together[0], together[2])
    # The slow reference: word after word, no padding.
    state = torch.zeros(1, 1, 5)
    for word in (3, 4):
        _, state = network.recurrent(network.vectors(torch.tensor([[word]])), state)
    torch.testing.assert_close(alone[0], state[0, 0])
    assert not torch.allclose(network(torch.tensor([[4, 3]]))[0], alone[0])


# Examples and losses


def test_a_batch_is_images_with_all_of_their_questions(questions):
    words, answers = QuestionWords(fit_words(questions.texts)), fit_answers(questions)
    examples = AskedImages(questions, words, answers)
    batch = examples.batch(np.array([1, 0]), np.zeros(2, np.uint64))
    assert len(examples) == 24
    np.testing.assert_array_equal(batch["images"], questions.images.pixels[[1, 0]])
    asked = batch["words"][..., 0] != PADDING
    # The first image has three questions, the second two.
    assert asked.tolist() == [[True, True, False], [True, True, True]]
    numbers = [3, 4, 0, 1, 2]
    np.testing.assert_array_equal(batch["words"][asked], words.numbers([questions.texts[number] for number in numbers]))
    dense = torch.zeros(5, len(answers) + 1).scatter_(1, batch["answers"][asked] % (len(answers) + 1), 1.0)
    np.testing.assert_array_equal(dense[:, :-1], soft_targets(questions, answers, np.array(numbers)))


def test_answers_are_learned_by_the_share_of_people_and_unseen_ones_stay_in_the_mean(questions):
    few = questions.select(np.arange(3))
    people = replace(few, answers=[("red", "red", "red", "blue"), ("mauve",) * 4, ("blue", "mauve", "mauve", "red")])
    answers = fit_answers(replace(few, answers=[("red",), ("blue",), ("red",)]))
    words = QuestionWords(fit_words(few.texts))
    network = AnswererNetwork(small(), num_words=len(words), num_answers=len(answers), shape=(3, 8, 8)).eval()
    batch = AskedImages(people, words, answers).batch(np.arange(1), np.zeros(1, np.uint64))
    losses = network(**batch)
    features = network.image_features(batch["images"])
    scores = network.scores(features, batch["words"][0], torch.zeros(3, dtype=torch.int64))
    log = scores.log_softmax(1)
    red, blue = answers.index("red"), answers.index("blue")
    wanted = -(0.75 * log[0, red] + 0.25 * log[0, blue] + 0.25 * log[2, blue] + 0.25 * log[2, red]) / 3
    torch.testing.assert_close(losses["loss"], wanted)
    best = scores.argmax(1).tolist()
    # Of four people, each who agrees is worth a third, of every choice of three of them.
    worth = [{red: 1.0, blue: 0.25}[best[0]], 0.0, {red: 0.25, blue: 0.25}[best[2]]]
    assert losses["mistakes"].item() == pytest.approx(1 - sum(worth) / 3)
    assert network.step().weight(batch) == 3


@pytest.mark.parametrize("pooling", ["mean", "max", "mean-max", "all"])
def test_a_network_of_images_gives_one_grid_and_one_vector_for_any_image(pooling):
    config = replace(small("mlp"), image=ImageNetworkConfig(width=4, layers=3, strided=2, pooling=pooling))
    network = AnswererNetwork(config, num_words=4, num_answers=3, shape=(1, 9, 6))
    found = network.image_features(torch.zeros(2, 1, 9, 6, dtype=torch.uint8))
    assert found.shape == (2, network.fusion.image_dimension)
    gridded = AnswererNetwork(replace(config, fusion=small().fusion), num_words=4, num_answers=3, shape=(1, 9, 6))
    assert gridded.image_features(torch.zeros(2, 1, 9, 6, dtype=torch.uint8)).shape == (2, 3, 2, 4)
    with pytest.raises(OptionError, match=r"halved 2 times"):
        AnswererNetwork(
            replace(config, image=ImageNetworkConfig(strided=3)), num_words=4, num_answers=3, shape=(3, 4, 4)
        )


def test_weights_are_the_seed_s_and_the_caller_s_random_state_is_left_alone():
    torch.manual_seed(3)
    before = torch.random.get_rng_state()
    one, other, third = (
        AnswererNetwork(small(), num_words=4, num_answers=3, shape=(3, 8, 8), seed=seed) for seed in (1, 1, 2)
    )
    assert torch.equal(before, torch.random.get_rng_state())
    assert same_states(one.state_dict(), other.state_dict())
    assert not torch.equal(one.head[0].weight, third.head[0].weight)


@pytest.mark.parametrize("sees", ["question", "image"])
def test_a_model_of_one_side_is_blind_to_the_other_and_learns_all_that_it_has(sees, questions):
    words, answers = QuestionWords(fit_words(questions.texts)), fit_answers(questions)
    network = AnswererNetwork(small(sees=sees), num_words=len(words), num_answers=len(answers), shape=(3, 8, 8))
    batch = AskedImages(questions, words, answers, blind=sees == "question").batch(np.arange(4), np.zeros(4, np.uint64))
    network(**batch)["loss"].backward()
    # All maps of a place that says the same everywhere are one map.
    useless = ("fusion.scores", "fusion.from_text", "fusion.from_place") if sees == "question" else ()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().max() > 0 or name.startswith(useless), name
    other = dict(batch)
    if sees == "image":
        other["words"] = torch.where(batch["words"] != PADDING, UNKNOWN, PADDING)
        network.eval()
        assert network(**other)["loss"].item() == pytest.approx(network(**batch)["loss"].item())


# Runs


def test_a_run_keeps_a_model_that_answers_alike_wherever_it_is_opened(run, answerer, questions):
    opened = Answerer.from_directory(run.directory)
    assert opened.temperature == answerer.temperature
    assert opened.notes["steps"] == 6
    np.testing.assert_array_equal(opened.scores(questions), answerer.scores(questions))
    np.testing.assert_array_equal(opened.seen, answerer.seen)
    said = opened.answer(questions.images.pixels[0], questions.texts[0], number=3)
    whole = answerer.answer_questions(questions)
    assert said.answer == whole.answers[0]
    assert said.probability == pytest.approx(whole.confidences[0])
    assert [said.answer, said.probability] == list(said.ranking[0])
    assert len(said.ranking) == 3
    assert sum(share for _, share in opened.answer(questions.images.pixels[0], "half ?", number=9).ranking) == (
        pytest.approx(1)
    )
    assert opened.answer(questions.images.pixels[0], "zebra half").unknown_words == ("zebra",)
    shares = opened.look(questions.images.pixels[0], questions.texts[0])
    assert shares.shape == (2, 4, 4)
    np.testing.assert_allclose(shares.sum((1, 2)), 1, rtol=1e-5)


def test_batches_order_and_encoding_change_no_answer(answerer, questions):
    before = state_of(answerer.network)
    found = answerer.scores(questions)
    np.testing.assert_allclose(answerer.scores(questions, batch_size=1), found, atol=1e-5)
    order = np.random.default_rng(2).permutation(len(questions))
    np.testing.assert_allclose(answerer.scores(questions.select(order)), found[order], atol=1e-5)
    # Beside a question that is longer, so that this one is padded.
    longer = replace(questions, texts=[questions.texts[0], *["so " * 9 + text for text in questions.texts[1:]]])
    np.testing.assert_allclose(answerer.scores(longer)[0], found[0], atol=1e-5)
    assert same_states(before, answerer.network.state_dict())
    assert not answerer.network.training


@pytest.mark.slow
def test_words_answers_and_weights_are_of_training_images_alone(questions, tmp_path):
    trained, held = split_questions(questions, 0.2)
    held = replace(held, answers=[("purple",)] * len(held), texts=["which shade"] * len(held))
    run = train_answerer(
        trained, tmp_path / "run", config=small(), training=short(2), validation=held, question_only=False
    )
    assert "purple" not in run.answerer.vocabulary
    assert "shade" not in run.answerer.words.vocabulary
    assert run.summary["unseen_answers"] == unseen_share(held, run.answerer.vocabulary) == 1
    # They count, as wrong.
    assert run.summary["validation_accuracy"] == 0
    report = evaluate_answerer(run.answerer, held).report
    assert (report.whole.exact.value, report.unseen, report.whole.questions) == (0, 1, len(held))
    with pytest.warns(SharedImagesWarning, match="on both sides"):
        train_answerer(
            trained, tmp_path / "both", config=small(), training=short(1), validation=trained, question_only=False
        )


@pytest.mark.slow
def test_a_run_that_was_stopped_ends_with_the_same_bits(questions, run, tmp_path, monkeypatch):
    real = AskedImages.batch
    calls = []

    def stopping(self, indices, seeds):
        calls.append(len(indices))
        if len(calls) == 6 and len(indices) == 4:
            raise KeyboardInterrupt
        return real(self, indices, seeds)

    monkeypatch.setattr(AskedImages, "batch", stopping)
    settings = short(checkpoint_every=1)
    with pytest.raises(KeyboardInterrupt):
        train_answerer(questions, tmp_path / "run", config=small(), training=settings)
    monkeypatch.setattr(AskedImages, "batch", real)
    again = train_answerer(questions, tmp_path / "run", config=small(), training=settings, resume="must")
    assert again.summary["resumed_from"] is not None
    assert same_states(again.answerer.network.state_dict(), run.answerer.network.state_dict())
    assert again.question_only is not None
    assert same_states(
        again.question_only.answerer.network.state_dict(), run.question_only.answerer.network.state_dict()
    )
    with pytest.raises(OptionError, match="questions"):
        train_answerer(ask_of_halves(seed=1), tmp_path / "run", config=small(), training=settings)
    with pytest.raises(OptionError, match="kind"):
        train_answerer(questions, tmp_path / "run", config=small("film"), training=settings)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["attention", "mlp"])
def test_an_encoder_that_is_given_stays_as_it_is_and_is_saved_with_the_model(kind, questions, tmp_path):
    encoder = encoder_of()
    before = state_of(encoder.module)
    run = train_answerer(
        questions, tmp_path / "run", config=small(kind), encoder=encoder, training=short(2), question_only=False
    )
    assert same_states(before, encoder.module.state_dict())
    found = run.answerer.scores(questions)
    assert same_states(before, encoder.module.state_dict())
    opened = Answerer.from_directory(tmp_path / "run")
    np.testing.assert_allclose(opened.scores(questions), found, atol=1e-5)
    # What was kept on disk is what is computed now.
    words, answers = run.answerer.words, run.answerer.vocabulary
    from multimodal.questions.features import encode_images

    kept = encode_images(questions.images, encoder, tmp_path / "kept", grids=kind == "attention")
    batch = AskedImages(questions, words, answers, features=kept, gridded=kind == "attention").batch(
        np.array([3]), np.zeros(1, np.uint64)
    )
    features = run.answerer.network.image_features(batch["images"])
    asked = torch.from_numpy(words.numbers([questions.texts[0]]))
    scores = run.answerer.network.scores(features, asked, torch.zeros(1, dtype=torch.int64)).detach()
    wanted = run.answerer.scores(replace(questions.select(np.array([0])), places=np.array([3])))
    np.testing.assert_allclose(scores, wanted, atol=1e-5)
    with pytest.raises(OptionError, match="encoder"):
        train_answerer(
            questions, tmp_path / "run", config=small(kind), encoder=encoder_of(seed=2), training=short(2),
            question_only=False,
        )  # fmt: skip


def test_words_begin_with_the_vectors_that_they_have(questions, tmp_path):
    vectors = WordVectors(["half", "zebra"], np.arange(16, dtype=np.float32).reshape(2, 8))
    training = short(1, learning_rate=1e-12, weight_decay=0.0)
    run = train_answerer(
        questions, tmp_path / "run", config=small("mlp"), word_vectors=vectors, training=training, question_only=False
    )
    table = run.answerer.network.words.vectors.weight.detach()
    place = run.answerer.words.numbers(["half"])[0, 0]
    np.testing.assert_allclose(table[place], vectors.matrix[0], atol=1e-6)
    assert abs(table[place + 1]).max() < 7
    with pytest.raises(OptionError, match="have 3 numbers"):
        train_answerer(
            questions, tmp_path / "other", config=small("mlp"), training=training,
            word_vectors=WordVectors(["half"], np.ones((1, 3), np.float32)),
        )  # fmt: skip


# Scores beside their controls


def test_a_score_stands_beside_its_controls(run, questions):
    # All but those that were held out.
    with pytest.warns(SharedImagesWarning, match="22 of 24 images are among those"):
        found = evaluate_answerer(run.answerer, questions, question_only=run.question_only.answerer, mistakes=3)
    assert found.to_dict()["seen_images"] == 22
    controls = {control.name: control for control in found.controls}
    assert list(controls)[1:] == ["question only", "image only", "shuffled images"]
    assert controls["question only"].made == TRAINED_SO
    soft = found.report.whole.soft.value
    for control in found.controls:
        assert control.lead.value == pytest.approx(soft - control.score.soft.value)
    assert len(found.mistakes) <= 3
    assert found.to_dict()["verdict"] == found.verdict
    assert [one["name"] for one in found.to_dict()["controls"]] == list(controls)
    with pytest.raises(OptionError, match="sees both"):
        evaluate_answerer(run.answerer, questions, question_only=run.answerer)
    assert run.question_only.answerer.answer("gone.png", questions.texts[0]).answer in run.answerer.vocabulary
    alone = evaluate_answerer(replace(run.question_only.answerer, seen=None), questions)
    assert "control" in alone.verdict
    assert [control.name for control in alone.controls][1:] == ["image only"]


class Told:
    """What answers as it is told."""

    def __init__(self, answerer, answers):
        self.answers, self.config, self.vocabulary = answers, answerer.config, answerer.vocabulary
        self.seen = None

    def answer_questions(self, questions, **_):
        from multimodal.answerers.answerer import GivenAnswers

        return GivenAnswers(tuple(self.answers(questions)), np.ones(len(questions)))


def test_the_verdict_says_whether_the_images_were_of_use(run, questions):
    blind = run.question_only.answerer
    right = Told(run.answerer, lambda asked: [given[0] if asked is questions else "?" for given in asked.answers])
    assert evaluate_answerer(right, questions, question_only=blind).verdict.startswith("The images are of use")
    # As right with others' images: whatever made it better than the other model, the images did not.
    lucky = Told(run.answerer, lambda asked: [given[0] for given in asked.answers])
    said = evaluate_answerer(lucky, questions, question_only=blind).verdict
    assert said.startswith("The images are not looked at: with others in their places")
    same = Told(run.answerer, lambda asked: blind.answer_questions(asked).answers)
    said = evaluate_answerer(same, questions, question_only=blind).verdict
    assert said.startswith("The images add nothing")
    wrong = Told(run.answerer, lambda asked: ["mauve"] * len(asked))
    assert evaluate_answerer(wrong, questions, question_only=blind).verdict.startswith("The images do harm")


def test_a_lead_takes_images_to_be_independent():
    draws = np.random.default_rng(0)
    clusters = np.repeat(np.arange(200), 5)
    first = np.repeat(draws.random(200) < 0.7, 5).astype(float)
    second = np.repeat(draws.random(200) < 0.5, 5).astype(float)
    found = measure_lead(first, second, clusters)
    each = (first - second)[::5]
    assert found.value == pytest.approx(each.mean())
    assert found.high - found.value == pytest.approx(1.96 * each.std(ddof=1) / 200**0.5, rel=1e-3)
    assert measure_lead(first, second, np.zeros(1000, int)).low == -1


@pytest.mark.slow
def test_images_are_of_use_where_they_are_looked_at(tmp_path):
    questions = ask_of_halves(60)
    config = replace(small(), image=ImageNetworkConfig(width=16, layers=2, strided=2))
    made = train_answerer(
        questions, tmp_path / "run", config=config, question_only=False, validation=ask_of_halves(20, seed=5),
        training=short(80, batch_size=10, evaluate_every=80),
    )  # fmt: skip
    found = evaluate_answerer(made.answerer, ask_of_halves(30, seed=7))
    assert found.seen_images == 0
    assert found.report.whole.exact.value > 0.8
    assert found.verdict.startswith("The images are of use")
    shuffled = next(control for control in found.controls if control.name == "shuffled images")
    assert shuffled.score.exact.value < 0.6


# What cannot be


def test_what_cannot_be_is_refused_in_a_line(questions, answerer, tmp_path):
    with pytest.raises(NlprepError, match="has no answers"):
        train_answerer(replace(questions, answers=None), tmp_path / "run")
    alike = replace(questions, answers=[("yes",)] * len(questions))
    with pytest.raises(NlprepError, match=r"one answer, 'yes'"):
        train_answerer(alike, tmp_path / "run", config=small(), training=short())
    other = replace(questions, images=Images(np.zeros((24, 3, 6, 8), np.uint8)))
    with pytest.raises(NlprepError, match=r"3 x 6 x 8 .* 3 x 8 x 8"):
        train_answerer(questions, tmp_path / "run", config=small(), training=short(), validation=other)
    with pytest.raises(NlprepError, match="empty question"):
        answerer.answer(questions.images.pixels[0], " ")
    with pytest.raises(FileError, match=r"gone\.png"):
        answerer.answer(tmp_path / "gone.png", "what ?")
    with pytest.raises(OptionError, match="number = 0"):
        answerer.answer(questions.images.pixels[0], "what ?", number=0)
    with pytest.raises(OptionError, match="cannot say where it looked"):
        plain = AnswererNetwork(small("mlp"), num_words=4, num_answers=3, shape=(3, 8, 8))
        replace(answerer, network=plain).look(questions.images.pixels[0], "what ?")
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileError, match="holds no model that answers"):
        Answerer.from_directory(tmp_path / "empty")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "I;16"])
def test_pictures_of_any_kind_are_answered_about(mode, answerer, tmp_path):
    from PIL import Image

    pixels = np.arange(100, dtype=np.uint8).reshape(10, 10)
    picture = (
        Image.fromarray(pixels.astype(np.uint16) * 257) if mode == "I;16" else Image.fromarray(pixels).convert(mode)
    )
    picture.save(tmp_path / "one.png")
    assert answerer.answer(tmp_path / "one.png", "what colour is the left half ?").answer in answerer.vocabulary
