"""How many parts a batch is computed in, and what must not be computed in parts."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

from torch.nn.modules.batchnorm import SyncBatchNorm, _BatchNorm

from nlprep.core.errors import OptionError
from nlprep.core.training.steps.coupled import CoupledStep

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import nn

    from nlprep.core.training.configuration import TrainingConfig
    from nlprep.core.training.steps.step import Step


class BatchStatisticsWarning(UserWarning):
    """Batch norm takes its statistics from parts of a batch."""


def count_parts(config: TrainingConfig, processes: int) -> int:
    """Parts of equal size to compute a process's share of a batch in.

    Raises:
        OptionError: The processes do not divide the batch.
    """
    share, rest = divmod(config.batch_size, processes)
    if rest or not share:
        raise OptionError(f"batch_size = {config.batch_size}: must be a multiple of the {processes} processes")
    most = min(config.micro_batch_size or share, share)
    return next(parts for parts in range(-(-share // most), share + 1) if share % parts == 0)


def check_parts(
    step: Step, modules: Mapping[str, nn.Module], config: TrainingConfig, *, parts: int, processes: int
) -> None:
    """Refuse to compute a batch in parts where that is not the whole batch's result and the step says so.

    Batch norm is found by looking: its statistics would be those of the parts. Where parts were asked for, this is
    common practice (Hoffer et al. 2017, "Train longer, generalize better", call it ghost batch norm) and warned of;
    halving, which promises the same result, is refused.

    Args:
        step: What is trained.
        modules: The players' modules, in training mode.
        config: Settings.
        parts: Parts of a process's share of the batch.
        processes: Processes that share the batch.

    Warns:
        BatchStatisticsWarning: A module with batch norm is computed in parts or by several processes.

    Raises:
        OptionError: Names the setting that would divide a batch that must be whole.
    """
    share = config.batch_size // processes
    if step.coupled and not isinstance(step, CoupledStep):
        why = (
            f"the losses of {type(step).__name__} couple the examples of a batch, which cannot be computed in parts: "
            "{} and lower batch_size if memory runs out (a CoupledStep may be divided)"
        )
        if parts > 1:
            raise OptionError(f"micro_batch_size = {share // parts}: {why.format('leave it out')}")
        if config.halve_on_out_of_memory:
            raise OptionError(f"halve_on_out_of_memory: {why.format('leave it out')}")
        if processes > 1:
            raise OptionError(f"{processes} processes: {why.format('use one')}")
    # A norm that is synchronised sees all processes.
    found = [
        (f"{player}.{name}".rstrip("."), isinstance(part, SyncBatchNorm))
        for player, module in modules.items()
        for name, part in module.named_modules()
        if isinstance(part, _BatchNorm) and part.training
    ]
    if found and config.halve_on_out_of_memory:
        raise OptionError(
            f"halve_on_out_of_memory: {found[0][0]} is a batch norm, whose statistics would become those of the "
            "halves: leave it out and choose micro_batch_size, or use a norm that sees one example at a time"
        )
    divided = [name for name, synchronised in found if parts > 1 or (processes > 1 and not synchronised)]
    if divided:
        warnings.warn(
            f"{divided[0]} is a batch norm: its statistics are those of {share // parts} examples, not of the "
            f"{config.batch_size} of the batch, because the batch is computed in parts; the result depends on their "
            "size",
            BatchStatisticsWarning,
            stacklevel=5,
        )
