"""Text out of a causal language model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nlprep.core.errors import NlprepError
from nlprep.core.randomness import seeded_torch
from nlprep.language_models.generators.configuration import GenerationConfig

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor
    from transformers import PreTrainedModel, PreTrainedTokenizerFast


def generate(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    prompt: str = "",
    config: GenerationConfig | None = None,
    *,
    on_text: Callable[[str], None] | None = None,
) -> list[str]:
    """Continue a prompt.

    A text that outgrows the model's context is continued from the last half of a context.

    Args:
        model: A causal language model in evaluation mode.
        tokenizer: Its tokenizer.
        prompt: What to continue; empty begins a new document.
        config: How tokens are chosen.
        on_text: Gets pieces of the text as they come, whole characters only; with several samples, of the first
            before the others are begun.

    Returns:
        The continuations, without the prompt.

    Raises:
        NlprepError: The prompt leaves no room in the model's context.
    """
    from nlprep.language_models.models.files import context_length

    config = config or GenerationConfig()
    ids: list[int] = tokenizer(prompt, add_special_tokens=False, verbose=False)["input_ids"]
    eos = tokenizer.eos_token_id
    if not ids:
        if eos is None:
            raise NlprepError("the tokenizer has no token that begins a document: give a prompt")
        ids = [int(eos)]
    context = context_length(model)
    if context is not None and len(ids) >= context:
        raise NlprepError(
            f"the prompt has {len(ids):,} tokens and the model's context holds {context:,}: give a shorter prompt"
        )
    texts = []
    for sample in range(config.num_samples):
        with seeded_torch(config.seed + sample, model.device):
            stream = _Stream(tokenizer, config.stop, on_text)
            window, left, ended = ids, config.max_tokens, False
            while left and not ended:
                room = left if context is None else min(left, context - len(window))
                made = _extend(model, tokenizer, window, room, config, stream)
                left -= len(made)
                ended = len(made) < room or made[-1] == eos or stream.stopped
                window = [*window, *made][-((context or 2) // 2) :]
            texts.append(stream.end())
    return texts


def _extend(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    ids: list[int],
    room: int,
    config: GenerationConfig,
    stream: _Stream,
) -> list[int]:
    """Up to so many more tokens, which are also given to the stream."""
    import torch

    inputs = torch.tensor([ids], device=model.device)
    generator: Any = model
    stream.expect_prompt()
    made = generator.generate(
        inputs,
        attention_mask=torch.ones_like(inputs),
        max_new_tokens=room,
        pad_token_id=tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        streamer=stream,
        stopping_criteria=[stream.stops],
        repetition_penalty=config.repetition_penalty,
        **_sampling(config),
    )
    more: list[int] = made[0, len(ids) :].tolist()
    return more


def _sampling(config: GenerationConfig) -> dict[str, Any]:
    if config.temperature == 0:
        return {"do_sample": False}
    # 0 and 1 are transformers' words for no limit.
    top_k, top_p = config.top_k or 0, config.top_p if config.top_p is not None else 1.0
    return {"do_sample": True, "temperature": config.temperature, "top_k": top_k, "top_p": top_p}


class _Stream:
    """Turns tokens into text as they come, holding back what is not certain yet.

    A character may take several tokens, and a stop string may begin in one and end in another.
    """

    def __init__(
        self, tokenizer: PreTrainedTokenizerFast, stop: str | None, on_text: Callable[[str], None] | None
    ) -> None:
        self._tokenizer, self._stop, self._on_text = tokenizer, stop, on_text
        self._ids: list[int] = []
        self._shown = 0
        self._prompted = False
        self._text = ""

    @property
    def stopped(self) -> bool:
        """Whether the stop string has come."""
        return bool(self._stop) and self._stop in self._tokenizer.decode(self._ids, skip_special_tokens=True)

    def expect_prompt(self) -> None:
        """What is put next is what there was before."""
        self._prompted = False

    def put(self, ids: Tensor) -> None:
        """Take the prompt, then one token after another: what `generate` calls."""
        if not self._prompted:
            self._prompted = True
            return
        self._ids += ids.flatten().tolist()
        self._text = str(self._tokenizer.decode(self._ids, skip_special_tokens=True))
        found = self._text.find(self._stop) if self._stop else -1
        if found >= 0:
            self._text = self._text[:found]
        held = 0 if found >= 0 else _held_back(self._text, self._stop)
        self._show(len(self._text) - held)

    def _show(self, end: int) -> None:
        if self._on_text is not None and end > self._shown:
            self._on_text(self._text[self._shown : end])
            self._shown = end

    def stops(self, ids: Tensor, _scores: Any, **_: Any) -> Any:
        """Whether the stop string has come: a stopping criterion, asked before the token is put."""
        import torch

        generated = [*self._ids, int(ids[0, -1])]
        stopped = bool(self._stop) and self._stop in self._tokenizer.decode(generated, skip_special_tokens=True)
        return torch.full((len(ids),), stopped, dtype=torch.bool, device=ids.device)

    def end(self) -> str:
        """Show what was held back; return the whole text."""
        self._show(len(self._text))
        return self._text


def _held_back(text: str, stop: str | None) -> int:
    """How many of the last characters may still change."""
    unfinished = len(text) - len(text.rstrip("\ufffd"))
    if stop:
        for length in range(min(len(stop) - 1, len(text)), 0, -1):
            if text.endswith(stop[:length]):
                return max(unfinished, length)
    return unfinished
