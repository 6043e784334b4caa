"""Encoders as ONNX files, which run without this package and without torch.

The file's one input, ``images``, is (b, channels, height, width) uint8 with any b; its output, ``codes``, is (b, d)
float32. Scaling to [0, 1] and the model's own normalisation are in the graph. How pictures become such images, the
names of classes and what else is to be kept is in the file's metadata, under ``nlprep``, as JSON.
"""

from __future__ import annotations

import json
import logging
import warnings
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nlprep.core.configuration import to_mapping
from nlprep.core.errors import FileError, NlprepError, os_errors_named
from nlprep.core.files import atomic_file
from nlprep.core.ownership import FileFormat, check_replaceable

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator, Mapping

    from vision.encoders.image_encoder import ImageEncoder

METADATA = "nlprep"
"""Under which name what is known of the encoder stands in the file."""
INPUT, OUTPUT = "images", "codes"
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
    import torch

    check_replaceable(path, ONNX_FILE, overwrite=overwrite)
    try:
        import onnx
        import onnxscript  # noqa: F401 - torch needs it
    except ImportError as error:
        raise NlprepError(f"writing ONNX needs {error.name}: pip install onnx onnxscript") from error

    example = torch.zeros(2, *encoder.saved.model.shape, dtype=torch.uint8, device=encoder.device)
    modes = [(part, part.training) for part in encoder.module.modules()]
    encoder.module.eval()
    try:
        with torch.no_grad(), _quiet_exporter():
            program = torch.onnx.export(
                encoder.module, (example,), input_names=[INPUT], output_names=[OUTPUT], dynamo=True, verbose=False,
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
    known.key, known.value = METADATA, json.dumps(describe_encoder(encoder, notes), ensure_ascii=False)
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
    return {
        "input": f"{INPUT}: (b, channels, height, width) uint8",
        "output": f"{OUTPUT}: (b, {encoder.dimension}) float32",
        "preprocessing": to_mapping(encoder.saved.preprocessing),
        "classes": list(encoder.saved.classes),
        "notes": {**encoder.saved.notes, **(notes or {})},
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
