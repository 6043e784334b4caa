"""What tells an encoder from others, so that what is kept of its codes is not taken for another's."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

import torch

from nlprep.core.configuration import to_mapping
from vision.models.files import find_transformers

if TYPE_CHECKING:
    from vision.encoders.image_encoder import ImageEncoder

_VERSION = 1
"""Raised whenever the same encoder would give other features."""


def encoder_digest(encoder: ImageEncoder, asked: str = "") -> str:
    """What tells an encoder from others: its weights and buffers, its settings, and what it makes of pictures.

    Args:
        encoder: The encoder; where its weights lie does not count.
        asked: What else does.

    Returns:
        In hexadecimal.
    """
    model = encoder.saved.model
    theirs = find_transformers(model)
    settings = {
        "version": _VERSION,
        "asked": asked,
        "model": f"{type(model).__module__}.{type(model).__qualname__}",
        "settings": _without_paths(to_mapping(encoder.saved.config)),
        "theirs": None if theirs is None else theirs.description,
        "preprocessing": to_mapping(encoder.saved.preprocessing),
        "output": encoder.output,
        "precision": encoder.precision,
    }
    digest = hashlib.blake2b(json.dumps(settings, sort_keys=True, default=str).encode(), digest_size=16)
    for name, tensor in (*model.named_parameters(), *model.named_buffers()):
        digest.update(f"\0{name} {tensor.dtype} {tuple(tensor.shape)}\0".encode())
        flat = tensor.detach().cpu().contiguous().reshape(-1)
        digest.update(flat.view(torch.uint8).numpy().data if flat.numel() else b"")
    return digest.hexdigest()


def _without_paths(settings: dict[str, Any]) -> dict[str, Any]:
    return {
        name: _without_paths(value) if isinstance(value, dict) else value
        for name, value in settings.items()
        if name != "path"
    }
