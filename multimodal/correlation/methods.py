"""All models of correlated views by name; a model's module is loaded when it is asked for."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from multimodal.correlation import configuration
from nlprep.core.errors import OptionError

if TYPE_CHECKING:
    from multimodal.correlation.model import CorrelationModel


@dataclass(frozen=True)
class Method:
    """A model that can be trained.

    Attributes:
        home: The module that defines it.
        model: The name of its class there.
        config: The class of its settings.
        most_views: That it takes; None: any number from two.
    """

    home: str
    model: str
    config: type[configuration.CorrelationConfig]
    most_views: int | None = 2

    def load(self) -> type[CorrelationModel]:
        """The class: ``load()(shapes, config, networks=None, seed=1)`` makes a model."""
        return cast("type[CorrelationModel]", getattr(importlib.import_module(self.home), self.model))


MODELS = {
    "deep-cca": Method("multimodal.correlation.deep_cca", "DeepCca", configuration.DeepCcaConfig),
    "deep-cca-autoencoder": Method(
        "multimodal.correlation.deep_cca_autoencoder", "DeepCcaAutoencoder", configuration.DeepCcaAutoencoderConfig
    ),
    "deep-generalized-cca": Method(
        "multimodal.correlation.deep_generalized_cca",
        "DeepGeneralizedCca",
        configuration.DeepGeneralizedCcaConfig,
        most_views=None,
    ),
}


def find_method(name: str) -> Method:
    """The method of a name.

    Raises:
        OptionError: No such model; all names are listed.

    >>> find_method("deep-cca").model
    'DeepCca'
    """
    if name not in MODELS:
        raise OptionError(f"model = {name!r}: choose from {', '.join(MODELS)}")
    return MODELS[name]


def name_of(model: CorrelationModel) -> str:
    """The name of a model's class.

    Raises:
        OptionError: It has none.
    """
    for name, method in MODELS.items():
        if (type(model).__module__, type(model).__name__) == (method.home, method.model):
            return name
    raise OptionError(f"a {type(model).__name__} is none of {', '.join(MODELS)}, and cannot be saved under a name")
