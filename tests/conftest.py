"""Shared fixtures: small corpora, and the real data where it is at hand."""

from __future__ import annotations

import atexit
import gc
import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

# Of several processes of tests each keeps to a processor of its own: threads that wait for each other's processor take
# many times as long. What tests run in other processes inherits it. It is done before NumPy is imported, whose linear
# algebra counts the processors then: two threads of it on one processor took 20 times as long.
_WORKER = os.environ.get("PYTEST_XDIST_WORKER", "")
if _WORKER and hasattr(os, "sched_setaffinity"):
    _PROCESSORS = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {_PROCESSORS[int(_WORKER.removeprefix("gw")) % len(_PROCESSORS)]})


def _leave(process: int) -> None:
    if os.getpid() == process:
        os._exit(0)


# What is registered first is done last: all is said and written by then, and taking thousands of modules apart one by
# one would keep everybody waiting for seconds.
if _WORKER:
    atexit.register(_leave, os.getpid())

import numpy as np  # noqa: E402
import pytest  # noqa: E402
from hypothesis import HealthCheck, settings  # noqa: E402
from warm_python import WarmPython  # noqa: E402

# Nothing in the tests may reach for a network.
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

# How long examples take to draw says how busy the machine is.
settings.register_profile("tests", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("tests")

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


def pytest_collection_finish() -> None:
    """Leave what was imported out of every later search for garbage, a tenth of all time otherwise."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real data beside the checkout; tests that ask for it are skipped where it is not."""
    if not SHARED_DATA.is_dir():
        pytest.skip("the real data (../shared/data) is not beside this checkout")
    return SHARED_DATA


@pytest.fixture(autouse=True, scope="session")
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Keep what tests cache out of the user's own cache."""
    os.environ["NLPREP_CACHE"] = str(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="session")
def warm_python() -> Iterator[WarmPython]:
    """An interpreter that starts programs without the seconds that their imports take."""
    python = WarmPython()
    yield python
    python.close()


@pytest.fixture
def topic_sentences() -> list[list[str]]:
    """Sentences of two topics that share no words but a few function words; words of a topic belong together."""
    generator = np.random.default_rng(7)
    sentences = []
    for number in range(3000):
        topic = "ab"[number % 2]
        words = [f"{topic}{k}" for k in generator.integers(0, 20, size=10)]
        words[::4] = [f"the{k}" for k in generator.integers(0, 3, size=3)]
        sentences.append(words)
    return sentences
