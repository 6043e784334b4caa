"""Training a model that answers questions about images, by the one loop and the one recipe around it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from multimodal.answerers.configuration import BOTH, QUESTION, AnswererConfig
from nlprep.core.errors import NlprepError, OptionError
from nlprep.core.training.configuration import TrainingConfig
from nlprep.core.training.recipe import FinishedRun, prepare_run

if TYPE_CHECKING:
    import os
    from typing import Unpack

    from multimodal.answerers.answerer import Answerer
    from multimodal.answerers.network import AnswererNetwork
    from multimodal.answerers.words import QuestionWords
    from multimodal.questions.collection import Questions
    from multimodal.questions.features import ImageFeatures
    from nlprep.core.training.recipe import RunArguments, TrainingRun
    from nlprep.embeddings.word_vectors import WordVectors
    from nlprep.vocabulary import Vocabulary
    from vision.encoders.image_encoder import ImageEncoder
    from vision.images.preprocessing import Preprocessing

RUN = "answerer-training"
"""What the directories of runs are marked as."""
FEATURES = "features"
"""Where a run keeps the features that an encoder made of its images, if nothing else is named."""
QUESTION_ONLY = "question-only"
"""The run of the model that sees questions alone, in the directory of the run that it is the control of."""
DEFAULT = AnswererConfig()

_BATCH = 32
_FEWEST_STEPS, _MOST_STEPS, _EPOCHS = 400, 12_000, 12
_EVALUATIONS = 10
_CALIBRATED_ON = 20_000


@dataclass(frozen=True, kw_only=True)
class AnswererTraining(FinishedRun):
    """A finished run.

    Attributes:
        answerer: The model, on the device that it was trained on, in evaluation mode.
        question_only: The run of its control, which sees questions alone; None where that was not asked for.
    """

    answerer: Answerer
    question_only: AnswererTraining | None = None


def train_answerer(
    questions: Questions,
    directory: str | os.PathLike[str],
    *,
    config: AnswererConfig = DEFAULT,
    encoder: ImageEncoder | str | os.PathLike[str] | None = None,
    features: str | os.PathLike[str] | None = None,
    word_vectors: WordVectors | None = None,
    training: TrainingConfig | None = None,
    validation: Questions | float = 0.1,
    question_only: bool = True,
    **run: Unpack[RunArguments],
) -> AnswererTraining:
    """Train a model that answers questions about images; the same call again goes on where it was stopped.

    ::

        run = train_answerer(read_questions("train.jsonl"), "run")
        print(run.answerer.answer("kitchen.jpg", "what is on the table?"))

    The words and the answers that it knows are those of the questions trained on, and of no others. The weights that
    are kept are those with the fewest mistakes on held-out images, on which the temperature of probabilities is fitted
    afterwards. Batches are images with all of their questions, each image computed once.

    Args:
        questions: With answers.
        directory: The run's directory (see `nlprep.core.training.recipe`).
        config: The model's settings.
        encoder: What makes features of images, in place of a network that is trained from nothing; a model of
            `vision`, or its directory, or that of one of the transformers library. It stays as it is; images are
            encoded once, and it is saved with the model.
        features: Where features are kept (`multimodal.questions.features.encode_images`); default: in the run's
            directory.
        word_vectors: What the vectors of words begin as; of words that have none, as they are drawn.
        training: The loop's settings, whose examples are images; default: `default_training`.
        validation: Questions about other images, or the share of images that is held out, with all their questions.
        question_only: Whether a model that sees questions alone is trained beside, in ``directory/question-only``.
        **run: As `nlprep.core.training.recipe.RunArguments`.

    Returns:
        The run; its model is also in ``directory/model``, which `Answerer.from_directory` opens.

    Warns:
        SharedImagesWarning: Validation questions are about images that are trained on.

    Raises:
        NlprepError: Questions without answers, all with the same, fewer than two images, or as `prepare_run` and `fit`.
        OptionError: Settings that do not fit each other, or as `prepare_run`.
        FileError: As the encoder's directory.
    """
    from multimodal.answerers.answerer import check_answers
    from multimodal.answerers.words import QuestionWords, fit_words
    from multimodal.questions.vocabulary import fit_answers

    questions.required_answers("to learn from")
    if isinstance(encoder, str) or hasattr(encoder, "__fspath__"):
        from vision.encoders.image_encoder import ImageEncoder

        encoder = ImageEncoder.from_directory(encoder)  # type: ignore[arg-type]
    seed = 1 if training is None else training.seed
    trained, held = _parted(questions, validation, seed=seed)
    vocabulary = fit_answers(trained, config.answers)
    check_answers(vocabulary)
    words = QuestionWords(fit_words(trained.texts, minimum=config.question.minimum))
    training = _settled(training or default_training(len(trained.image_places)), len(trained.image_places))
    data = {
        "questions": digest_questions(questions),
        "held_out": float(validation) if isinstance(validation, int | float) else digest_questions(validation),
        "word_vectors": None if word_vectors is None else _digest_vectors(word_vectors, words.vocabulary),
    }
    parts = _Parts(trained, held, words, vocabulary, word_vectors, encoder, data)
    made = _train(parts, directory, config, training, features, **run)
    if not question_only or config.sees != BOTH:
        return made
    beside = {name: value for name, value in run.items() if name not in ("overwrite", "resume")}
    blind = replace(parts, encoder=None)
    control = _train(
        blind, made.directory / QUESTION_ONLY, replace(config, sees=QUESTION), training, None,
        **beside,  # type: ignore[arg-type]
    )  # fmt: skip
    summary = made.summary | {"question_only": control.summary["validation"]}
    return replace(made, summary=summary, question_only=control)


def default_training(images: int) -> TrainingConfig:
    """Settings that suit such models.

    Args:
        images: To train on.
    """
    steps = min(_MOST_STEPS, max(_FEWEST_STEPS, -(-images * _EPOCHS // _BATCH)))
    return TrainingConfig(
        steps=steps, batch_size=min(_BATCH, images), learning_rate=1e-3, final_learning_rate=0.01, weight_decay=1e-2,
        beta2=0.999,
    )  # fmt: skip


def digest_questions(questions: Questions) -> str:
    """What tells questions from others: a digest of what is asked of which image, the answers, and the images."""
    from vision.training import digest_images

    found = hashlib.sha256(digest_images(questions.images, labels=False).encode())
    found.update(np.ascontiguousarray(questions.places).data)
    for text, given in zip(questions.texts, questions.answers or [()] * len(questions), strict=True):
        found.update("\0".join((text, *given, "\n")).encode())
    return found.hexdigest()[:32]


@dataclass(frozen=True)
class _Parts:
    """What several models are trained on alike."""

    trained: Questions
    held: Questions | None
    words: QuestionWords
    vocabulary: Vocabulary
    word_vectors: WordVectors | None
    encoder: ImageEncoder | None
    data: dict[str, Any]


def _train(
    parts: _Parts,
    directory: str | os.PathLike[str],
    config: AnswererConfig,
    training: TrainingConfig,
    features: str | os.PathLike[str] | None,
    **run: Unpack[RunArguments],
) -> AnswererTraining:
    from multimodal.answerers.answerer import Answerer
    from multimodal.answerers.examples import AskedImages
    from multimodal.answerers.files import ANSWERER, save_answerer
    from multimodal.fusions.methods import takes_grids
    from multimodal.questions.image_content import image_digests
    from vision.images.preprocessing import Preprocessing

    images, encoder = parts.trained.images, parts.encoder
    channels, height, width = images.shape
    own = images.preprocessing or Preprocessing(channels=channels, height=height, width=width)
    preprocessing: Preprocessing = own if encoder is None else encoder.saved.preprocessing
    data = dict(parts.data)
    if encoder is not None:
        from vision.encoders.digests import encoder_digest

        data["encoder"] = encoder_digest(encoder)
    gridded = takes_grids(config.fusion.kind)
    settings = {"answerer": config, "preprocessing": preprocessing}
    with prepare_run(
        directory, kind=RUN, result=ANSWERER, settings=settings, training=training, data=data,
        keeps=(FEATURES, QUESTION_ONLY), inputs=[] if features is None else [features], **run,
    ) as prepared:  # fmt: skip
        place = prepared.directory / FEATURES if features is None else Path(features)

        def examples_of(asked: Questions) -> AskedImages:
            made = None if encoder is None else _encoded(asked, encoder, place, gridded=gridded, prepared=prepared)
            return AskedImages(
                asked, parts.words, parts.vocabulary, features=made, gridded=gridded, blind=config.sees == QUESTION
            )

        examples = examples_of(parts.trained)
        held = None if parts.held is None else examples_of(parts.held)
        network = _network(parts, config, preprocessing, examples.features, gridded=gridded, seed=training.seed)
        history = prepared.fit(network.step(), examples, validation=held)
        network.eval()
        answerer = Answerer(
            network=network, words=parts.words, vocabulary=parts.vocabulary, preprocessing=preprocessing,
            encoder=encoder,
        )  # fmt: skip
        summary = prepared.summarise(history)
        summary = {**summary, **_told(answerer, parts, summary)}
        notes = {name: summary[name] for name in ("steps", "examples", "validation", "unseen_words", "unseen_answers")}
        seen = np.unique(image_digests(images, parts.trained.image_places))
        answerer = replace(answerer, temperature=_calibrated(answerer, parts.held), seen=seen, notes=notes)
        summary["temperature"] = answerer.temperature
        prepared.publish(lambda place: save_answerer(answerer, place))
    return AnswererTraining(directory=prepared.directory, history=history, summary=summary, answerer=answerer)


def _network(
    parts: _Parts,
    config: AnswererConfig,
    preprocessing: Preprocessing,
    encoded: ImageFeatures | None,
    *,
    gridded: bool,
    seed: int,
) -> AnswererNetwork:
    from multimodal.answerers.network import AnswererNetwork

    kept = None if encoded is None else encoded.grids if gridded else encoded.vectors
    network = AnswererNetwork(
        config, num_words=len(parts.words), num_answers=len(parts.vocabulary), shape=preprocessing.shape,
        features=None if kept is None else kept.shape[-1], seed=seed,
    )  # fmt: skip
    if parts.word_vectors is not None and network.words is not None:
        _begin_with(network, parts.words, parts.word_vectors)
    return network


def _begin_with(network: AnswererNetwork, words: QuestionWords, vectors: WordVectors) -> None:
    """Let words begin with the vectors that they have."""
    import torch

    from multimodal.answerers.words import RESERVED

    assert network.words is not None  # noqa: S101 - looked at by who calls
    table = network.words.vectors.weight
    if vectors.dimension != table.shape[1]:
        raise OptionError(
            f"dimension = {table.shape[1]}: the word vectors have {vectors.dimension} numbers: give question.dimension "
            "as many"
        )
    places = vectors.indices(words.vocabulary.words)
    known = np.flatnonzero(places >= 0)
    with torch.no_grad():
        table[torch.from_numpy(known) + RESERVED] = torch.from_numpy(np.array(vectors.matrix[places[known]]))


def _encoded(
    asked: Questions, encoder: ImageEncoder, place: Path, *, gridded: bool, prepared: TrainingRun
) -> ImageFeatures:
    """The features of the images that are asked about, made by the main process and opened by all."""
    from multimodal.questions.features import encode_images

    encoder = encoder.to(prepared.accelerator.device)
    if not prepared.accelerator.is_main_process:
        prepared.accelerator.wait_for_everyone()
    made = encode_images(
        asked.images, encoder, place, places=asked.image_places, grids=gridded, progress=prepared.progress
    )
    if prepared.accelerator.is_main_process:
        prepared.accelerator.wait_for_everyone()
    return made


def _parted(questions: Questions, validation: Questions | float, *, seed: int) -> tuple[Questions, Questions | None]:
    from multimodal.questions.splits import split_questions, warn_of_shared_images

    if not isinstance(validation, int | float):
        if not len(validation):
            raise NlprepError(f"{validation.source}: there are no questions to validate on: give some, or a share")
        validation.required_answers("to choose the weights by")
        if validation.images.shape != questions.images.shape:
            given, wanted = (" x ".join(map(str, one.images.shape)) for one in (validation, questions))
            raise NlprepError(
                f"{validation.source}: images of {given} (channels, height, width), and those to train on are "
                f"{wanted}: read them alike"
            )
        warn_of_shared_images(questions, validation)
        return questions, validation
    if validation == 0:
        return questions, None
    trained, held = split_questions(questions, validation, seed=seed)
    return trained, held


def _settled(training: TrainingConfig, images: int) -> TrainingConfig:
    if training.evaluate_every is not None:
        return training
    return replace(training, evaluate_every=max(1, -(-training.num_steps(images) // _EVALUATIONS)))


def _told(answerer: Answerer, parts: _Parts, summary: dict[str, Any]) -> dict[str, Any]:
    """What a summary says beside what all runs do."""
    from multimodal.questions.vocabulary import unseen_share

    held = parts.held
    accuracy = summary["validation"].get("mistakes")
    new = [] if held is None else [word for text in held.texts for word in answerer.words.unknown(text)]
    return {
        "fusion": answerer.config.fusion.kind,
        "sees": answerer.config.sees,
        "questions": len(parts.trained),
        "words": len(answerer.words.vocabulary),
        "answers": len(answerer.vocabulary),
        "validation_accuracy": None if accuracy is None else 1 - accuracy,
        "unseen_words": len(set(new)),
        "unseen_answers": None if held is None else unseen_share(held, answerer.vocabulary),
    }


def _calibrated(answerer: Answerer, held: Questions | None) -> float:
    """The temperature that held-out questions ask for; 1 where there are none whose answers are known."""
    from multimodal.questions.vocabulary import UNSEEN, answer_indices
    from nlprep.evaluation.calibration import fit_temperature

    if held is None:
        return 1.0
    truth = answer_indices(held, answerer.vocabulary)
    known = np.flatnonzero(truth != UNSEEN)[:_CALIBRATED_ON]
    if not len(known):
        return 1.0
    return fit_temperature(answerer.scores(held.select(known)), truth[known])


def _digest_vectors(vectors: WordVectors, words: Vocabulary) -> str:
    places = vectors.indices(words.words)
    found = hashlib.sha256(np.ascontiguousarray(places).data)
    found.update(np.ascontiguousarray(vectors.matrix[places[places >= 0]]).data)
    return found.hexdigest()[:32]
