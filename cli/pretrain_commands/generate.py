"""``rep-pretrain generate``: text out of a causal language model, or translations out of a translation model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cli.options import add_common_options, add_configuration, given_options, positive_integer, resolve_configuration
from cli.pretrain_commands.inputs import add_device, add_model, kind_of, lines_of, load_model
from nlprep.core.configuration import to_mapping
from nlprep.core.errors import OptionError
from nlprep.language_models.generators.generation import GenerationConfig

if TYPE_CHECKING:
    import argparse

    from cli.console import Console
    from cli.options import Parser

_BEAMS = 4
EPILOG = """\
examples:
  rep-pretrain generate gpt "Once upon a time"
  rep-pretrain generate gpt "ROMEO:" --max-tokens 300 --temperature 0.7 --top-k 40 --seed 7
  rep-pretrain generate gpt --num-samples 3 --json
  rep-pretrain generate gpt - < prompt.txt
  rep-pretrain generate en-fr "A dog runs over the grass."
  rep-pretrain generate en-fr - < english.txt > french.txt

The text appears as it comes. Without a prompt a new document is begun. A model that
finetune --task translation made translates: the prompt, or each line of standard input.
"""


def add_arguments(parser: Parser) -> None:
    """Add the arguments of this command."""
    parser.epilog = EPILOG
    add_model(parser, "a causal language model, or a translation model")
    parser.add_argument("prompt", nargs="?", default="", metavar="PROMPT", help="what to continue; - is standard input")
    add_configuration(parser, GenerationConfig, title="sampling")
    parser.add_argument(
        "--beams", type=positive_integer, metavar="N", help=f"translation: width of the search (default: {_BEAMS})"
    )
    add_device(parser)
    add_common_options(parser)


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Generate."""
    from dataclasses import replace

    from nlprep.core.threads import torch_threads
    from nlprep.language_models.generators.generation import generate

    if kind_of(arguments.model) == "translation":
        return _translate(arguments, console)
    if arguments.beams is not None:
        raise OptionError(f"--beams is for translation, and {arguments.model} is no translation model")
    config = resolve_configuration(GenerationConfig, arguments)
    model, tokenizer = load_model(arguments, "causal")
    prompt = _standard_input() if arguments.prompt == "-" else arguments.prompt
    samples = []
    with torch_threads(arguments.threads):
        for number in range(config.num_samples):
            # One at a time, so that what is shown can be told apart.
            one = replace(config, num_samples=1, seed=config.seed + number)
            shown = _Shown(f"{_SEPARATOR if number else ''}{prompt}", silent=console.json_output)
            samples += generate(model, tokenizer, prompt, one, on_text=shown.add)
            shown.add("\n")
    if console.json_output:
        console.result({"prompt": prompt, "samples": samples, "settings": to_mapping(config)})
    return 0


def _translate(arguments: argparse.Namespace, console: Console) -> int:
    from nlprep.core.devices import find_device
    from nlprep.core.threads import torch_threads
    from nlprep.language_models.sequence_to_sequence.decoding import translate_sentences
    from nlprep.language_models.sequence_to_sequence.model import load_translation_model

    given = given_options(GenerationConfig, arguments)
    if given:
        raise OptionError(f"{given[0]} is for sampling, and {arguments.model} translates")
    sentences = list(lines_of("-")) if arguments.prompt == "-" else [arguments.prompt] if arguments.prompt else []
    device = find_device(arguments.device)
    model, source, target = load_translation_model(arguments.model)
    model.to(device)  # type: ignore[arg-type]
    with torch_threads(arguments.threads):
        found = translate_sentences(
            model, source, target, sentences, beams=arguments.beams or _BEAMS, progress=console.progress
        )
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


def _standard_input() -> str:
    from nlprep.core.files import read_lines

    return "\n".join(line for _, line in read_lines("-"))
