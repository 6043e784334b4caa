"""``rep-pretrain generate``: text out of a causal language model, or translations out of a translation model."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated

from cli.console import Console
from cli.options import AtLeastOneIfAny, Given, Options, Threads
from cli.pretrain_commands.inputs import load_model
from cli.standard_input import read_standard_input
from nlprep.core.configuration import to_mapping
from nlprep.core.errors import OptionError
from nlprep.language_models.generators.configuration import GenerationConfig

_BEAMS = 4

EPILOG = """\
examples:
  rep-pretrain generate gpt "Once upon a time"
  rep-pretrain generate gpt "ROMEO:" --max-tokens 300 --temperature 0.7 --seed 7
  rep-pretrain generate gpt --num-samples 3 --json
  rep-pretrain generate gpt - < prompt.txt
  rep-pretrain generate en-fr "A dog runs over the grass."
  rep-pretrain generate en-fr - < english.txt > french.txt

The text appears as it comes. Without a prompt a new document is begun. A model that
finetune --task translation made translates: the prompt, or each line of standard input.
"""


def generate(
    model: Path,
    prompt: str = "",
    /,
    *,
    sampling: Annotated[Given[GenerationConfig], Options(title="sampling")],
    beams: AtLeastOneIfAny = None,
    device: str | None = None,
    threads: Threads = None,
    console: Console,
) -> int:
    """Continue a text.

    Args:
        model: A causal language model, or a translation model: a run of rep-pretrain, or a transformers directory.
        prompt: What to continue; - is standard input.
        sampling: How tokens are chosen.
        beams: Translation: width of the search; 4 if not given.
        device: A name such as cpu or cuda; a GPU where there is one, if none is named.
        threads: Processor threads; all by default.
        console: Where results and remarks go.
    """
    from nlprep.core.threads import torch_threads
    from nlprep.language_models.generators import generation
    from nlprep.language_models.models.files import kind_of_model

    if kind_of_model(model) == "translation":
        for flag in sampling.flags:
            raise OptionError(f"{flag} is for sampling, and {model} translates")
        return _translate(model, prompt, beams or _BEAMS, device, threads, console)
    if beams is not None:
        raise OptionError(f"--beams is for translation, and {model} is no translation model")
    config = sampling.resolve()
    loaded = load_model(model, "causal", device)
    if prompt == "-":
        prompt = _read_prompt()
    samples = []
    with torch_threads(threads):
        for number in range(config.num_samples):
            # One at a time, so that what is shown can be told apart.
            one = replace(config, num_samples=1, seed=config.seed + number)
            shown = _Shown(f"{_SEPARATOR if number else ''}{prompt}", silent=console.json_output)
            samples += generation.generate(*loaded, prompt, one, on_text=shown.add)
            shown.add("\n")
    if console.json_output:
        console.result({"prompt": prompt, "samples": samples, "settings": to_mapping(config)})
    return 0


def _translate(path: Path, prompt: str, beams: int, device: str | None, threads: int | None, console: Console) -> int:
    from nlprep.core.devices import find_device
    from nlprep.core.threads import torch_threads
    from nlprep.language_models.sequence_to_sequence.decoding import translate_sentences
    from nlprep.language_models.sequence_to_sequence.model import load_translation_model

    sentences = list(read_standard_input()) if prompt == "-" else [prompt] if prompt else []
    place = find_device(device)
    model, source, target = load_translation_model(path)
    model.to(place)  # type: ignore[arg-type]
    with torch_threads(threads):
        found = translate_sentences(model, source, target, sentences, beams=beams, progress=console.progress)
    if console.json_output:
        console.result([{"source": one, "translation": other} for one, other in zip(sentences, found, strict=True)])
    else:
        print("\n".join(found))
    return 0


_SEPARATOR = "----\n"


class _Shown:
    """Text on stdout as it comes; the prompt is held back until there is something to follow it."""

    def __init__(self, prompt: str, *, silent: bool) -> None:
        self._waiting = prompt
        self._silent = silent

    def add(self, text: str) -> None:
        if not self._silent:
            print(self._waiting + text, end="", flush=True)
        self._waiting = ""


def _read_prompt() -> str:
    from nlprep.core.files import read_lines

    return "\n".join(line for _, line in read_lines("-"))
