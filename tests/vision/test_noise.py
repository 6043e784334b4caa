"""What each noise does to images."""

from __future__ import annotations

import pytest
import torch

from nlprep.core.errors import OptionError
from vision.images.noise import NOISES, add_noise


def grey(count: int = 40) -> torch.Tensor:
    return torch.full((count, 3, 16, 16), 0.4)


def noisy(kind: str, amount: float, pixels: torch.Tensor | None = None, seed: int = 0) -> torch.Tensor:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return add_noise(grey() if pixels is None else pixels, kind, amount)


def test_gaussian_noise_has_the_mean_and_the_deviation() -> None:
    added = noisy("gaussian", 0.3) - grey()
    assert float(added.mean()) == pytest.approx(0, abs=0.01)
    assert float(added.std()) == pytest.approx(0.3, abs=0.01)
    # Channels are spoiled apart.
    assert abs(float((added[:, 0] * added[:, 1]).mean())) < 0.01


def test_masking_turns_a_share_of_places_black_in_all_channels() -> None:
    found = noisy("masking", 0.25)
    changed = found != 0.4
    assert torch.equal(changed[:, 0], changed[:, 2])
    assert float(changed.float().mean()) == pytest.approx(0.25, abs=0.02)
    assert not found[changed].any()


def test_salt_and_pepper_are_equally_many() -> None:
    found = noisy("salt-and-pepper", 0.3)
    changed = found != 0.4
    assert float(changed.float().mean()) == pytest.approx(0.3, abs=0.02)
    assert set(found[changed].unique().tolist()) == {0.0, 1.0}
    assert float(found[changed].mean()) == pytest.approx(0.5, abs=0.03)
    assert torch.equal(found[:, 0], found[:, 1])


@pytest.mark.parametrize("kind", NOISES)
def test_it_is_drawn_anew_for_each_image_by_torchs_generator(kind: str) -> None:
    pixels = grey()
    found = noisy(kind, 0.3, pixels)
    assert torch.equal(pixels, grey())
    assert not torch.equal(found[0], found[1])
    assert torch.equal(found, noisy(kind, 0.3))
    assert not torch.equal(found, noisy(kind, 0.3, seed=1))
    assert torch.equal(noisy(kind, 0.0), grey())


def test_what_does_not_fit_is_said() -> None:
    with pytest.raises(OptionError, match="noise 'blur': choose from gaussian, masking, salt-and-pepper"):
        add_noise(grey(), "blur", 0.1)
    with pytest.raises(OptionError, match=r"noise amount = 1\.5"):
        add_noise(grey(), "masking", 1.5)
    with pytest.raises(OptionError, match=r"noise amount = -1"):
        add_noise(grey(), "gaussian", -1)
