"""What every encoder must satisfy, of whatever: every class that encodes is found, and must have a maker."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import random
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch

from nlprep.core.artifacts import write_artifact
from nlprep.core.errors import FileError, NlprepError, OptionError
from nlprep.evaluation.encoder import Encoder, evaluation_mode

sys.path.insert(0, str(Path(__file__).parent))
from encoder_makers import CASES, Case

EVERY = [pytest.param(case, id=name) for name, case in CASES.items()]
PACKAGES = ("nlprep", "vision", "multimodal")
# Beside `encode` in a class, this says that it makes vectors of things, finished or not.
MEMBERS = ("dimension", "module", "encode", "randomized", "save", "from_directory")


def encoder_classes(modules) -> set[type]:
    """The classes defined in modules that have a method ``encode``.

    But for torch's modules, which encoders are made of, and private ones, which are an encoder seen in another way.
    """
    return {
        thing
        for module in modules
        for thing in vars(module).values()
        if inspect.isclass(thing)
        and thing.__module__ == module.__name__
        and not thing.__name__.startswith("_")
        and callable(getattr(thing, "encode", None))
        and not getattr(thing, "_is_protocol", False)
        and not issubclass(thing, torch.nn.Module)
    }


def every_module():
    for name in PACKAGES:
        package = importlib.import_module(name)
        yield package
        for found in pkgutil.walk_packages(package.__path__, f"{name}."):
            yield importlib.import_module(found.name)


def without_maker(modules) -> set[type]:
    return encoder_classes(modules) - {case.kind for case in CASES.values()}


def test_every_class_that_encodes_is_tried_here():
    modules = list(every_module())
    assert {kind.__name__ for kind in encoder_classes(modules)} >= {
        "TextEncoder", "TfIdfEncoder", "AveragedWordVectors", "ImageEncoder", "RawPixels",
    }  # fmt: skip
    assert without_maker(modules) == set(), "give each of these a maker in encoder_makers.CASES"


def test_a_new_one_would_be_found():
    class Newcomer:
        def encode(self, items):
            raise NotImplementedError

    module = type(sys)("newcomers")
    Newcomer.__module__ = module.__name__
    module.Newcomer = Newcomer
    assert without_maker([module]) == {Newcomer}


@pytest.fixture(scope="module")
def encoders():
    """Each made once; tests leave them as they were."""
    return {id(case): case.make() for case in CASES.values()}


@pytest.fixture
def case(request) -> Case:
    return request.param


@pytest.fixture
def encoder(case, encoders):
    return encoders[id(case)]


each = pytest.mark.parametrize("case", EVERY, indirect=True)


def fingerprint(encoder):
    """Everything of an encoder's module that using it must leave alone."""
    if encoder.module is None:
        return None
    return (
        [(name, part.training) for name, part in encoder.module.named_modules()],
        [
            (name, parameter.requires_grad, None if parameter.grad is None else parameter.grad.numpy().tobytes())
            for name, parameter in encoder.module.named_parameters()
        ],
        [(name, value.numpy().tobytes()) for name, value in encoder.module.state_dict().items()],
        [(name, value.numpy().tobytes()) for name, value in encoder.module.named_buffers()],
    )


@contextmanager
def random_state_untouched():
    def states():
        return torch.get_rng_state().numpy().tobytes(), repr(np.random.get_state()), random.getstate()  # noqa: NPY002

    before = states()
    yield
    assert states() == before


@each
def test_it_has_the_members_and_their_forms(case, encoder):
    assert isinstance(encoder, Encoder)
    assert isinstance(encoder, case.kind)
    for name in MEMBERS:
        assert hasattr(encoder, name)
    parameters = list(inspect.signature(encoder.encode).parameters.values())
    assert parameters[1].name == "batch_size"
    assert all(one.default is not one.empty for one in parameters[1:])
    assert inspect.signature(encoder.encode).parameters["progress"].kind is inspect.Parameter.KEYWORD_ONLY
    assert isinstance(encoder.dimension, int)
    assert encoder.module is None or isinstance(encoder.module, torch.nn.Module)


@each
def test_vectors_are_finite_float32_in_c_order(case, encoder):
    for items in (case.items, case.items[:1], []):
        vectors = encoder.encode(items)
        assert isinstance(vectors, np.ndarray)
        assert vectors.shape == (len(items), encoder.dimension)
        assert vectors.dtype == np.float32
        assert vectors.flags.c_contiguous
        assert np.isfinite(vectors).all()
    # Otherwise what follows means little.
    assert len(np.unique(encoder.encode(case.items[:4]), axis=0)) == 4


@each
def test_a_vector_depends_on_its_item_alone(case, encoder):
    alone = np.concatenate([encoder.encode([item]) for item in case.items])
    items = list(case.items)
    order = np.random.default_rng(1).permutation(len(items))
    for batch_size in (1, 2, 3, 100):
        np.testing.assert_allclose(encoder.encode(items, batch_size), alone, atol=case.tolerance)
        shuffled = encoder.encode([items[place] for place in order], batch_size)
        np.testing.assert_allclose(shuffled, alone[order], atol=case.tolerance)
    np.testing.assert_allclose(encoder.encode(items + items[::-1], 4)[: len(items)], alone, atol=case.tolerance)
    np.testing.assert_array_equal(encoder.encode(tuple(items)), encoder.encode(items))


@each
def test_no_items_give_no_vectors(case, encoder):
    for nothing in ([], (), np.array(case.items)[:0]):
        vectors = encoder.encode(nothing)
        assert (vectors.shape, vectors.dtype) == ((0, encoder.dimension), np.float32)


@each
def test_one_item_is_refused(case, encoder):
    for single in (*case.singles, case.items[0], iter(case.items), set(case.items), {"texts": case.items}):
        with pytest.raises(NlprepError, match=r"^encode takes a list of \w+s, got .*: put .* in a list$"):
            encoder.encode(single)


@each
def test_things_that_are_no_items_are_refused_with_their_place(case, encoder):
    for stranger in case.strangers:
        kind = "None" if stranger is None else f"of type {type(stranger).__name__}"
        items = [case.items[0], case.items[1], stranger, case.items[2]]
        for batch_size in (1, 32):
            with pytest.raises(NlprepError, match=rf"^encode takes .*, but items\[2\] is {kind}: make it .*$"):
                encoder.encode(items, batch_size)


@each
def test_a_batch_of_none_is_refused(case, encoder):
    with pytest.raises(OptionError, match="batch_size = 0: give at least 1"):
        encoder.encode(case.items, 0)


@each
def test_encoding_leaves_no_trace(case):
    encoder = case.make()
    if encoder.module is not None:
        # In training, but for a part that its owner froze.
        encoder.module.train()
        parts = [part for part in encoder.module.modules() if not list(part.children())]
        parts[0].eval()
        first, second, *_ = encoder.module.parameters()
        first.grad = torch.ones_like(first)
        second.requires_grad_(False)
    before = fingerprint(encoder)
    with random_state_untouched():
        vectors = encoder.encode(case.items, 2)
    assert fingerprint(encoder) == before
    with random_state_untouched(), pytest.raises(NlprepError):
        encoder.encode([case.items[0], object()])
    assert fingerprint(encoder) == before
    np.testing.assert_allclose(case.make().encode(case.items, 2), vectors, atol=case.tolerance)


@each
def test_progress_gets_the_items(case, encoder):
    class Recorder:
        total = None
        done = 0.0

        @contextmanager
        def task(self, description, total=None):
            self.total = total
            yield self

        def advance(self, amount=1):
            self.done += amount

        def describe(self, message):
            pass

    recorder = Recorder()
    encoder.encode(case.items, 2, progress=recorder)
    assert recorder.total == recorder.done == len(case.items)


@each
@pytest.mark.slow
def test_saved_and_loaded_it_is_the_same(case, encoder, tmp_path):
    before = fingerprint(encoder)
    vectors = encoder.encode(case.items)
    with random_state_untouched():
        encoder.save(tmp_path / "saved")
        loaded = case.kind.from_directory(tmp_path / "saved")
    assert fingerprint(encoder) == before
    assert type(loaded) is case.kind
    assert loaded.dimension == encoder.dimension
    np.testing.assert_allclose(loaded.encode(case.items), vectors, atol=1e-6)
    # What was loaded is as good as what was made: it can be saved, over an older one too.
    loaded.save(tmp_path / "saved")
    np.testing.assert_allclose(
        case.kind.from_directory(tmp_path / "saved").encode(case.items), vectors, atol=case.tolerance
    )
    endings = {path.suffix for path in (tmp_path / "saved").rglob("*") if path.is_file()}
    assert endings <= {".json", ".safetensors", ".txt", ".md"}
    with pytest.raises(FileError):
        case.kind.from_directory(tmp_path / "nowhere")


@each
def test_saving_replaces_nothing_of_anybody_elses(case, encoder, tmp_path):
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "config.json").write_text("{}")
    write_artifact(tmp_path / "other", kind="corpus", config={}, tensors={})
    for place in ("theirs", "other"):
        with pytest.raises(FileError):
            encoder.save(tmp_path / place)
        assert [path.name for path in (tmp_path / "theirs").iterdir()] == ["config.json"]
    with pytest.raises(FileError):
        encoder.save(tmp_path / "theirs", overwrite=True)
    encoder.save(tmp_path / "other", overwrite=True)
    assert case.kind.from_directory(tmp_path / "other").dimension == encoder.dimension


@pytest.mark.slow
def test_a_new_process_gets_the_same(tmp_path, encoders):
    # Those that load without torch, which takes seconds; the files of the others are its own and transformers'.
    light = [case for case in CASES.values() if encoders[id(case)].module is None]
    assert light
    calls = []
    for number, case in enumerate(light):
        encoders[id(case)].save(tmp_path / f"{number}")
        calls.append((case.kind.__module__, case.kind.__name__, str(tmp_path / f"{number}"), list(case.items)))
    program = (
        "import importlib, sys, numpy\n"
        f"for number, (module, name, directory, items) in enumerate({calls!r}):\n"
        "    encoder = getattr(importlib.import_module(module), name).from_directory(directory)\n"
        f"    numpy.save({str(tmp_path)!r} + f'/{{number}}.npy', encoder.encode(items))\n"
        "assert 'torch' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)
    for number, case in enumerate(light):
        np.testing.assert_allclose(
            np.load(tmp_path / f"{number}.npy"), encoders[id(case)].encode(case.items), atol=case.tolerance
        )


@each
@pytest.mark.slow
def test_randomized_is_a_function_of_the_seed(case, encoder):
    before, vectors = fingerprint(encoder), encoder.encode(case.items)
    with random_state_untouched():
        other = encoder.randomized(3)
    assert type(other) is type(encoder)
    assert other.dimension == encoder.dimension
    found = other.encode(case.items)
    assert np.isfinite(found).all()
    assert np.abs(found - vectors).max() > 0.01
    torch.manual_seed(99)
    np.testing.assert_array_equal(encoder.randomized(3).encode(case.items), found)
    np.testing.assert_allclose(other.randomized(3).encode(case.items), found, atol=case.tolerance)
    assert np.abs(encoder.randomized(4).encode(case.items) - found).max() > 0.01
    np.testing.assert_array_equal(encoder.randomized().encode(case.items), encoder.randomized(1).encode(case.items))
    assert fingerprint(encoder) == before
    np.testing.assert_array_equal(encoder.encode(case.items), vectors)


def test_evaluation_mode_gives_back_the_modes_after_an_error_too():
    module = torch.nn.Sequential(torch.nn.Dropout(0.5), torch.nn.Sequential(torch.nn.BatchNorm1d(2)))
    module.train()
    module[1].eval()
    modes = [part.training for part in module.modules()]
    with pytest.raises(ValueError, match="stop"), evaluation_mode(module):
        assert not any(part.training for part in module.modules())
        assert not torch.is_grad_enabled()
        raise ValueError("stop")
    assert [part.training for part in module.modules()] == modes
    assert torch.is_grad_enabled()
