"""``rep-pretrain evaluate``: how well a language model predicts a text, or answers questions from examples."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any

from cli.options import add_common_options, complete, positive_integer
from cli.pretrain_commands.inputs import (
    add_device,
    add_model,
    add_reading,
    add_text,
    documents_of,
    kind_of,
    load_model,
)
from nlprep.core.errors import OptionError

if TYPE_CHECKING:
    import argparse

    from cli.console import Console
    from cli.options import Parser

EPILOG = """\
examples:
  rep-pretrain evaluate gpt test.txt
  rep-pretrain evaluate bert test.txt --limit 500
  rep-pretrain evaluate gpt --task antonyms.jsonl --shots 0,1,4,16

Of a causal model: perplexity, which compares models of one tokenizer, and bits per byte,
which compare any. Of a masked one: pseudo-perplexity, every token hidden in turn, which
is slow. A task has lines such as {"input": "hot", "output": "cold"}, with "choices" if
the answer is one of some; a line {"description": "Give the opposite."} may stand first.
"""

_MASKED_LIMIT = 200


def add_arguments(parser: Parser) -> None:
    """Add the arguments of this command."""
    parser.epilog = EPILOG
    add_model(parser, "a language model")
    add_text(parser, required=False)
    parser.add_argument(
        "--limit",
        type=positive_integer,
        metavar="N",
        help=f"measure on the first N documents or questions (default: all; {_MASKED_LIMIT} documents if masked)",
    )
    add_reading(parser)
    group = parser.add_argument_group("few-shot prompting")
    complete(group.add_argument("--task", metavar="FILE.jsonl", help="questions with answers"))
    group.add_argument(
        "--shots", default="0,1,2,4,8", metavar="N,N,...", help="examples shown, to try (default: 0,1,2,4,8)"
    )
    group.add_argument(
        "--draws", type=positive_integer, default=1, metavar="N", help="choices of examples a question (default: 1)"
    )
    group.add_argument("--seed", type=int, default=1, metavar="N", help="seed of these choices (default: 1)")
    add_device(parser)
    add_common_options(parser)


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Measure."""
    from nlprep.core.threads import torch_threads

    if bool(arguments.text) == (arguments.task is not None):
        raise OptionError("give either text to predict or a --task to solve")
    shots = _shots(arguments.shots)
    kind = kind_of(arguments.model)
    if kind == "translation":
        raise OptionError(f"{arguments.model} translates: measure it with rep-pretrain finetune --test")
    with torch_threads(arguments.threads):
        if arguments.task is not None:
            return _evaluate_task(arguments, shots, console)
        return _evaluate_text(arguments, kind, console)


def _shots(text: str) -> list[int]:
    try:
        return sorted({int(part) for part in text.split(",")})
    except ValueError:
        raise OptionError(f"shots = {text!r}: give whole numbers with commas between them, such as 0,1,4") from None


def _evaluate_text(arguments: argparse.Namespace, kind: str, console: Console) -> int:
    from nlprep.language_models.generators.perplexity import measure_perplexity, measure_pseudo_perplexity

    model, tokenizer = load_model(arguments, kind)
    limit = arguments.limit or (_MASKED_LIMIT if kind == "masked" else None)
    documents = islice(documents_of(arguments, console), limit)
    result: dict[str, Any]
    if kind == "masked":
        result = measure_pseudo_perplexity(model, tokenizer, documents, progress=console.progress).to_dict()
    else:
        result = measure_perplexity(model, tokenizer, documents, progress=console.progress).to_dict()
    result["loss"] = result.pop("nats") / result["tokens"]
    if console.json_output:
        console.result({"model": arguments.model, "kind": kind} | result)
        return 0
    order = ("documents", "tokens", "bytes", "loss", "perplexity", "pseudo_perplexity", "bits_per_byte", "accuracy")
    rows = [(name.replace("_", " "), result[name]) for name in order if name in result]
    console.table((f"{kind} model", arguments.model), rows)
    return 0


def _evaluate_task(arguments: argparse.Namespace, shots: list[int], console: Console) -> int:
    from nlprep.language_models.generators.few_shot import evaluate_few_shot, read_task

    task = read_task(arguments.task)
    model, tokenizer = load_model(arguments, "causal")
    results = evaluate_few_shot(
        model,
        tokenizer,
        task,
        shots=shots,
        draws=arguments.draws,
        limit=arguments.limit,
        seed=arguments.seed,
        progress=console.progress,
    )
    if console.json_output:
        console.result(
            {"model": arguments.model, "task": arguments.task, "results": [one.to_dict() for one in results]}
        )
        return 0
    rows = [
        (one.shots, f"{one.accuracy:.1%}", f"{one.low:.1%} to {one.high:.1%}", one.questions, f"{one.shown:.1f}")
        for one in results
    ]
    console.table(("examples", "accuracy", "95% interval", "questions", "had room"), rows)
    return 0
