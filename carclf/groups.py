"""Which photos show the same thing: same bytes, near-duplicates (also mirrored), one car by the table.

Groups depend on no label. A group stays whole in the folds: no photo is judged by a head that saw its twin.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

Array = NDArray[Any]

HASH_BITS = 64
HASH_DISTANCE = 6  # bits: up to 6 all pairs of the benchmark photos are true, from 8 on false ones come in
# pixels: large JPEGs are decoded at an eighth; at 64, unlike cars on white came as near as 6 bits, at 96 not
HASH_PHOTO_SIZE = 96

REASONS = ("same bytes", "group column", "dHash", "dHash, mirrored", "vectors", "vectors, mirrored")
_SAME_BYTES, _GROUP_COLUMN, _HASH, _HASH_MIRRORED, _VECTORS, _VECTORS_MIRRORED = range(len(REASONS))
_BLOCK = 512  # photos compared with all others at a time: 512 x 20,000 similarities are 41 MB


@dataclass(frozen=True)
class Pair:
    """Two photos that belong together, and why. `first` < `second` are positions in the list of photos."""

    first: int
    second: int
    similarity: float  # cosine for vectors; share of equal bits for dHash; 1 for bytes and the group column
    reason: str  # one of REASONS


@dataclass(frozen=True)
class Groups:
    """The group of each photo, and the pairs that made the groups.

    A group of m photos has m - 1 pairs: the surest ones that hold it together (surest kind of reason first,
    then the most similar), so that a film of ten thousand frames needs ten thousand lines, not fifty million.
    """

    group: Array  # int64 (n,): 0 .. num_groups - 1, numbered in the order of their first photos
    pairs: tuple[Pair, ...]  # sorted by first, then second


@dataclass(frozen=True)
class _Links:
    """Pairs as arrays of the same length, before only the surest are kept."""

    first: Array  # int64
    second: Array  # int64
    similarity: Array  # float64
    reason: Array  # int8, position in REASONS


def hash_photos(paths: Sequence[Path], read_photo: Callable[[Path, int], Array], workers: int) -> Array:
    """Computes the 64-bit dHash of every photo and of its mirror image.

    Args:
        paths: readable photos; those that are not were left out before.
        read_photo: gives float32 (size, size, 3) in [0, 1] for a path and a size.
        workers: threads; never changes the result.

    Returns:
        uint64 (n, 2): the photo as it is, and mirrored.

    Raises:
        PhotoError: from `read_photo`.
    """
    with ThreadPoolExecutor(workers) as pool:
        hashes = list(pool.map(lambda path: hash_image(read_photo(path, HASH_PHOTO_SIZE)), paths))
    return np.array(hashes, dtype=np.uint64).reshape(len(paths), 2)


def make_groups(
    sha256s: Sequence[str],
    table_groups: Sequence[str | None],
    dhashes: Array,
    vectors: Array,
    group_similarity: float,
) -> Groups:
    """Puts photos that show the same thing into one group.

    Args:
        sha256s: hash of each photo's bytes.
        table_groups: each photo's cell of the `group` column; None or "" where there is none.
        dhashes: uint64 (n, 2) of `hash_photos`.
        vectors: float32 (views, n, num_features); view 0 is the photo, view 1 (if any)
            its mirror image; further views are not used.
        group_similarity: least cosine of two vectors, centred on the mean vector, that makes a pair.

    Returns:
        The groups. They depend on neither labels nor the order of the photos (up to their numbers).
    """
    num_photos = len(sha256s)
    links = _join(
        [
            _equal_values(sha256s, _SAME_BYTES),
            _equal_values(table_groups, _GROUP_COLUMN),
            *_near_hashes(dhashes),
        ],
        num_photos,
    )
    for block in _near_vectors(_centre(vectors[:2]), group_similarity):
        links = _join([links, block], num_photos)
    return Groups(_components(links, num_photos), _make_pairs(links))


def hash_image(image: Array) -> tuple[int, int]:
    """Returns the 64-bit dHash of a float32 (size, size, 3) image in [0, 1], and that of its mirror image."""
    import imagehash

    grey = Image.fromarray(np.round(image * 255.0).astype(np.uint8)).convert("L")
    views = (grey, ImageOps.mirror(grey))
    as_is, mirrored = (int(str(imagehash.dhash(view, hash_size=8)), 16) for view in views)
    return as_is, mirrored


def _equal_values(values: Sequence[str | None], reason: int) -> _Links:
    """Links each photo with the one before it that has the same value; photos without a value stay alone."""
    last: dict[str, int] = {}
    found: list[tuple[int, int]] = []
    for position, value in enumerate(values):
        if value:
            if value in last:
                found.append((last[value], position))
            last[value] = position
    pairs = np.array(found, dtype=np.int64).reshape(-1, 2)
    return _make_links(pairs[:, 0], pairs[:, 1], np.ones(len(pairs)), reason)


def _near_hashes(dhashes: Array) -> Iterator[_Links]:
    """Links photos whose hashes differ in few bits; a block of rows against all later rows at a time."""
    as_is, mirrored = dhashes[:, 0], dhashes[:, 1]
    comparisons = (
        (as_is, as_is, _HASH),
        (as_is, mirrored, _HASH_MIRRORED),
        (mirrored, as_is, _HASH_MIRRORED),
    )
    for start in range(0, len(dhashes), _BLOCK):
        for left, right, reason in comparisons:
            # (block, later) uint8: bits that differ
            bits = np.bitwise_count(left[start : start + _BLOCK, None] ^ right[None, start:])
            rows, columns = np.nonzero(np.triu(bits <= HASH_DISTANCE, k=1))
            similarity = 1.0 - bits[rows, columns] / HASH_BITS
            yield _make_links(rows + start, columns + start, similarity, reason)


def _centre(vectors: Array) -> Array:
    """Centres (views, n, D) vectors on the mean of view 0 and scales them to length 1."""
    centred = np.asarray(vectors, dtype=np.float32) - vectors[0].mean(axis=0, dtype=np.float64).astype(np.float32)
    lengths = np.linalg.norm(centred, axis=-1, keepdims=True)
    unit: Array = centred / np.maximum(lengths, np.finfo(np.float32).tiny)
    return unit


def _near_vectors(vectors: Array, least: float) -> Iterator[_Links]:
    """Links photos whose unit vectors (1 or 2 views, n, D) have a cosine of at least `least`."""
    as_is, mirrored = vectors[0], vectors[-1]
    comparisons = [(as_is, as_is, _VECTORS)]
    if len(vectors) == 2:
        comparisons += [(as_is, mirrored, _VECTORS_MIRRORED), (mirrored, as_is, _VECTORS_MIRRORED)]
    for start in range(0, len(as_is), _BLOCK):
        for left, right, reason in comparisons:
            cosines = left[start : start + _BLOCK] @ right[start:].T  # (block, later)
            # 1e-6: the cosine of a vector with itself may come out as 0.9999999
            rows, columns = np.nonzero(np.triu(cosines >= least - 1e-6, k=1))
            yield _make_links(rows + start, columns + start, cosines[rows, columns], reason)


def _make_links(first: Array, second: Array, similarity: Array, reason: int) -> _Links:
    rounded = np.round(np.clip(similarity.astype(np.float64), -1.0, 1.0), 4)
    return _Links(first, second, rounded, np.full(len(first), reason, dtype=np.int8))


def _join(parts: Sequence[_Links], num_photos: int) -> _Links:
    """Joins links and keeps the surest that hold every group together: at most num_photos - 1 of them.

    The spanning forest of two sets of links is that of their two forests, so blocks are joined one by one.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import minimum_spanning_tree

    first, second, similarity, reason = (
        np.concatenate([getattr(part, field) for part in parts])
        for field in ("first", "second", "similarity", "reason")
    )
    surest = np.lexsort((second, first, -similarity, reason))
    _, kept = np.unique(first[surest] * num_photos + second[surest], return_index=True)
    kept = surest[np.sort(kept)]  # each pair once, surest first
    cost = np.arange(1, len(kept) + 1)  # the rank: no ties; 0 would mean "no link"
    shape = (num_photos, num_photos)
    forest = minimum_spanning_tree(coo_array((cost, (first[kept], second[kept])), shape=shape).tocsr())
    kept = kept[np.sort(forest.data.astype(np.int64)) - 1]
    return _Links(first[kept], second[kept], similarity[kept], reason[kept])


def _components(links: _Links, num_photos: int) -> Array:
    """Numbers the groups that the links make: int64 (n,), in the order of their first photos."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    ones = np.ones(len(links.first), dtype=np.int8)
    graph = coo_array((ones, (links.first, links.second)), shape=(num_photos, num_photos))
    _, group = connected_components(graph, directed=False)
    _, first_photos, group = np.unique(group, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first_photos)).astype(np.int64)[group]


def _make_pairs(links: _Links) -> tuple[Pair, ...]:
    order = np.lexsort((links.second, links.first))
    return tuple(
        Pair(int(links.first[k]), int(links.second[k]), float(links.similarity[k]), REASONS[links.reason[k]])
        for k in order
    )
