"""What the op matrix runs: every sample of every registered op and of the composites, with arrays to run it on."""

from __future__ import annotations

import importlib
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tapegrad import dtypes
from tapegrad.public import FUNCTIONS, Function
from tapegrad.registry import REGISTRY, Op
from tapegrad.samples import Input, Sample
from tapegrad.scalarops import ElementwiseOp
from tapegrad.tensor import Tensor, wrap
from tapegrad.testing.layouts import arranged

Array = NDArray[Any]

# Ops without samples of their own, each with the reason.
NO_SAMPLES = {
    "attention_backward": "takes what attention keeps; gradients and second order of attention run it",
    "standardize_backward": "takes what standardize keeps; gradients and second order of standardize run it",
    **{
        f"{mode}_layer_backward": "takes what the layer keeps; gradients and second order of the layer run it"
        for mode in ("rnn_tanh", "rnn_relu", "gru", "lstm")
    },
    "underivable": "a copy whose derivative is refused; tests/ops/test_index_writes.py has it",
    "cholesky": "takes positive definite matrices, and its gradient is symmetric; runs in the composite cholesky",
    "copy_slices": "takes a view object, made by the in-place machinery; runs in the composites add_ to a view and setitem",
    "copy": "overwrites its first input; runs in the composites copy_ and setitem",
}
# Inputs that hold real numbers but get no gradient.
NO_GRADIENT = {
    ("cross_entropy", "weight"): "as in PyTorch, class weights are constants",
    ("reduced_cross_entropy", "weight"): "as in PyTorch, class weights are constants",
    ("cross_entropy_backward", "lse"): "is a function of input, and the gradient for input includes it",
    ("cross_entropy_backward", "weight"): "as in PyTorch, class weights are constants",
}
# Ops whose gradients are not the partial derivatives of their forward, and where they are checked instead.
NO_NUMERIC_GRADIENT = {
    "cross_entropy_backward": "lse is an input but not independent; second order of cross_entropy checks it",
    "log_gamma_draw": "a sample moves with its law while its quantile stays; tests/ops/test_gamma.py",
    "log_gamma_slope": "refused; tests/ops/test_gamma.py",
    "ctc_loss_backward": "nll and alpha are inputs but not independent; second order of ctc_loss checks it",
}
EPS = {d.name: dtypes.finfo(d).eps for d in dtypes.ALL if d.differentiable}


@dataclass(frozen=True)
class Case:
    """One call to check: ``fn`` on tensors and an independent ``reference`` on arrays."""

    name: str
    fn: Callable[..., Any]
    reference: Callable[..., Any]
    inputs: tuple[Input, ...]
    kinds: str = "f"
    op: Op | None = None
    gradient: tuple[bool, ...] = ()  # which inputs get one
    smooth: bool = True  # False: repeating elements makes ties
    number: int = 0  # of the sample of its op or function
    function: Function | None = None

    def arrays(self, dtype: Any = np.float64, *, layout: str = "contiguous", seed: int = 0) -> list[Array]:
        """Input values, the same in every run."""
        rng = np.random.default_rng([seed, zlib.crc32(self.name.encode())])
        values = _spread(self.inputs, rng)
        return [arranged(_filled(i, v, dtypes.to_dtype(dtype), rng), layout) for i, v in zip(self.inputs, values, strict=True)]

    def tensors(self, arrays: Sequence[Array], requires_grad: bool = True) -> list[Tensor]:
        """Tensors on these arrays; those that get a gradient require it."""
        made = [wrap(a) for a in arrays]
        for t, needed in zip(made, self.gradient, strict=True):
            if needed and requires_grad:
                t.requires_grad_()
        return made


def _spread(inputs: Sequence[Input], rng: np.random.Generator) -> Iterator[Array | None]:
    """For inputs whose values must be apart: values at least 0.1 from each other, over all of them, and from zero."""
    count = sum(int(np.prod(i.shape)) for i in inputs if i.apart)
    low, high = next(((i.low, i.high) for i in inputs if i.apart), (-2.0, 2.0))
    grid = np.linspace(low, high, count + 3)
    pool = rng.permutation(grid[np.abs(grid) >= 0.1])
    assert np.diff(grid)[0] >= 0.1, "too many values for their range"
    for i in inputs:
        n = int(np.prod(i.shape))
        yield pool[:n].reshape(i.shape) if i.apart else None
        pool = pool[n:] if i.apart else pool


def _filled(i: Input, values: Array | None, dtype: dtypes.dtype, rng: np.random.Generator) -> Array:
    if i.kind == "bool":
        return np.asarray(rng.random(i.shape) < 0.5)
    if i.kind == "int":
        return np.asarray(rng.integers(int(i.low), int(i.high), i.shape))
    if dtype.category == 0:
        return np.asarray(rng.random(i.shape) < 0.5)
    if dtype.category == 1:
        low = max(int(np.ceil(i.low)), 0 if dtype.name == "uint8" else -128)
        return np.asarray(rng.integers(low, max(int(i.high), low) + 1, i.shape)).astype(dtype.numpy)
    found = rng.uniform(i.low, i.high, i.shape) if values is None else values
    if dtype.category == 3:
        found = found + 1j * rng.uniform(i.low, i.high, i.shape)
    return np.asarray(found).astype(dtype.numpy)


def resolved(reference: Any) -> Callable[..., Any]:
    """A reference, which may be given as the dotted path of a function that the library itself must not import."""
    if not isinstance(reference, str):
        assert callable(reference)
        return reference
    module, _, name = reference.rpartition(".")
    return getattr(importlib.import_module(module), name)  # type: ignore[no-any-return]


def _case_of(op: Op, sample: Sample, number: int) -> Case:
    def fn(*inputs: Any) -> Any:
        return op.call(*inputs, **sample.params)

    def reference(*arrays: Array) -> Any:
        return resolved(op.reference)(*arrays, **sample.params)

    targets = {t for key in op.vjp for t in (key if isinstance(key, tuple) else (key,))}
    targets |= set(op.formulas) if isinstance(op, ElementwiseOp) else set()
    gradient = tuple(name in targets and i.kind == "real" and not i.constant for name, i in zip(op.inputs, sample.inputs, strict=False))
    return Case(f"{op.name}-{number}", fn, reference, sample.inputs, op.kinds, op, gradient, op.smooth, number)


def op_cases() -> list[Case]:
    """Every sample of every op."""
    return [_case_of(op, sample, k) for op in REGISTRY.values() for k, sample in enumerate(op.samples)]


def case_of_function(function: Function, sample: Sample, number: int) -> Case:
    """A case that calls a public function as users do."""
    def fn(*inputs: Any) -> Any:
        return sample.call(function.call, inputs)

    def reference(*arrays: Array) -> Any:
        return sample.call(resolved(function.reference), arrays)

    gradient = tuple(function.differentiable and i.kind == "real" and not i.constant for i in sample.inputs)
    name = f"{function.name}()-{number}"
    return Case(name, fn, reference, sample.inputs, function.kinds, None, gradient, function.smooth, number, function)


def function_cases() -> list[Case]:
    """Every sample of every public function that has its own."""
    return [case_of_function(f, sample, k) for f in FUNCTIONS.values() if f.reference is not None for k, sample in enumerate(f.samples)]


def expected_dtype(case: Case, arrays: Sequence[Array]) -> dtypes.dtype:
    """The dtype of a registered op's (first) result, by PyTorch's rules."""
    op = case.op
    assert op is not None
    real = [a for a, i in zip(arrays, case.inputs, strict=True) if i.kind == "real"]
    if op.dtype == "bool":
        return dtypes.bool_
    if op.dtype == "int64" or (op.name in ("sum", "prod", "cumsum", "cumprod") and real[0].dtype.kind in "biu"):
        return dtypes.int64
    if op.name == "to":
        return dtypes.float64
    promoted = dtypes.result_type(*[wrap(a) for a in real])
    if op.name in ("real", "imag", "view_as_real"):
        return {dtypes.complex64: dtypes.float32, dtypes.complex128: dtypes.float64}[promoted]
    return dtypes.float32 if (op.dtype == "float" or op.name == "safe_sqrt") and promoted.category < 2 else promoted


def widened(array: Array, to_float: bool) -> Array:
    """The same values in the widest dtype of their kind, for the reference."""
    if dtypes.of_array(array).category == 2 or (to_float and array.dtype.kind in "biu"):
        return array.astype(np.float64)
    return array.astype(np.complex128) if array.dtype.kind == "c" else array


def is_primitive(case: Case) -> bool:
    """Whether the op is a single function of its elements, good to two units in the last place."""
    return isinstance(case.op, ElementwiseOp) and case.op.name not in ("gelu", "gelu_tanh", "squared_error")


def assert_close(actual: Array, expected: Any, eps: float, what: str, *, tight: bool = False) -> None:
    """Equal within 8 ``eps`` of the element and of the largest element, or, ``tight``, within 4 ``eps`` of the element."""
    expected = np.asarray(expected)
    assert actual.shape == expected.shape, f"{what}: shape {actual.shape}, expected {expected.shape}"
    wide = np.complex128 if "c" in (actual.dtype.kind, expected.dtype.kind) else np.float64
    a, b = actual.astype(wide), expected.astype(wide)
    with np.errstate(all="ignore"):
        known = np.isfinite(b)
        size = np.abs(b)
        allowed = 4 * eps * size if tight else 8 * eps * (size + np.max(size, where=known, initial=0.0))
        wrong = np.where(known, ~(np.abs(a - b) <= allowed), ~((a == b) | (np.isnan(a) & np.isnan(b))))
    assert not wrong.any(), f"{what}: {a[wrong].flat[0]} should be {b[wrong].flat[0]} at {np.argwhere(wrong)[0].tolist()}\n{a}\n{b}"
