"""The process that turns images into noise, level by level, and what is known of its reverse in closed form.

Images x_0 in [-1, 1] become x_t at levels t = 1..T (Ho et al. 2020, equations 2 and 4):

    q(x_t | x_0) = N(a_t x_0, s_t^2),     a_t^2 + s_t^2 = 1,     a_t^2 = (1 - beta_1) ... (1 - beta_t),     a_0 = 1.

Schedules:

- ``linear``: beta from 1e-4 to 0.02 for T = 1,000 (Ho et al., section 4), and 1,000 / T times these for another T, so
  that the end is as noisy; none above 0.999.
- ``cosine``: a_t^2 = f(t) / f(0), f(t) = cos^2(pi/2 (t / T + 0.008) / 1.008) (Nichol and Dhariwal 2021, "Improved
  Denoising Diffusion Probabilistic Models", equation 17); no beta above 0.999.

A network that sees x_t = a_t x_0 + s_t e says the noise e (``epsilon``), or v = a_t e - s_t x_0 (Salimans and Ho 2022,
"Progressive Distillation", section 4), from either of which both x_0 and e follow:

    epsilon:  x_0 = (x_t - s_t e) / a_t          v:  x_0 = a_t x_t - s_t v,     e = s_t x_t + a_t v.

Where nearly all is noise, an error of e becomes one 1 / a_t times as large of x_0; of v none does, so that it is the
better choice where images are not clipped, and where steps are few.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

_LARGEST_BETA = 0.999


def make_betas(schedule: str, levels: int) -> Tensor:
    """The shares of variance that each level adds, (levels,) float64.

    Args:
        schedule: ``linear`` or ``cosine``.
        levels: T.
    """
    # Not torch.linspace, which the transformers library replaces for a while: what torch learns meanwhile of functions
    # that make tensors, on the device of a plan for one (`vision.requirements.plan_model`), leaves it out.
    places = torch.arange(levels + 1, dtype=torch.float64)
    if schedule == "linear":
        scale = 1000 / levels
        betas = scale * 1e-4 + scale * (0.02 - 1e-4) * places[:-1] / max(1, levels - 1)
    else:
        shares = places / levels
        signal = (math.pi / 2 * (shares + 0.008) / 1.008).cos().square()
        betas = 1 - signal[1:] / signal[:-1]
    return betas.clamp(max=_LARGEST_BETA)


class NoisingProcess(nn.Module):
    """Numbers of a schedule, on the device of the model that it belongs to.

    Args:
        schedule: ``linear`` or ``cosine``.
        levels: T.
        prediction: What the network says, ``v`` or ``epsilon``.
        variance: Of a step of the reverse process: ``posterior``, what is left where x_0 is known, or ``beta`` (the
            two of Ho et al., section 3.2). The posterior's is 0 at level 1; that of level 2 is taken there.

    Attributes:
        signal: a, (T + 1,) float32 from level 0; like all these no part of the model's weights.
        noise: s, likewise; 0 at level 0.
        beta: Likewise.
        posterior: The variances of q(x_(t-1) | x_t, x_0), likewise.
        reverse: Those of the reverse process's steps, as chosen; from level 1.
    """

    signal: Tensor
    noise: Tensor
    beta: Tensor
    posterior: Tensor
    reverse: Tensor

    def __init__(self, schedule: str, levels: int, *, prediction: str, variance: str) -> None:
        super().__init__()
        self.levels, self.prediction = levels, prediction
        zero = torch.zeros(1, dtype=torch.float64)
        beta = torch.cat([zero, make_betas(schedule, levels)])
        squared = (1 - beta).cumprod(0)
        # The complement is summed, not subtracted from 1, near which nothing would be left of it.
        left = torch.cat([zero, -torch.expm1((-beta[1:]).log1p().cumsum(0))])
        posterior = torch.zeros_like(beta)
        posterior[1:] = beta[1:] * left[:-1] / left[1:]
        reverse = beta.clone()
        if variance == "posterior":
            reverse[2:] = posterior[2:]
            reverse[1] = posterior[2]
        values = {
            "signal": squared.sqrt(), "noise": left.sqrt(), "beta": beta, "posterior": posterior, "reverse": reverse,
        }  # fmt: skip
        for name, value in values.items():
            self.register_buffer(name, value.float(), persistent=False)

    def diffuse(self, clean: Tensor, noise: Tensor, levels: Tensor) -> Tensor:
        """x_t of x_0 (b, ...), standard normal noise of its shape, and levels (b,)."""
        return _along(self.signal[levels], clean) * clean + _along(self.noise[levels], clean) * noise

    def target(self, clean: Tensor, noise: Tensor, levels: Tensor) -> Tensor:
        """What the network ought to say; arguments as `diffuse`."""
        if self.prediction == "epsilon":
            return noise
        return _along(self.signal[levels], clean) * noise - _along(self.noise[levels], clean) * clean

    def clean_and_noise(self, noisy: Tensor, said: Tensor, levels: Tensor, *, clip: bool) -> tuple[Tensor, Tensor]:
        """The x_0 and the noise that follow of what the network says.

        Args:
            noisy: x_t (b, ...), at a level of 1 or more.
            said: Likewise.
            levels: (b,).
            clip: Bring x_0 into [-1, 1], where images are, and the noise to what it is then.
        """
        signal, noise = _along(self.signal[levels], noisy), _along(self.noise[levels], noisy)
        if self.prediction == "epsilon":
            clean, estimated = (noisy - noise * said) / signal, said
        else:
            clean, estimated = signal * noisy - noise * said, noise * noisy + signal * said
        if clip:
            clean = clean.clamp(-1, 1)
            estimated = (noisy - signal * clean) / noise
        return clean, estimated

    def posterior_mean(self, clean: Tensor, noisy: Tensor, levels: Tensor) -> Tensor:
        """The mean of q(x_(t-1) | x_t, x_0) (Ho et al. 2020, equation 7)."""
        before = levels - 1
        left = self.noise[levels].square()
        of_clean = self.signal[before] * self.beta[levels] / left
        of_noisy = (1 - self.beta[levels]).sqrt() * self.noise[before].square() / left
        return _along(of_clean, noisy) * clean + _along(of_noisy, noisy) * noisy

    def chosen_levels(self, steps: int) -> list[int]:
        """The levels that so many steps lead through, from 0 to T, evenly spread; both ends included."""
        return [round(place * self.levels / steps) for place in range(steps + 1)]


def _along(values: Tensor, images: Tensor) -> Tensor:
    """A number for each image, to be multiplied with it."""
    return values.view(-1, *(1,) * (images.dim() - 1)).to(images.dtype)
