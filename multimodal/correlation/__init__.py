"""Deep canonical correlation analysis: networks for several views of the same things, whose codes correlate.

The names below are loaded when first used:

- `train_correlation` trains a model on named views, in a run's directory, and goes on where it was stopped;
- `MODELS` are the models by name: `deep-cca`, `deep-cca-autoencoder`, `deep-generalized-cca`;
- `CorrelationConfig` and those that derive from it are their settings;
- `CorrelationModel` is what all are: it encodes a view, is saved, and opened `from_directory`; `ViewEncoder` is one
  view of it as an `nlprep.evaluation.encoder.Encoder`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nlprep.core.lazy_names import hand_on

if TYPE_CHECKING:
    from multimodal.correlation.configuration import (
        CorrelationConfig,
        DeepCcaAutoencoderConfig,
        DeepCcaConfig,
        DeepGeneralizedCcaConfig,
    )
    from multimodal.correlation.encoder import ViewEncoder
    from multimodal.correlation.methods import MODELS
    from multimodal.correlation.model import CorrelationModel
    from multimodal.correlation.training import train_correlation

_HOMES = {
    "MODELS": "multimodal.correlation.methods",
    "CorrelationConfig": "multimodal.correlation.configuration",
    "CorrelationModel": "multimodal.correlation.model",
    "DeepCcaAutoencoderConfig": "multimodal.correlation.configuration",
    "DeepCcaConfig": "multimodal.correlation.configuration",
    "DeepGeneralizedCcaConfig": "multimodal.correlation.configuration",
    "ViewEncoder": "multimodal.correlation.encoder",
    "train_correlation": "multimodal.correlation.training",
}

__all__ = [
    "MODELS",
    "CorrelationConfig",
    "CorrelationModel",
    "DeepCcaAutoencoderConfig",
    "DeepCcaConfig",
    "DeepGeneralizedCcaConfig",
    "ViewEncoder",
    "train_correlation",
]

__getattr__, __dir__ = hand_on(__name__, _HOMES)
