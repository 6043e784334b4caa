"""``rep-vision export``: an encoder, or a detector of odd images, as an ONNX file."""

from pathlib import Path

from cli.console import Console
from cli.options import Output, Switch
from cli.vision_commands.inputs import open_model
from nlprep.core.errors import OptionError

ONNX = ".onnx"
EPILOG = """\
examples:
  rep-vision export photos-vae --output photos.onnx
  rep-vision anomalies photos-vae --detector detector
  rep-vision export detector --output detector.onnx

The file needs neither torch nor this package. It takes images, (batch, channels, height, width)
bytes, and gives codes; of a detector also the score and is_anomaly, by the line that was drawn.
How pictures become such images stands in its metadata, under nlprep, as JSON.
"""


def export(
    model: Path,
    /,
    *,
    output: Output,
    overwrite: Switch = False,
    features: Switch = False,
    console: Console,
) -> int:
    """Write an encoder, or a detector of odd images, as an ONNX file.

    Args:
        model: A run of rep-vision, its model, a detector that was kept, or a pretrained model of transformers.
        output: The file: .onnx.
        overwrite: Replace another ONNX model; never anything else.
        features: What the network makes before the code, instead of the code.
        console: Where results and remarks go.
    """
    from nlprep.core.artifacts import artifact_kind
    from nlprep.core.ownership import check_replaceable
    from vision.encoders.image_encoder import ImageEncoder
    from vision.encoders.onnx_files import ONNX_FILE, export_detector_onnx, read_onnx_description
    from vision.uses.anomalies import ANOMALY_DETECTOR, AnomalyDetector

    if output.suffix != ONNX:
        raise OptionError(f"{output}: give it a name that ends in {ONNX}")
    check_replaceable(output, ONNX_FILE, inputs=console.inputs(model), overwrite=overwrite)
    if artifact_kind(model) == ANOMALY_DETECTOR:
        if features:
            raise OptionError("--features: a detector gives codes: leave it out")
        export_detector_onnx(AnomalyDetector.from_directory(model, device="cpu"), output, overwrite=overwrite)
    else:
        saved = open_model(model, "cpu")
        wanted = "features" if features else str(saved.notes.get("output", "codes"))
        ImageEncoder(saved, output=wanted).export_onnx(output, overwrite=overwrite)
    described = read_onnx_description(output)
    if console.json_output:
        console.result({"output": str(output), **described})
        return 0
    given = described.get("outputs") or dict([described["output"].split(": ", 1)])
    console.table(("output", "what it is"), list(given.items()))
    console.note(f"{described['input']}; preprocessing is in the metadata: {output}")
    return 0
