"""The CUDA kernels of all elementwise operations and of their derivatives, to compile without a GPU."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

import tapegrad as tg
from tapegrad import optim
from tapegrad.kernels import cuda
from tapegrad.kernels.body import Body
from tapegrad.kernels.cuda import scalars
from tapegrad.kernels.cuda.elementwise import kernel_of
from tapegrad.kernels.cuda.elementwise_source import Layout, kernel_source
from tapegrad.kernels.cuda.kernel import Kernel
from tapegrad.optim import elementwise
from tapegrad.registry import REGISTRY

_KINDS = {"b": "b", "i": "iu", "u": "iu", "f": "f", "c": "c"}


class Case(NamedTuple):
    """A kernel, and what it may be: ``doubles``: it may compute in double precision."""

    name: str
    kernel: Kernel
    doubles: bool


def bodies(complex_valued: bool) -> Iterator[tuple[str, str, Body, str]]:
    """(name, kinds of dtypes it is made for, body, dtype of the result), each different body once."""
    seen = set()
    for op in REGISTRY.values():
        computation = getattr(op, "computation", None)
        if computation is None or (complex_valued and "c" not in op.kinds):
            continue
        found = [(op.name, computation, op.kinds)]
        for needs in itertools.product((False, True), repeat=len(op.inputs)):
            if any(needs) and op.dtype != "bool" and {n for n, need in zip(op.inputs, needs, strict=True) if need} <= op.targets:
                backward = op.plans[needs].computation
                if backward is not None:
                    found.append((f"backward of {op.name} {tuple(map(int, needs))}", backward, "fc"))
        for name, each, kinds in found:
            try:
                body = each.body(complex_valued)
            except TypeError:  # no complex form
                continue
            key = (body.inputs, body.lines, body.results, body.booleans)
            if key not in seen:
                seen.add(key)
                yield name, kinds, body, op.dtype if each is computation else ""


def registered_kernels(dtypes: Sequence[str] = ("float32",), layout: Layout | None = None) -> Iterator[Case]:
    """A kernel for each elementwise operation and each of its derivatives, forward and backward, on arrays of these dtypes."""
    for dtype in dtypes:
        kind = "f" if "float" in dtype else np.dtype(dtype).kind
        for name, kinds, body, result in bodies(kind == "c"):
            if not set(_KINDS[kind]) & set(kinds) and not (kind in "bi" and result == "bool"):
                continue
            if kind in "biu" and result == "float":
                continue
            inputs = ["bool" if n in body.booleans else dtype for n in body.inputs]
            outputs = ["bool" if result == "bool" else dtype] * len(body.results)
            compute = "float32" if dtype in ("float16", "bfloat16") else dtype
            each = layout
            if each is None:
                size = 16 // max(2 if d == "bfloat16" else np.dtype(d).itemsize for d in (*inputs, *outputs))
                each = Layout(max(1, min(size, 8)))
            source, signature = kernel_source(body, (*inputs, *outputs), len(inputs), compute, each)
            called = set(re.findall(r"\b([a-z]\w*)\(", source))
            doubles = compute in ("float64", "complex128", "complex64", "uint8") or bool(called & (scalars.DOUBLES | scalars.REDUCED))
            yield Case(f"{name} {dtype}", kernel_of(source, signature, compute), doubles)


def optimizer_kernels(dtypes: Sequence[str] = ("float32", "float64")) -> Iterator[Case]:
    """The kernels of all optimizers that have a formula for an element, with all of their options on."""
    options = {"amsgrad": True, "maximize": True, "momentum": 0.9, "centered": True, "weight_decay": 0.1}
    for name in optim.__all__:
        found = getattr(optim, name)
        if not (isinstance(found, type) and issubclass(found, elementwise.ElementwiseOptimizer)) or found is elementwise.ElementwiseOptimizer:
            continue
        optimizer = found([tg.ones(3).requires_grad_()], 0.1)
        for given in ({}, {k: v for k, v in options.items() if k in optimizer.defaults}):
            group = {**optimizer.param_groups[0], **given}
            for dtype in dtypes:
                made = elementwise._kernel(optimizer, list(optimizer.remembers(group)), list(optimizer.scalars(group, 1.0)), group, np.dtype(dtype), cuda)
                for kernel in made:
                    yield Case(f"{name} {sorted(given)} {dtype}", kernel, dtype == "float64")
