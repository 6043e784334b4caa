"""What the commands of ``rep-vision`` that draw have in common: a figure's place, and what is said of it."""

from collections.abc import Iterable
from pathlib import Path

from cli.console import Console


def named_figure(model: Path, what: str) -> Path:
    """Where a figure goes if nobody says: into this directory, under the run's name, so that runs keep theirs apart."""
    from vision.run_images import run_name

    return Path(f"{run_name(model)}-{what}.png")


def check_figure(path: Path, inputs: Iterable[Path], *, overwrite: bool) -> None:
    """Fail before the work if a figure could not be written."""
    from nlprep.core.ownership import check_replaceable
    from nlprep.figures.files import FIGURE, figure_format

    figure_format(path)
    check_replaceable(path, FIGURE, inputs=inputs, overwrite=overwrite)


def said(console: Console, figure: Path, **told: object) -> int:
    """Say what a command drew."""
    if console.json_output:
        console.result({"figure": str(figure), **told})
    else:
        for name, value in told.items():
            listed = ", ".join(map(str, value)) if isinstance(value, list | tuple) else value
            console.note(f"{name.replace('_', ' ')}: {listed}")
        console.note(f"figure: {figure}")
    return 0
