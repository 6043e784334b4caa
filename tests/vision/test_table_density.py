"""Densities of tables: in the units given, kept, gone on with, and honest about what has no density."""

import math

import numpy as np
import pytest
from vision_toys import settings

from nlprep.core.errors import FileError, NlprepError, OptionError
from vision.flows.configuration import VECTOR_FLOWS, TableFlowConfig
from vision.flows.tables import TableDensity, train_density

pytestmark = pytest.mark.slow

DRAWS = np.random.default_rng(4)
FACTOR = np.array([[200.0, 0.0], [1e-3, 2e-3]])
MEAN = np.array([5000.0, -1.0])
ROWS = DRAWS.standard_normal((400, 2)) @ FACTOR.T + MEAN
SMALL = TableFlowConfig(kind="maf", layers=1, width=8, depth=1)
BRIEF = settings(steps=60, batch_size=64, warmup=5, evaluate_every=20, learning_rate=2e-2)


@pytest.fixture(scope="module")
def density() -> TableDensity:
    return train_density(ROWS, SMALL, training=BRIEF)


def normal_log_density(rows: np.ndarray) -> np.ndarray:
    standard = (rows - MEAN) @ np.linalg.inv(FACTOR).T
    return -(standard**2).sum(1) / 2 - math.log(2 * math.pi) - np.linalg.slogdet(FACTOR)[1]


def test_a_normal_density_is_found_in_the_units_given(density):
    others = np.random.default_rng(5).standard_normal((2000, 2)) @ FACTOR.T + MEAN
    assert density.log_density(others).mean() == pytest.approx(normal_log_density(others).mean(), abs=0.05)
    drawn = density.sample(4000, seed=2)
    np.testing.assert_allclose(drawn.mean(0), MEAN, atol=0.15 * ROWS.std(0).max(), rtol=0.02)
    np.testing.assert_allclose(drawn.std(0), ROWS.std(0), rtol=0.15)
    assert np.array_equal(drawn, density.sample(4000, seed=2))
    assert not np.array_equal(drawn, density.sample(4000, seed=3))


def test_a_density_is_kept(density, tmp_path):
    density.save(tmp_path / "density")
    opened = TableDensity.from_directory(tmp_path / "density")
    assert opened.config == density.config
    assert np.array_equal(opened.log_density(ROWS), density.log_density(ROWS))
    (tmp_path / "density" / "config.json").write_text('{"kind": "table-density", "format_version": 1, "flow": 3}')
    with pytest.raises(FileError, match="save it again"):
        TableDensity.from_directory(tmp_path / "density")


@pytest.mark.parametrize("kind", VECTOR_FLOWS)
def test_any_flow_can_be_learned(kind):
    few = settings(steps=2, batch_size=16)
    found = train_density(ROWS[:40], TableFlowConfig(kind=kind, layers=1, width=4, depth=1), training=few)
    assert np.isfinite(found.log_density(ROWS[:9])).all()
    assert found.sample(3).shape == (3, 2)


def test_one_column_has_a_density():
    found = train_density(ROWS[:, :1], SMALL, training=BRIEF)
    assert np.isfinite(found.log_density(ROWS[:5, :1])).all()


def test_a_run_goes_on_where_it_stopped(tmp_path):
    training = settings(steps=4, batch_size=16, checkpoint_every=2)
    whole = train_density(ROWS[:60], SMALL, training=training, directory=tmp_path / "run")
    for later in (tmp_path / "run" / "checkpoints").glob("*4*"):
        later.rename(tmp_path / "gone")
    again = train_density(ROWS[:60], SMALL, training=training, directory=tmp_path / "run")
    assert np.array_equal(whole.log_density(ROWS), again.log_density(ROWS))


def test_what_has_no_density_is_refused(density):
    spoiled = ROWS.copy()
    spoiled[3, 1] = np.nan
    with pytest.raises(NlprepError, match="row 3, column 1"):
        train_density(spoiled, SMALL)
    spoiled[:, 1] = 7
    with pytest.raises(NlprepError, match="column 1 is 7 in every row"):
        train_density(spoiled, SMALL)
    with pytest.raises(NlprepError, match="rows of 3 numbers"):
        density.log_density(np.zeros((2, 3)))
    with pytest.raises(NlprepError, match="give a table"):
        density.log_density(np.zeros(2))
    with pytest.raises(OptionError, match="held_out"):
        train_density(ROWS, SMALL, held_out=1.5)
    with pytest.raises(NlprepError, match=r"no table of numbers .*'a'"):
        train_density([["a", "b"]], SMALL)
    with pytest.raises(OptionError, match=r"kind = 'spline': .* there is one: choose 'maf' or"):
        train_density(ROWS[:, :1])
    with pytest.raises(OptionError, match="number = -1"):
        density.sample(-1)
    assert density.log_density(np.zeros((0, 2))).shape == (0,)
