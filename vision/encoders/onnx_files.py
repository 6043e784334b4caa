"""Encoders and detectors of odd images as ONNX files, which run without this package and without torch.

The file's one input, ``images``, is (b, channels, height, width) uint8 with any b; the output ``codes`` is (b, d)
float32. A detector has the outputs ``score``, (b,) float32, and ``is_anomaly``, (b,) booleans: whether the score lies
above the line that was drawn, which is in the graph. Scaling to [0, 1] and the model's own normalisation are in the
graph too. How pictures become such images, the names of classes, the line and what is known of it, and what else is to
be kept is in the file's metadata, under ``nlprep``, as JSON.
"""

from __future__ import annotations

import json
import logging
import warnings
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nlprep.core.configuration import to_mapping
from nlprep.core.errors import FileError, NlprepError, OptionError, os_errors_named
from nlprep.core.files import atomic_file
from nlprep.core.ownership import FileFormat, check_replaceable

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator, Mapping

    import torch
    from torch import nn

    from vision.encoders.image_encoder import ImageEncoder
    from vision.uses.anomalies import AnomalyDetector

METADATA = "nlprep"
"""Under which name what is known of the encoder stands in the file."""
INPUT, OUTPUT, SCORE, IS_ANOMALY = "images", "codes", "score", "is_anomaly"
_OPSET = 20


def _is_onnx(path: Path) -> bool:
    """Whether a file begins as one of ONNX does: with the number of its version, a small one."""
    with path.open("rb") as stream:
        head = stream.read(2)
    return len(head) == 2 and head[0] == 0x08 and 0 < head[1] < 32


ONNX_FILE = FileFormat("an ONNX model", recognises=_is_onnx)
"""Such a file cannot say who wrote it, so that replacing one has to be asked for."""


def export_onnx(
    encoder: ImageEncoder,
    path: str | os.PathLike[str],
    *,
    notes: Mapping[str, Any] | None = None,
    overwrite: bool = False,
) -> None:
    """Write an encoder as an ONNX file.

    Args:
        encoder: It stays as it is.
        path: The file.
        notes: Plain values to keep beside the preprocessing, such as a threshold.
        overwrite: Whether another ONNX model there may be replaced.

    Raises:
        NlprepError: onnx or onnxscript is not installed, or torch cannot express the model.
        FileError: It cannot be written or something else is there.
    """
    _export(
        encoder.module, [OUTPUT], encoder.saved.model.shape, encoder.device, describe_encoder(encoder, notes), path,
        overwrite=overwrite,
    )  # fmt: skip


def export_detector_onnx(
    detector: AnomalyDetector,
    path: str | os.PathLike[str],
    *,
    notes: Mapping[str, Any] | None = None,
    overwrite: bool = False,
) -> None:
    """Write a detector of odd images, its line included, as an ONNX file; and the codes of its model, if it has some.

    What it computes is what the detector says of images that it did not learn from.

    Args:
        detector: It stays as it is.
        path: The file.
        notes: As for `export_onnx`, which also says what is raised.
        overwrite: Likewise.

    Raises:
        OptionError: A score that is not a function of numbers alone.
    """
    from vision.encoders.image_encoder import ImageEncoder
    from vision.uses.exported import ExportedDetector
    from vision.uses.likelihood_scores import COMPLEXITY

    if detector.score == COMPLEXITY:
        raise OptionError(
            f"{COMPLEXITY} takes the length of an image's code, which no ONNX file can hold: choose another score"
        )
    encoder = ImageEncoder(detector.saved)
    described = describe_encoder(encoder, notes) | {
        "outputs": {
            OUTPUT: f"(b, {encoder.dimension}) float32",
            SCORE: f"(b,) float32, {detector.score}, higher the odder",
            IS_ANOMALY: "(b,) bool, whether the score lies above the threshold",
        },
        "score": detector.score,
        "threshold": detector.threshold.to_dict(),
    }
    described.pop("output")
    _export(
        ExportedDetector(encoder.module, detector.module, detector.threshold.value), [OUTPUT, SCORE, IS_ANOMALY],
        encoder.saved.model.shape, encoder.device, described, path, overwrite=overwrite,
    )  # fmt: skip


def _export(
    module: nn.Module,
    outputs: list[str],
    shape: tuple[int, ...],
    device: torch.device,
    described: dict[str, Any],
    path: str | os.PathLike[str],
    *,
    overwrite: bool,
) -> None:
    import torch

    check_replaceable(path, ONNX_FILE, overwrite=overwrite)
    try:
        import onnx
        import onnxscript  # noqa: F401 - torch needs it
    except ImportError as error:
        raise NlprepError(f"writing ONNX needs {error.name}: pip install onnx onnxscript") from error

    example = torch.zeros(2, *shape, dtype=torch.uint8, device=device)
    modes = [(part, part.training) for part in module.modules()]
    module.eval()
    try:
        with torch.no_grad(), _quiet_exporter():
            program = torch.onnx.export(
                module, (example,), input_names=[INPUT], output_names=outputs, dynamo=True, verbose=False,
                dynamic_shapes=({0: torch.export.Dim("batch")},), opset_version=_OPSET,
            )  # fmt: skip
    except Exception as error:
        reason = " ".join(str(error).split())[:200]
        raise NlprepError(f"the model cannot be written as ONNX ({reason}): use it from Python") from error
    finally:
        for part, training in modes:
            part.training = training
    assert program is not None  # noqa: S101 - nothing was asked to be written
    model = program.model_proto
    known = model.metadata_props.add()
    known.key, known.value = METADATA, json.dumps(described, ensure_ascii=False)
    onnx.checker.check_model(model)
    with atomic_file(path, format=ONNX_FILE, overwrite=overwrite) as stream:
        stream.write(model.SerializeToString())


@contextmanager
def _quiet_exporter() -> Iterator[None]:
    """Without what torch's exporter says of its own insides and of libraries that are not there."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def describe_encoder(encoder: ImageEncoder, notes: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """What has to be known of an encoder to use it elsewhere, in plain values."""
    # Where the images lie on this machine is nobody else's concern.
    known = {name: value for name, value in encoder.saved.notes.items() if name != "data"}
    return {
        "input": f"{INPUT}: (b, channels, height, width) uint8",
        "output": f"{OUTPUT}: (b, {encoder.dimension}) float32",
        "preprocessing": to_mapping(encoder.saved.preprocessing),
        "classes": list(encoder.saved.classes),
        "notes": {**known, **(notes or {})},
    }


def read_onnx_description(path: str | os.PathLike[str]) -> dict[str, Any]:
    """What `describe_encoder` said of the encoder in a file.

    Raises:
        FileError: Missing, or without it.
        NlprepError: onnx is not installed.
    """
    try:
        import onnx
    except ImportError as error:
        raise NlprepError("reading ONNX needs onnx: pip install onnx") from error
    with os_errors_named(path):
        raw = Path(path).read_bytes()
    try:
        found = {entry.key: entry.value for entry in onnx.load_from_string(raw).metadata_props}
        described = json.loads(found[METADATA])
    except Exception as error:
        raise FileError(path, "is no ONNX model that an encoder of images was written to: export it again") from error
    return dict(described)
