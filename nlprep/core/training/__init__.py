"""The one training loop, `fit`, and what a training of one's own is made of: steps, examples, settings.

The names below are loaded when first used:

- `fit` trains a step on examples by a `TrainingConfig` and says what happened (`History`);
- `PlainStep`, `PlainCoupledStep` and `TwoPlayerStep` wrap modules of one's own; `Step` and `CoupledStep` are what they
  derive from, and are told the `Moment`;
- `Examples` are a protocol; `OrderedExamples` say in which `Order`, such as a `ShardOrder`, they want to be read;
- an `Evaluation` is what a function that evaluates is told, an `Assessment` what it may answer;
- `prepare_run` is the recipe around the loop: a `TrainingRun`, in the end a `FinishedRun`; `RunArguments` are what
  every training hands on to it;
- `read_metrics` reads what a run recorded.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nlprep.core.lazy_names import hand_on

if TYPE_CHECKING:
    from nlprep.core.training.configuration import TrainingConfig
    from nlprep.core.training.data.examples import Examples, OrderedExamples
    from nlprep.core.training.data.orders import Order, ShardOrder, example_seeds
    from nlprep.core.training.evaluation import Assessment, Evaluation
    from nlprep.core.training.loop import History, fit
    from nlprep.core.training.recipe import FinishedRun, RunArguments, TrainingRun, prepare_run
    from nlprep.core.training.records.journal import read_metrics
    from nlprep.core.training.steps.coupled import CoupledStep, PlainCoupledStep
    from nlprep.core.training.steps.step import Moment, PlainStep, Step, TwoPlayerStep

_HOMES = {
    "Assessment": "nlprep.core.training.evaluation",
    "CoupledStep": "nlprep.core.training.steps.coupled",
    "Evaluation": "nlprep.core.training.evaluation",
    "Examples": "nlprep.core.training.data.examples",
    "FinishedRun": "nlprep.core.training.recipe",
    "History": "nlprep.core.training.loop",
    "Moment": "nlprep.core.training.steps.step",
    "Order": "nlprep.core.training.data.orders",
    "OrderedExamples": "nlprep.core.training.data.examples",
    "PlainCoupledStep": "nlprep.core.training.steps.coupled",
    "PlainStep": "nlprep.core.training.steps.step",
    "RunArguments": "nlprep.core.training.recipe",
    "ShardOrder": "nlprep.core.training.data.orders",
    "Step": "nlprep.core.training.steps.step",
    "TrainingConfig": "nlprep.core.training.configuration",
    "TrainingRun": "nlprep.core.training.recipe",
    "TwoPlayerStep": "nlprep.core.training.steps.step",
    "example_seeds": "nlprep.core.training.data.orders",
    "fit": "nlprep.core.training.loop",
    "prepare_run": "nlprep.core.training.recipe",
    "read_metrics": "nlprep.core.training.records.journal",
}

__all__ = [
    "Assessment",
    "CoupledStep",
    "Evaluation",
    "Examples",
    "FinishedRun",
    "History",
    "Moment",
    "Order",
    "OrderedExamples",
    "PlainCoupledStep",
    "PlainStep",
    "RunArguments",
    "ShardOrder",
    "Step",
    "TrainingConfig",
    "TrainingRun",
    "TwoPlayerStep",
    "example_seeds",
    "fit",
    "prepare_run",
    "read_metrics",
]

__getattr__, __dir__ = hand_on(__name__, _HOMES)
