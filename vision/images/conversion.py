"""From a source to images of one shape, block by block, in little memory.

What is not asked for is decided by the data: whether pictures are all of one size, and whether any has a colour. Nobody
knows before the last is read, so the pass begins with what the first picture suggests, and begins anew, twice at most,
when a later one contradicts it. The outcome does not depend on the order.
"""

from __future__ import annotations

import multiprocessing
import signal
import sys
from collections import deque
from concurrent.futures import BrokenExecutor, Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Protocol

import numpy as np

from nlprep.core.errors import FileError, NlprepError
from vision.images.amounts import require_memory_for
from vision.images.decoding import open_picture, plain_picture
from vision.images.names import writable_name
from vision.images.preprocessing import (
    DEFAULT_SIDE,
    LARGEST_KEPT,
    Preprocessing,
    channel_pixels,
    is_tiny,
    picture_of_array,
)
from vision.images.sources.source import UNREADABLE, Arrays, ContentDigest, PictureError, Pictures, digest_of_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    from nlprep.core.progress import Task
    from vision.images.configuration import PreprocessingConfig
    from vision.images.sources.source import Source

_BLOCK_BYTES = 4 << 20
_BLOCK_ROWS = 256
_PARTS = 4
_WORTH_FORKING = 2_000
"""Pictures from which on children are forked: a fifth of a second of decoding small ones, several times what forking
takes. Below, threads do; large pictures, which are decoded without Python, lose nothing by them."""

_WORTH_LOOKING = 2_000
"""Pictures up to which all that cannot be read are looked for before one is refused: beyond, that would take long."""
_NAMED = 5


class Sink(Protocol):
    """What takes images as they come."""

    def begin(self, shape: tuple[int, int, int], count: int) -> None:
        """Forget what came; so many images of this (height, width, channels) follow, at the most."""

    def write(self, rows: NDArray[np.uint8]) -> None:
        """Take (b, height, width, channels)."""


@dataclass(frozen=True)
class Plan:
    """What a pass makes of pictures, and what would contradict it.

    Attributes:
        preprocessing: What is done; with three channels while it is open whether there are colours.
        keeps_size: Whether a picture of another size is a contradiction.
        expects_grey: Whether a colour is one.
    """

    preprocessing: Preprocessing
    keeps_size: bool
    expects_grey: bool

    @property
    def row(self) -> tuple[int, int, int]:
        """(height, width, channels) of what the pass gives."""
        return self.preprocessing.height, self.preprocessing.width, self.decided.channels

    @property
    def decided(self) -> Preprocessing:
        """What is done if nothing contradicts the plan."""
        return replace(self.preprocessing, channels=1) if self.expects_grey else self.preprocessing

    def without_size(self) -> Plan:
        """The plan if sizes differ."""
        resized = replace(self.preprocessing, height=DEFAULT_SIDE, width=DEFAULT_SIDE)
        return replace(self, preprocessing=resized, keeps_size=False)

    def with_colour(self) -> Plan:
        """The plan if there are colours."""
        return replace(self, expects_grey=False)


def first_plan(config: PreprocessingConfig, size: tuple[int, int]) -> Plan:
    """The plan that the first picture suggests.

    Args:
        config: What is asked for.
        size: (height, width) of that picture.
    """
    channels = config.channels or 3
    small = max(size) <= LARGEST_KEPT
    height = config.height or (size[0] if small else DEFAULT_SIDE)
    width = config.width or config.height or (size[1] if small else DEFAULT_SIDE)
    return Plan(
        Preprocessing(channels=channels, height=height, width=width, fit=config.fit),
        keeps_size=config.height is None and small,
        expects_grey=config.channels is None,
    )


@dataclass
class Block:
    """A few pictures, converted.

    Attributes:
        pixels: (b, height, width, channels) of those that could be read.
        places: (b,) which they are.
        failures: What is wrong with the others.
        digests: Of all contents, in order.
        tiny: Which of them were enlarged more than four times.
        contradiction: What to do instead, if one contradicts the plan; then the rest counts for nothing.
    """

    pixels: NDArray[np.uint8]
    places: list[int] = field(default_factory=list)
    failures: list[tuple[int, FileError]] = field(default_factory=list)
    digests: list[bytes] = field(default_factory=list)
    tiny: list[int] = field(default_factory=list)
    contradiction: Plan | None = None


@dataclass(frozen=True)
class Conversion:
    """What came of a source.

    Attributes:
        preprocessing: What was done to every picture.
        places: (n,) which of the source's were kept, in order.
        skipped: Names of the others, and what is wrong with each.
        tiny: Names of those that were enlarged more than four times.
        content: `ContentDigest` of what was read.
    """

    preprocessing: Preprocessing
    places: NDArray[np.int64]
    skipped: list[tuple[str, str]]
    tiny: list[str]
    content: str


def convert(
    source: Source, config: PreprocessingConfig, sink: Sink, *, skip: bool, threads: int, task: Task
) -> Conversion:
    """Decode a source into a sink.

    Args:
        source: Where pictures come from.
        config: What they are to be.
        sink: Takes them.
        skip: Whether pictures that cannot be read are left out.
        threads: That decode.
        task: Is told of each picture.

    Raises:
        PictureError: One that cannot be read, unless these are skipped.
        FileError: None can, or a file of numbers cannot.
    """
    if isinstance(source, Arrays):
        return _convert_arrays(source, config, sink, task)
    plan: Plan | None = first_plan(config, _first_size(source))
    while plan is not None:
        settled = plan
        _begin(sink, settled, source)
        digest, places = ContentDigest(), [np.zeros(0, np.int64)]
        skipped: list[tuple[str, str]] = []
        tiny: list[str] = []
        plan = None
        for block in _converted_blocks(source, settled, threads):
            plan = block.contradiction
            if plan is not None:
                break
            if block.failures and not skip:
                all_of_them = _failures(source, settled, threads)
                known = block.failures if all_of_them is None else all_of_them
                raise refused(source, [error for _, error in known], complete=all_of_them is not None)
            skipped += [(source.names[place], error.problem) for place, error in block.failures]
            tiny += [source.names[place] for place in block.tiny]
            for one in block.digests:
                digest.add(one)
            sink.write(block.pixels)
            places.append(np.array(block.places, np.int64))
            task.advance(len(block.digests))
    return Conversion(settled.decided, np.concatenate(places), skipped, tiny, digest.text())


def _failures(source: Pictures, plan: Plan, threads: int) -> list[tuple[int, FileError]] | None:
    """All pictures that cannot be read, and what is wrong with each; None where looking for them would take long."""
    if len(source) > _WORTH_LOOKING:
        return None
    # Nothing contradicts this one, so that every picture is looked at.
    blocks = _converted_blocks(source, replace(plan, keeps_size=False, expects_grey=False), threads)
    return [failure for block in blocks for failure in block.failures]


def refused(source: Pictures, failures: Sequence[FileError], *, complete: bool = True) -> PictureError:
    """The error of pictures that cannot be read and may not be left out: the first, and which others there are.

    Args:
        source: Where they are.
        failures: What is wrong with them.
        complete: Whether these are all; there may be others else.
    """
    first = failures[0]
    advised = ": " in first.problem
    seen, colon, advice = first.problem.rpartition(": ") if advised else (first.problem, "", "")
    others = [writable_name(error.path) for error in failures[1:]]
    if others:
        listed = ", ".join(others[:_NAMED]) + (f" and {len(others) - _NAMED:,} more" if len(others) > _NAMED else "")
        more = f"{'' if complete else 'at least '}{len(others):,} more"
        seen = f"{seen}, and {more} of {len(source):,} pictures cannot be read ({listed})"
    elif not complete:
        seen = f"{seen}, and others of {len(source):,} pictures may be like it, which are listed where they are skipped"
    return PictureError(writable_name(first.path), f"{seen}{colon}{advice}", line=first.line)


def _begin(sink: Sink, plan: Plan, source: Source) -> None:
    require_memory_for(plan.row, source=str(source.path))
    sink.begin(plan.row, len(source))


def _first_size(source: Pictures) -> tuple[int, int]:
    first: FileError | None = None
    for place in range(len(source)):
        try:
            name = picture_name(source, place)
            width, height = plain_picture(open_picture(source.read(place), name), name).size
        except FileError as error:
            first = first or error
        else:
            return height, width
    raise FileError(source.path, f"none of its {len(source):,} pictures can be read: first of them, {first}")


def picture_name(source: Pictures, place: int) -> str:
    """What a picture is called in errors."""
    return f"{source.path}/{source.names[place]}"


def _converted_blocks(source: Pictures, plan: Plan, threads: int) -> Iterator[Block]:
    # A few blocks for each thread: of large pictures some hundred are work enough for all of them.
    rows = max(1, min(_BLOCK_ROWS, _BLOCK_BYTES // int(np.prod(plan.row)), -(-len(source) // (_PARTS * threads))))
    parts = [range(start, min(start + rows, len(source))) for start in range(0, len(source), rows)]
    if threads == 1 or len(parts) == 1:
        yield from (convert_block(source, part, plan) for part in parts)
        return
    pool: Executor
    if _forks(len(source)):
        # More than half of decoding a small picture is Python, which runs in one thread at a time. What is given to a
        # child when it is forked is not copied; the children call nothing but Pillow and NumPy.
        context = multiprocessing.get_context("fork")
        pool = ProcessPoolExecutor(threads, context, initializer=_begin_child, initargs=(source, plan))
        yield from _in_order(pool, _convert_in_child, parts, 2 * threads)
    else:
        pool = ThreadPoolExecutor(threads, thread_name_prefix="decode")
        yield from _in_order(pool, lambda part: convert_block(source, part, plan), parts, 2 * threads)


def _forks(count: int) -> bool:
    """Whether children can be forked, and there is work enough for them."""
    return sys.platform == "linux" and count >= _WORTH_FORKING and not multiprocessing.current_process().daemon


_given: tuple[Pictures, Plan] | None = None
"""What a child works on."""


def _begin_child(source: Pictures, plan: Plan) -> None:
    global _given
    # Ctrl-C is the parent's to hear.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _given = source, plan


def _convert_in_child(part: range) -> Block:
    if _given is None:
        raise RuntimeError("no child")
    return convert_block(_given[0], part, _given[1])


def _in_order(pool: Executor, work: Callable[[range], Block], parts: Sequence[range], ahead: int) -> Iterator[Block]:
    """Results in order, few of them waiting at a time."""
    waiting: deque[Future[Block]] = deque()
    try:
        for part in parts:
            waiting.append(pool.submit(work, part))
            if len(waiting) > ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    except BrokenExecutor:
        raise NlprepError(
            "a process that decodes pictures was killed, perhaps for want of memory: use fewer threads"
        ) from None
    finally:
        pool.shutdown(cancel_futures=True)


def convert_block(source: Pictures, places: Sequence[int], plan: Plan) -> Block:
    """Read and convert a few pictures, in any thread."""
    pixels = np.empty((len(places), *plan.row), np.uint8)
    block = Block(pixels)
    for place in places:
        try:
            data = source.read(place)
        except FileError as error:
            block.digests.append(UNREADABLE)
            block.failures.append((place, error))
            continue
        block.digests.append(digest_of_bytes(data))
        try:
            image, size = _convert(data, picture_name(source, place), plan)
        except FileError as error:
            block.failures.append((place, error))
            continue
        if isinstance(image, Plan):
            return Block(pixels[:0], contradiction=image)
        if is_tiny(size, (plan.preprocessing.width, plan.preprocessing.height)):
            block.tiny.append(place)
        pixels[len(block.places)] = image
        block.places.append(place)
    block.pixels = pixels[: len(block.places)]
    return block


def _convert(data: bytes, name: str, plan: Plan) -> tuple[NDArray[np.uint8] | Plan, tuple[int, int]]:
    """The image of a picture, or the plan that it calls for; and the picture's width and height."""
    picture = open_picture(data, name)
    size = picture.size
    preprocessing = plan.preprocessing
    if plan.keeps_size:
        plain = plain_picture(picture, name)
        if plain.size != (preprocessing.width, preprocessing.height):
            return plan.without_size(), size
        fitted = preprocessing.fit_plain(plain)
    else:
        fitted = preprocessing.fitted(picture, name)
    if not plan.expects_grey:
        return channel_pixels(fitted, preprocessing.channels), size
    pixels = channel_pixels(fitted, 1 if fitted.mode == "L" else 3)
    return (plan.with_colour() if has_colour(pixels) else pixels[..., :1]), size


def has_colour(pixels: NDArray[np.uint8]) -> bool:
    """Whether any pixel of (..., channels) has channels that differ."""
    return pixels.shape[-1] == 3 and bool((pixels[..., :1] != pixels[..., 1:]).any())


def _convert_arrays(source: Arrays, config: PreprocessingConfig, sink: Sink, task: Task) -> Conversion:
    """Images as numbers are all of one size and read at once; what is decided late is whether they have a colour."""
    plan: Plan | None = None
    tiny: list[str] = []
    again = True
    while again:
        again = False
        for block in source.blocks():
            if plan is None:
                height, width = block.shape[1:3]
                plan = first_plan(config, (height, width))
                if is_tiny((width, height), (plan.preprocessing.width, plan.preprocessing.height)):
                    tiny = list(source.names or map(str, range(len(source))))
                _begin(sink, plan, source)
            pixels = _fit_block(block, plan, str(source.path))
            if plan.expects_grey and has_colour(pixels):
                plan = plan.with_colour()
                _begin(sink, plan, source)
                again = True
                break
            sink.write(pixels[..., :1] if plan.expects_grey else pixels)
            task.advance(len(pixels))
    if plan is None:
        raise FileError(source.path, "holds no images: name a file that does")
    return Conversion(plan.decided, np.arange(len(source)), [], tiny, source.content())


def _fit_block(block: NDArray[np.uint8], plan: Plan, name: str) -> NDArray[np.uint8]:
    """(b, height, width, channels) of numbers that may have another size and opacity."""
    wanted = plan.preprocessing
    fits = block.shape[1:3] == (wanted.height, wanted.width)
    if fits and (block.shape[3] == wanted.channels or (block.shape[3] == 1 and plan.expects_grey)):
        return block
    channels = 1 if block.shape[3] == 1 and plan.expects_grey else wanted.channels
    images = (wanted.fitted(picture_of_array(image, name), name) for image in block)
    return np.stack([channel_pixels(image, channels) for image in images])
