"""How likely a row of a table is: a density learned from measurements of wine, and what it is good for.

Two thirds of scikit-learn's 178 wines are learned from. How likely the others are says how good the density is; a
normal density with the same rows is what to beat, and with so few rows it is not easily beaten. A wine that is none
stands out, and rows that were drawn look like wines.
"""

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from sklearn.covariance import LedoitWolf
from sklearn.datasets import load_wine

from nlprep.core.threads import torch_threads
from nlprep.core.training import TrainingConfig
from vision.flows.configuration import TableFlowConfig
from vision.flows.tables import TableDensity, train_density

COLUMNS = ["alcohol", "malic_acid", "total_phenols", "flavanoids", "color_intensity", "hue"]


def read_wines() -> tuple[np.ndarray, np.ndarray]:
    """Rows to learn from, and others."""
    wines = load_wine()
    rows = wines.data[:, [wines.feature_names.index(name) for name in COLUMNS]]
    # They are rounded: noise as wide as a step gives them a density.
    rows += np.random.default_rng(0).uniform(-0.005, 0.005, rows.shape)
    return rows[np.arange(len(rows)) % 3 > 0], rows[::3]


if __name__ == "__main__":
    learned, others = read_wines()
    training = TrainingConfig(
        steps=150, batch_size=64, learning_rate=5e-3, weight_decay=0.0, clip_norm=20.0, precision="fp32",
        evaluate_every=10,
    )  # fmt: skip
    with TemporaryDirectory() as scratch, torch_threads(1):
        density = train_density(learned, TableFlowConfig(kind="maf", layers=3, width=32), training=training)
        density.save(Path(scratch) / "density")
        density = TableDensity.from_directory(Path(scratch) / "density")
    fitted = LedoitWolf().fit((learned - density.mean) / density.deviation)
    away = (others - density.mean) / density.deviation - fitted.location_
    normal = -(np.einsum("ni,ij,nj->n", away, fitted.precision_, away) + np.log(2 * np.pi) * len(COLUMNS)) / 2
    normal += np.linalg.slogdet(fitted.precision_)[1] / 2 - np.log(density.deviation).sum()
    print(f"other wines: {density.log_density(others).mean():.2f} nats a row, by a normal density {normal.mean():.2f}")
    water = others.mean(0) * 0.2
    print(f"something thin: {density.log_density(water[None])[0]:.0f} nats")
    for row in density.sample(3, seed=1):
        print("drawn: " + ", ".join(f"{name} {value:.2f}" for name, value in zip(COLUMNS, row, strict=True)))
