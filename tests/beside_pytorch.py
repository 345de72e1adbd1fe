"""The same thing in this library and in PyTorch, for tests that compare."""

from __future__ import annotations

import functools
import importlib
import inspect
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tapegrad as tg


@functools.cache
def pytorch() -> Any:
    """PyTorch, on one thread; also the fixture ``torch``. What it imports at its first uses changes the filters of warnings: that is done here."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch = pytest.importorskip("torch")
        importlib.import_module("sympy")
        x = torch.ones(1, 1, requires_grad=True)
        torch.autograd.grad([torch.einsum("ij,jk", x, x)], [x], [torch.ones(1, 1)])
        torch.optim.SGD([x]).step()
    torch.set_num_threads(1)
    return torch


def pair(build: Callable[[Any], Any], spread: float | None = None) -> tuple[Any, Any]:
    """The module that ``build`` makes with each library, in float64, with the same state; shown and named alike.

    ``spread``: draw all parameters anew with this deviation, so that none is 0 or all equal.
    """
    torch = pytorch()
    ours, theirs = build(tg).double(), build(torch).double()
    assert repr(ours) == repr(theirs)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    assert [name for name, _ in ours.named_parameters()] == [name for name, _ in theirs.named_parameters()]
    rng = np.random.default_rng(1)
    for p in theirs.parameters() if spread is not None else ():
        p.data = torch.tensor(rng.normal(0, spread, tuple(p.shape)))
    ours.load_state_dict({name: tg.tensor(value.numpy()) for name, value in theirs.state_dict().items()})
    return ours, theirs


def twice(array: Any) -> tuple[Any, Any]:
    """The array as a tensor of each library; floats require grad."""
    torch = pytorch()
    array = np.asarray(array)
    grad = array.dtype.kind == "f"
    return tg.tensor(array, requires_grad=grad), torch.tensor(array, requires_grad=grad)


def assert_same(ours: Any, theirs: Any, what: str = "", rtol: float = 1e-10) -> None:
    """Equal shapes and values, to a relative error (and of the largest value)."""
    a, b = ours.detach().numpy(), theirs.detach().numpy()
    assert a.shape == b.shape, what
    np.testing.assert_allclose(a, b, rtol=rtol, atol=rtol * max(1.0, float(np.max(np.abs(b), initial=0.0))), err_msg=what)


def assert_same_gradients(ours: Any, theirs: Any, *leaves: tuple[Any, Any], rtol: float = 1e-10) -> None:
    """Equal gradients of all parameters of two modules and of pairs of leaves."""
    for (name, p), q in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        assert_same(p.grad, q.grad, name, rtol)
    for i, (p, q) in enumerate(leaves):
        assert (p.grad is None) == (q.grad is None)
        if p.grad is not None:
            assert_same(p.grad, q.grad, f"leaf {i}", rtol)


def loss(*outputs: Any) -> Any:
    """A sum of squares with different weights, so that no gradient is constant."""
    return sum((i + 1) * (y * y).sum() for i, y in enumerate(outputs))


def arguments(function: Any) -> list[tuple[str, Any, Any]]:
    """Names, kinds and defaults of a function's arguments; defaults that are functions by their names."""
    found = inspect.signature(function).parameters.values()
    return [(p.name, p.kind, getattr(p.default, "__name__", p.default)) for p in found]
