"""``rep-pretrain tokenizer``: a tokenizer from text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cli.options import add_common_options, add_configuration, add_output, inputs_of, resolve_configuration
from cli.pretrain_commands.inputs import add_reading, add_text, documents_of
from nlprep.core.configuration import to_mapping
from nlprep.core.ownership import check_replaceable
from nlprep.language_models.text.tokenizers import KIND, TokenizerConfig

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable, Iterator

    from transformers import PreTrainedTokenizerFast

    from cli.console import Console
    from cli.options import Parser

EPILOG = """\
examples:
  rep-pretrain tokenizer english.txt --output tokenizer
  rep-pretrain tokenizer books/ news.txt.xz --output tokenizer --vocabulary-size 32000
  rep-pretrain tokenizer english.txt --output tokenizer --algorithm wordpiece --lowercase
  zcat *.gz | rep-pretrain tokenizer - --output tokenizer

The output opens in transformers: AutoTokenizer.from_pretrained("tokenizer"). mlm and gpt
train a tokenizer themselves when none is given; one of your own serves several models.
"""

_SAMPLE_CHARACTERS = 1_000_000
_NUM_SPLITS = 3
_SPLIT_CHARACTERS = 60


def add_arguments(parser: Parser) -> None:
    """Add the arguments of this command."""
    parser.epilog = EPILOG
    add_text(parser)
    add_output(parser, "directory for the tokenizer", metavar="DIR", kind="directory", required=True)
    add_configuration(parser, TokenizerConfig, title="tokenizer")
    add_reading(parser)
    add_common_options(parser, threads=False)


def run(arguments: argparse.Namespace, console: Console) -> int:
    """Train and write the tokenizer."""
    from nlprep.language_models.text.tokenizers import save_tokenizer, train_tokenizer

    config = resolve_configuration(TokenizerConfig, arguments)
    check_replaceable(arguments.output, KIND, inputs=inputs_of(arguments, "text"), overwrite=arguments.overwrite)
    sample: list[str] = []
    tokenizer = train_tokenizer(_sampled(documents_of(arguments, console), sample), config, progress=console.progress)
    save_tokenizer(tokenizer, arguments.output, overwrite=arguments.overwrite)
    summary = describe(tokenizer, sample)
    if console.json_output:
        console.result({"output": arguments.output, **summary, "settings": to_mapping(config)})
        return 0
    rows = [
        ("vocabulary size", summary["vocabulary_size"]),
        ("bytes per token", f"{summary['bytes_per_token']:.2f}"),
        ("unknown tokens", f"{summary['unknown_share']:.2%}"),
    ]
    console.table(("tokenizer", config.algorithm), rows)
    for split in summary["splits"]:
        console.note("  " + "|".join(split))
    console.note(f"tokenizer: {arguments.output}")
    return 0


def _sampled(documents: Iterable[str], sample: list[str]) -> Iterator[str]:
    """Pass documents on and keep the first of them: standard input is read only once."""
    kept = 0
    for document in documents:
        if kept < _SAMPLE_CHARACTERS:
            sample.append(document)
            kept += len(document)
        yield document


def describe(tokenizer: PreTrainedTokenizerFast, sample: list[str]) -> dict[str, Any]:
    """Vocabulary, bytes per token, share of unknown tokens, and how the beginnings of some documents split."""
    found = tokenizer(sample, add_special_tokens=False)["input_ids"]
    tokens = sum(map(len, found))
    unknown = sum(ids.count(tokenizer.unk_token_id) for ids in found)
    beginnings = [document[:_SPLIT_CHARACTERS] for document in sample[:_NUM_SPLITS]]
    return {
        "vocabulary_size": len(tokenizer),
        "bytes_per_token": sum(len(document.encode()) for document in sample) / max(1, tokens),
        "unknown_share": unknown / max(1, tokens),
        "splits": [_pieces(tokenizer, beginning) for beginning in beginnings],
    }


def _pieces(tokenizer: PreTrainedTokenizerFast, text: str) -> list[str]:
    offsets = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"]
    return [text[start:end] for start, end in offsets]
