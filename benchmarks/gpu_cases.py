"""The cases of a GPU beside PyTorch's: bandwidth of large operations, products, layers, host time of small operations, training steps.

Both libraries work on the same device in one process and take turns. A turn enqueues the same work several times and waits for the device
once, so that large cases measure the device and small ones the host. Shares are of the bandwidth of a device-to-device copy
(bytes read and written) in the same run. float32 is float32 in both: PyTorch may not round factors to TF32.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .harness import Run, interleaved, with_gradients
from .models import STEPS, training_step

_LARGE = 1 << 27  # elements of float32: 512 MiB, several times any cache
_FEW = 1 << 20  # that are drawn; the rest repeat them
COPY = "copy of contiguous memory"
_TURN = 8  # runs before the device is waited for
_HOST = 200  # of the small operations


class Measurement:
    """Takes cases one at a time, as :class:`benchmarks.gpu.Timed` and ``Compiled`` do with them.

    Attributes:
        quick: few and small ones.
        bandwidth: bytes a second of a copy, where that is known.
    """

    quick = False
    bandwidth = 0.0

    def add(
        self,
        family: str,
        name: str,
        make: Callable[[Any], Run],
        *,
        times: int = _TURN,
        moved: float = 0.0,
        flops: float = 0.0,
        tolerance: float = 1e-3,
    ) -> None:
        """A case.

        Args:
            family, name: of it.
            make: of a library, what to run; a run returns tensors.
            times: runs before the device is waited for.
            moved: bytes that a run reads and writes, for a rate.
            flops: its floating-point operations, for a rate.
            tolerance: how far values may differ, relative to the largest.
        """
        raise NotImplementedError


def compare(name: str, runs: dict[str, Run], tolerance: float) -> None:
    """See that the libraries return the same values.

    Raises:
        AssertionError: when they don't.
    """
    values = {library: _values(run()) for library, run in runs.items()}
    for ours, theirs in zip(values["tapegrad"], values["torch"], strict=True):
        scale = float(np.abs(theirs).max(initial=0.0))
        np.testing.assert_allclose(ours, theirs, tolerance, tolerance * scale, err_msg=f"{name}: tapegrad and PyTorch differ")


def timed(runs: dict[str, Run], modules: dict[str, Any], quick: bool, times: int) -> tuple[dict[str, float], dict[str, float]]:
    """Medians and spreads in microseconds a run."""

    def enqueued(run: Run, m: Any) -> Run:
        def turn() -> None:
            for _ in range(times):
                run()
            m.cuda.synchronize()

        return turn

    return interleaved({n: enqueued(r, modules[n]) for n, r in runs.items()}, quick=quick, per=times)


def rate(moved: float, flops: float, microseconds: float, bandwidth: float) -> str:
    """Bytes or operations a second, for people."""
    if moved:
        found = moved / microseconds * 1e6
        return f"{found / 1e9:.0f} GB/s" + (f", {found / bandwidth:.0%} of a copy" if bandwidth else "")
    return f"{flops / microseconds / 1e6:.1f} TF/s" if flops else ""


def _values(value: Any) -> list[np.ndarray[Any, Any]]:
    """The first elements of what a run returned, as float64 on the host."""
    if isinstance(value, (tuple, list)):
        return [a for v in value for a in _values(v)]
    return [np.asarray(value.detach().reshape(-1)[:4096].double().cpu().numpy())]


def _tensors(m: Any, arrays: Sequence[np.ndarray[Any, Any] | tuple[tuple[int, ...], int]], dtype: str = "") -> list[Any]:
    """On the GPU: copies of arrays, and for (shape, seed) random numbers."""
    made = [_random(m, *a) if isinstance(a, tuple) else m.tensor(a).to("cuda") for a in arrays]
    return [t.to(getattr(m, dtype)) if dtype and t.is_floating_point() else t for t in made]


def _random(m: Any, shape: tuple[int, ...], seed: int) -> Any:
    """Random numbers, drawn for a million elements and repeated on the device."""
    n = math.prod(shape)
    few = m.tensor(np.random.default_rng(seed).standard_normal(min(n, _FEW), dtype=np.float32)).to("cuda")
    return (few if n <= _FEW else few.repeat(-(-n // _FEW))[:n].clone()).reshape(shape)


def _with_gradients(m: Any, function: Callable[..., Any], xs: list[Any]) -> Run:
    return with_gradients(m, function, xs, m.ones_like(function(m, *xs).detach()))


def _copies(case: Measurement, n: int) -> None:
    """The ceiling: a copy of contiguous memory."""
    case.add("gpu copies", COPY, lambda m: _clone(m, n), moved=8.0 * n)
    side = math.isqrt(n)
    case.add("gpu copies", f"transposed copy {side}x{side}", lambda m: _transposed(m, side), moved=8.0 * side * side)


def _clone(m: Any, n: int) -> Run:
    (x,) = _tensors(m, [((n,), 0)])
    return lambda: x.clone()


def _transposed(m: Any, side: int) -> Run:
    (x,) = _tensors(m, [((side, side), 0)])
    return lambda: x.t().contiguous()


_ELEMENTWISE: dict[str, tuple[int, Callable[..., Any]]] = {
    "add": (2, lambda m, x, y: x + y),
    "exp": (1, lambda m, x: m.exp(x)),
    "tanh": (1, lambda m, x: m.tanh(x)),
    "gelu": (1, lambda m, x: m.nn.functional.gelu(x)),
    "where": (2, lambda m, x, y: m.where(x > 0, x, y)),
    "add row": (2, lambda m, x, y: x.view(-1, 4096) + y[:4096]),
}


def _elementwise(case: Measurement, n: int) -> None:
    for name, (count, function) in _ELEMENTWISE.items():
        for dtype in ("float32",) if case.quick else ("float32", "bfloat16"):
            size = 2 if dtype == "bfloat16" else 4

            def make(m: Any, count: int = count, function: Callable[..., Any] = function, dtype: str = dtype) -> Run:
                xs = _tensors(m, [((n,), k) for k in range(count)], dtype)
                return lambda: function(m, *xs)

            moved = 0.0 if name == "where" else float(n * size * ((1 if name == "add row" else count) + 1))
            case.add("gpu elementwise", f"{name} {dtype}", make, moved=moved, tolerance=2e-2 if size == 2 else 1e-4)
    case.add(
        "gpu elementwise", "gelu float32, forward + backward",
        lambda m: _with_gradients(m, lambda m, x: m.nn.functional.gelu(x), _tensors(m, [((n,), 0)])), moved=20.0 * n,
    )  # fmt: skip


def _rows(case: Measurement, n: int) -> None:
    """Reductions, softmax and norms of (n / columns, columns)."""
    functional = {
        "sum of all": (lambda m, x: x.sum(), 1),
        "sum of rows": (lambda m, x: x.sum(1), 1),
        "sum of columns": (lambda m, x: x.sum(0), 1),
        "max of rows": (lambda m, x: m.amax(x, 1), 1),
        "argmax of rows": (lambda m, x: x.argmax(1), 1),
        "logsumexp of rows": (lambda m, x: m.logsumexp(x, 1), 1),
        "variance of rows": (lambda m, x: x.var(1), 1),
        "softmax": (lambda m, x: m.nn.functional.softmax(x, -1), 2),
        "log_softmax": (lambda m, x: m.nn.functional.log_softmax(x, -1), 2),
        "layer_norm": (lambda m, x: m.nn.functional.layer_norm(x, (x.shape[-1],)), 2),
    }
    for columns in (1024,) if case.quick else (1024, 32768):
        for name, (function, passes) in functional.items():

            def make(m: Any, function: Callable[..., Any] = function, columns: int = columns) -> Run:
                (x,) = _tensors(m, [((n // columns, columns), 0)])
                return lambda: function(m, x)

            case.add("gpu rows", f"{name}, {n // columns}x{columns}", make, moved=4.0 * n * passes)
    images = (64, 128, max(n // (64 * 128 * 56), 1), 56)

    def normed(m: Any) -> Run:
        (x,) = _tensors(m, [(images, 0)])
        return lambda: m.nn.functional.batch_norm(x, None, None, training=True)

    case.add("gpu rows", f"batch_norm {'x'.join(map(str, images))}", normed, moved=8.0 * math.prod(images))

    def labelled(m: Any) -> Run:
        x, y = _tensors(m, [((n // 32768 or 1, 32768), 0), np.arange(n // 32768 or 1) % 32768])
        return _with_gradients(m, lambda m, x, y: m.nn.functional.cross_entropy(x, y), [x, y])

    case.add("gpu rows", "cross_entropy of 32768 classes, forward + backward", labelled, moved=16.0 * n)


def _products(case: Measurement, side: int) -> None:
    for dtype, tolerance in (("float32", 1e-3), ("float64", 1e-9), ("bfloat16", 2e-2)):
        for n in (side,) if case.quick else (side // 8, side):

            def make(m: Any, n: int = n, dtype: str = dtype) -> Run:
                a, b = _tensors(m, [((n, n), 0), ((n, n), 1)], dtype)
                return lambda: a @ b

            case.add("gpu matmul", f"{n}x{n} {dtype}", make, flops=2.0 * n**3, tolerance=tolerance)
    shapes = [((64, 512, 512), (64, 512, 512)), ((8192, 1024), (1024, 4096))]
    for a_shape, b_shape in shapes[: 0 if case.quick else None]:

        def batched(m: Any, a_shape: tuple[int, ...] = a_shape, b_shape: tuple[int, ...] = b_shape) -> Run:
            a, b = _tensors(m, [(a_shape, 0), (b_shape, 1)])
            return lambda: a @ b

        name = f"{'x'.join(map(str, a_shape))} @ {'x'.join(map(str, b_shape))}"
        case.add("gpu matmul", name, batched, flops=2.0 * math.prod(a_shape) * b_shape[-1])


def _layers(case: Measurement) -> None:
    batch = 2 if case.quick else 64

    def convolution(m: Any) -> Run:
        x, w = _tensors(m, [((batch, 64, 56, 56), 0), ((64, 64, 3, 3), 1)])
        w = w / 24
        return _with_gradients(m, lambda m, x, w: m.nn.functional.conv2d(x, w, padding=1), [x, w])

    case.add("gpu layers", f"conv 64->64 k3, {batch}x64x56x56", convolution, flops=6.0 * batch * 56 * 56 * 64 * 64 * 9, times=4)

    def pooling(m: Any) -> Run:
        (x,) = _tensors(m, [((batch, 64, 112, 112), 0)])
        return _with_gradients(m, lambda m, x: m.nn.functional.max_pool2d(x, 2), [x])

    case.add("gpu layers", f"max_pool2d 2, {batch}x64x112x112", pooling)

    def attention(m: Any) -> Run:
        q, k, v = _tensors(m, [((batch // 8 or 1, 16, 1024, 64), s) for s in range(3)])
        return _with_gradients(m, lambda m, q, k, v: m.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True), [q, k, v])

    case.add("gpu layers", f"causal attention {batch // 8 or 1}x16x1024x64", attention, times=4)

    def embedding(m: Any) -> Run:
        w, i = _tensors(m, [((50_000, 256), 0), np.random.default_rng(0).integers(0, 50_000, (64, 512))])
        return _with_gradients(m, lambda m, w, i: m.nn.functional.embedding(i, w), [w, i])

    case.add("gpu layers", "embedding 50000x256 of 64x512", embedding)


def _host(case: Measurement) -> None:
    """Operations so small that the host's time is all there is."""
    small = {
        "add": lambda m, x, y: x + y,
        "add_ (no memory asked for)": lambda m, x, y: x.add_(y),
        "tanh": lambda m, x, y: m.tanh(x),
        "sum": lambda m, x, y: x.sum(),
        "softmax": lambda m, x, y: m.softmax(x, -1),
        "matmul": lambda m, x, y: x @ y,
        "view": lambda m, x, y: x[1:],
        "to float64": lambda m, x, y: x.double(),
    }
    for name, function in small.items():

        def make(m: Any, function: Callable[..., Any] = function) -> Run:
            x, y = _tensors(m, [((32, 32), 0), ((32, 32), 1)])
            return lambda: function(m, x, y)

        # What add_ adds up differs, since the faster library runs more often: its values are the first run's.
        case.add("gpu host time", f"{name} 32x32", make, times=_HOST)

    def recorded(m: Any) -> Run:
        x, y = _tensors(m, [((32, 32), 0), ((32, 32), 1)])
        return _with_gradients(m, lambda m, x, y: x * y, [x, y])

    case.add("gpu host time", "mul 32x32, forward + backward", recorded, times=_HOST)


def _steps(case: Measurement, autocast: str = "") -> None:
    for title in list(STEPS)[: 2 if case.quick else None]:

        def make(m: Any, title: str = title) -> Run:
            return training_step(m, title, device="cuda", autocast=autocast)

        family, tolerance = (f"gpu training, {autocast}", 5e-2) if autocast else ("gpu training", 1e-2)
        case.add(family, title, make, times=4, tolerance=tolerance)


# Each runs in a process of its own.
PARTS: dict[str, Callable[[Measurement], None]] = {
    "copies": lambda case: _copies(case, _size(case)),
    "host": _host,
    "steps": _steps,
    "elementwise": lambda case: _elementwise(case, _size(case)),
    "rows": lambda case: _rows(case, _size(case)),
    "products": lambda case: _products(case, 256 if case.quick else 8192),
    "layers": _layers,
    "autocast": lambda case: _steps(case, "bfloat16"),
}


def _size(case: Measurement) -> int:
    return _FEW if case.quick else _LARGE
