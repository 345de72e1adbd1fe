"""Numerical derivatives of array functions, and the verdict on an analytic derivative set beside them.

Functions return a tuple of float64 or complex128 arrays, must be deterministic, and get fresh dense copies. n complex
elements count as 2 n reals (:func:`as_real`): PyTorch's gradient of a real loss, dL/dRe(z) + i dL/dIm(z), is then the
ordinary real gradient read as complex numbers. The error estimate of an entry is the sum of

* truncation: how far an extrapolated value is from the one above it in the table (Ridders, Adv. Eng. Softw. 4, 1982);
* jump: the difference of the one-sided slopes, (f(x+h) - 2 f(x) + f(x-h)) / h, extrapolated likewise. It stays at a
  kink, where central differences converge to a value that means nothing (1/2 for relu at 0);
* rounding: 4 (eps |f| + noise) / h, with the noise measured, since f may round by more than its value shows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[Any]
Arrays = Sequence[Array]
Reals = NDArray[np.float64]
Func = Callable[..., Arrays]
Moves = Sequence[Array | None]
Method = Literal["richardson", "central"]
Status = Literal["ok", "wrong", "inconclusive"]
Step = float | None  # the first step relative to max(1, |x|); None for the method's own
Tolerance = tuple[float, float]  # rtol, atol_scaled: allows rtol * |numeric| + atol_scaled * max|J| + error estimate
TOLERANCES: Final[Mapping[str, Tolerance]] = {  # "Numeric targets" in CONVENTIONS.md
    "richardson": (1e-7, 1e-9),
    "central": (1e-6, 1e-8),
    "second_order": (1e-5, 1e-7),
    "float32": (1e-5, 1e-6),
}
# First step and most levels. The central method begins at twice its step, to see what the step costs.
_METHODS: Final[Mapping[str, tuple[float, int]]] = {"richardson": (1e-3, 12), "central": (1.2e-5, 2)}
_CONCLUSIVE: Final = 1e-7  # of max|J|: an error estimate above this decides nothing
_ROUNDING: Final = 4.0  # f good to two ulps, times the table's amplification of noise, which stays below two
_CLEAR: Final = 10.0  # a difference of this many error estimates is real, however poor they are
# Where the noise is measured; irrational, since even steps may all be multiples of a quantum that f rounds to.
_STATIONS: Final = np.sqrt(np.arange(8.0) / 7.0)
_LEFT_OVER: Final = np.eye(8) - np.vander(_STATIONS, 3) @ np.linalg.pinv(np.vander(_STATIONS, 3))
_FLOATS: Final = (np.float64, np.complex128)
# What limits an entry's error estimate (Estimate.note), mildest first.
CONSTANT, ROUNDING, TRUNCATION, KINK, DIVERGES, NONFINITE = range(6)
REASONS: Final = (
    "f does not change by one bit near the point, so a slope this small cannot be measured",
    "the slope is too small beside the rounding errors of f",
    "the differences have not converged far enough (try another step)",
    "the slopes to the left and to the right differ (f has a kink or jumps at the point)",
    "the differences do not converge (f jumps, oscillates or has a singularity near the point)",
    "f, or a difference of its values, is not finite within one step of the point (try a smaller step)",
)


def as_real(*arrays: ArrayLike) -> Reals:
    """All elements as one flat float64 copy, in C order; a complex one as its real part and then its imaginary part."""
    flat = [np.ascontiguousarray(a, np.complex128 if np.iscomplexobj(a) else np.float64).reshape(-1) for a in arrays]
    return np.concatenate([a.view(np.float64) for a in flat])


def from_real(flat: ArrayLike, like: Array) -> Array:
    """Undo :func:`as_real`: a new array with the shape of ``like``, complex128 if ``like`` is complex, else float64."""
    reals = np.array(flat, dtype=np.float64).reshape(-1)
    return (reals.view(np.complex128) if np.iscomplexobj(like) else reals).reshape(like.shape)


def _reach(x: Array) -> Reals:
    """max(1, |x|) for each real coordinate; both parts of a complex number share its modulus."""
    if x.dtype not in _FLOATS:
        raise TypeError(f"only float64 and complex128 inputs are differentiated, not {x.dtype}")
    return np.repeat(np.maximum(1.0, np.abs(x)).reshape(-1), 1 + np.iscomplexobj(x))


@dataclass(frozen=True, eq=False)
class Verdict:
    """What :func:`compare` found: masks in the shape of the values, and the worst entry (None without entries)."""

    status: Status  # the worst of all entries: wrong, inconclusive, ok
    wrong: NDArray[np.bool_]
    inconclusive: NDArray[np.bool_]  # an "ok" that left no entry decided proves nothing
    scale: float
    input_index: tuple[int, ...] | None
    output_index: tuple[int, ...] | None  # None also for a VJP
    analytic: complex | None
    numeric: complex | None
    error: float
    step: float
    message: str


@dataclass(frozen=True, eq=False)
class Estimate:
    """A numerical derivative; ``value``, ``error``, ``step`` and ``note`` have one shape.

    A Jacobian is real, (out_size, in_size); complex elements count double, and the shapes below then end in a 2. A VJP
    has its input's shape and is complex if that is; a directional derivative has shape (). These have no ``out_shape``.
    """

    value: Array  # nan where nothing can be said
    error: Reals  # absolute; inf where nothing can be said
    step: Reals  # the smallest that entered the value
    note: NDArray[np.int8]
    method: Method
    in_shape: tuple[int, ...]
    out_shape: tuple[int, ...] | None

    def compare(self, analytic: ArrayLike, tolerance: Tolerance | None = None, *, scale_floor: float = 0.0) -> Verdict:
        """:func:`compare` with this estimate; ``tolerance`` is the method's row of ``TOLERANCES`` unless given."""
        rtol, atol_scaled = tolerance or TOLERANCES[self.method]
        numbers = {"rtol": rtol, "atol_scaled": atol_scaled, "scale_floor": scale_floor}
        return compare(analytic, self.value, self.error, **numbers, about=self)


class _Problem:
    """f with its outputs laid out as one real vector or, given cotangents, contracted to one number."""

    def __init__(self, f: Func, inputs: Arrays, cotangents: Arrays | None, method: Method, step: Step) -> None:
        if method not in _METHODS:
            raise ValueError(f"method must be 'richardson' or 'central', not {method!r}")
        if step is not None and not 0.0 < step < np.inf:
            raise ValueError(f"the step must be positive and finite, not {step}")
        own, self.levels = _METHODS[method]
        self.f, self.first = f, own if step is None else step
        self.close = min(1e-7, 0.1 * self.first)  # how far to look for noise
        self.inputs: list[Array] = [np.asarray(x) for x in inputs]
        self.outputs = self.call({}, 0.0)
        self.base, self.weights = as_real(*self.outputs), None
        if cotangents is not None:
            if [np.shape(v) for v in cotangents] != [y.shape for y in self.outputs]:
                raise ValueError(f"cotangents must have the outputs' shapes, {[y.shape for y in self.outputs]}")
            pairs = zip(cotangents, self.outputs, strict=True)
            self.weights = as_real(*(np.asarray(v).astype(y.dtype, casting="safe") for v, y in pairs))

    def call(self, direction: Mapping[int, Reals], t: float) -> list[Array]:
        """f at x + t * direction; coordinates that do not move keep every bit, -0.0 included."""
        arguments = [x.copy() for x in self.inputs]
        for i, d in direction.items():
            x = as_real(arguments[i])
            arguments[i] = from_real(np.where(d == 0.0, x, x + t * d), arguments[i])
        result = self.f(*arguments)
        outputs = [np.asarray(y) for y in result] if isinstance(result, tuple | list) else []
        if not outputs or any(y.dtype not in _FLOATS for y in outputs):
            raise TypeError(f"the function must return a tuple of float64 or complex128 arrays, not {result!r:.200}")
        return outputs

    def measure(self, direction: Mapping[int, Reals], t: float) -> tuple[Reals, Reals, NDArray[np.bool_]]:
        """At x + t * direction: the values to difference, the size of what is rounded in them, whether they changed."""
        outputs = self.call(direction, t)
        if [(y.shape, y.dtype) for y in outputs] != [(y.shape, y.dtype) for y in self.outputs]:
            raise ValueError("the outputs change their shapes or dtypes near the point")
        y = as_real(*outputs)
        changed, size = y != self.base, np.maximum(np.abs(y), np.abs(self.base))
        if self.weights is None:
            return y, size, changed
        # Subtracting f(x) before the sum removes what does not move, and its rounding errors.
        size = np.abs(self.weights) * size
        total = np.linalg.norm(size[changed]) if changed.any() else size.max(initial=0.0)
        return np.array([self.weights @ (y - self.base)]), np.array([total]), np.array([changed.any()])

    def noise(self, direction: Mapping[int, Reals]) -> Reals:
        """The rounding noise of f: its deviation from a parabola, near by and to one side, where a kink is no noise."""
        values = np.stack([self.measure(direction, float(t))[0] for t in _STATIONS])
        noise = np.linalg.norm(_LEFT_OVER @ (values - values[0]), axis=0) / np.sqrt(5.0)
        return np.where(np.isfinite(noise), noise, 0.0)

    def slope(self, direction: Mapping[int, Reals], first: float, noise: Reals, origin: float = 0.0) -> Reals:
        """d/dt along ``direction`` for each measured number: (value, error, step, note) as the rows of one array."""
        centre = self.base if self.weights is None else np.zeros(1)
        best = np.full((6, centre.size), np.inf)  # value, error, truncation, jump, rounding, step of each best entry
        best[0], best[5] = np.nan, first
        finite, constant, settled = np.isfinite(centre), np.full(centre.shape, True), np.full(centre.shape, False)
        table: list[tuple[Reals, Reals]] = []  # its latest row: slopes (error in even powers of t) and jumps (odd ones)
        for level in range(self.levels):
            t = first / 2**level
            (up, size_up, changed_up), (down, size_down, changed_down) = (self.measure(direction, s) for s in (t, -t))
            t = 0.5 * ((origin + t) - (origin - t))  # x + t is rounded: the step is what it became
            size = np.maximum(size_up, size_down)
            finite &= np.isfinite(up) & np.isfinite(down)
            constant &= ~(changed_up | changed_down)
            rounding = _ROUNDING * (np.finfo(np.float64).eps * size + noise) / t
            before, above = best[1], table
            value, corner = (up - down) / (2.0 * t), ((up - centre) + (down - centre)) / t
            table = [(value, corner)]
            for j, (value_above, corner_above) in enumerate(above, start=1):
                value = value + (value - value_above) / (4.0**j - 1.0)
                corner = corner + (corner - corner_above) / (0.5 * 4.0**j - 1.0)
                table.append((value, corner))
                parted, jump = np.abs(value - value_above), np.abs(corner)
                error = parted + jump + rounding
                settled |= parted + jump <= rounding  # from here on, halving the step only adds rounding errors
                found = np.stack([value, error, parted, jump, rounding, np.full_like(error, t)])
                best = np.where(error < best[1], found, best)
            good = best[1] <= _CONCLUSIVE * np.max(np.abs(best[0]), where=np.isfinite(best[0]), initial=0.0)
            if bool(np.all(~finite | settled | (good & (best[1] == before)))):
                break

        value, error, truncation, jump, rounding, step = best
        # Differences of macroscopic size that agree in no digit come from a jump or an oscillation, and bound nothing.
        spread = truncation + rounding
        diverges = ~constant & (spread > 0.1 * np.abs(value)) & (step * spread > 1e-6 * size)
        kink = jump > np.maximum(10.0 * spread, 1e-6 * np.abs(value))
        kinds = [~(finite & np.isfinite(value)), constant, diverges, kink, truncation + jump > rounding]
        note = np.select(kinds, [NONFINITE, CONSTANT, DIVERGES, KINK, TRUNCATION], ROUNDING)
        return np.stack([np.where(finite, value, np.nan), np.where(finite & ~diverges, error, np.inf), step, note])

    def slopes(self, wrt: int) -> Reals:
        """``slope`` along every real coordinate of an input: (4, numbers, coordinates). A fixed seed: reproducible."""
        x, reach = as_real(self.inputs[wrt]), _reach(self.inputs[wrt])
        noise = self.noise({wrt: self.close * reach * np.random.default_rng(0).uniform(0.5, 1.0, x.size)})
        found = np.empty((4, noise.size, x.size))
        for k in range(x.size):
            found[:, :, k] = self.slope({wrt: np.eye(1, x.size, k)[0]}, self.first * reach[k], noise, x[k])
        return found


def _gradient(found: Reals, method: Method, like: Array) -> Estimate:
    """An Estimate in the shape of ``like`` from (4, coordinates), the two parts of complex entries joined."""
    error, step, note = found[1:].reshape(3, *like.shape, 1 + np.iscomplexobj(like))
    error, step, kind = np.linalg.norm(error, axis=-1), step.min(axis=-1), note.max(axis=-1).astype(np.int8)
    return Estimate(from_real(found[0], like), error, step, kind, method, like.shape, None)


def numerical_jacobian(
    f: Func, inputs: Arrays, *, wrt: int, method: Method = "richardson", output: int | None = None, step: Step = None
) -> tuple[Estimate, ...]:
    """The Jacobian of every output of ``f(*inputs)`` (or only of ``output``) with respect to input ``wrt``.

    "richardson" halves the step from ``1e-3 * max(1, |x|)`` until the error estimate no longer falls: 6 calls of f for
    each real coordinate where f is smooth, at most 24. "central" takes 4, the last at ``6e-6 * max(1, |x|)``. ``step``
    replaces the relative first step; an entry is inconclusive unless f is finite at all steps.

    Raises TypeError unless f returns a tuple of float64 or complex128 arrays and input ``wrt`` is one (the others are
    free), ValueError for an unknown method, a step that is not positive and outputs that change their shape.
    """
    with np.errstate(all="ignore"):
        problem = _Problem(f, inputs, None, method, step)
        parts = np.split(problem.slopes(wrt), np.cumsum([as_real(y).size for y in problem.outputs])[:-1], axis=1)
    shapes = [(*a.shape, *(2,) * np.iscomplexobj(a)) for a in (problem.inputs[wrt], *problem.outputs)]
    found = tuple(
        Estimate(value, error, step, note.astype(np.int8), method, shapes[0], shape)
        for (value, error, step, note), shape in zip(parts, shapes[1:], strict=True)
    )
    return found if output is None else (found[output],)


def numerical_vjp(
    f: Func, inputs: Arrays, cotangents: Arrays, wrt: int, *, method: Method = "richardson", step: Step = None
) -> Estimate:
    """The gradient of ``Re(sum(conj(v) * f))`` for input ``wrt``, in its shape; complex as dL/dRe + i dL/dIm.

    ``cotangents`` holds a v for each output, of its shape and kind (else ValueError or TypeError). Calls f as often as
    :func:`numerical_jacobian` and raises as it does, but keeps only the gradient.
    """
    with np.errstate(all="ignore"):
        problem = _Problem(f, inputs, cotangents, method, step)
        return _gradient(problem.slopes(wrt)[:, 0], method, problem.inputs[wrt])


def combine(jacobians: Sequence[Estimate], cotangents: Arrays, like: Array) -> Estimate:
    """The VJP from the Jacobians of all outputs with respect to the input ``like``: as from :func:`numerical_vjp`."""
    weights = as_real(*cotangents)
    value, error, step, note = np.concatenate([(j.value, j.error, j.step, j.note) for j in jacobians], axis=1)
    with np.errstate(all="ignore"):
        rows = [weights @ value, np.abs(weights) @ error, step.min(axis=0, initial=np.inf), note.max(axis=0, initial=0)]
        return _gradient(np.stack(rows), jacobians[0].method, like)


def random_directions(inputs: Arrays, generator: np.random.Generator) -> list[Array | None]:
    """For each float64 or complex128 input (others: None) parts of 0.5 to 1.5 max(1, |x|) with random signs."""
    draws = [generator.uniform(-1.0, 1.0, as_real(x).size) for x in inputs]
    pairs = [(x, d + np.copysign(0.5, d)) for x, d in zip(inputs, draws, strict=True)]
    return [from_real(_reach(x) * d, x) if x.dtype in _FLOATS else None for x, d in pairs]


def numerical_directional(
    f: Func, inputs: Arrays, cotangents: Arrays, directions: Moves, *, method: Method = "richardson", step: Step = None
) -> Estimate:
    """The slope u^T J v of ``Re(sum(conj(u) * f(x + t v)))`` at t = 0, of shape (), in 15 calls of a smooth f.

    Compare it with the sum of ``np.vdot(g, v).real`` over the inputs' gradients g. ``directions`` holds a v of its
    shape, or None, for each input; t is scaled so that no coordinate moves further than ``step * max(1, |x|)``.
    """
    with np.errstate(all="ignore"):
        problem = _Problem(f, inputs, cotangents, method, step)
        moves = {i: as_real(d) for i, d in enumerate(directions) if d is not None}
        ratios = [np.max(np.abs(d) / _reach(problem.inputs[i]), initial=0.0) for i, d in moves.items()]
        unit = float(1.0 / (max(ratios, default=0.0) or 1.0))
        noise = problem.noise({i: problem.close * unit * d for i, d in moves.items()})
        return _gradient(problem.slope(moves, problem.first * unit, noise), method, np.empty(()))


def compare(
    analytic: ArrayLike,
    numeric: ArrayLike,
    error: ArrayLike,
    *,
    rtol: float,
    atol_scaled: float,
    scale_floor: float = 0.0,
    about: Estimate | None = None,
) -> Verdict:
    """Decide for each entry whether ``analytic`` is ok, wrong, or cannot be judged by ``numeric`` and its ``error``.

    inconclusive: the error is above ``1e-7 * scale`` (unless 0 meets an f that does not change at all), or n or its
    error is not finite; ``scale`` is the largest ``|n| - error`` of this Jacobian, so small slopes are not forgiven.
    wrong, before that: ``|a - n| > rtol * |n| + atol_scaled * scale + error``, with ten errors where they are above
    ``1e-7 * scale``; a is not finite where f is smooth; or a is exactly 0, with no rounding to forgive, and n is ten
    errors away. ``scale_floor`` is for a caller to whom smaller slopes do not matter; ``error=0`` is for an exact
    reference; ``about`` gives steps, notes and indices. Raises ValueError where the shapes differ.
    """
    a, n = (np.asarray(v, np.complex128 if np.iscomplexobj(v) else np.float64) for v in (analytic, numeric))
    if a.shape != n.shape:
        raise ValueError(f"the analytic derivative has shape {a.shape}, the numeric one {n.shape}")
    step, note = (np.nan, ROUNDING) if about is None else (about.step, about.note)
    e, steps, notes = (np.broadcast_to(np.asarray(v, np.float64), n.shape) for v in (error, step, note))
    with np.errstate(all="ignore"):
        known = np.isfinite(n) & np.isfinite(e)
        scale = float(np.max(np.abs(n) - e, where=known, initial=scale_floor))
        vague = ~known | (e > _CONCLUSIVE * scale)
        allowed = rtol * np.abs(n) + atol_scaled * scale + np.where(vague, _CLEAR * e, e)
        allowed = np.where((a == 0) & (e > 0), np.minimum(allowed, _CLEAR * e), allowed)
        difference = np.abs(a - n)
        wrong = known & np.where(np.isfinite(a), difference > allowed, notes < KINK)
        inconclusive = vague & ~wrong & ~((notes == CONSTANT) & (difference == 0))
        excess, ratio = np.where(difference == 0, 0.0, difference / allowed), a / n
    status: Status = "wrong" if wrong.any() else "inconclusive" if inconclusive.any() else "ok"
    message = f"{status}: of {n.size} entries {int(wrong.sum())} wrong, {int(inconclusive.sum())} inconclusive"
    if n.size == 0:
        return Verdict(status, wrong, inconclusive, scale, None, None, None, None, 0.0, np.nan, message)
    pool, rank = {"wrong": (wrong, excess), "inconclusive": (inconclusive, e), "ok": (known, excess)}[status]
    worst = int(np.argmax(np.where(pool, rank, -1.0)))
    in_shape, out_shape = (n.shape, None) if about is None else (about.in_shape, about.out_shape)
    row, column = (0, worst) if out_shape is None else divmod(worst, n.shape[-1])
    at_input = tuple(int(i) for i in np.unravel_index(column, in_shape))
    at_output = None if out_shape is None else tuple(int(i) for i in np.unravel_index(row, out_shape))
    av, nv = a.flat[worst].item(), n.flat[worst].item()
    ev, hv, dv, limit = (float(v.flat[worst]) for v in (e, steps, difference, allowed))
    times = f"  ({ratio.flat[worst]:.9g} times the numeric value)" if np.isfinite(ratio.flat[worst]) else ""
    message += f"""
  worst at input index {at_input}{"" if at_output is None else f", output index {at_output}"}
  analytic   {av:.12g}{times}
  numeric    {nv:.12g}  (error estimate {ev:.2g}, step {hv:.2g})
  difference {dv:.2g}, allowed {limit:.2g}  (rtol {rtol:g}, atol {atol_scaled:g} * {scale:.3g}, widened by the error)"""
    if status == "inconclusive":
        message += f"\n  undecided because {REASONS[int(notes.flat[worst])]}"
    return Verdict(status, wrong, inconclusive, scale, at_input, at_output, av, nv, ev, hv, message)
