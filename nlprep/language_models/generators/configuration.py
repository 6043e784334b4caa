"""The settings of generated text."""

from __future__ import annotations

from dataclasses import dataclass

from nlprep.core.configuration import check, option


@dataclass(frozen=True, kw_only=True)
class GenerationConfig:
    """How tokens are chosen."""

    max_tokens: int = option(100, "most tokens to generate; the model's context may end it sooner", minimum=1)
    temperature: float = option(0.8, "0 takes the likeliest token, 1 samples as the model says", minimum=0)
    top_k: int | None = option(None, "sample from this many likeliest tokens; none: from all", minimum=1)
    top_p: float | None = option(
        None, "sample from the likeliest tokens of this total probability; none: from all", above=0, maximum=1
    )
    repetition_penalty: float = option(1.0, "above 1, repeats are made less likely", minimum=0.1)
    num_samples: int = option(1, "texts to generate", minimum=1)
    stop: str | None = option(None, "end a text before this string")
    seed: int = option(1, "seed of the sampling", minimum=0)

    def __post_init__(self) -> None:
        check(self)
