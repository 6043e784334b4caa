"""Losses that couple the examples of a batch: contrast within the batch, correlation, statistics of the batch.

The mean of such a loss over parts of a batch is another loss: contrast among 8 examples is easier than among 64, and
among one it is 0. A `CoupledStep` therefore says how a batch is embedded and, apart from that, what the loss of all
embeddings is. The loop computes the latter on the whole batch, whatever the parts and processes, by cached gradients
(Gao et al. 2021, "Scaling Deep Contrastive Learning Batch Size under Memory Limited Setup"):

1. every part is embedded, and its embeddings alone are kept;
2. the embeddings of all parts and processes are put together in the batch's order, and the loss and its gradient
   with respect to them computed, on every process alike;
3. every part is embedded again, with the same random numbers and the same buffers as before, and its share of that
   gradient sent back through it.

Memory is that of one part and of all embeddings; the price is a second forward pass, unless there is one part. The
gradient of a process's own rows is that of the whole batch's loss, so that nothing is scaled by the number of
processes, and no process takes others' rows for constants (a gather without gradient loses that part of it).
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.autograd.graph import get_gradient_edge

from nlprep.core.training.data.examples import validation_seeds
from nlprep.core.training.steps.step import Step

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from torch import Tensor, nn

    from nlprep.core.training.data.examples import Examples
    from nlprep.core.training.steps.step import Batch, Moment

Embeddings = dict[str, torch.Tensor]


class CoupledStep(Step):
    """A step whose losses are functions of the embeddings of a whole batch."""

    coupled = True

    @abstractmethod
    def embed(
        self, player: str, modules: Mapping[str, nn.Module], batch: Batch, *, moment: Moment
    ) -> Mapping[str, Tensor]:
        """Turn some examples of a batch into what the loss is a function of.

        Args:
            player: Whose turn it is.
            modules: As for `nlprep.core.training.steps.step.Step.losses`.
            batch: Tensors on the device: a part of the batch.
            moment: The optimiser step.

        Returns:
            Tensors by name. Those with axes have the examples along the first one and equal sizes in all parts; they
            may be integers, such as labels. A scalar is a parameter of the loss, such as a learned temperature: it
            must be the same for every part.
        """

    @abstractmethod
    def couple(self, player: str, embeddings: Mapping[str, Tensor], *, moment: Moment) -> Mapping[str, Tensor]:
        """The losses of a whole batch, from the embeddings of all its examples, in its order.

        It is computed alike on every process, and trains no parameters of its own: what it needs of them, `embed`
        returns as scalars.

        Args:
            player: Whose turn it is.
            embeddings: What `embed` returned for all parts and processes, one after the other.
            moment: The optimiser step.

        Returns:
            As `nlprep.core.training.steps.step.Step.losses`.
        """

    def losses(
        self, player: str, modules: Mapping[str, nn.Module], batch: Batch, *, moment: Moment
    ) -> Mapping[str, Tensor]:
        """The losses of a batch that is embedded at once."""
        return self.couple(player, self.embed(player, modules, batch, moment=moment), moment=moment)


class PlainCoupledStep(CoupledStep):
    """One module, whose call on a batch gives embeddings, and the loss of those of a whole batch.

    Args:
        module: ``module(**batch)`` returns named embeddings.
        loss: ``loss(**embeddings)`` returns named scalars, of which ``loss`` is minimised.
        unit: What examples are called.
    """

    def __init__(self, module: nn.Module, loss: Callable[..., Mapping[str, Tensor]], *, unit: str = "examples") -> None:
        self.module = module
        self.loss = loss
        self.unit = unit

    @property
    def players(self) -> Mapping[str, nn.Module]:
        """The module, as ``model``."""
        return {"model": self.module}

    def embed(
        self,
        player: str,
        modules: Mapping[str, nn.Module],
        batch: Batch,
        *,
        moment: Moment,  # noqa: ARG002 - the module is the same throughout
    ) -> Mapping[str, Tensor]:
        """What the module returns."""
        embeddings: Mapping[str, Tensor] = modules[player](**batch)
        return embeddings

    def couple(
        self,
        player: str,  # noqa: ARG002 - there is one
        embeddings: Mapping[str, Tensor],
        *,
        moment: Moment,  # noqa: ARG002 - the loss is the same throughout
    ) -> Mapping[str, Tensor]:
        """What the loss returns."""
        return self.loss(**embeddings)


def join(parts: Sequence[Mapping[str, Tensor]]) -> Embeddings:
    """Embeddings of several parts, one after the other; scalars are the first part's."""
    return {
        name: torch.cat([part[name].detach() for part in parts]) if first.dim() else first.detach().clone()
        for name, first in parts[0].items()
    }


def gradients_of(
    own: Embeddings,
    couple: Callable[[Embeddings], Mapping[str, Tensor]],
    *,
    gather: Callable[[Tensor], tuple[list[Tensor], int]],
    share: float,
) -> tuple[Mapping[str, Tensor], Embeddings]:
    """The losses of a whole batch and the gradient of ``share * loss`` with respect to a process's own embeddings.

    Args:
        own: This process's embeddings, without a graph.
        couple: The losses of the whole batch's embeddings.
        gather: Gives a tensor of every process, in their order, and which of them is this one's.
        share: What the loss is multiplied by.

    Returns:
        The losses, and gradients by name: of all that takes some.

    Raises:
        ValueError: The loss does not depend on the embeddings alone.
    """
    leaves = {name: tensor.requires_grad_() for name, tensor in own.items() if tensor.is_floating_point()}
    whole: Embeddings = {}
    for name, tensor in own.items():
        if tensor.dim() == 0:
            whole[name] = tensor
            continue
        rows, here = gather(tensor.detach())
        rows[here] = tensor
        whole[name] = rows[0] if len(rows) == 1 else torch.cat(rows)
    with torch.enable_grad():
        losses = couple(whole)
    if any(id(leaf) not in {id(one) for one in leaves.values()} for leaf in _leaves_below(losses["loss"])):
        raise ValueError(
            "the coupled loss trains parameters of its own, which parts and processes would miss: return them, as "
            "scalars, among the embeddings"
        )
    found = torch.autograd.grad(losses["loss"] * share, list(leaves.values()), allow_unused=True)
    return losses, {name: gradient for name, gradient in zip(leaves, found, strict=True) if gradient is not None}


def _leaves_below(loss: Tensor) -> Iterator[Tensor]:
    """The tensors that a loss would leave a gradient in."""
    waiting, seen = [get_gradient_edge(loss).node], set()
    while waiting:
        node = waiting.pop()
        if node in seen:
            continue
        seen.add(node)
        if hasattr(node, "variable"):
            yield node.variable
        waiting += [below for below, _ in node.next_functions if below is not None]


def send_back(
    embeddings: Mapping[str, Tensor], gradients: Mapping[str, Tensor], *, start: int, parts: int, processes: int
) -> int:
    """Send a part's share of the gradient back through the graph of its embeddings.

    Args:
        embeddings: Of the part, with a graph.
        gradients: Of all of this process's embeddings.
        start: The first of its rows in these.
        parts: Parts of this process; each gets an equal share of the gradient of a scalar.
        processes: They average their gradients, of which each has its own rows' alone: so rows count that often.

    Returns:
        The first row of the next part.
    """
    tensors, shares = [], []
    stop = start
    for name, tensor in embeddings.items():
        if tensor.dim():
            stop = start + len(tensor)
        if tensor.requires_grad and name in gradients:
            tensors.append(tensor)
            gradient = gradients[name]
            shares.append(gradient[start : start + len(tensor)] * processes if tensor.dim() else gradient / parts)
    torch.autograd.backward(tensors, shares)
    return stop


@dataclass(frozen=True)
class Window:
    """A validation batch of a coupled loss.

    Attributes:
        parts: Parts that this process embeds of it; none, if there are fewer examples than processes.
        fresh: The share of its examples that no earlier one held.
    """

    parts: int
    fresh: float


class ValidationWindows:
    """Validation examples for a coupled loss, as batches of one size: that of training, or all where they are fewer.

    The value of such a loss depends on how many examples it couples, so that a small last batch would count for
    something else. Instead the last one reaches back to examples that were measured before, and weighs as much as
    what is new in it. Each is shared out between processes and parts as batches are in training.

    Args:
        examples: Where examples come from.
        seed: The run's seed.
        batch_size: Examples of one optimiser step, over all processes.
        part_size: Examples that a process embeds at once.
        rank: This process.
        world_size: Processes.
    """

    def __init__(
        self, examples: Examples, *, seed: int, batch_size: int, part_size: int, rank: int, world_size: int
    ) -> None:
        self.examples = examples
        self.seed = seed
        self.windows: list[Window] = []
        self._spans: list[tuple[int, int]] = []
        count = len(examples)
        size = min(batch_size, count)
        for first in range(0, count, size):
            begin = min(first, count - size)
            low, high = begin + size * rank // world_size, begin + size * (rank + 1) // world_size
            spans = [(start, min(start + part_size, high)) for start in range(low, high, part_size)]
            self._spans += spans
            self.windows.append(Window(len(spans), (begin + size - first) / size))

    def __len__(self) -> int:
        return len(self._spans)

    def __getitem__(self, number: int) -> Batch:
        indices = np.arange(*self._spans[number])
        return self.examples.batch(indices, validation_seeds(self.seed, indices))

    def __iter__(self) -> Iterator[Batch]:
        return (self[number] for number in range(len(self)))
