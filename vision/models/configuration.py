"""The settings of models of images, each beside the others and known by the model's name with ``Config`` behind it."""

from __future__ import annotations

from dataclasses import dataclass, replace

from nlprep.core.configuration import check, option
from nlprep.core.errors import OptionError
from vision.backbones.configuration import BackboneConfig, UNetConfig
from vision.models.flow_configuration import FlowMatchingConfig, GlowConfig, ResidualFlowConfig
from vision.models.label_configuration import DrLimConfig
from vision.models.pretext_configuration import (
    ColourizationConfig,
    ContextPredictionConfig,
    CpcConfig,
    IJepaConfig,
    ImageGptConfig,
    InpaintingConfig,
    RotationConfig,
)
from vision.models.view_configuration import BarlowTwinsConfig, ByolConfig, DinoConfig, SimClrConfig, VicRegConfig


@dataclass(frozen=True, kw_only=True)
class AutoencoderConfig:
    """A plain autoencoder: undercomplete, deep or convolutional as its dimension and its backbone say."""

    dimension: int = option(32, "numbers in a code", minimum=1)
    error: str = option(
        "bce", "between an image and what is made of it: squared, absolute, or bce, the binary cross-entropy",
        choices=("squared", "absolute", "bce"),
    )  # fmt: skip
    code_activation: str = option("linear", "last operation of the encoder", choices=("linear", "relu", "sigmoid"))
    backbone: BackboneConfig = option(BackboneConfig(), "the network that makes features")

    def __post_init__(self) -> None:
        check(self)


LIKELIHOODS = ("auto", "bernoulli", "gaussian", "logistic")
"""What may be chosen; `LikelihoodConfig.settled` says what the first is."""


@dataclass(frozen=True, kw_only=True)
class LikelihoodConfig:
    """How a pixel is distributed about what a decoder says."""

    kind: str = option(
        "auto", "distribution of a pixel: bernoulli (binary), gaussian, or logistic (256 levels); auto: bernoulli for "
        "grey images, logistic for colour", choices=LIKELIHOODS,
    )  # fmt: skip
    binarization: str = option(
        "dynamic", "how grey pixels become binary: drawn anew each time, by a threshold of a half, or none: refused",
        choices=("dynamic", "threshold", "none"), counts_for=("kind", ("auto", "bernoulli")),
    )  # fmt: skip
    variance: str = option(
        "shared", "standard deviation, or a logistic's scale: one that is learned for all pixels, or one for each, of "
        "the decoder: likelier images, and duller ones", choices=("shared", "pixel"),
        counts_for=("kind", ("auto", "gaussian", "logistic")),
    )  # fmt: skip
    floor: float | None = option(
        None, "what the standard deviation (0.01) or the logistic's scale (0.001) stays above, pixels being in [0, 1]",
        above=0, counts_for=("kind", ("auto", "gaussian", "logistic")),
    )  # fmt: skip

    def __post_init__(self) -> None:
        check(self)

    def settled(self, channels: int) -> LikelihoodConfig:
        """What it is for images of so many channels: ``auto`` is bernoulli for grey ones, logistic for others.

        Pixels of drawings and digits are black or white nearly everywhere, and made binary they say the same. Colours
        are levels between: made binary, most of a photograph is noise.

        Raises:
            OptionError: A setting of another kind than that.
        """
        if self.kind != "auto":
            return self
        kind = "bernoulli" if channels == 1 else "logistic"
        settled = replace(self, kind=kind)
        others, name = (("variance", "floor"), "gaussian") if channels == 1 else (("binarization",), "bernoulli")
        for other in others:
            if getattr(settled, other) != getattr(LikelihoodConfig(), other):
                images = "grey" if channels == 1 else "colour"
                raise OptionError(
                    f"likelihood: {other} = {getattr(settled, other)!r} is not for the {kind} likelihood, which "
                    f"{images} images have by default: leave it out, or choose kind = {name!r}"
                )
        return settled


@dataclass(frozen=True, kw_only=True)
class PriorConfig:
    """How codes are distributed before an image is seen."""

    kind: str = option(
        "normal", "distribution of codes: normal, the standard one; flow, an autoregressive flow that is learned",
        choices=("normal", "flow"),
    )  # fmt: skip
    layers: int = option(4, "of the flow", minimum=1, counts_for=("kind", ("flow",)))
    width: int = option(160, "units of the network of each layer", minimum=1, counts_for=("kind", ("flow",)))

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True, kw_only=True)
class VaeConfig:
    """A variational autoencoder."""

    dimension: int = option(32, "numbers in a code", minimum=1)
    beta: float = option(1.0, "weight of the divergence from the prior; 1: a bound of the likelihood", minimum=0)
    beta_warmup: float = option(0.0, "share of the run in which that weight rises from 0", minimum=0, maximum=1)
    free_bits: float = option(0.0, "nats of each number in a code that the divergence leaves free", minimum=0)
    prior: PriorConfig = option(PriorConfig(), "distribution of codes")
    likelihood: LikelihoodConfig = option(LikelihoodConfig(), "distribution of a pixel")
    backbone: BackboneConfig = option(BackboneConfig(), "the network that makes features")

    def __post_init__(self) -> None:
        check(self)
        if self.free_bits and self.prior.kind != "normal":
            raise OptionError(
                f"free_bits = {self.free_bits}: the divergence from a flow is not a sum over the numbers of a code: "
                "leave it at 0, or take the normal prior"
            )


@dataclass(frozen=True, kw_only=True)
class HierarchicalVaeConfig:
    """A variational autoencoder with groups of codes, from what is large in an image to what is fine."""

    dimension: int = option(32, "numbers in the first group of codes, which sees the whole image", minimum=1)
    groups: int = option(2, "of codes; 1: a plain variational autoencoder", minimum=1)
    numbers: int = option(2, "in each further group, at each patch", minimum=1)
    beta: float = option(1.0, "weight of the divergence from the prior; 1: a bound of the likelihood", minimum=0)
    beta_warmup: float = option(0.0, "share of the run in which that weight rises from 0", minimum=0, maximum=1)
    free_bits: float = option(0.0, "nats of each number in a code that the divergence leaves free", minimum=0)
    likelihood: LikelihoodConfig = option(LikelihoodConfig(), "distribution of a pixel")
    backbone: BackboneConfig = option(
        BackboneConfig(kind="patch", norm="none", blocks=1), "the network; its kind must be patch"
    )

    def __post_init__(self) -> None:
        check(self)
        if self.backbone.kind != "patch":
            raise OptionError(f"backbone: kind = {self.backbone.kind!r}: groups of codes lie at patches: choose patch")


@dataclass(frozen=True, kw_only=True)
class ImportanceWeightedConfig:
    """An importance-weighted autoencoder."""

    dimension: int = option(32, "numbers in a code", minimum=1)
    samples: int = option(5, "codes drawn for each image, over which the bound is", minimum=1)
    gradient: str = option(
        "double", "of the encoder: double, reparameterised twice, or plain, which drowns in noise as samples grow",
        choices=("double", "plain"),
    )  # fmt: skip
    prior: PriorConfig = option(PriorConfig(), "distribution of codes")
    likelihood: LikelihoodConfig = option(LikelihoodConfig(), "distribution of a pixel")
    backbone: BackboneConfig = option(BackboneConfig(), "the network that makes features")

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True, kw_only=True)
class WassersteinConfig:
    """A Wasserstein autoencoder."""

    dimension: int = option(32, "numbers in a code", minimum=1)
    penalty: str = option(
        "mmd", "what holds codes to the prior: the maximum mean discrepancy, or an adversary",
        choices=("mmd", "adversarial"),
    )  # fmt: skip
    penalty_weight: float = option(100.0, "its weight beside the squared error of an image", minimum=0)
    width: int = option(256, "units in the layers of the adversary", minimum=1)
    backbone: BackboneConfig = option(BackboneConfig(), "the network that makes features")

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True, kw_only=True)
class LinearAutoencoderConfig:
    """An autoencoder of two matrices, which learns the subspace of the principal components."""

    dimension: int = option(32, "numbers in a code", minimum=1)

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True, kw_only=True)
class SparseAutoencoderConfig:
    """An autoencoder of many units, few of which are active."""

    dimension: int = option(512, "units of the code", minimum=1)
    sparsity: str = option(
        "k-sparse", "l1: a price on activity; kl: on each unit's mean activity being another than the target; "
        "k-sparse: all but the most active units are cut off", choices=("l1", "kl", "k-sparse"),
    )  # fmt: skip
    weight: float = option(1.0, "of the price, for l1 and kl", minimum=0)
    target: float = option(0.05, "mean activity that is wanted of a unit, for kl", above=0, maximum=0.99)
    active: int = option(32, "units of an image that stay active, for k-sparse; at most the dimension", minimum=1)
    error: str = option("squared", "between an image and what is made of it", choices=("squared", "absolute", "bce"))
    backbone: BackboneConfig = option(BackboneConfig(), "the network that makes features")

    def __post_init__(self) -> None:
        check(self)
        if self.sparsity == "k-sparse" and self.active > self.dimension:
            raise OptionError(f"active = {self.active}: there are {self.dimension} units: let fewer stay active")


@dataclass(frozen=True, kw_only=True)
class DenoisingAutoencoderConfig:
    """An autoencoder that sees spoiled images and has to give back the clean ones."""

    dimension: int = option(64, "numbers in a code", minimum=1)
    noise: str = option(
        "masking", "gaussian: normal numbers added; masking: places turned black; salt-and-pepper: black or white",
        choices=("gaussian", "masking", "salt-and-pepper"),
    )  # fmt: skip
    amount: float = option(0.3, "standard deviation of gaussian noise, else the share of places", minimum=0)
    error: str = option("bce", "between an image and what is made of it", choices=("squared", "absolute", "bce"))
    code_activation: str = option("linear", "last operation of the encoder", choices=("linear", "relu", "sigmoid"))
    backbone: BackboneConfig = option(BackboneConfig(), "the network that makes features")

    def __post_init__(self) -> None:
        check(self)
        if self.noise != "gaussian" and self.amount > 1:
            raise OptionError(f"amount = {self.amount}: a share of places is at most 1")


@dataclass(frozen=True, kw_only=True)
class ContractiveAutoencoderConfig:
    """An autoencoder whose code changes little where the image does."""

    dimension: int = option(64, "numbers in a code", minimum=1)
    contraction: float = option(0.1, "weight of the squared derivatives of the code by the pixels", minimum=0)
    jacobian: str = option(
        "auto", "how these are summed: exact, with one backward pass for each number of a code; estimate, with some "
        "random ones; auto: exact up to 16 numbers", choices=("auto", "exact", "estimate"),
    )  # fmt: skip
    probes: int = option(1, "random directions of an estimate", minimum=1)
    error: str = option("bce", "between an image and what is made of it", choices=("squared", "absolute", "bce"))
    code_activation: str = option("sigmoid", "last operation of the encoder", choices=("linear", "relu", "sigmoid"))
    backbone: BackboneConfig = option(BackboneConfig(), "the network that makes features; batch norm is refused")

    def __post_init__(self) -> None:
        check(self)
        if self.backbone.norm == "batch" or self.backbone.kind in ("resnet18", "transformers"):
            raise OptionError(
                f"backbone: kind = {self.backbone.kind!r}, norm = {self.backbone.norm!r}: derivatives of one image's "
                "code need a network without batch norm: choose mlp, convolutional, residual or vit, and norm = 'group'"
            )


@dataclass(frozen=True, kw_only=True)
class RobustAutoencoderConfig:
    """An autoencoder whose error is not ruled by few large residuals."""

    dimension: int = option(32, "numbers in a code", minimum=1)
    loss: str = option(
        "huber", "of the residuals",
        choices=("squared", "absolute", "huber", "fair", "l2-l1", "cauchy", "geman-mcclure", "correntropy"),
    )  # fmt: skip
    scale: float = option(0.1, "residuals beyond it count as large, in units of the range from black to white", above=0)
    residuals: str = option(
        "pixels", "whose residuals are judged: pixels, each number by itself, for images with spoiled places; images, "
        "their root mean square, for collections with images that do not belong", choices=("pixels", "images"),
    )  # fmt: skip
    code_activation: str = option("linear", "last operation of the encoder", choices=("linear", "relu", "sigmoid"))
    backbone: BackboneConfig = option(BackboneConfig(), "the network that makes features")

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True, kw_only=True)
class MaskedAutoencoderConfig:
    """A vision transformer that sees some patches of an image and has to fill in the others."""

    mask: float = option(0.75, "share of the patches that are hidden", above=0, maximum=0.99)
    normalize: bool = option(True, "patches to fill in are brought to mean 0 and variance 1 each")
    decoder_width: int = option(96, "size of the decoder's tokens", minimum=1)
    decoder_depth: int = option(2, "layers of the decoder", minimum=1)
    decoder_heads: int = option(3, "attention heads of the decoder; they divide its width", minimum=1)
    backbone: BackboneConfig = option(BackboneConfig(kind="vit"), "the transformer; its kind must be vit")

    def __post_init__(self) -> None:
        check(self)
        if self.backbone.kind != "vit":
            raise OptionError(f"backbone: kind = {self.backbone.kind!r}: patches are hidden from a vit: choose it")
        if self.decoder_width % self.decoder_heads:
            raise OptionError(f"decoder_heads = {self.decoder_heads}: must divide the width, {self.decoder_width}")


@dataclass(frozen=True, kw_only=True)
class RestrictedBoltzmannConfig:
    """A restricted Boltzmann machine: hidden units that are independent given the pixels, and the other way round."""

    dimension: int = option(128, "hidden units, and numbers in a code", minimum=1)
    chains: int = option(
        100, "chains of samples that go on from step to step (PCD); 0: they begin at the images in every step (CD)",
        minimum=0,
    )  # fmt: skip
    gibbs_steps: int = option(1, "steps of the chains in each step of training (the k of CD-k)", minimum=1)

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True, kw_only=True)
class GanConfig:
    """A generative adversarial network."""

    dimension: int = option(128, "features of the discriminator before its verdict: the numbers in a code", minimum=1)
    latent: int = option(64, "random numbers that an image is made of", minimum=1)
    loss: str = option("non-saturating", "of the players", choices=("non-saturating", "hinge"))
    r1: float = option(1.0, "weight of the discriminator's squared gradient at real images; 0: none", minimum=0)
    r1_every: int = option(8, "steps for each that has this penalty, which is so many times as strong", minimum=1)
    spectral_norm: bool = option(False, "divide the discriminator's matrices by their largest singular values")
    discriminator_updates: int = option(1, "updates of the discriminator for each of the generator", minimum=1)
    backbone: BackboneConfig = option(BackboneConfig(), "the discriminator, whose mirror generates; without batch norm")

    def __post_init__(self) -> None:
        check(self)
        if self.backbone.norm == "batch":
            raise OptionError(
                "backbone: norm = 'batch': a discriminator's gradient at one image needs a network without batch norm: "
                "choose group or none"
            )


@dataclass(frozen=True, kw_only=True)
class DiffusionConfig:
    """A diffusion model."""

    levels: int = option(1000, "levels of noise, from nearly none to nothing else", minimum=2)
    schedule: str = option("cosine", "how noise grows over the levels", choices=("cosine", "linear"))
    prediction: str = option(
        "v", "what the network says of a noisy image: epsilon, its noise; v, noise and image weighed against each "
        "other",
        choices=("v", "epsilon"),
    )  # fmt: skip
    variance: str = option(
        "posterior", "of the reverse process's steps, for the likelihood bound: posterior, right where images leave "
        "nothing open; beta, right where they are noise", choices=("posterior", "beta"),
    )  # fmt: skip
    sampling_steps: int = option(50, "steps in which an image is drawn or inverted; at most the levels", minimum=1)
    code_level: float = option(
        0.1, "level of noise at which the network looks at an image for its code, as a share of the levels", above=0,
        maximum=1,
    )  # fmt: skip
    network: UNetConfig = option(UNetConfig(), "the network that takes noise away")

    def __post_init__(self) -> None:
        check(self)
        if self.sampling_steps > self.levels:
            raise OptionError(f"sampling_steps = {self.sampling_steps}: there are {self.levels} levels: take fewer")


@dataclass(frozen=True, kw_only=True)
class ImageClassifierConfig:
    """A classifier, which learns from labels."""

    dimension: int = option(64, "features before its verdict: the numbers in a code", minimum=1)
    shift: int = option(2, "places by which images are moved at random in training, at the most; 0: not", minimum=0)
    flip: bool = option(False, "mirror every second image in training, left to right")
    pooled: bool = option(False, "average the network's last maps over their places: few labels ask for few weights")
    centre_weight: float = option(0.0, "of features that lie far from the centre of their class", minimum=0)
    triplet_weight: float = option(0.0, "of features that lie nearer to another class than to their own", minimum=0)
    triplet_margin: float = option(0.2, "by which their own class is to be nearer; features have length 1", above=0)
    backbone: BackboneConfig = option(BackboneConfig(width=64), "the network that makes features")

    def __post_init__(self) -> None:
        check(self)


METHODS = (
    "vae",
    "conditional-vae",
    "iwae",
    "hierarchical-vae",
    "wae",
    "autoencoder",
    "conditional-autoencoder",
    "linear",
    "sparse",
    "denoising",
    "contractive",
    "robust",
    "masked",
    "rbm",
    "gan",
    "conditional-gan",
    "diffusion",
    "classifier",
    "drlim",
    "glow",
    "conditional-glow",
    "residual-flow",
    "flow-matching",
    "simclr",
    "barlow-twins",
    "vicreg",
    "byol",
    "dino",
    "i-jepa",
    "image-gpt",
    "rotation",
    "colourization",
    "inpainting",
    "context-prediction",
    "cpc",
)
"""The names of `vision.models.methods.MODELS`, known without them; a test holds the two together."""


@dataclass(frozen=True, kw_only=True)
class ImageModelConfig:
    """Which model is trained, and the settings of each under its name."""

    model: str = option("vae", "what is trained", choices=METHODS)
    vae: VaeConfig = option(VaeConfig(), "how", counts_for=("model", ("vae", "conditional-vae")))
    iwae: ImportanceWeightedConfig = option(ImportanceWeightedConfig(), "how", counts_for=("model", ("iwae",)))
    hierarchical_vae: HierarchicalVaeConfig = option(
        HierarchicalVaeConfig(), "how", counts_for=("model", ("hierarchical-vae",))
    )
    wae: WassersteinConfig = option(WassersteinConfig(), "how", counts_for=("model", ("wae",)))
    autoencoder: AutoencoderConfig = option(
        AutoencoderConfig(), "how", counts_for=("model", ("autoencoder", "conditional-autoencoder"))
    )
    linear: LinearAutoencoderConfig = option(LinearAutoencoderConfig(), "how", counts_for=("model", ("linear",)))
    sparse: SparseAutoencoderConfig = option(SparseAutoencoderConfig(), "how", counts_for=("model", ("sparse",)))
    denoising: DenoisingAutoencoderConfig = option(
        DenoisingAutoencoderConfig(), "how", counts_for=("model", ("denoising",))
    )
    contractive: ContractiveAutoencoderConfig = option(
        ContractiveAutoencoderConfig(), "how", counts_for=("model", ("contractive",))
    )
    robust: RobustAutoencoderConfig = option(RobustAutoencoderConfig(), "how", counts_for=("model", ("robust",)))
    masked: MaskedAutoencoderConfig = option(MaskedAutoencoderConfig(), "how", counts_for=("model", ("masked",)))
    rbm: RestrictedBoltzmannConfig = option(RestrictedBoltzmannConfig(), "how", counts_for=("model", ("rbm",)))
    gan: GanConfig = option(GanConfig(), "how", counts_for=("model", ("gan", "conditional-gan")))
    diffusion: DiffusionConfig = option(DiffusionConfig(), "how", counts_for=("model", ("diffusion",)))
    classifier: ImageClassifierConfig = option(ImageClassifierConfig(), "how", counts_for=("model", ("classifier",)))
    drlim: DrLimConfig = option(DrLimConfig(), "how", counts_for=("model", ("drlim",)))
    glow: GlowConfig = option(GlowConfig(), "how", counts_for=("model", ("glow", "conditional-glow")))
    residual_flow: ResidualFlowConfig = option(ResidualFlowConfig(), "how", counts_for=("model", ("residual-flow",)))
    flow_matching: FlowMatchingConfig = option(FlowMatchingConfig(), "how", counts_for=("model", ("flow-matching",)))
    simclr: SimClrConfig = option(SimClrConfig(), "how", counts_for=("model", ("simclr",)))
    barlow_twins: BarlowTwinsConfig = option(BarlowTwinsConfig(), "how", counts_for=("model", ("barlow-twins",)))
    vicreg: VicRegConfig = option(VicRegConfig(), "how", counts_for=("model", ("vicreg",)))
    byol: ByolConfig = option(ByolConfig(), "how", counts_for=("model", ("byol",)))
    dino: DinoConfig = option(DinoConfig(), "how", counts_for=("model", ("dino",)))
    i_jepa: IJepaConfig = option(IJepaConfig(), "how", counts_for=("model", ("i-jepa",)))
    image_gpt: ImageGptConfig = option(ImageGptConfig(), "how", counts_for=("model", ("image-gpt",)))
    rotation: RotationConfig = option(RotationConfig(), "how", counts_for=("model", ("rotation",)))
    colourization: ColourizationConfig = option(ColourizationConfig(), "how", counts_for=("model", ("colourization",)))
    inpainting: InpaintingConfig = option(InpaintingConfig(), "how", counts_for=("model", ("inpainting",)))
    context_prediction: ContextPredictionConfig = option(
        ContextPredictionConfig(), "how", counts_for=("model", ("context-prediction",))
    )
    cpc: CpcConfig = option(CpcConfig(), "how", counts_for=("model", ("cpc",)))

    def __post_init__(self) -> None:
        check(self)

    def chosen(self) -> object:
        """The settings of the model that was chosen."""
        return getattr(self, self.model.removeprefix("conditional-").replace("-", "_"))
