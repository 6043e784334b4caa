"""``rep-pretrain evaluate``: how well a language model predicts a text, or answers questions from examples."""

from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from cli.console import Console
from cli.options import AtLeastOne, AtLeastOneIfAny, EncodingErrors, Threads
from cli.pretrain_commands.inputs import load_model
from nlprep.core.errors import OptionError
from nlprep.language_models.text.configuration import DocumentUnit

if TYPE_CHECKING:
    from nlprep.language_models.generators.few_shot import FewShotResult

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
_TEXT = Parameter(group="text")
_PROMPTING = Parameter(group="few-shot prompting")


def evaluate(
    model: Path,
    /,
    *text: Path,
    limit: AtLeastOneIfAny = None,
    document: Annotated[DocumentUnit, _TEXT] = "line",
    encoding_errors: Annotated[EncodingErrors, _TEXT] = "strict",
    task: Annotated[Path | None, _PROMPTING] = None,
    shots: Annotated[str, _PROMPTING] = "0,1,2,4,8",
    draws: Annotated[AtLeastOne, _PROMPTING] = 1,
    seed: Annotated[int, _PROMPTING] = 1,
    device: str | None = None,
    threads: Threads = None,
    console: Console,
) -> int:
    """Measure perplexity, bits per byte and few-shot answers.

    Args:
        model: A language model: a run of rep-pretrain, or a transformers directory.
        text: Text files or folders of them; plain, .gz, .xz, .zst; - is standard input.
        limit: Measure on the first so many documents or questions; on all, or 200 documents if masked, if not given.
        document: What a document is.
        encoding_errors: What to do with bytes that are not UTF-8; strict is an error.
        task: Questions with answers, as JSON lines.
        shots: Numbers of examples shown, to try.
        draws: Choices of examples a question.
        seed: Of these choices.
        device: A name such as cpu or cuda; a GPU where there is one, if none is named.
        threads: Processor threads; all by default.
        console: Where results and remarks go.
    """
    from nlprep.core.threads import torch_threads
    from nlprep.language_models.generators.few_shot import evaluate_few_shot, read_task
    from nlprep.language_models.generators.perplexity import measure_perplexity, measure_pseudo_perplexity
    from nlprep.language_models.models.files import kind_of_model
    from nlprep.language_models.text.documents import read_documents

    if bool(text) == (task is not None):
        raise OptionError("give either text to predict or a --task to solve")
    wanted = _read_shots(shots)
    kind = kind_of_model(model)
    if kind == "translation":
        raise OptionError(f"{model} translates: measure it with rep-pretrain finetune --test")
    with torch_threads(threads):
        if task is not None:
            questions = read_task(task)
            loaded = load_model(model, "causal", device)
            results = evaluate_few_shot(
                *loaded, questions, shots=wanted, draws=draws, limit=limit, seed=seed, progress=console.progress
            )
            return _report_task(model, task, results, console)
        loaded = load_model(model, kind, device)
        limit = limit or (_MASKED_LIMIT if kind == "masked" else None)
        documents = read_documents(text, unit=document, encoding_errors=encoding_errors, progress=console.progress)
        measure = measure_pseudo_perplexity if kind == "masked" else measure_perplexity
        result = measure(*loaded, islice(documents, limit), progress=console.progress).to_dict()
    return _report_text(model, kind, result, console)


def _read_shots(text: str) -> list[int]:
    try:
        return sorted({int(part) for part in text.split(",")})
    except ValueError:
        raise OptionError(f"shots = {text!r}: give whole numbers with commas between them, such as 0,1,4") from None


def _report_text(model: Path, kind: str, result: dict[str, Any], console: Console) -> int:
    result["loss"] = result.pop("nats") / result["tokens"]
    if console.json_output:
        console.result({"model": str(model), "kind": kind} | result)
        return 0
    order = ("documents", "tokens", "bytes", "loss", "perplexity", "pseudo_perplexity", "bits_per_byte", "accuracy")
    rows = [(name.replace("_", " "), result[name]) for name in order if name in result]
    console.table((f"{kind} model", str(model)), rows)
    return 0


def _report_task(model: Path, task: Path, results: "list[FewShotResult]", console: Console) -> int:
    if console.json_output:
        console.result({"model": str(model), "task": str(task), "results": [one.to_dict() for one in results]})
        return 0
    rows = [
        (one.shots, f"{one.accuracy:.1%}", f"{one.low:.1%} to {one.high:.1%}", one.questions, f"{one.shown:.1f}")
        for one in results
    ]
    console.table(("examples", "accuracy", "95% interval", "questions", "had room"), rows)
    return 0
