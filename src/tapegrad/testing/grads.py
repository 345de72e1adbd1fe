"""Checking gradients against numerical ones: the library's own test of every op, and yours of every function.

A VJP is checked as a whole Jacobian where that is small, else with random cotangents, else along random directions. Every
cotangent differs from one, since a VJP that ignores its upstream gradient is right for ones. Second order is the same check
of the function (inputs, cotangents) -> gradients, with gradients computed under ``create_graph``; and so on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from .. import dtypes
from ..device import on_host
from ..tape import grad
from ..tensor import Tensor, wrap
from .numeric import (
    TOLERANCES,
    Estimate,
    Method,
    Tolerance,
    Verdict,
    as_real,
    combine,
    from_real,
    numerical_directional,
    numerical_jacobian,
    numerical_vjp,
    random_directions,
)

Array = NDArray[Any]
Mode = Literal["auto", "jacobian", "vjp", "directional"]
Result = Tensor | Sequence[Tensor]
_JACOBIAN_SIZE: Final = 4096  # the most entries of a Jacobian that "auto" compares whole
_VJP_SIZE: Final = 512  # the most coordinates that "auto" moves one by one
_SEEDS: Final = (2.0, -0.5, -4.0)  # one-hot cotangents: powers of two divide out exactly


class GradientError(AssertionError):
    """A gradient that is wrong or could not be decided, or a function that breaks what gradients rest upon."""


@dataclass(frozen=True)
class _Options:
    method: Method
    mode: Mode
    rtol: float | None
    atol: float | None
    step: float | None
    cotangents: int
    allow_inconclusive: bool


def check_grads(
    fn: Callable[..., Result],
    inputs: Tensor | Sequence[Any],
    order: int = 2,
    *,
    method: Method = "richardson",
    mode: Mode = "auto",
    rtol: float | None = None,
    atol: float | None = None,
    step: float | None = None,
    cotangents: int = 3,
    seed: int = 0,
    allow_inconclusive: bool = False,
) -> None:
    """Compare the gradients of ``fn(*inputs)`` with numerical ones, up to ``order``.

    An entry whose numerical value is uncertain by more than 1e-7 of the largest one proves nothing and fails, unless both
    values are zero within an error of at most 1e-10 of the function's values (a stationary point, say).

    Also checked: calling and differentiating twice gives the same bits; first-order gradients have the same bits with and
    without ``create_graph``; nothing modifies the inputs; gradients have their input's shape and dtype; results share no
    memory with inputs or each other, unless they are views, and gradients with nothing at all.

    Inputs on a GPU go there in each call, and results are compared on the CPU; who shares memory on the GPU is not looked at.

    >>> import tapegrad as tg
    >>> x = tg.tensor([0.5, -1.5], dtype=tg.float64, requires_grad=True)
    >>> check_grads(lambda x: (x * x).sum(), x)
    >>> check_grads(lambda x: (x.detach() * x).sum(), x)  # doctest: +ELLIPSIS
    Traceback (most recent call last):
        ...
    tapegrad.testing.grads.GradientError: <lambda>: order 1, output 0 with respect to input 0
      wrong: of 2 entries 2 wrong, 0 inconclusive
      worst at input index (1,), output index ()
      analytic   -1.5  (0.5 times the numeric value)
      numeric    -3 ...
    """
    if not isinstance(order, (int, np.integer)):
        raise TypeError(f"check_grads: order must be an integer, got {type(order).__name__}; several inputs go in a tuple: check_grads(fn, (a, b))")
    given = [inputs] if isinstance(inputs, Tensor) else list(inputs)
    wrt = [i for i, x in enumerate(given) if isinstance(x, Tensor) and x.requires_grad]
    if not wrt:
        raise ValueError("check_grads: no input requires grad; call .requires_grad_() on those to differentiate")
    if order < 1 or cotangents < 1 or mode not in ("auto", "jacobian", "vjp", "directional"):
        raise ValueError(f"check_grads: order {order}, cotangents {cotangents} or mode {mode!r} is out of range")
    for i in wrt:
        _need_double(given[i], f"input {i}")
    args = [_leaf(on_host(x._array), i in wrt) if isinstance(x, Tensor) else x for i, x in enumerate(given)]
    options = _Options(method, mode, rtol, atol, step, cotangents, allow_inconclusive)
    labels = {i: f"input {i}" for i in wrt}
    name = getattr(fn, "__name__", type(fn).__name__)
    places = {i: x.device for i, x in enumerate(given) if isinstance(x, Tensor) and x.is_cuda}
    _Check(name, _from_host(fn, places) if places else fn, args, wrt, labels, "output", 1, options, np.random.default_rng(seed)).run(order)


def _from_host(fn: Callable[..., Result], places: dict[int, Any]) -> Callable[..., Any]:
    """``fn`` for arguments on the CPU, which it takes on the devices in ``places``, by number; results are on the CPU."""

    def moved(*args: Any) -> Any:
        result = fn(*[x.to(places[i]) if i in places else x for i, x in enumerate(args)])
        if isinstance(result, (tuple, list)):
            return [y.cpu() if isinstance(y, Tensor) else y for y in result]
        return result.cpu() if isinstance(result, Tensor) else result

    return moved


def _leaf(array: Array, requires_grad: bool) -> Tensor:
    tensor = wrap(array)
    return tensor.requires_grad_() if requires_grad else tensor


def _need_double(x: Tensor, what: str) -> None:
    if x.dtype not in (dtypes.float64, dtypes.complex128):
        raise TypeError(f"check_grads: {what} has dtype {x.dtype}; differences need float64 or complex128, use .to(tapegrad.float64)")


def _vjp(outputs: Sequence[Tensor], targets: Sequence[Tensor], cotangents: Sequence[Tensor | None], create_graph: bool) -> list[Any]:
    """One gradient (or None) per target; outputs without a cotangent, or not on the tape, contribute none."""
    pairs = [(o, v) for o, v in zip(outputs, cotangents, strict=True) if v is not None and o.requires_grad]
    if not pairs:
        return [None] * len(targets)
    roots, seeds = zip(*pairs, strict=True)
    return list(grad(list(roots), list(targets), list(seeds), retain_graph=True, create_graph=create_graph, allow_unused=True))


def _arrays(tensors: Sequence[Tensor | None]) -> list[Array | None]:
    return [None if t is None else t._array for t in tensors]


def _same_bits(a: Array | None, b: Array | None) -> bool:
    if a is None or b is None:
        return a is b
    return a.shape == b.shape and a.dtype == b.dtype and a.tobytes() == b.tobytes()


def _unsigned_zeros(a: Array | None) -> Array | None:
    return None if a is None else np.asarray(a + np.zeros((), a.dtype))


def _largest(estimate: Estimate) -> float:
    """The largest entry that is known, less its error."""
    return float(np.max(np.abs(estimate.value) - estimate.error, where=np.isfinite(estimate.error), initial=0.0))


@dataclass
class _Check:
    """The check of one order: a function, its arguments, and how to speak of them."""

    name: str
    fn: Callable[..., Result]
    args: list[Any]
    wrt: list[int]
    labels: dict[int, str]
    of: str
    order: int
    options: _Options
    rng: np.random.Generator
    negligible: float = 0.0  # slopes that count as zero where they can't be measured
    reached: set[int] = field(default_factory=set)  # the inputs that some output depends on

    def run(self, order: int) -> None:
        before = [x._array.copy() if isinstance(x, Tensor) else None for x in self.args]
        outputs = self.call(self.args)
        self.check_unmodified(before)
        self.check_aliases(outputs)
        seeds = [self.cotangents(outputs, k) for k in range(self.options.cotangents)]
        first = [self.check_repeatable(outputs, seed) for seed in seeds]
        self.check_values(outputs, seeds, first)
        self.check_unmodified(before)
        if self.order == 1 and (unused := [self.labels[i] for i in self.wrt if i not in self.reached]):
            self.fail(f"{unused[0]} does not reach any output; pass it without requires_grad if it should not")
        if order > self.order:
            self.higher(outputs, seeds[0]).run(order)

    def fail(self, what: str) -> None:
        raise GradientError(f"{self.name}: order {self.order}, {what}")

    # ------------------------------------------------------------------------------------------------- the function

    def call(self, args: Sequence[Any]) -> list[Tensor]:
        """The differentiable results."""
        result = self.fn(*args)
        listed = [result] if isinstance(result, Tensor) else list(result) if isinstance(result, (list, tuple)) else []
        if not all(isinstance(y, Tensor) for y in listed):
            raise TypeError(f"check_grads: {self.name} must return a Tensor or a sequence of them, not {result!r:.200}")
        outputs = [y for y in listed if y.dtype.differentiable]
        if not outputs:
            raise ValueError(f"check_grads: {self.name} returned nothing to differentiate")
        for i, y in enumerate(outputs):
            _need_double(y, f"{self.of} {i}")
        return outputs

    def on_arrays(self, *arrays: Array) -> tuple[Array, ...]:
        """The function as numerical differentiation wants it, of the inputs to differentiate with respect to."""
        args = list(self.args)
        for i, array in zip(self.wrt, arrays, strict=True):
            args[i] = _leaf(array, True)
        return tuple(y._array for y in self.call(args))

    @property
    def targets(self) -> list[Tensor]:
        return [self.args[i] for i in self.wrt]

    def higher(self, outputs: list[Tensor], seeds: list[Tensor]) -> _Check:
        """The check of the next order: of the gradients, as a function of the arguments and the cotangents."""
        n = len(self.args)
        fn, wrt = self.call, self.wrt

        def gradients(*args: Any) -> list[Tensor]:
            targets = [args[i] for i in wrt]
            found = _vjp(fn(args[:n]), targets, args[n:], create_graph=True)
            return [wrap(np.zeros_like(t._array)) if g is None else g for g, t in zip(found, targets, strict=True)]

        more = {n + k: f"cotangent {k}" for k in range(len(seeds))}
        args = [*self.args, *(_leaf(v._array, True) for v in seeds)]
        return replace(
            self, fn=gradients, args=args, wrt=[*wrt, *more], labels=self.labels | more, of="gradient", order=self.order + 1
        )

    # --------------------------------------------------------------------------------------------------- cotangents

    def cotangents(self, outputs: Sequence[Tensor], k: int) -> list[Tensor]:
        """Random cotangents of magnitude 0.5 to 1.5: dense, with dimensions reversed in memory, or expanded, in turn."""
        found = []
        for y in outputs:
            x = np.zeros(y._array.shape, y._array.dtype)
            values = random_directions([x], self.rng)[0]
            assert values is not None
            if k % 3 == 1:
                values = np.asarray(values.T, order="C").T
            elif k % 3 == 2 and values.size:
                values = np.broadcast_to(values[(0,) * values.ndim], values.shape)
            found.append(wrap(values))
        return found

    # ------------------------------------------------------------------------------------------------ what must hold

    def check_unmodified(self, before: Sequence[Array | None]) -> None:
        for i, (x, old) in enumerate(zip(self.args, before, strict=True)):
            if old is not None and not _same_bits(x._array, old):
                self.fail(f"the function or its backward modified argument {i}")

    def check_aliases(self, outputs: Sequence[Tensor]) -> None:
        if self.order > 1:  # with create_graph a gradient may be the cotangent itself
            return
        inputs = [(f"argument {i}", x) for i, x in enumerate(self.args) if isinstance(x, Tensor)]
        for i, y in enumerate(outputs):
            for what, x in inputs:
                if y._storage is not x._storage and np.shares_memory(y._array, x._array):
                    self.fail(f"output {i} shares memory with {what} but is not recorded as a view of it")
            inputs.append((f"output {i}", y))

    def check_repeatable(self, outputs: list[Tensor], seeds: list[Tensor]) -> list[Array]:
        """Gradients for these cotangents, computed in every way that must not matter."""
        kept = [y._array.copy() for y in outputs]
        gradients = _arrays(_vjp(outputs, self.targets, seeds, create_graph=False))
        self.reached |= {i for g, i in zip(gradients, self.wrt, strict=True) if g is not None}
        for g, i in zip(gradients, self.wrt, strict=True):
            x = self.args[i]._array
            if g is not None and (g.shape != x.shape or g.dtype != x.dtype):
                self.fail(f"the gradient for {self.labels[i]} has shape {g.shape} and dtype {g.dtype}, the input {x.shape} and {x.dtype}")
        others = [("an argument", x._array) for x in self.args if isinstance(x, Tensor)]
        others += [(f"{self.of} {k}", y._array) for k, y in enumerate(outputs)]
        others += [(f"the cotangent of {self.of} {k}", v._array) for k, v in enumerate(seeds)]
        for g, i in zip(gradients, self.wrt, strict=True):
            for what, array in others if g is not None else ():
                if np.shares_memory(g, array):
                    self.fail(f"the gradient for {self.labels[i]} shares memory with {what}")
            if g is not None:
                others.append((f"the gradient for {self.labels[i]}", g))
        again = self.call(self.args)
        for k, (y, old, new) in enumerate(zip(outputs, kept, again, strict=True)):
            if not _same_bits(y._array, old):
                self.fail(f"differentiating modified {self.of} {k}")
            if not _same_bits(new._array, old):
                self.fail(f"{self.of} {k} differs in a second call; seed what is random inside the function")
        for what, ys, create_graph in (("a second time", outputs, False), ("after a second call", again, False), ("with create_graph", again, True)):
            repeated = _arrays(_vjp(ys, self.targets, seeds, create_graph))
            for g, r, i in zip(gradients, repeated, self.wrt, strict=True):
                # gradients of parts are added in place on arrays, padded with zeros on tensors: -0 may become 0
                if not (_same_bits(_unsigned_zeros(g), _unsigned_zeros(r)) if create_graph else _same_bits(g, r)):
                    self.fail(f"the gradient for {self.labels[i]} has other bits when computed {what}:\n{g}\n{r}")
        return [np.zeros_like(self.args[i]._array) if g is None else g for g, i in zip(gradients, self.wrt, strict=True)]

    # ------------------------------------------------------------------------------------------------------- values

    def check_values(self, outputs: list[Tensor], seeds: list[list[Tensor]], gradients: list[list[Array]]) -> None:
        arrays = [x._array for x in self.targets]
        options: dict[str, Any] = {"method": self.options.method, "step": self.options.step}
        sizes = [as_real(*group).size for group in ([y._array for y in outputs], arrays)]
        self.negligible = max(1e-6, 1e-3 * max((np.max(np.abs(y._array), initial=0.0) for y in outputs), default=0.0))
        mode = self.options.mode
        if mode == "auto":
            mode = "jacobian" if sizes[0] * sizes[1] <= _JACOBIAN_SIZE else "vjp" if sizes[1] <= _VJP_SIZE else "directional"
        weights = [[v._array for v in seed] for seed in seeds]
        if mode == "jacobian":
            rows = self.analytic_jacobians(outputs)
            for i, x in enumerate(arrays):
                numeric = numerical_jacobian(self.on_arrays, arrays, wrt=i, **options)
                about = f"with respect to {self.labels[self.wrt[i]]}"
                for k, estimate in enumerate(numeric):
                    self.judge([(estimate, rows[k][i])], f"{self.of} {k} {about}")
                self.judge([(combine(numeric, v, x), found[i]) for v, found in zip(weights, gradients, strict=True)],
                           f"the VJP {about}", max(_largest(e) for e in numeric))  # fmt: skip
            return
        for i in range(len(arrays)):
            about = f"with respect to {self.labels[self.wrt[i]]}"
            if mode == "vjp":
                found = [(numerical_vjp(self.on_arrays, arrays, v, i, **options), g[i]) for v, g in zip(weights, gradients, strict=True)]
                self.judge(found, f"the VJP {about}")
            else:
                found = [self.along(arrays, v, g, i, options) for v, g in zip(weights, gradients, strict=True)]
                self.judge(found, f"the slope in a random direction {about}")

    def along(self, arrays: list[Array], v: list[Array], gradients: list[Array], i: int, options: dict[str, Any]) -> tuple[Estimate, Any]:
        """The slope in a random direction, numerical and analytic; of one input alone, or it could hide behind another."""
        moves = [d if j == i else None for j, d in enumerate(random_directions(arrays, self.rng))]
        slope = np.float64(np.vdot(gradients[i], moves[i]).real)
        return numerical_directional(self.on_arrays, arrays, v, moves, **options), slope

    def analytic_jacobians(self, outputs: list[Tensor]) -> list[list[Array]]:
        """Per output and input the Jacobian, one VJP a row, laid out as numerical_jacobian does."""
        jacobians = []
        for k, y in enumerate(outputs):
            n = as_real(y._array).size
            rows: list[list[Array]] = [[] for _ in self.wrt]
            for r in range(n):
                c = _SEEDS[r % len(_SEEDS)]
                seed = [wrap(from_real(c * np.eye(1, n, r)[0], y._array)) if j == k else None for j in range(len(outputs))]
                for row, g, x in zip(rows, _vjp(outputs, self.targets, seed, create_graph=False), self.targets, strict=True):
                    row.append(as_real(np.zeros_like(x._array) if g is None else g._array) / c)
            sizes = [as_real(x._array).size for x in self.targets]
            jacobians.append([np.reshape(row, (n, m)) for row, m in zip(rows, sizes, strict=True)])
        return jacobians

    def tolerance(self) -> Tolerance:
        rtol, atol = TOLERANCES[self.options.method if self.order == 1 else "second_order"]
        return rtol if self.options.rtol is None else self.options.rtol, atol if self.options.atol is None else self.options.atol

    def judge(self, pairs: Sequence[tuple[Estimate, Any]], what: str, scale: float = 0.0) -> None:
        """Compare values that have one scale: those for one cotangent may cancel to nothing."""
        scale = max(scale, *(_largest(estimate) for estimate, _ in pairs)) if len(pairs) > 1 else scale
        for estimate, analytic in pairs:
            verdict: Verdict = estimate.compare(analytic, self.tolerance(), scale_floor=scale)
            if verdict.status == "inconclusive":  # it may be zero, as at a stationary point, but for the rounding of f
                negligible = estimate.compare(analytic, self.tolerance(), scale_floor=max(scale, self.negligible))
                decided = self.options.allow_inconclusive and not verdict.inconclusive.all()
                verdict = negligible if decided or negligible.status == "ok" else verdict
            if verdict.status == "wrong" or (verdict.status == "inconclusive" and not decided):
                self.fail(f"{what}\n  {verdict.message}")
