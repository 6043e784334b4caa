"""Fine-tune a model that answers questions about images, in one process or several.

    python -m multimodal.finetune train.jsonl --images photos/ --output run
    accelerate launch --multi_gpu --num_processes 2 -m multimodal.finetune train.jsonl --images photos/ --output run

It reads questions, trains (`multimodal.answerers.training.train_answerer`) and prints the run's summary as JSON. Every
setting of the model and of training is an option, those of parts with the part's name before them: ``--fusion-kind
mlp``, ``--question-width 256``, ``--steps 4000``. ``rep-vqa train`` is the same with tables, remarks and completion.
"""

from __future__ import annotations

import argparse
import json
import sys
from typing import TYPE_CHECKING, Any

from multimodal.answerers.configuration import AnswererConfig
from nlprep.core.configuration import bounds_of, from_mapping, nest, settings_of, to_mapping, value_types
from nlprep.core.errors import NlprepError
from nlprep.core.training.configuration import TrainingConfig

if TYPE_CHECKING:
    from nlprep.core.configuration import Setting

_SAID = {"yes": True, "true": True, "no": False, "false": False}


def main(argv: list[str] | None = None) -> int:
    """Train by the words of a command line.

    Args:
        argv: The words; those of the process if None.

    Returns:
        The exit status: 0, 2 for an error that the user can mend, 130 after Ctrl-C.
    """
    import os

    given = vars(_parser().parse_args(argv))
    speaks = os.environ.get("RANK", "0") == "0"
    try:
        summary = _run(given)
    except NlprepError as error:
        if speaks:
            print(f"multimodal.finetune: error: {' '.join(str(error).split())}", file=sys.stderr)  # noqa: T201
        return 2
    except KeyboardInterrupt as interrupt:
        if speaks:
            print(f"multimodal.finetune: interrupted: {interrupt}", file=sys.stderr)  # noqa: T201
        return 130
    if speaks:
        print(json.dumps(summary, indent=2))  # noqa: T201
    return 0


def _run(given: dict[str, Any]) -> dict[str, Any]:
    from multimodal.answerers.training import default_training, train_answerer
    from multimodal.questions.reading import read_questions
    from vision.images.configuration import PreprocessingConfig

    config = _filled(AnswererConfig, given, {})
    wanted = PreprocessingConfig(height=given["height"], width=given["width"])
    questions = read_questions(
        given["data"], given["images"], annotations=given["annotations"], split=given["split"], preprocessing=wanted
    )
    training = _filled(TrainingConfig, given, to_mapping(default_training(len(questions.image_places))))
    run = train_answerer(
        questions, given["output"], config=config, encoder=given["encoder"], training=training,
        validation=given["validation"],
    )  # fmt: skip
    return {"output": str(run.directory), **run.summary}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "python -m multimodal.finetune", description="Fine-tune a model that answers questions about images.",
        formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False,
    )  # fmt: skip
    parser.add_argument("data", help="questions with answers, as rep-vqa train takes them")
    parser.add_argument("--images", help="their images, if they do not lie beside them")
    parser.add_argument("--annotations", help="VQA v2's file of answers")
    parser.add_argument("--split", help="which of the data's splits")
    parser.add_argument("--output", required=True, help="directory for everything")
    parser.add_argument("--encoder", help="a model of images that makes their features")
    parser.add_argument("--validation", type=float, default=0.1, help="share of the images that is held out")
    parser.add_argument("--height", type=int, help="pixels of images from top to bottom")
    parser.add_argument("--width", type=int, help="pixels of images from left to right")
    for kind in (AnswererConfig, TrainingConfig):
        group = parser.add_argument_group(kind.__name__)
        for setting in settings_of(kind):
            hint, _ = value_types(setting.owner, setting.field.name)
            group.add_argument(
                f"--{setting.name.replace('_', '-')}",
                default=argparse.SUPPRESS,
                help=bounds_of(setting.field).help.replace("%", "%%"),
                metavar=hint.__name__,
            )
    return parser


def _filled(kind: type, given: dict[str, Any], defaults: dict[str, Any]) -> Any:
    """A configuration of the options that were given, over defaults."""
    settings = settings_of(kind)
    values = dict(defaults)
    for setting in settings:
        if setting.name in given:
            values[setting.name] = _value(setting, given[setting.name])
            # The default would win over what is said in another way.
            if setting.name == "epochs" and "steps" not in given:
                values["steps"] = None
    return from_mapping(kind, nest(settings, values), where="command line")


def _value(setting: Setting, word: str) -> Any:
    hint, optional = value_types(setting.owner, setting.field.name)
    if optional and word.lower() == "none":
        return None
    if hint is bool:
        return _SAID.get(word.lower(), word)
    if hint is str:
        return word
    try:
        return hint(word)
    except ValueError:
        # Refused by the configuration's own check, which names the option.
        return word


if __name__ == "__main__":
    sys.exit(main())
