"""``rep-vqa make-data``: questions that are drawn, with their images."""

from pathlib import Path
from typing import Annotated

from cli.console import Console
from cli.options import Options, Switch
from multimodal.questions.configuration import DrawnQuestionsConfig
from nlprep.core.configuration import Bounds

EPILOG = """\
examples:
  rep-vqa make-data vqa-data
  rep-vqa make-data small --drawn-images 400 --validation 100 --test 200
  rep-vqa make-data hard --cells 4 --most 12 --drawn-images 12000

The questions are balanced: whoever does not see the image of "is there a red circle ?" can toss
a coin, as in every image without one there are red things, and circles. A tenth of a minute for
some thousands of images; examples holds a few as pictures, to look at and to ask of.
"""

_Count = Annotated[int, Bounds(help="", minimum=0)]


def make_data(
    output: Path = Path("vqa-data"),
    /,
    *,
    overwrite: Switch = False,
    drawn: Annotated[DrawnQuestionsConfig, Options(title="what is drawn", names={"images": "drawn-images"})],
    validation: _Count = 500,
    test: _Count = 1000,
    console: Console,
) -> int:
    """Draw images and questions that say nothing without them.

    Args:
        output: The folder.
        overwrite: Replace what nlprep wrote there; never anything else.
        drawn: What is drawn.
        validation: Images to choose by, an even number; 0 for none.
        test: Images to measure on, likewise.
        console: Where results and remarks go.
    """
    import json

    from multimodal.questions.drawn.files import SPLITS, write_drawn_questions

    written = write_drawn_questions(
        output, drawn, validation=validation, test=test, overwrite=overwrite, progress=console.progress
    )
    counts = json.loads((written / "settings.json").read_text(encoding="utf-8"))["images"]
    asked = {}
    for split in SPLITS:
        if counts[split]:
            with (written / f"{split}.jsonl").open("rb") as stream:
                asked[split] = sum(1 for _ in stream)
    if console.json_output:
        console.result({"output": str(written), "images": counts, "questions": asked})
        return 0
    console.table(("split", "images", "questions"), [(split, counts[split], asked[split]) for split in asked])
    console.note(f"learn to answer them: rep-vqa train {written}")
    return 0
