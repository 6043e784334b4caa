"""Tokenizers: trained on one's own text, saved so that they load anywhere exactly as they were.

Every tokenizer has the same five special tokens, so that one serves masked and causal models alike:
``[PAD] [UNK] [CLS] [SEP] [MASK]``, with ids 0 to 4. The beginning and the end of a text (bos and eos) are [CLS] and
[SEP]. An encoder's text is wrapped in both; for a causal model (`causal_form`) [SEP] alone stands between documents.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nlprep.core.errors import FileError, NlprepError, OptionError, os_errors_named
from nlprep.core.files import atomic_directory
from nlprep.core.progress import SILENT
from nlprep.language_models.text.configuration import TokenizerConfig
from nlprep.language_models.text.documents import check_documents

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Iterator

    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerFast

    from nlprep.core.progress import Progress, Task

SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
DEFAULT_VOCABULARY = 16_000
KIND = "tokenizer"
_CONFIG, _TOKENIZER = "tokenizer_config.json", "tokenizer.json"
_BYTES = 256


def train_tokenizer(
    texts: Iterable[str], config: TokenizerConfig | None = None, *, progress: Progress = SILENT
) -> PreTrainedTokenizerFast:
    """Train a tokenizer.

    ``byte-bpe`` is byte-pair encoding of bytes (Radford et al. 2019), which knows every text there is; ``bpe``
    (Sennrich et al. 2016), ``unigram`` (Kudo 2018) and ``wordpiece`` (as in BERT, Devlin et al. 2019; accents are
    kept) work on characters, and those that the text lacks become [UNK]; ``character`` makes a token of each
    character.

    The same text gives the same tokenizer, but for ``wordpiece``, whose trainer settles ties between equally
    frequent pieces by chance, and ``unigram``, whose scores differ in the last digits: keep the one you trained.

    Args:
        texts: Documents; read once.
        config: Algorithm and size.
        progress: Gets documents read.

    Returns:
        The tokenizer.

    Raises:
        NlprepError: There is no text, or one by itself.
        OptionError: The text does not support as many tokens, or its alphabet alone needs more.
    """
    check_documents(texts)
    config = config or TokenizerConfig()
    with progress.task("training the tokenizer") as task:
        counted = _Counted(texts, task)
        tokenizer = _train_characters(counted, config) if config.algorithm == "character" else _train(counted, config)
    if not counted.characters:
        raise NlprepError("there is no text to train a tokenizer on: give more text")
    size = tokenizer.get_vocab_size()
    wanted = config.vocabulary_size
    if wanted is not None and config.algorithm != "character" and size != wanted:
        raise OptionError(
            f"vocabulary_size = {wanted:,}: this text supports {size:,} tokens: give more text, a smaller vocabulary, "
            "or none to take what the text supports"
        )
    return _wrap(tokenizer, spaced=config.algorithm in ("byte-bpe", "bpe", "unigram"))


class _Counted:
    """Texts on their way to a trainer, counted."""

    def __init__(self, texts: Iterable[str], task: Task) -> None:
        self._texts, self._task = texts, task
        self.characters = 0

    def __iter__(self) -> Iterator[str]:
        for text in self._texts:
            self.characters += len(text)
            self._task.advance()
            yield text


def _train(texts: Iterable[str], config: TokenizerConfig) -> Tokenizer:
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

    size = config.vocabulary_size or DEFAULT_VOCABULARY
    common: dict[str, Any] = {
        "vocab_size": size,
        "special_tokens": list(SPECIAL_TOKENS),
        "show_progress": False,
    }
    steps: list[Any] = []
    if config.algorithm == "byte-bpe":
        if config.vocabulary_size is not None and size < _BYTES + len(SPECIAL_TOKENS):
            raise OptionError(
                f"vocabulary_size = {size}: byte-bpe needs at least {_BYTES + len(SPECIAL_TOKENS)}, a token for each "
                "byte and five special ones"
            )
        tokenizer = Tokenizer(models.BPE())
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        tokenizer.decoder = decoders.ByteLevel()
        trainer: Any = trainers.BpeTrainer(
            **common, min_frequency=config.min_frequency, initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet())
        )
    elif config.algorithm == "wordpiece":
        tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]", max_input_chars_per_word=100))  # noqa: S106
        steps.append(normalizers.BertNormalizer(lowercase=False, strip_accents=False))
        tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        tokenizer.decoder = decoders.WordPiece(prefix="##", cleanup=False)
        trainer = trainers.WordPieceTrainer(**common, min_frequency=config.min_frequency)
    else:
        steps.append(normalizers.NFC())
        tokenizer = Tokenizer(models.BPE(unk_token="[UNK]") if config.algorithm == "bpe" else models.Unigram())  # noqa: S106
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
        tokenizer.decoder = decoders.Metaspace()
        if config.algorithm == "bpe":
            trainer = trainers.BpeTrainer(**common, min_frequency=config.min_frequency)
        else:
            trainer = trainers.UnigramTrainer(**common, unk_token="[UNK]")  # noqa: S106
    if config.lowercase:
        steps.append(normalizers.Lowercase())
    if steps:
        tokenizer.normalizer = normalizers.Sequence(steps)
    try:
        tokenizer.train_from_iterator(iter(texts), trainer=trainer)
    except NlprepError:
        raise
    except Exception as error:
        # The library raises plain exceptions: a Unigram trainer that runs out of pieces, for one.
        if type(error) is not Exception:
            raise
        raise OptionError(
            f"vocabulary_size = {size:,} does not suit this text ({error}): choose another, or another algorithm"
        ) from None
    found = tokenizer.get_vocab_size()
    if found > size:
        raise OptionError(
            f"vocabulary_size = {size:,}: the characters of this text alone are {found - len(SPECIAL_TOKENS):,}: "
            "choose more, or byte-bpe"
        )
    return tokenizer


def _train_characters(texts: Iterable[str], config: TokenizerConfig) -> Tokenizer:
    from collections import Counter

    from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers

    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(text.lower() if config.lowercase else text)
    characters = sorted(counts)
    if config.vocabulary_size is not None and len(characters) + len(SPECIAL_TOKENS) > config.vocabulary_size:
        kept = sorted(characters, key=lambda character: (-counts[character], character))
        characters = sorted(kept[: config.vocabulary_size - len(SPECIAL_TOKENS)])
    vocabulary = {token: index for index, token in enumerate((*SPECIAL_TOKENS, *characters))}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))  # noqa: S106
    if config.lowercase:
        tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), behavior="isolated")
    tokenizer.decoder = decoders.Fuse()
    tokenizer.add_special_tokens(list(SPECIAL_TOKENS))
    return tokenizer


def _wrap(tokenizer: Tokenizer, *, spaced: bool) -> PreTrainedTokenizerFast:
    """Give a trained tokenizer its roles; ``spaced``: whether words carry the space before them."""
    from tokenizers import AddedToken, processors
    from transformers import PreTrainedTokenizerFast

    # A mask then stands for the space before it too, as the word would that it hides.
    tokenizer.add_special_tokens([AddedToken("[MASK]", lstrip=spaced, normalized=False, special=True)])
    ids = {token: tokenizer.token_to_id(token) for token in SPECIAL_TOKENS}
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", ids["[CLS]"]), ("[SEP]", ids["[SEP]"])],
    )
    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=tokenizer,
        pad_token="[PAD]",  # noqa: S106
        unk_token="[UNK]",  # noqa: S106
        cls_token="[CLS]",  # noqa: S106
        sep_token="[SEP]",  # noqa: S106
        mask_token="[MASK]",  # noqa: S106
        bos_token="[CLS]",  # noqa: S106
        eos_token="[SEP]",  # noqa: S106
        model_input_names=["input_ids", "attention_mask"],
        clean_up_tokenization_spaces=False,
    )


def causal_form(tokenizer: PreTrainedTokenizerFast) -> PreTrainedTokenizerFast:
    """A copy for a causal model: text is encoded as it is, and bos is eos, which begins and ends documents.

    A tokenizer made elsewhere that adds nothing to a text already is returned as it is.
    """
    from copy import deepcopy

    if len(tokenizer("")["input_ids"]) == 0:
        return tokenizer
    copy = deepcopy(tokenizer)
    copy.backend_tokenizer.post_processor = None
    copy.bos_token = copy.eos_token
    return copy


def tokenizer_digest(tokenizer: PreTrainedTokenizerFast) -> str:
    """A short digest of how a tokenizer makes tokens of text; what it adds around them does not count."""
    state = json.loads(tokenizer.backend_tokenizer.to_str())
    for passing in ("truncation", "padding", "post_processor"):
        state.pop(passing, None)
    return hashlib.sha256(json.dumps(state, sort_keys=True).encode()).hexdigest()[:16]


def save_tokenizer(
    tokenizer: PreTrainedTokenizerFast, directory: str | os.PathLike[str], *, overwrite: bool = False
) -> None:
    """Write a tokenizer as a directory that ``AutoTokenizer`` loads, with transformers 4 too.

    Args:
        tokenizer: The tokenizer.
        directory: The place; another tokenizer of ours there is replaced when this one is whole.
        overwrite: Whether another kind of ours may be replaced, too.

    Raises:
        FileError: It cannot be written or holds something else; what was there is untouched.
    """
    with atomic_directory(directory, kind=KIND, overwrite=overwrite) as assembly:
        fill_tokenizer(tokenizer, assembly)


def fill_tokenizer(tokenizer: PreTrainedTokenizerFast, directory: Path) -> None:
    """Write a tokenizer's files into a directory that is being assembled."""
    tokenizer.save_pretrained(directory)
    path = directory / _CONFIG
    config = json.loads(path.read_text(encoding="utf-8"))
    if config.get("tokenizer_class") == "TokenizersBackend":
        # The same class under the name by which version 4 knows it.
        config["tokenizer_class"] = "PreTrainedTokenizerFast"
    path.write_text(json.dumps(config, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def load_tokenizer(path: str | os.PathLike[str]) -> PreTrainedTokenizerFast:
    """Load a tokenizer from a directory: a tokenizer's, a model's, or a run's.

    Nothing is fetched from anywhere, and no code that came with it is run.

    Raises:
        FileError: Missing, damaged, or no tokenizer there.
    """
    from transformers import AutoTokenizer, PreTrainedTokenizerFast

    directory = Path(path)
    with os_errors_named(directory):
        names = {child.name for child in directory.iterdir()}
    for inner in ("model", "tokenizer"):
        if _CONFIG not in names and _TOKENIZER not in names and (directory / inner / _CONFIG).is_file():
            return load_tokenizer(directory / inner)
    if _CONFIG not in names and _TOKENIZER not in names:
        raise FileError(directory, f"holds no {_TOKENIZER}: name the directory of a tokenizer or of a model")
    try:
        tokenizer = AutoTokenizer.from_pretrained(directory, local_files_only=True, trust_remote_code=False)
    except Exception as error:
        # What it raises for a damaged file depends on the file and on the library's version.
        reason = " ".join(str(error).split())[:200]
        raise FileError(directory, f"the tokenizer cannot be read ({reason}): save it again") from error
    if not isinstance(tokenizer, PreTrainedTokenizerFast):
        raise FileError(directory, "the tokenizer has no fast form (tokenizer.json): convert it with transformers")
    return tokenizer
