"""``rep-vision demo``: everything, on images that are drawn for it."""

import io
import time
from contextlib import nullcontext, redirect_stdout
from pathlib import Path

from cli.console import Console
from cli.options import AtLeastOne, Output, Switch, Threads

EPILOG = """\
examples:
  rep-vision demo                    # into ./vision-demo, in less than a minute
  rep-vision demo --output other --seed 2

The images are drawn: coloured shapes on coloured grounds, in classes. Figures on them say that
everything works, and nothing about real images.
"""


def demo(
    *,
    output: Output = Path("vision-demo"),
    overwrite: Switch = False,
    seed: AtLeastOne = 1,
    steps: AtLeastOne = 600,
    threads: Threads = None,
    console: Console,
) -> int:
    """Try everything on images that are drawn for it.

    Args:
        output: Where all goes.
        overwrite: Make all of it anew, in place of what nlprep wrote there; never of anything else.
        seed: Of the images and of training.
        steps: Of training.
        threads: Processor threads; all by default.
        console: Where results and remarks go.
    """
    from cli.vision import main
    from nlprep.core.errors import NlprepError, os_errors_named
    from vision.images.demonstration import write_demonstration

    began = time.perf_counter()
    with os_errors_named(output):
        output.mkdir(exist_ok=True)
    images, run = output / "images", output / "run"
    console.note("The images of this demonstration are drawn.")
    write_demonstration(images, seed=seed, overwrite=overwrite)
    some = next(path for path in sorted((images / "test").rglob("*")) if path.is_file())
    held = ["--threads", str(threads)] if threads else []
    replaced = ["--overwrite"] if overwrite else []
    # Votes of neighbours: a linear classifier of thousands of pixels takes longer than all the rest.
    probe = ["probe", run, "--data", images, "--classifier", "neighbors"]
    commands = [
        ["train", "vae", images, "-o", run, "--steps", steps, "--height", "32", "--seed", seed, *held],
        ["encode", run, images, "-o", output / "codes.npz", "--overwrite"],
        ["reconstruct", run, "-o", output / "reconstructions.png"],
        ["sample", run, "-o", output / "samples.png"],
        ["traverse", run, "-o", output / "traversals.png"],
        [*probe, "--labels", "1/class,10/class,100%", "--plot", output / "probe.png"],
        ["search", run, "--image", some, "--plot", output / "search.png"],
        ["anomalies", run, "--data", images, "--split", "test", "--plot", output / "anomalies.png"],
        ["report", run, "-o", output / "report.html"],
    ]
    for command in commands:
        words = [str(word) for word in command]
        console.note(f"\nrep-vision {' '.join(words)}")
        taken = replaced if "--overwrite" not in words else []
        # With --json, stdout is for the one document of the demonstration.
        with redirect_stdout(io.StringIO()) if console.json_output else nullcontext():
            status = main([*words, *taken, *(["--quiet"] if console.quiet else [])])
        if status:
            raise NlprepError(f"rep-vision {words[0]} ended with status {status}: see above")
    seconds = time.perf_counter() - began
    if console.json_output:
        console.result({"output": str(output), "seconds": round(seconds, 1), "page": str(output / "report.html")})
    else:
        console.note(f"\nDone in {seconds:.0f} s. Look at {output / 'report.html'} in a browser.")
    return 0
