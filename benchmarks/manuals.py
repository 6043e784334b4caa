"""Text and test dictionaries of seven languages, out of manuals that Debian carries.

Unpack these packages into one folder (``dpkg -x PACKAGE.deb manuals``): libreoffice-help-{en-us,de,fr,es,it,el,ru},
gimp-help-{en,de,fr,es,it,el,ru}, installation-guide-amd64, debian-handbook; and FreeDict's dict-freedict-{eng-deu,
deu-eng,eng-fra,fra-eng,eng-spa,spa-eng,fra-deu,deu-fra,fra-spa,deu-spa,eng-rus,deu-rus,fra-rus,eng-ell}. Then::

    python -m benchmarks.manuals manuals texts

writes ``texts/en.txt`` and so on, 0.5 to 1 million words a language, and ``texts/en-de.txt`` and so on, pairs of words
as MUSE has them. The texts are translations of each other, which nothing makes use of but that they are of one kind.
Paragraphs that were left in English are taken out.
"""

from __future__ import annotations

import argparse
import gzip
import html
import re
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

LANGUAGES = ("en", "de", "fr", "es", "it", "el", "ru")
FOLDERS = (
    "libreoffice/help/{help}",
    "gimp/2.0/help/{language}",
    "doc/installation-guide-amd64/{language}",
    "doc/debian-handbook/html/{language}-{country}",
)
COUNTRIES = {"en": "US", "de": "DE", "fr": "FR", "es": "ES", "it": "IT", "el": "GR", "ru": "RU"}
DICTIONARIES = (
    *("eng-deu", "deu-eng", "eng-fra", "fra-eng", "eng-spa", "spa-eng", "fra-deu"),
    *("deu-fra", "fra-spa", "deu-spa", "eng-rus", "deu-rus", "fra-rus", "eng-ell"),
)
CODES = {"eng": "en", "deu": "de", "fra": "fr", "spa": "es", "rus": "ru", "ell": "el"}
SCRIPTS = {"ru": re.compile("[а-яё]", re.IGNORECASE), "el": re.compile("[α-ωά-ώ]", re.IGNORECASE)}
ENGLISH = frozenset(
    re.split(" ", "the of is to and for this that you can with are from be it or by if not which when use will")
)
"""English words of grammar; a paragraph with one in eight of them is English."""
SHORTEST = 25
"""Characters of a paragraph: shorter ones are labels of buttons."""

_UNSEEN = re.compile(r"<(script|style|head)\b.*?</\1>", re.DOTALL | re.IGNORECASE)
_BLOCK = re.compile(r"</?(p|div|li|td|th|tr|h\d|dt|dd|br|table|ul|ol|pre)\b[^>]*>", re.IGNORECASE)
_TAG = re.compile(r"<[^>]+>")
_HEADWORD = re.compile(r"^([^\s/<\[]+)\s+(?:/[^/]*/\s*)+(?:<[^>]*>)?\s*$")
_REMARK = re.compile(r"<[^>]*>|\[[^\]]*\]|\([^)]*\)|\{[^}]*\}|\b\d+\.")


def read_paragraphs(share: Path, language: str) -> Iterator[str]:
    """Paragraphs of all manuals in a language, none twice."""
    seen = set()
    for folder in FOLDERS:
        place = folder.format(
            help="en-US" if language == "en" else language, language=language, country=COUNTRIES[language]
        )
        for path in sorted((share / place).rglob("*.html")):
            text = _UNSEEN.sub("\n", path.read_text(encoding="utf-8", errors="replace"))
            text = _BLOCK.sub("\n", " ".join(text.split()))
            for line in html.unescape(_TAG.sub(" ", text)).split("\n"):
                paragraph = " ".join(line.split())
                if len(paragraph) >= SHORTEST and paragraph not in seen:
                    seen.add(paragraph)
                    yield paragraph


def is_translated(paragraph: str, language: str) -> bool:
    """Whether a paragraph is in the language rather than in English."""
    if language in SCRIPTS:
        letters = sum(character.isalpha() for character in paragraph)
        return 2 * len(SCRIPTS[language].findall(paragraph)) >= letters > 0
    words = paragraph.lower().split()
    return sum(word in ENGLISH for word in words) <= len(words) / 8


def read_dictionary(path: Path) -> dict[tuple[str, str], None]:
    """Pairs of single words, in the order of the file."""
    with gzip.open(path, "rt", encoding="utf-8", errors="replace") as stream:
        lines = stream.read().split("\n")
    pairs: dict[tuple[str, str], None] = {}
    for number, line in enumerate(lines):
        headword = _HEADWORD.match(line)
        if headword is None:
            continue
        answer = next((later for later in lines[number + 1 : number + 3] if later.strip()), "")
        for word in re.split("[,;]", _REMARK.sub(" ", answer)):
            translation = word.strip().lower()
            if translation and " " not in translation:
                pairs[headword[1].lower(), translation] = None
    return pairs


def main() -> None:
    """Write texts and dictionaries."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("manuals", type=Path, help="folder that the packages were unpacked into")
    parser.add_argument("output", type=Path, help="folder for texts and dictionaries")
    options = parser.parse_args()
    share = options.manuals / "usr" / "share"
    options.output.mkdir(parents=True, exist_ok=True)
    english = list(read_paragraphs(share, "en"))
    for language in LANGUAGES:
        kept = english
        if language != "en":
            known = set(english)
            kept = [line for line in read_paragraphs(share, language) if line not in known]
            kept = [line for line in kept if is_translated(line, language)]
        (options.output / f"{language}.txt").write_text("".join(f"{line}\n" for line in kept), encoding="utf-8")
        print(f"{language}: {len(kept):,} paragraphs, {sum(len(line.split()) for line in kept):,} words")
    for name in DICTIONARIES:
        pairs = read_dictionary(share / "dictd" / f"freedict-{name}.dict.dz")
        source, target = (CODES[code] for code in name.split("-"))
        text = "".join(f"{word}\t{translation}\n" for word, translation in pairs)
        (options.output / f"{source}-{target}.txt").write_text(text, encoding="utf-8")
        print(f"{source}-{target}: {len(pairs):,} pairs")


if __name__ == "__main__":
    main()
