"""All models of images by name: commands, contract tests and training are derived from it.

Nothing heavy is loaded to know the names and the settings; a model's module is, when it is asked for.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, cast

from nlprep.core.errors import OptionError
from vision.models import (
    configuration,
    flow_configuration,
    label_configuration,
    pretext_configuration,
    view_configuration,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vision.models.model import ImageModel


@dataclass(frozen=True)
class Method:
    """A model that can be trained.

    Attributes:
        home: The module that defines it.
        model: The name of its class there.
        config: The class of its settings.
        labelled: Whether it is conditioned on labels, so that images must have some.
        least_classes: Classes that it takes, if it is.
        keyed: Whether it makes something random of each image, by the key of the example: then batches have ``keys``.
        coloured: Whether it learns from colours, so that images must have some.
        training: What it wants otherwise than other models of `nlprep.core.training.configuration.TrainingConfig`.
    """

    home: str
    model: str
    config: type
    labelled: bool = False
    least_classes: int = 1
    keyed: bool = False
    coloured: bool = False
    training: Mapping[str, Any] = field(default_factory=dict)

    def load(self) -> type[ImageModel]:
        """The class: ``load()(shape, config, num_classes=0, seed=1)`` makes a model."""
        return cast("type[ImageModel]", getattr(importlib.import_module(self.home), self.model))


# Players answer each other: a gradient of some steps ago answers what is no more (Karras et al. 2018, appendix A.1).
_OF_PLAYERS = {"learning_rate": 5e-4, "beta1": 0.0, "beta2": 0.99, "weight_decay": 0.0}

# A flow's gradients grow as its density gets sharp, from a thousand to tens of thousands, and one batch's may be a
# hundred times another's. Cut to the length that they begin with, they say where to go, and no batch says how far.
_OF_FLOWS = {
    "learning_rate": 3e-3, "final_learning_rate": 0.02, "warmup": 50, "beta2": 0.99, "weight_decay": 0.0,
    "clip_norm": 2000.0,
}  # fmt: skip
_GAN = Method("vision.models.gan", "Gan", configuration.GanConfig, training=_OF_PLAYERS)
_GLOW = Method("vision.models.flow", "Glow", flow_configuration.GlowConfig, training=_OF_FLOWS)
_VAE = Method("vision.models.vae", "Vae", configuration.VaeConfig)

MODELS: dict[str, Method] = {
    "autoencoder": Method("vision.models.autoencoder", "Autoencoder", configuration.AutoencoderConfig),
    "conditional-autoencoder": Method(
        "vision.models.conditional_autoencoder",
        "ConditionalAutoencoder",
        configuration.AutoencoderConfig,
        labelled=True,
    ),
    "vae": _VAE,
    "conditional-vae": replace(_VAE, labelled=True),
    "iwae": Method(
        "vision.models.importance_weighted", "ImportanceWeightedAutoencoder", configuration.ImportanceWeightedConfig
    ),
    "hierarchical-vae": Method(
        "vision.models.hierarchical_vae", "HierarchicalVae", configuration.HierarchicalVaeConfig
    ),
    "wae": Method("vision.models.wasserstein", "WassersteinAutoencoder", configuration.WassersteinConfig),
    "glow": _GLOW,
    "conditional-glow": replace(_GLOW, labelled=True),
    "residual-flow": Method(
        "vision.models.flow", "ResidualFlow", flow_configuration.ResidualFlowConfig, training=_OF_FLOWS
    ),
    "flow-matching": Method(
        "vision.models.flow_matching",
        "MatchedFlow",
        flow_configuration.FlowMatchingConfig,
        training={"weight_decay": 0.0},
    ),
    "linear": Method(
        "vision.models.linear_autoencoder",
        "LinearAutoencoder",
        configuration.LinearAutoencoderConfig,
        training={"weight_decay": 0.0},
    ),
    "sparse": Method("vision.models.sparse_autoencoder", "SparseAutoencoder", configuration.SparseAutoencoderConfig),
    "denoising": Method(
        "vision.models.denoising_autoencoder", "DenoisingAutoencoder", configuration.DenoisingAutoencoderConfig
    ),
    "contractive": Method(
        "vision.models.contractive_autoencoder", "ContractiveAutoencoder", configuration.ContractiveAutoencoderConfig
    ),
    "robust": Method("vision.models.robust_autoencoder", "RobustAutoencoder", configuration.RobustAutoencoderConfig),
    "masked": Method("vision.models.masked_autoencoder", "MaskedAutoencoder", configuration.MaskedAutoencoderConfig),
    "rbm": Method(
        "vision.models.restricted_boltzmann",
        "RestrictedBoltzmann",
        configuration.RestrictedBoltzmannConfig,
        training={"weight_decay": 0.0},
    ),
    "gan": _GAN,
    "conditional-gan": replace(_GAN, labelled=True),
    "diffusion": Method(
        "vision.models.diffusion", "Diffusion", configuration.DiffusionConfig, training={"weight_decay": 0.0}
    ),
    "classifier": Method(
        "vision.models.classifier",
        "ImageClassifier",
        configuration.ImageClassifierConfig,
        labelled=True,
        least_classes=2,
    ),
    "drlim": Method("vision.models.drlim", "DrLim", label_configuration.DrLimConfig, labelled=True, least_classes=2),
    "simclr": Method("vision.models.simclr", "SimClr", view_configuration.SimClrConfig, keyed=True),
    "barlow-twins": Method(
        "vision.models.redundancy_reduction", "BarlowTwins", view_configuration.BarlowTwinsConfig, keyed=True
    ),
    "vicreg": Method("vision.models.redundancy_reduction", "VicReg", view_configuration.VicRegConfig, keyed=True),
    "byol": Method("vision.models.byol", "Byol", view_configuration.ByolConfig, keyed=True),
    "dino": Method("vision.models.dino", "Dino", view_configuration.DinoConfig, keyed=True),
    "i-jepa": Method("vision.models.ijepa", "IJepa", pretext_configuration.IJepaConfig),
    "image-gpt": Method("vision.models.image_gpt", "ImageGpt", pretext_configuration.ImageGptConfig),
    "rotation": Method("vision.models.rotation", "RotationPrediction", pretext_configuration.RotationConfig),
    "colourization": Method(
        "vision.models.colourization", "Colourization", pretext_configuration.ColourizationConfig, coloured=True
    ),
    "inpainting": Method("vision.models.inpainting", "Inpainting", pretext_configuration.InpaintingConfig),
    "context-prediction": Method(
        "vision.models.context_prediction", "ContextPrediction", pretext_configuration.ContextPredictionConfig
    ),
    "cpc": Method("vision.models.cpc", "Cpc", pretext_configuration.CpcConfig),
}
"""By the name that users give."""


def find_method(name: str) -> Method:
    """The model of a name.

    Raises:
        OptionError: There is none; says which there are.
    """
    if name not in MODELS:
        raise OptionError(f"model {name!r}: choose from {', '.join(MODELS)}")
    return MODELS[name]


def name_of(model: ImageModel) -> str:
    """The name of a model's method, by its class and by whether it is conditioned on labels.

    Raises:
        OptionError: Its class is none of `MODELS`.
    """
    kind = type(model)
    for name, method in MODELS.items():
        same = (method.home, method.model) == (kind.__module__, kind.__name__)
        if same and method.labelled == (model.num_classes > 0):
            return name
    raise OptionError(f"{kind.__name__} is none of the models by name: add it to MODELS in {__name__}")
