"""Class indices as losses take them: checked where they are read, and what each of them counts for."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...body import Body
from .. import errors, language as L
from ..array import contiguous, empty, zeros
from ..context import blocks_for
from ..elements import stored, to_computed, to_stored, type_of
from ..elementwise import run
from ..index.places import as_int64
from ..kernel import family
from ..language import cuda, int64
from ..reduction.reduce import sum

_FLOATS = ("float32", "float64", "float16", "bfloat16")
_INT64, _BOOL = np.dtype(np.int64), np.dtype(np.bool_)
_OR_NAN = Body(("a",), ("t0 = T(NAN) if a == 0 else a",), ("t0",))


@family(threads=L.BLOCK)
def checked_classes() -> Any:
    report = errors.report

    def kernel(target, indices, kept, words, code, classes, ignored, ignoring, n):  # type: ignore[no-untyped-def]
        """indices[i]: target[i], or 0 where that is ignored or no class; kept[i]: whether it is neither."""
        i = int64(cuda.blockIdx.x) * cuda.blockDim.x + cuda.threadIdx.x
        while i < n:
            k = target[i]
            keep = ignoring == 0 or k != ignored
            if keep and not 0 <= k < classes:
                report(words, code, k, classes)
                keep = False
            indices[i] = k if keep else int64(0)
            kept[i] = 1 if keep else 0
            i += int64(cuda.gridDim.x) * cuda.blockDim.x

    return kernel, "int64* int64* uint8* int64* int64 int64 int64 int64 int64"


def class_indices(target: Any, classes: int, ignore_index: int | None, name: str) -> tuple[Any, Any]:
    """Class indices as int64 with 0 for those ignored, and which are kept. What is no class is noted (see ``errors``) and not kept."""
    target = as_int64(target)
    indices, kept = empty(target.shape, _INT64), empty(target.shape, _BOOL)
    if target.size:
        numbers = (errors.operation(name), classes, ignore_index or 0, int(ignore_index is not None), target.size)
        checked_classes().launch(blocks_for(target.size, L.BLOCK), L.BLOCK, target, indices, kept, errors.words(), *numbers)
    return indices, kept


@family(threads=L.BLOCK, dtype=_FLOATS)
def weights_of_classes(dtype: str) -> Any:
    T, get, put = type_of(dtype), to_computed(dtype), to_stored(dtype)

    def kernel(weight, indices, kept, out, weighted, n):  # type: ignore[no-untyped-def]
        i = int64(cuda.blockIdx.x) * cuda.blockDim.x + cuda.threadIdx.x
        while i < n:
            factor = T(0)
            if kept[i] != 0:
                factor = T(1)
                if weighted != 0:
                    factor = T(get(weight[indices[i]]))
            out[i] = put(factor)
            i += int64(cuda.gridDim.x) * cuda.blockDim.x

    return kernel, f"{stored(dtype)}* int64* uint8* {stored(dtype)}* int64 int64"


def class_factors(weight: Any | None, indices: Any, kept: Any, classes: int, dtype: np.dtype[Any]) -> Any:
    """weight[index], or 1 without weights; 0 where not kept."""
    out = empty(indices.shape, dtype)
    if out.size:
        numbers = (int(weight is not None), out.size)
        given = None if weight is None else contiguous(weight)
        weights_of_classes(dtype.name).launch(blocks_for(out.size, L.BLOCK), L.BLOCK, given, indices, kept, out, *numbers)
    return out


def mean_divisor(factors: Any) -> Any:
    """What a mean weighted by factors divides by: their sum, but NaN where that is 0."""
    dtype = np.dtype(np.float32) if factors.dtype.itemsize == 2 else factors.dtype
    out = empty((), dtype)
    run(_OR_NAN, (sum(factors, tuple(range(factors.ndim)), False, dtype),), (out,), dtype)
    return out


@family(threads=L.BLOCK, dtype=_FLOATS)
def margin_weights(dtype: str) -> Any:
    T, get, put = type_of(dtype), to_computed(dtype), to_stored(dtype)

    def kernel(weight, indices, out, weighted, classes, total):  # type: ignore[no-untyped-def]
        i = int64(cuda.blockIdx.x) * cuda.blockDim.x + cuda.threadIdx.x
        while i < total:
            row = i // classes
            index = indices[row]
            factor = T(0)
            if i - row * classes != index:
                factor = T(1) / T(classes)
                if weighted != 0:
                    factor = T(get(weight[index])) / T(classes)
            out[i] = put(factor)
            i += int64(cuda.gridDim.x) * cuda.blockDim.x

    return kernel, f"{stored(dtype)}* int64* {stored(dtype)}* int64 int64 int64"


def margin_factors(weight: Any | None, indices: Any, classes: int, dtype: np.dtype[Any]) -> Any:
    """(n, classes): weight[index] / classes, or 1 / classes without weights, but 0 at the index (n,) itself."""
    out = empty((indices.size, classes), dtype)
    if out.size:
        numbers = (int(weight is not None), classes, out.size)
        given = None if weight is None else contiguous(weight)
        margin_weights(dtype.name).launch(blocks_for(out.size, L.BLOCK), L.BLOCK, given, indices, out, *numbers)
    return out


@family(threads=L.BLOCK)
def listed_labels() -> Any:
    report = errors.report

    def kernel(target, indices, listed, labelled, words, code, classes, n):  # type: ignore[no-untyped-def]
        """A thread per row. listed[i, k]: whether the k-th label counts; labelled (zeros before) [i, c]: whether c is a label."""
        i = int64(cuda.blockIdx.x) * cuda.blockDim.x + cuda.threadIdx.x
        while i < n:
            going = True
            for k in range(classes):
                label = target[i * classes + k]
                going = going and label >= 0
                good = going and label < classes
                if going and not good:
                    report(words, code, label, classes)
                indices[i * classes + k] = label if good else int64(0)
                listed[i * classes + k] = 1 if good else 0
                if good:
                    labelled[i * classes + label] = 1
            i += int64(cuda.gridDim.x) * cuda.blockDim.x

    return kernel, "int64* int64* uint8* uint8* int64* int64 int64 int64"


@family(threads=L.BLOCK, dtype=_FLOATS)
def pair_weights(dtype: str) -> Any:
    T, put = type_of(dtype), to_stored(dtype)

    def kernel(listed, labelled, out, classes, total):  # type: ignore[no-untyped-def]
        i = int64(cuda.blockIdx.x) * cuda.blockDim.x + cuda.threadIdx.x
        while i < total:
            pair = i // classes
            row = pair // classes
            chosen = listed[pair] != 0 and labelled[row * classes + (i - pair * classes)] == 0
            out[i] = put(T(1) / T(classes) if chosen else T(0))
            i += int64(cuda.gridDim.x) * cuda.blockDim.x

    return kernel, f"uint8* uint8* {stored(dtype)}* int64 int64"


def label_pairs(target: Any, dtype: np.dtype[Any], name: str) -> tuple[Any, Any]:
    """Labels (n, classes), which end at the first negative one: as indices with 0 behind the end, and (n, classes, classes), 1 / classes
    where the first is listed and the second is not among the row's labels."""
    target = as_int64(target)
    n, classes = target.shape
    indices, listed, labelled = empty(target.shape, _INT64), empty(target.shape, _BOOL), zeros(target.shape, _BOOL)
    pairs = empty((n, classes, classes), dtype)
    if pairs.size:
        numbers = (errors.operation(name), classes, n)
        listed_labels().launch(blocks_for(n, L.BLOCK), L.BLOCK, target, indices, listed, labelled, errors.words(), *numbers)
        pair_weights(dtype.name).launch(blocks_for(pairs.size, L.BLOCK), L.BLOCK, listed, labelled, pairs, classes, pairs.size)
    return indices, pairs
