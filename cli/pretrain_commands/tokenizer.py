"""``rep-pretrain tokenizer``: a tokenizer from text."""

from collections.abc import Iterable, Iterator
from typing import Annotated

from cyclopts import Parameter

from cli.console import Console
from cli.options import EncodingErrors, Options, Output, Switch
from cli.pretrain_commands.inputs import Text
from nlprep.core.configuration import to_mapping
from nlprep.language_models.text.configuration import DocumentUnit, TokenizerConfig

EPILOG = """\
examples:
  rep-pretrain tokenizer english.txt --output tokenizer
  rep-pretrain tokenizer books/ news.txt.xz --output tokenizer \\
      --vocabulary-size 32000
  rep-pretrain tokenizer english.txt --output tokenizer --algorithm wordpiece
  zcat *.gz | rep-pretrain tokenizer - --output tokenizer

The output opens in transformers: AutoTokenizer.from_pretrained("tokenizer"). mlm and gpt
train a tokenizer themselves when none is given; one of your own serves several models.
"""

_SAMPLE_CHARACTERS = 1_000_000


def tokenizer(
    *text: Text,
    output: Output,
    overwrite: Switch = False,
    config: Annotated[TokenizerConfig, Options(title="tokenizer")],
    document: Annotated[DocumentUnit, Parameter(group="text")] = "line",
    encoding_errors: Annotated[EncodingErrors, Parameter(group="text")] = "strict",
    console: Console,
) -> int:
    """Learn a tokenizer from text.

    Args:
        text: Text files or folders of them; plain, .gz, .xz, .zst; - is standard input.
        output: Directory for the tokenizer.
        overwrite: Replace what nlprep wrote even if it is of another kind, or vectors in a file; never anything else.
        config: What kind of tokenizer.
        document: What a document is.
        encoding_errors: What to do with bytes that are not UTF-8; strict is an error.
        console: Where results and remarks go.
    """
    from nlprep.core.ownership import check_replaceable
    from nlprep.language_models.text.documents import read_documents
    from nlprep.language_models.text.tokenizer_description import describe_tokenizer
    from nlprep.language_models.text.tokenizers import KIND, save_tokenizer, train_tokenizer

    check_replaceable(output, KIND, inputs=console.inputs(text), overwrite=overwrite)
    documents = read_documents(text, unit=document, encoding_errors=encoding_errors, progress=console.progress)
    sample: list[str] = []
    made = train_tokenizer(_sampled(documents, sample), config, progress=console.progress)
    save_tokenizer(made, output, overwrite=overwrite)
    summary = describe_tokenizer(made, sample)
    if console.json_output:
        console.result({"output": str(output), **summary, "settings": to_mapping(config)})
        return 0
    rows = [
        ("vocabulary size", summary["vocabulary_size"]),
        ("bytes per token", f"{summary['bytes_per_token']:.2f}"),
        ("unknown tokens", f"{summary['unknown_share']:.2%}"),
    ]
    console.table(("tokenizer", config.algorithm), rows)
    for split in summary["splits"]:
        console.note("  " + "|".join(split))
    console.note(f"tokenizer: {output}")
    return 0


def _sampled(documents: Iterable[str], sample: list[str]) -> Iterator[str]:
    """Pass documents on and keep the first of them: standard input is read only once."""
    kept = 0
    for document in documents:
        if kept < _SAMPLE_CHARACTERS:
            sample.append(document)
            kept += len(document)
        yield document
