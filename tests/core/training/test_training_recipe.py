"""The recipe around the loop: what a run's directory holds, what it refuses, and what is said of it."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from training_toys import Duel, Net, Numbers, make_step, settings, weights_of

from nlprep.core.configuration import option
from nlprep.core.errors import FileError, NlprepError, OptionError
from nlprep.core.files import atomic_directory
from nlprep.core.training.loop import History
from nlprep.core.training.recipe import FinishedRun, describe_files, model_digest, prepare_run
from nlprep.core.training.records.resuming import differing_settings, refuse_differences
from nlprep.core.training.steps.dropout import raise_dropout, set_dropout

KIND = {"kind": "curve", "result": "weights"}
ENTRIES = {"nlprep.json", "run.json", "checkpoints", "metrics.jsonl", "model"}


@dataclass(frozen=True)
class CurveConfig:
    width: int = option(16, "hidden units")
    shapes: tuple[int, ...] = (1, 2)


def save(module: torch.nn.Module, place: Path) -> None:
    with atomic_directory(place, kind="weights") as folder:
        save_file(module.state_dict(), folder / "weights.safetensors")


def train(
    directory, *, step=None, config=None, training=None, validation=None, evaluate=None, **prepared
) -> FinishedRun:
    step = step or make_step(Net())
    given = {
        "kind": "curve",
        "result": "weights",
        "settings": {"curve": config or CurveConfig()},
        "training": training or settings(),
    }
    with prepare_run(directory, **given | prepared) as run:
        history = run.fit(step, Numbers(), validation=validation, evaluate=evaluate)
        run.publish(lambda folder: save(next(iter(step.players.values())), folder))
    return FinishedRun(directory=run.directory, history=history, summary=run.summarise(history))


def files(directory: Path) -> dict[str, bytes]:
    return {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


def base(folder: Path, value: float = 1.0) -> Path:
    folder.mkdir(parents=True)
    save_file({"w": torch.full((3,), value)}, folder / "model.safetensors")
    (folder / "config.json").write_text("{}")
    return folder


def test_a_run_is_a_directory_that_says_what_made_it(tmp_path):
    step = make_step(Net())
    run = train(tmp_path / "run", step=step, bases={"start": base(tmp_path / "base")}, data={"labels": ["x"]})
    assert {path.name for path in run.directory.iterdir()} == ENTRIES
    record = json.loads((run.directory / "run.json").read_text())
    assert record["kind"] == "curve"
    assert record["settings"]["curve"] == {"width": 16, "shapes": [1, 2]}
    assert record["settings"]["training"]["learning_rate"] == 1e-2
    assert record["bases"] == {"start": {"name": "base", "weights": model_digest(tmp_path / "base")}}
    assert record["data"] == {"labels": ["x"]}
    published = load_file(run.directory / "model" / "weights.safetensors")
    assert all(
        np.array_equal(published[name.removeprefix("model.")], value) for name, value in weights_of(step).items()
    )
    # Again: it is finished, and stays as it is.
    before = files(run.directory)
    again = train(run.directory, bases={"start": tmp_path / "base"}, data={"labels": ["x"]})
    assert again.history.resumed_from == 12
    assert (run.summary["already_done"], again.summary["already_done"]) == (False, True)
    assert files(run.directory) == before


def test_the_summary_is_plain_and_of_the_weights_that_were_kept(tmp_path):
    seen = iter([3.0, 1.0, 2.0])
    run = train(
        tmp_path / "run",
        training=settings(evaluate_every=4),
        validation=Numbers(20, shift=1.0),
        evaluate=lambda _: {"criterion": (value := next(seen)), "validation_roughness": value, "likeness": -value},
    )
    assert json.loads(json.dumps(run.summary)) == run.summary
    evaluation = next(r for r in run.history.records if r["step"] == 8 and "likeness" in r)
    assert run.summary["best_step"] == 8
    assert run.summary["validation"] == {
        "loss": evaluation["validation_loss"], "size": evaluation["validation_size"], "roughness": 1.0, "likeness": -1.0
    }  # fmt: skip
    parameters = sum(p.numel() for p in Net().parameters())
    assert {name: run.summary[name] for name in ("examples", "parameters", "trained_parameters", "steps")} == {
        "examples": 50, "parameters": parameters, "trained_parameters": parameters, "steps": 12
    }  # fmt: skip
    assert run.summary["train_loss"] == run.history.last("loss")
    assert run.summary["examples_per_second"] > 0
    assert (run.summary["resumed_from"], run.summary["seconds"]) == (None, round(run.history.seconds, 1))
    assert run.summary["settings"]["curve"]["width"] == 16
    assert run.summary["settings"]["training"]["evaluate_every"] == 4


def test_where_the_last_weights_are_kept_their_numbers_are_said(tmp_path):
    seen = iter([3.0, 1.0, 2.0])
    training = settings(evaluate_every=4, keep_best=False)
    evaluate = lambda _: {"criterion": (value := next(seen)), "likeness": -value}  # noqa: E731
    run = train(tmp_path / "run", training=training, evaluate=evaluate)
    assert (run.summary["best_step"], run.summary["validation"]) == (8, {"likeness": -2.0})
    alone = train(tmp_path / "alone")
    assert (alone.summary["best_step"], alone.summary["validation"]) == (None, {})


def test_players_have_losses_of_their_own(tmp_path):
    duel = Duel()
    run = train(tmp_path / "run", step=duel)
    assert {"train_generator_loss", "train_discriminator_loss"} <= run.summary.keys()
    assert "train_loss" not in run.summary
    frozen = duel.discriminator[0].bias.numel()
    assert run.summary["parameters"] - run.summary["trained_parameters"] == frozen


def test_another_run_is_refused_and_nothing_changes(tmp_path):
    first = {"bases": {"start": base(tmp_path / "base")}, "data": {"labels": ["x"]}}
    train(tmp_path / "run", **first)
    before = files(tmp_path / "run")
    moved = base(tmp_path / "elsewhere" / "base")
    for changes, message in (
        ({"config": CurveConfig(width=8)}, "made with width = 16, now 8"),
        ({"config": CurveConfig(shapes=(1, 3))}, r"made with shapes = \[1, 2\], now \[1, 3\]"),
        ({"training": settings(seed=2)}, "made with seed = 1, now 2"),
        ({"training": settings(steps=3)}, "is of step 12, beyond the 3 asked for"),
        ({"bases": {"start": base(tmp_path / "two", 2.0)}}, "began with another start, 'base', not with this 'two'"),
        ({"bases": {"start": base(tmp_path / "b" / "base", 2.0)}}, "another start, an earlier 'base'"),
        # Settings may follow from the base: it is what differs in truth.
        ({"bases": {"start": tmp_path / "two"}, "config": CurveConfig(width=8)}, "began with another start, 'base'"),
        ({"settings": {"line": CurveConfig()}, "training": settings(seed=2)}, "holds a run of curve, not of line"),
        ({"data": {"labels": ["y"]}}, r"made with labels = \['x'\], now \['y'\]"),
        ({"resume": "never"}, "holds checkpoints up to step 12"),
        ({"resume": "perhaps"}, "choose from auto, never, must"),
    ):
        with pytest.raises(OptionError, match=message) as caught:
            train(tmp_path / "run", **first | changes)
        assert "\n" not in str(caught.value)
        assert files(tmp_path / "run") == before, message
    # The same content elsewhere is the same base, and some settings are free.
    free = settings(steps=14, log_every=7, workers=0, keep_checkpoints=5)
    again = train(tmp_path / "run", training=free, bases={"start": moved})
    assert again.history.resumed_from == 12
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    assert record["settings"]["training"]["steps"] == 14
    # What this call did not mention is still known.
    assert record["data"] == {"labels": ["x"]}


def test_files_are_known_by_their_content_and_what_changed_is_said(tmp_path):
    one, two, pipe = tmp_path / "one.txt", tmp_path / "two.txt", tmp_path / "pipe"
    one.write_text("first words")
    two.write_text("second words")
    os.mkfifo(pipe)
    paths = [one, two, pipe]
    train(tmp_path / "run", files={"text": describe_files(paths)})
    os.utime(one, (1, 1))
    train(tmp_path / "run", files={"text": describe_files(paths)})

    def refuse(*given: Path) -> str:
        with pytest.raises(OptionError, match="began with another text: ") as caught:
            train(tmp_path / "run", files={"text": describe_files(given)})
        return str(caught.value).partition("another text: ")[2].partition(": give the same")[0]

    assert refuse(two, one, pipe) == "the files are read in another order"
    assert refuse(one, pipe) == "'two.txt' was read then, and is not now"
    two.write_text("second sword")
    assert refuse(*paths) == "the content of 'two.txt' has changed (12 bytes as then)"
    two.write_text("two")
    assert refuse(*paths) == "the content of 'two.txt' has changed (12 bytes then, 3 now)"
    more = tmp_path / "more.txt"
    more.write_text("third")
    assert refuse(one, more) == "'more.txt' was not read then"
    with pytest.raises(FileError, match=r"gone\.txt"):
        describe_files([tmp_path / "gone.txt"])


def test_before_the_first_checkpoint_nothing_binds(tmp_path):
    def fail() -> None:
        raise RuntimeError("a bug")

    with pytest.raises(RuntimeError), prepare_run(
        tmp_path / "run", **KIND, settings={"curve": CurveConfig(width=4)}, training=settings()
    ):  # fmt: skip
        fail()
    assert (tmp_path / "run" / "run.json").is_file()
    with pytest.raises(OptionError, match="no checkpoint to resume from"):
        train(tmp_path / "run", resume="must")
    assert train(tmp_path / "run", resume="never").summary["steps"] == 12
    assert json.loads((tmp_path / "run" / "run.json").read_text())["settings"]["curve"]["width"] == 16


def test_a_run_that_cannot_begin_leaves_nothing_behind(tmp_path):
    def attempt(directory: Path, *, begin: bool) -> None:
        with (
            pytest.raises(NlprepError),
            prepare_run(directory, **KIND, settings={}, training=settings(), keeps=["tokens"]) as run,
        ):
            (directory / "tokens").mkdir()
            if begin:
                run.fit(make_step(Net()), Numbers(0))
            raise NlprepError("the text is empty: give more")

    attempt(tmp_path / "new", begin=False)
    assert not (tmp_path / "new").exists()
    (tmp_path / "there").mkdir()
    attempt(tmp_path / "there", begin=False)
    assert (tmp_path / "there" / "tokens").is_dir()
    attempt(tmp_path / "begun", begin=True)
    assert (tmp_path / "begun" / "tokens").is_dir()


def test_what_is_not_ours_is_refused_before_training(tmp_path):
    thesis = tmp_path / "thesis"
    thesis.mkdir()
    (thesis / "chapter.tex").write_text("years of work")
    start = base(tmp_path / "base")
    train(tmp_path / "run", bases={"start": start})
    before = files(tmp_path)
    for directory, changes in (
        (thesis, {}),
        (thesis / "chapter.tex", {}),
        (tmp_path / "run", {"kind": "surface"}),
        (start, {"inputs": [start]}),
        (tmp_path / "run", {"inputs": [tmp_path / "run" / "model"]}),
    ):
        with pytest.raises(FileError) as caught:
            train(directory, **changes)
        assert "\n" not in str(caught.value)
        assert files(tmp_path) == before
    # One of another kind of ours goes if that is asked for.
    again = train(tmp_path / "run", kind="surface", overwrite=True)
    assert again.history.resumed_from is None
    (tmp_path / "run" / "run.json").write_text("{")
    with pytest.raises(FileError, match=r"run\.json: is damaged"):
        train(tmp_path / "run", kind="surface")


@pytest.mark.slow
def test_where_it_is_asked_for_a_run_is_replaced_if_it_is_another_or_finished(tmp_path):
    run = tmp_path / "run"
    train(run)

    def fail(_: object) -> None:
        raise RuntimeError("stopped")

    for changes in (
        {"config": CurveConfig(width=8)},
        {"settings": {"line": CurveConfig()}},
        {"training": settings(steps=3)},
        {},
        # Finished: begun anew, however much more is asked for.
        {"training": settings(steps=14)},
    ):
        again = train(run, overwrite=True, **changes)
        assert again.history.resumed_from is None, changes
        assert {path.name for path in run.iterdir()} == ENTRIES
        assert [path.name for path in tmp_path.iterdir()] == ["run"]
    # One that was stopped goes on, though it is asked for in the same words.
    other = {"config": CurveConfig(width=2), "overwrite": True, "training": settings(evaluate_every=8)}
    for changes, begun in (({}, 8), ({"resume": "never"}, None)):
        with pytest.raises(RuntimeError):
            train(run, **other, evaluate=fail)
        assert train(run, **other, **changes).history.resumed_from == begun
    with pytest.raises(OptionError, match="leave out one of the two"):
        train(run, overwrite=True, resume="must")


def test_nothing_is_given_up_for_a_run_that_cannot_begin_or_that_holds_more(tmp_path):
    run = tmp_path / "run"
    train(run)
    before = files(tmp_path)
    broken = make_step(Net())
    with torch.no_grad():
        next(broken.players["model"].parameters()).fill_(torch.nan)
    with pytest.raises(NlprepError, match="the loss is nan"):
        train(run, step=broken, overwrite=True)
    assert files(tmp_path) == before
    (run / "notes.txt").write_text("mine")
    with pytest.raises(FileError, match=r"holds 'notes\.txt', which nlprep did not write"):
        train(run, config=CurveConfig(width=8), overwrite=True)
    (run / "notes.txt").unlink()
    assert files(tmp_path) == before


@pytest.mark.slow
def test_what_a_killed_process_had_out_of_the_way_is_put_back_or_removed(tmp_path):
    run, aside = tmp_path / "run", tmp_path / ".run.nlprep-01234567.old"
    train(run)
    run.rename(aside)
    # Killed before anything was in its place.
    assert train(run).history.resumed_from == 12
    assert not aside.exists()
    run.rename(aside)
    train(tmp_path / "other", config=CurveConfig(width=8))
    (tmp_path / "other").rename(run)
    train(run, config=CurveConfig(width=8))
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_checkpoints_without_a_record_are_of_nobody_knows_what(tmp_path):
    train(tmp_path / "run")
    (tmp_path / "run" / "run.json").unlink()
    with pytest.raises(FileError, match=r"no run\.json"):
        train(tmp_path / "run")


def test_a_result_is_written_where_it_belongs(tmp_path):
    run = train(tmp_path / "run")
    before = files(run.directory / "model")

    def fail(place: Path) -> None:
        with atomic_directory(place, kind="weights") as folder:
            (folder / "weights.safetensors").write_bytes(b"1")
            raise OSError(28, "No space left on device")

    with pytest.raises(FileError, match="no space left"), prepare_run(
        tmp_path / "run", **KIND, settings={"curve": CurveConfig()}, training=settings()
    ) as again:  # fmt: skip
        again.publish(fail)
    assert files(run.directory / "model") == before
    assert {path.name for path in run.directory.iterdir()} == ENTRIES


def test_one_process_publishes_and_the_others_wait(tmp_path):
    class Other:
        is_main_process = False
        waited = 0

        def wait_for_everyone(self) -> None:
            self.waited += 1

    def fail(folder: Path) -> None:
        raise AssertionError(folder)

    accelerator = Other()
    progress = object()
    with prepare_run(
        tmp_path / "run",
        kind="curve",
        result="weights",
        settings={},
        training=settings(),
        accelerator=accelerator,
        progress=progress,
    ) as run:
        # Which is the main process's to make.
        assert not (tmp_path / "run").exists()
        assert run.publish(fail) == tmp_path / "run" / "model"
    assert accelerator.waited == 2
    assert run.progress is not progress
    assert run.summarise(History(steps=3))["steps"] == 3


def test_a_models_digest_is_of_its_content(tmp_path):
    one, same, other = base(tmp_path / "one"), base(tmp_path / "same"), base(tmp_path / "other", 2.0)
    assert model_digest(one) == model_digest(same) != model_digest(other)
    (same / "README.md").write_text("what it is for")
    assert model_digest(one) == model_digest(same)
    (same / "1_Pooling").mkdir()
    (same / "1_Pooling" / "config.json").write_text("{}")
    assert model_digest(one) != model_digest(same)


def test_dropout_is_set_or_raised():
    net = torch.nn.Sequential(torch.nn.Dropout(0.1), torch.nn.Sequential(torch.nn.Dropout(0.4)))
    assert raise_dropout(net, 0.2)
    assert [part.p for part in net.modules() if isinstance(part, torch.nn.Dropout)] == [0.2, 0.4]
    set_dropout(net, 0.0)
    assert not raise_dropout(net, 0.0)
    assert not raise_dropout(torch.nn.Linear(1, 1), 0.5)
    with pytest.raises(OptionError, match="dropout cannot be changed"):
        set_dropout(torch.nn.Linear(1, 1), 0.5)


def test_all_settings_that_differ_are_named_and_of_many_how_many_more(tmp_path):
    train(tmp_path / "run", data={"net": {"width": 2, "depth": 3}})
    with pytest.raises(OptionError) as caught:
        train(
            tmp_path / "run", config=CurveConfig(width=8), training=settings(seed=2, learning_rate=1.0),
            data={"net": {"width": 4, "depth": 3}},
        )  # fmt: skip
    named = "width = 16, now 8; learning_rate = 0.01, now 1.0; seed = 1, now 2; net_width = 2, now 4: give"
    assert f"made with {named}" in str(caught.value)
    many = differing_settings(dict.fromkeys("abcdefg", 1), dict.fromkeys("abcdefg", 2))
    with pytest.raises(OptionError, match=r"e = 1, now 2; and 2 more: give"):
        refuse_differences(many, where="run")


def test_a_setting_that_the_loop_refuses_leaves_nothing_behind(tmp_path):
    step = make_step(Net())

    def refuse(*_):
        raise OptionError("not like this")

    step.initialize = refuse
    with pytest.raises(OptionError, match="not like this"):
        train(tmp_path / "run", step=step)
    assert not (tmp_path / "run").exists()
