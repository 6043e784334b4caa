"""The main job as a user runs it: two texts and a dictionary to a translator, measured on held-out dictionaries.

Runs the commands one after another, each as a process of its own, and prints what they said::

    python -m benchmarks.text_to_translator --output DIR       real text beside the checkout, about five minutes
    python -m benchmarks.text_to_translator --output DIR --quick    the generated texts of the demonstration

With real text the peer is VecMap's published program in its supervised mode, on gensim's vectors of the same texts
with the same settings, test dictionaries and retrieval (en-fr 29.3, fr-en 38.5 CSLS precision at 1).
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks.report import describe_machine, print_claim, print_table, time_call
from nlprep.demonstration import write_demonstration

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"
DRAWN = (
    "cat dog horse cow sheep january february march june july mother father daughter sister brother ship boat river "
    "sea bread wine milk cheese meat law court judge minister red blue green yellow black three four five six seven"
)
"""The words of the README's figure."""
VECMAP = {"en-fr": 29.3, "fr-en": 38.5}


def main() -> None:
    """Run the commands and print the table and the claim."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, required=True, help="a directory for vectors and model")
    parser.add_argument("--quick", action="store_true", help="generated text, a minute")
    parser.add_argument(
        "--words",
        nargs="*",
        default=["cat", "winter", "ship", "doctor", "green", "bread", "justice", "slowly", "seven", "write"],
    )
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)
    if arguments.quick or not SHARED.is_dir():
        run_generated(arguments.output)
    else:
        run_real(arguments.output, arguments.words)


def run_real(output: Path, words: list[str]) -> None:
    """English and French text, MUSE's dictionaries."""
    dictionaries = SHARED / "dictionaries"
    seconds = {}
    for language in ("en", "fr"):
        text = SHARED / "text" / f"{language}.txt.xz"
        seconds[f"train {language}"], _ = time_call(lambda: call("train", text, "--output", output / language))  # noqa: B023
    model = output / "en-fr"
    command = ["align", output / "en", output / "fr", "--dictionary", dictionaries / "en-fr.0-5000.txt"]
    names = ["--languages", "en,fr"]
    seconds["align"], _ = time_call(lambda: call(*command, *names, "--output", model))
    found = {name: call("evaluate", model, dictionaries / f"{name}.5000-6500.txt") for name in VECMAP}
    sentences = SHARED / "text" / "multi30k"
    pair = [sentences / f"test_2016_flickr.{language}.gz" for language in ("en", "fr")]
    retrieval = call("evaluate", model, "--sentences", *pair)
    seconds["translate ten words, cold"], translations = time_call(
        lambda: call("translate", model, *words, "--top", "3")
    )
    call("plot", model, "--words", *DRAWN.split(), "--output", output / "en-fr.png")
    print_scores(found)
    print(json.dumps(translations, ensure_ascii=False, indent=1))
    print_table("Seconds", ["command", "s"], [[name, f"{value:.1f}"] for name, value in seconds.items()])
    quality = {
        name: {"csls P@1": value["csls"]["precision@1"], "coverage": value["coverage"]} for name, value in found.items()
    }
    print_claim(
        "two texts to a translator, CSLS P@1, 5,000 pairs",
        peer="VecMap supervised on gensim's vectors, as measured once",
        ratio=min(found[name]["csls"]["precision@1"] / score for name, score in VECMAP.items()),
        quality=quality | {"vecmap": VECMAP, "sentences": retrieval},
        summary=", ".join(
            f"{name} {found[name]['csls']['precision@1']:.1f} against {score}" for name, score in VECMAP.items()
        ),
        seconds={name: round(value, 1) for name, value in seconds.items()},
    )


def run_generated(output: Path) -> None:
    """The generated texts of the demonstration, with its own small dictionary."""
    files = write_demonstration(output / "texts")
    for language, text in (("en", files.english), ("fr", files.french)):
        call("train", text, "--output", output / language, "--dimension", "60")
    call("align", output / "en", output / "fr", "--dictionary", files.seed_dictionary, "--output", output / "en-fr")
    found = {"en-fr": call("evaluate", output / "en-fr", files.test_dictionary)}
    print_scores(found)
    score = found["en-fr"]["csls"]["precision@1"]
    print_claim("generated text to translator, CSLS P@1", peer="none", ratio=1.0, quality={"csls P@1": score})


def call(*command: object) -> Any:
    """Run one command with ``--json`` and give back what it wrote; its progress shows on the terminal."""
    line = [sys.executable, "-m", "cli.translate", *map(str, command), "--json"]
    print("rep-translate", *map(str, command), file=sys.stderr)
    done = subprocess.run(line, stdout=subprocess.PIPE, check=True)
    return json.loads(done.stdout) if done.stdout else None


def print_scores(found: dict[str, Any]) -> None:
    """Precision of every direction under both measures."""
    rows = [
        [
            f"{name} {method}",
            *(f"{value[method][key]:.1f}" for key in ("precision@1", "precision@5", "precision@10", "mrr")),
        ]
        for name, value in found.items()
        for method in ("cosine", "csls")
    ]
    print_table(f"Word translation, per cent ({describe_machine()})", ["", "P@1", "P@5", "P@10", "MRR"], rows)


if __name__ == "__main__":
    main()
