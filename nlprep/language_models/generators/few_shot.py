"""Few-shot prompting (Brown et al. 2020): a task is told in words and examples, and no weight is changed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from nlprep.core.errors import FileError, NlprepError, OptionError
from nlprep.core.files import read_lines
from nlprep.core.progress import SILENT
from nlprep.core.randomness import combine
from nlprep.evaluation.intervals import repeated_interval

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    from transformers import PreTrainedModel, PreTrainedTokenizerFast

    from nlprep.core.progress import Progress

SHOTS = (0, 1, 2, 4, 8)
_LONGEST_ANSWER = 32


@dataclass(frozen=True)
class TaskExample:
    """One question and its answer."""

    input: str
    output: str
    choices: tuple[str, ...] = ()


@dataclass(frozen=True)
class FewShotTask:
    """A task.

    Attributes:
        examples: Questions with answers; each is asked with others as its examples.
        description: What to do, in a sentence; may be empty.
        arrow: What stands between a question and its answer.
    """

    examples: tuple[TaskExample, ...]
    description: str = ""
    arrow: str = " =>"

    def prompt(self, question: str, shots: Sequence[TaskExample]) -> str:
        """The description, the examples and the question, a line each; the answer comes next, after a space."""
        lines = [self.description] if self.description else []
        lines += [f"{shot.input}{self.arrow} {shot.output}" for shot in shots]
        return "\n".join([*lines, f"{question}{self.arrow}"])


def read_task(path: str | os.PathLike[str]) -> FewShotTask:
    """Read a task from JSON lines.

    Each line is ``{"input": ..., "output": ...}``, with ``"choices": [...]`` where the answer is one of some. A line
    with ``"description"`` (and ``"choices"`` for all lines, and ``"arrow"``) may stand first.

    Raises:
        FileError: Unreadable, a line that is none of these, an answer that is not among its choices, or no example.
    """
    head: dict[str, Any] = {}
    examples: list[TaskExample] = []
    for number, line in read_lines(path):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            raise FileError(path, f"is not valid JSON ({error})", line=number) from None
        if isinstance(row, Mapping) and "description" in row and not examples:
            head = dict(row)
            continue
        examples.append(_parse(path, number, row, head.get("choices", [])))
    if not examples:
        raise FileError(path, 'has no examples: give lines such as {"input": "2 + 2", "output": "4"}')
    return FewShotTask(tuple(examples), str(head.get("description", "")), str(head.get("arrow", " =>")))


def _parse(path: str | os.PathLike[str], number: int, row: object, shared: Sequence[str]) -> TaskExample:
    if not isinstance(row, Mapping) or not all(isinstance(row.get(name), str) for name in ("input", "output")):
        raise FileError(path, 'expected {"input": text, "output": text}', line=number)
    choices = row.get("choices", shared)
    if not isinstance(choices, list) or not all(isinstance(choice, str) for choice in choices):
        raise FileError(path, "choices must be a list of texts", line=number)
    if choices and row["output"] not in choices:
        raise FileError(path, f"the output {row['output']!r:.60} is not among its choices", line=number)
    return TaskExample(row["input"], row["output"], tuple(choices))


@dataclass(frozen=True)
class FewShotResult:
    """How many questions were answered right with k examples.

    Attributes:
        shots: Examples shown, k.
        accuracy: Share of right answers.
        low: Lower end of the 95% interval, for other questions and other examples: `repeated_interval`.
        high: Its upper end.
        questions: Answers judged: questions times draws of examples.
        shown: Examples shown on average: fewer than k where the context had no room.
    """

    shots: int
    accuracy: float
    low: float
    high: float
    questions: int
    shown: float

    def to_dict(self) -> dict[str, Any]:
        """Plain values, fit for JSON."""
        return asdict(self)


def evaluate_few_shot(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    task: FewShotTask,
    *,
    shots: Sequence[int] = SHOTS,
    draws: int = 1,
    limit: int | None = None,
    seed: int = 1,
    progress: Progress = SILENT,
) -> list[FewShotResult]:
    """Accuracy by number of examples.

    A question with choices is answered by the choice of the highest likelihood per token (Brown et al. 2020, section
    2.4); one without by the line that the model writes, which must equal the answer but for case and outer spaces.
    The examples of a question are drawn from the other questions, as a function of the seed, and those with k
    examples are the first k of those with more.

    Args:
        model: A causal language model in evaluation mode.
        tokenizer: Its tokenizer.
        task: Questions.
        shots: Numbers of examples to try.
        draws: Times that each question is asked, with other examples.
        limit: Questions to ask; default all.
        seed: Of the draws.
        progress: Gets questions.

    Raises:
        OptionError: More examples wanted than there are other questions, or numbers below their range.
        NlprepError: A question that does not fit into the context by itself.
    """
    if min(shots, default=-1) < 0 or draws < 1 or (limit is not None and limit < 1):
        raise OptionError(f"shots = {list(shots)}, draws = {draws}, limit = {limit}: shots may be 0, the others not")
    if max(shots) >= len(task.examples):
        raise OptionError(
            f"{max(shots)} examples wanted, and the task has {len(task.examples)} questions: give more questions or "
            "ask for fewer examples"
        )
    scorer = _Scorer(model, tokenizer)
    asked = range(min(limit or len(task.examples), len(task.examples)))
    results = []
    with progress.task("asking", len(asked) * len(shots) * draws) as bar:
        for number in shots:
            right = np.zeros((len(asked), draws), bool)
            shown = 0
            for question in asked:
                for draw in range(draws):
                    chosen = _draw(task, question, number, seed, draw)
                    answer, used = scorer.answer(task, task.examples[question], chosen)
                    right[question, draw] = _same(answer, task.examples[question].output)
                    shown += used
                    bar.advance()
            share = repeated_interval(right)
            results.append(FewShotResult(number, share.value, share.low, share.high, right.size, shown / right.size))
    return results


def _draw(task: FewShotTask, question: int, number: int, seed: int, draw: int) -> list[TaskExample]:
    others = np.delete(np.arange(len(task.examples)), question)
    order = np.argsort(combine(seed, draw, question, others), kind="stable")
    return [task.examples[index] for index in others[order[:number]].tolist()]


def _same(answer: str, right: str) -> bool:
    return answer.strip().casefold() == right.strip().casefold()


class _Scorer:
    def __init__(self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast) -> None:
        from nlprep.language_models.models.files import context_length

        self.model, self.tokenizer = model, tokenizer
        self.context = context_length(model)

    def answer(self, task: FewShotTask, question: TaskExample, shots: list[TaskExample]) -> tuple[str, int]:
        """The model's answer, and how many of the examples had room."""
        room = max((len(self._ids(f" {choice}")) for choice in question.choices), default=_LONGEST_ANSWER)
        for dropped in range(len(shots) + 1):
            # The last ones stay: they are next to the question.
            prompt = task.prompt(question.input, shots[dropped:])
            if self.context is None or len(self._ids(prompt)) + 1 + room <= self.context:
                answer = self._choose(prompt, question.choices) if question.choices else self._write(prompt)
                return answer, len(shots) - dropped
        raise NlprepError(
            f"the question {question.input!r:.60} does not fit into the model's context of {self.context} tokens: "
            "shorten it, or choose a model with a longer context"
        )

    def _ids(self, text: str) -> list[int]:
        ids: list[int] = self.tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
        return ids

    def _choose(self, prompt: str, choices: Sequence[str]) -> str:
        scores = [self._log_likelihood(prompt, f" {choice}") for choice in choices]
        return choices[int(np.argmax(scores))]

    def _log_likelihood(self, prompt: str, continuation: str) -> float:
        """Mean log-likelihood of a continuation's tokens."""
        import torch

        before, after = self._ids(prompt), self._ids(continuation)
        start = [int(self.tokenizer.eos_token_id)] if self.tokenizer.eos_token_id is not None else []
        ids = torch.tensor([[*start, *before, *after]], device=self.model.device)
        with torch.inference_mode():
            logits = self.model(input_ids=ids[:, :-1], use_cache=False).logits[0].float()
        likelihoods = logits[-len(after) :].log_softmax(-1)
        return float(likelihoods.gather(1, ids[0, -len(after) :, None]).mean())

    def _write(self, prompt: str) -> str:
        from nlprep.language_models.generators.configuration import GenerationConfig
        from nlprep.language_models.generators.generation import generate

        config = GenerationConfig(max_tokens=_LONGEST_ANSWER, temperature=0.0, stop="\n")
        return generate(self.model, self.tokenizer, prompt, config)[0]
