from __future__ import annotations

import json

import pytest
import torch
from language_model_toys import toy_causal, toy_tokenizer

from nlprep.core.errors import FileError, NlprepError, OptionError
from nlprep.evaluation.intervals import wilson_interval
from nlprep.language_models.generators.few_shot import (
    FewShotTask,
    TaskExample,
    _Scorer,
    evaluate_few_shot,
    read_task,
)
from nlprep.language_models.text.tokenizers import causal_form


def task(number: int = 6, choices: tuple[str, ...] = ("yes", "no")) -> FewShotTask:
    return FewShotTask(tuple(TaskExample(f"q{i}", "yes" if i % 2 else "no", choices) for i in range(number)), "Say.")


def test_the_prompt_is_a_line_each() -> None:
    made = FewShotTask((TaskExample("sea", "mer"), TaskExample("sky", "ciel")), "English to French:")
    assert made.prompt("river", made.examples) == "English to French:\nsea => mer\nsky => ciel\nriver =>"


def test_tasks_are_read(tmp_path) -> None:
    path = tmp_path / "task.jsonl"
    rows = [
        {"description": "Is it so?", "choices": ["yes", "no"], "arrow": ":"},
        {"input": "a", "output": "yes"},
        {"input": "b", "output": "red", "choices": ["red", "blue"]},
    ]
    path.write_text("\n".join(map(json.dumps, rows)) + "\n\n")
    found = read_task(path)
    assert (found.description, found.arrow) == ("Is it so?", ":")
    assert found.examples == (TaskExample("a", "yes", ("yes", "no")), TaskExample("b", "red", ("red", "blue")))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", r"task.jsonl:1: is not valid JSON"),
        ('{"input": "a"}', r"task.jsonl:1: expected"),
        ('{"input": "a", "output": "b"}\n[]', r"task.jsonl:2: expected"),
        ('{"input": "a", "output": "b", "choices": ["c"]}', "not among its choices"),
        ('{"input": "a", "output": "b", "choices": "b"}', "must be a list"),
        ('{"description": "x"}', "has no examples"),
    ],
)
def test_bad_tasks_are_named(tmp_path, text, message) -> None:
    path = tmp_path / "task.jsonl"
    path.write_text(text)
    with pytest.raises(FileError, match=message) as caught:
        read_task(path)
    assert "\n" not in str(caught.value)


def test_choices_are_scored_by_likelihood_per_token() -> None:
    model, tokenizer = toy_causal().eval(), causal_form(toy_tokenizer())
    found = _Scorer(model, tokenizer)._log_likelihood("the river", " is long")
    before, after = (tokenizer(text)["input_ids"] for text in ("the river", " is long"))
    ids = [3, *before]
    total = 0.0
    for token in after:
        total += model(input_ids=torch.tensor([ids])).logits[0, -1].log_softmax(-1)[token].item()
        ids.append(token)
    assert found == pytest.approx(total / len(after), rel=1e-4)


def test_a_model_that_always_says_yes() -> None:
    model, tokenizer = toy_causal().eval(), causal_form(toy_tokenizer())
    _Scorer_answer = _Scorer._choose
    try:
        _Scorer._choose = lambda *_: "yes"
        results = evaluate_few_shot(model, tokenizer, task(), shots=(0, 2), draws=2)
    finally:
        _Scorer._choose = _Scorer_answer
    assert [result.accuracy for result in results] == [0.5, 0.5]
    assert [result.questions for result in results] == [12, 12]
    assert results[0].shown == 0
    # Asked twice, a question that is always answered alike is one question.
    once = wilson_interval(3, 6)
    assert [(result.low, result.high) for result in results] == [(once.low, once.high)] * 2


def test_examples_that_do_not_fit_are_left_out_and_counted() -> None:
    model, tokenizer = toy_causal().eval(), causal_form(toy_tokenizer())
    result = evaluate_few_shot(model, tokenizer, task(8), shots=(7,))[0]
    assert 0 < result.shown < 7


def test_answers_are_written_where_there_are_no_choices() -> None:
    model, tokenizer = toy_causal(context=64).eval(), causal_form(toy_tokenizer())
    results = evaluate_few_shot(model, tokenizer, task(3, ()), shots=(0,), limit=2)
    assert results[0].questions == 2
    assert 0 <= results[0].accuracy <= 1


def test_the_draws_are_a_function_of_the_seed() -> None:
    model, tokenizer = toy_causal(context=64).eval(), causal_form(toy_tokenizer())
    first, same = (evaluate_few_shot(model, tokenizer, task(), shots=(1, 2), seed=4) for _ in range(2))
    assert first == same


def test_bad_input() -> None:
    model, tokenizer = toy_causal().eval(), causal_form(toy_tokenizer())
    with pytest.raises(OptionError, match="6 examples wanted"):
        evaluate_few_shot(model, tokenizer, task(), shots=(6,))
    with pytest.raises(OptionError, match="shots"):
        evaluate_few_shot(model, tokenizer, task(), shots=(-1,))
    long = FewShotTask((TaskExample("the river " * 40, "yes", ("yes", "no")), *task().examples))
    with pytest.raises(NlprepError, match="does not fit into the model's context"):
        evaluate_few_shot(model, tokenizer, long, shots=(0,))
