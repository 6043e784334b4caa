"""Search by image: the codes of a collection, of which the nearest to another image's are found.

**Cosines are of codes less their mean.** Codes of most models share a direction (features that are never negative, a
latent mean away from 0), along which all images are alike, and raw cosines are near 1 for any two of them. Less the
mean of the collection, the cosine of two images that have nothing in common is 0 on average. Of fewer than 16 images a
mean says little, and codes are taken as they are.

**A threshold for near-duplicates** means the more the more dimensions codes have and the more evenly they vary in them.
`ImageIndex.pairs_by_chance` says how many pairs would reach it if codes were independent, by drawing such codes: where
that is not far below what is found, the pairs are no duplicates, and the threshold wants to be higher or the model
better. (A closed form there is for equal variances only: of d dimensions, half the regularised incomplete beta function
I at 1 - t^2 of (d - 1) / 2 and 1 / 2.)

**An index knows what it is of**: the encoder, by its weights and settings, and the images, by their pixels, so that it
is not asked with another's codes.

The search is the house's exact one (`nlprep.vectors.nearest`), which answers from 100,000 codes in milliseconds. For
more there is an approximate one by inverted lists, where it is asked for (`vision.uses.inverted_lists`).
"""

from __future__ import annotations

import filecmp
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from nlprep.core.artifacts import read_artifact, write_artifact
from nlprep.core.errors import FileError, NlprepError, OptionError
from nlprep.core.progress import SILENT
from nlprep.core.randomness import combine, normals
from vision.uses.inverted_lists import build_lists, fit_centroids, search_lists

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from nlprep.core.progress import Progress
    from vision.images.collection import Images
    from vision.models.files import SavedModel

IMAGE_INDEX = "image-index"
"""What directories of indexes are marked as."""
PROBES = 16
"""Lists that an approximate search looks at."""
_AT_ONCE = 4096
_FIRST = 16
_ENOUGH_TO_CENTRE = 16
_BESIDES = 16
_THE_SAME = 1 - 1e-4
_CHANCE, _DRAWN, _COMPARED = 5, 4096, 3e7


@dataclass(frozen=True)
class Match:
    """An image that was found.

    Attributes:
        place: Its place in the index.
        name: What it is called.
        cosine: Of its code and that of what was asked for, both less the mean of the index.
    """

    place: int
    name: str
    cosine: float


@dataclass(frozen=True)
class Found:
    """What is like an image.

    Attributes:
        path: The image that was asked about.
        itself: What it is called in the index, where it was found there and left out; else None.
        matches: The others, the nearest first.
    """

    path: Path
    itself: str | None
    matches: list[Match]


class ImageIndex:
    """The codes of images, to be searched.

    Args:
        codes: (n, d).
        names: n of them.
        approximate: Whether `search` looks at some of the codes only, which pays for more than some 200,000.
        seed: Of the lists of an approximate search.
        threads: Processors to use in making them; all by default.
        of: What codes are of, by the name of a kind: digests of the encoder and of the images.

    Attributes:
        codes: (n, d) float32, less their mean and brought to length one.
        scales: (at most d,) float32, the standard deviations of codes along their principal axes.
        mean: (d,) float32; 0 of fewer than 16 codes, or of codes that are all alike.
        centroids: (k, d) of the lists; None where the search is exact.
        names: As given.
        of: As given; empty where nobody said.

    Raises:
        NlprepError: No images, numbers that differ, codes that are not finite, names that cannot be kept, or faiss
            missing for an approximate search.
    """

    def __init__(
        self,
        codes: NDArray[np.floating],
        names: Sequence[str],
        *,
        approximate: bool = False,
        seed: int = 1,
        threads: int | None = None,
        of: Mapping[str, str] | None = None,
    ) -> None:
        if codes.ndim != 2 or not len(codes) or len(codes) != len(names):
            raise NlprepError(f"codes of shape {codes.shape} for {len(names):,} names: give one for each, and some")
        if not np.isfinite(codes).all():
            raise NlprepError("codes that are not finite numbers cannot be searched: look at the model")
        self.mean = _centre_of(codes)
        self.scales = _deviations(codes)
        self.codes = unit_rows(codes - self.mean)
        self.names = names
        self.of = dict(of or {})
        self.centroids = fit_centroids(self.codes, seed=seed, threads=threads) if approximate else None
        self._lists: Any = None

    def __len__(self) -> int:
        return len(self.codes)

    def search(
        self, codes: NDArray[np.floating], number: int = 10, *, probes: int = PROBES, threads: int | None = None
    ) -> list[list[Match]]:
        """The nearest images of each code.

        Args:
            codes: (q, d).
            number: How many of each.
            probes: Lists that an approximate search looks at: the more, the nearer it comes to the exact one.
            threads: Processors to use; all by default.

        Returns:
            q lists, the nearest first.

        Raises:
            OptionError: Codes of another length, or less than one is asked for.
        """
        from nlprep.vectors.nearest import top_k

        if codes.ndim != 2 or codes.shape[1] != self.codes.shape[1]:
            raise OptionError(
                f"codes of shape {codes.shape} in an index of {self.codes.shape[1]} numbers: use the index's own model"
            )
        queries = unit_rows(codes - self.mean)
        if self.centroids is None:
            cosines, places = top_k(queries, self.codes, number, threads=threads)
        else:
            if self._lists is None:
                self._lists = build_lists(self.codes, self.centroids, threads=threads)
            number = min(number, len(self))
            cosines, places = search_lists(self._lists, queries, number, probes, threads=threads)
        return [
            [Match(place, self.names[place], cosine) for place, cosine in zip(row, scores, strict=True) if place >= 0]
            for row, scores in zip(places.tolist(), cosines.tolist(), strict=True)
        ]

    def neighbors(self, number: int, *, threads: int | None = None) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """The nearest other images of every image: cosines and places, (n, min(number, n - 1)), the nearest first."""
        from nlprep.vectors.nearest import top_k

        count = len(self)
        if count < 2:
            return np.zeros((count, 0), np.float32), np.zeros((count, 0), np.int64)
        number = min(number, count - 1)
        cosines, places = top_k(self.codes, self.codes, number + 1, threads=threads)
        own = places == np.arange(count)[:, None]
        # Among many copies an image itself may not be among the first: then the last of them goes.
        own[~own.any(1), -1] = True
        return cosines[~own].reshape(count, number), places[~own].reshape(count, number)

    def near_duplicates(
        self, threshold: float = 0.98, *, threads: int | None = None, progress: Progress = SILENT
    ) -> list[tuple[int, int, float]]:
        """All pairs of images whose codes have at least a cosine; the search is exact, whatever `search` does.

        Args:
            threshold: The cosine.
            threads: Processors to use; all by default.
            progress: Gets images.

        Returns:
            (place, larger place, cosine), the nearest pairs first.

        Raises:
            OptionError: A threshold outside (0, 1].
        """
        from nlprep.vectors.nearest import top_k

        if not 0 < threshold <= 1:
            raise OptionError(f"threshold = {threshold}: give a cosine above 0 and up to 1, such as 0.98")
        # Sums of float32 may come out below 1 for equal codes.
        least = threshold - 1e-6
        pairs: dict[tuple[int, int], float] = {}
        with progress.task("looking for near-duplicates", len(self)) as task:
            for start in range(0, len(self), _AT_ONCE):
                waiting = np.arange(start, min(start + _AT_ONCE, len(self)))
                task.advance(len(waiting))
                number = _FIRST
                while len(waiting):
                    cosines, places = top_k(self.codes[waiting], self.codes, number, threads=threads)
                    # Where even the last one found is near enough, there may be more.
                    full = (cosines[:, -1] >= least) & (cosines.shape[1] < len(self))
                    rows, columns = np.nonzero((cosines >= least) & ~full[:, None])
                    for row, column in zip(rows.tolist(), columns.tolist(), strict=True):
                        one, other = int(waiting[row]), int(places[row, column])
                        if one != other:
                            pairs[min(one, other), max(one, other)] = float(cosines[row, column])
                    waiting, number = waiting[full], number * 4
        return sorted(((*pair, cosine) for pair, cosine in pairs.items()), key=lambda found: (-found[2], found[:2]))

    def pairs_by_chance(self, threshold: float) -> float:
        """How many pairs would have at least a cosine if codes were independent and Gaussian, with these variances.

        Of drawn codes as many pairs are compared as there are in the index, or 30 million, if that is less; what is
        found among them is scaled. 0 is fewer than can be seen so.

        Args:
            threshold: The cosine.
        """
        count = len(self)
        if count < 2 or not len(self.scales):
            return 0.0
        drawn = min(count, _DRAWN)
        times = max(1, round(min(_COMPARED, count * (count - 1) / 2) / (drawn * (drawn - 1) / 2)))
        near = 0
        for time in range(times):
            codes = unit_rows(normals(combine(_CHANCE, time, np.arange(drawn)), len(self.scales)) * self.scales)
            # Each pair comes twice, and each code beside itself.
            near += (int(np.count_nonzero(codes @ codes.T >= threshold - 1e-6)) - drawn) // 2
        return near * count * (count - 1) / (times * drawn * (drawn - 1))

    def check_of(self, of: Mapping[str, str], called: object = "this") -> None:
        """Fail if the index is of something else, as far as both say.

        Args:
            of: Digests as given to the constructor.
            called: What the index is called in the message.

        Raises:
            OptionError: It is of another model, or of other images.
        """
        for kind in of.keys() & self.of.keys():
            if of[kind] != self.of[kind]:
                others = "another model" if kind == "model" else "other images"
                raise OptionError(
                    f"{called} is an index of {others}: make it anew (--overwrite), or name another place"
                )

    def save(self, directory: str | os.PathLike[str], *, overwrite: bool = False) -> None:
        """Write a directory that `from_directory` opens.

        Args:
            directory: The place; another index there is replaced when this one is whole.
            overwrite: Whether another kind of ours may be replaced, too.

        Raises:
            FileError: It cannot be written or holds something else; what was there is untouched.
        """
        from vision.images.names import pack_names

        packed, ends = pack_names(list(self.names))
        tensors: dict[str, NDArray[Any]] = {
            "codes": self.codes,
            "mean": self.mean,
            "scales": self.scales,
            "names": packed,
            "name_ends": ends,
        }
        if self.centroids is not None:
            tensors["centroids"] = self.centroids
        write_artifact(
            directory,
            kind=IMAGE_INDEX,
            config={
                "images": len(self),
                "dimension": self.codes.shape[1],
                "approximate": self.centroids is not None,
                "of": self.of,
            },
            tensors=tensors,
            overwrite=overwrite,
        )

    @classmethod
    def from_directory(cls, directory: str | os.PathLike[str]) -> ImageIndex:
        """Open what `save` wrote; codes stay on the disk until they are used.

        Raises:
            FileError: Missing, damaged or something else's.
        """
        from vision.images.names import PackedNames

        artifact = read_artifact(directory, kind=IMAGE_INDEX)
        codes = artifact.tensor("codes", dtype="float32", shape=(None, None))
        ends = artifact.tensor("name_ends", dtype="int64", shape=(len(codes),))
        packed = artifact.tensor("names", dtype="uint8", shape=(None,))
        if not len(codes) or int(ends[-1]) != len(packed):
            raise FileError(directory, "holds names that do not belong to its codes: make it again")
        made = cls.__new__(cls)
        made.codes, made.names = codes, PackedNames(packed, ends)
        of = artifact.config.get("of", {})
        made.of = {str(kind): str(digest) for kind, digest in of.items()} if isinstance(of, dict) else {}
        made.mean = artifact.tensor("mean", dtype="float32", shape=(codes.shape[1],))
        made.scales = artifact.tensor("scales", dtype="float32", shape=(None,))
        made.centroids = None
        made._lists = None  # noqa: SLF001 - its own
        if artifact.config.get("approximate"):
            made.centroids = artifact.tensor("centroids", dtype="float32", shape=(None, codes.shape[1]))
            if not len(made.centroids) or not np.isfinite(made.centroids).all():
                raise FileError(directory, "holds centroids that are none: make it again")
        return made


def _centre_of(codes: NDArray[np.floating]) -> NDArray[np.float32]:
    """The mean of codes, or 0 where it would say little or leave nothing."""
    mean = codes.mean(0, dtype=np.float64)
    spread = float(np.abs(codes - mean).max())
    if len(codes) < _ENOUGH_TO_CENTRE or not spread > 1e-6 * float(np.abs(mean).max()):
        return np.zeros(codes.shape[1], np.float32)
    centre: NDArray[np.float32] = mean.astype(np.float32)
    return centre


def _deviations(codes: NDArray[np.floating]) -> NDArray[np.float32]:
    """Along principal axes; those along which codes hardly vary are left out."""
    centred = (codes - codes.mean(0, dtype=np.float64)).astype(np.float32)
    variances = np.linalg.eigvalsh((centred.T @ centred / len(codes)).astype(np.float64))
    kept: NDArray[np.float32] = np.sqrt(variances[variances > 1e-9 * variances[-1]]).astype(np.float32)
    return kept if variances[-1] > 0 else kept[:0]


def unit_rows(codes: NDArray[np.floating]) -> NDArray[np.float32]:
    """Rows at length one, float32; those of nothing but zeros stay so."""
    codes = np.asarray(codes, np.float32)
    lengths = np.linalg.norm(codes, axis=1, keepdims=True)
    made: NDArray[np.float32] = codes / np.maximum(lengths, np.float32(1e-30))
    return made


def find_others(
    saved: SavedModel,
    index: ImageIndex,
    asked: Sequence[Path],
    number: int = 10,
    *,
    images: Images | None = None,
    source: Path | None = None,
    with_itself: bool = False,
    threads: int | None = None,
) -> list[Found]:
    """Images like pictures, each of which is left out where it is itself in the index: of several copies, one.

    Args:
        saved: The model of the index.
        index: To search.
        asked: Pictures.
        number: How many images to find of each.
        images: Those of the index, if they are at hand: by its pixels a picture is known under another name, too.
        source: Where they lie, if that is known: there a picture is known by its path, or else by its bytes.
        with_itself: Leave nothing out.
        threads: Processors to use; all by default.

    Raises:
        OptionError: As `ImageIndex.search`; or an index of another model.
        FileError: A picture cannot be read.
    """
    from vision.encoders.digests import encoder_digest
    from vision.encoders.image_encoder import ImageEncoder

    encoder = ImageEncoder(saved)
    index.check_of({"model": encoder_digest(encoder)} if "model" in index.of else {})
    codes = encoder.encode(list(asked))
    found = index.search(codes, number if with_itself else number + _BESIDES, threads=threads)
    told = []
    for path, matches in zip(asked, found, strict=True):
        itself = None if with_itself else _itself(saved, path, matches, images, source)
        others = [match for match in matches if match is not itself][:number]
        told.append(Found(path, None if itself is None else itself.name, others))
    return told


def _itself(
    saved: SavedModel, path: Path, matches: Sequence[Match], images: Images | None, source: Path | None
) -> Match | None:
    """The match that is the picture itself, by where it lies, or else the first with the same content."""
    near = [match for match in matches if match.cosine >= _THE_SAME]
    files = {match.place: source / match.name for match in near} if source is not None and source.is_dir() else {}
    for match in near:
        if match.place in files and files[match.place].exists() and path.samefile(files[match.place]):
            return match
    if not near:
        return None
    pixels = None if images is None else saved.preprocessing(path)
    for match in near:
        file = files.get(match.place)
        if images is not None and pixels is not None:
            same = np.array_equal(pixels, images.pixels[match.place])
        else:
            same = file is not None and file.is_file() and filecmp.cmp(path, file, shallow=False)
        if same:
            return match
    return None
