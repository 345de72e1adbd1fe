"""The GPU beside PyTorch's: bandwidth of large operations, products, host time of small ones, training steps.

Both libraries work on the same device in one process and take turns. A turn enqueues the same work several times and waits for the device
once, so that large cases measure the device and small ones the host. Shares are of the bandwidth of a device-to-device copy
(bytes read and written) in the same run.
"""

from __future__ import annotations

import gc
import math
import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .harness import Result, Run, interleaved, libraries, with_gradients
from .models import STEPS, training_step

_LARGE = 1 << 27  # elements of float32: 512 MiB, several times any cache
_TURN = 8  # runs before the device is waited for
_HOST = 200  # of the small operations


def _synchronize() -> None:
    for m in libraries().values():
        m.cuda.synchronize()


def _enqueued(run: Run, times: int) -> Run:
    def turn() -> None:
        for _ in range(times):
            run()
        _synchronize()

    return turn


class _Measurement:
    """Cases of a family, measured as they are added."""

    def __init__(self, quick: bool) -> None:
        self.quick = quick
        self.results: list[Result] = []
        self.bandwidth = 0.0  # bytes a second of a copy

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
    ) -> dict[str, float]:
        """Compare what both libraries return, then time them; medians in microseconds a run."""
        runs = {library: make(m) for library, m in libraries().items()}
        values = {library: _values(run()) for library, run in runs.items()}
        for ours, theirs in zip(values["tapegrad"], values["torch"], strict=True):
            scale = float(np.abs(theirs).max(initial=0.0))
            np.testing.assert_allclose(ours, theirs, tolerance, tolerance * scale, err_msg=f"{name}: tapegrad and PyTorch differ")
        medians, spread = interleaved({n: _enqueued(r, times) for n, r in runs.items()}, quick=self.quick, per=times)
        note = ""
        if moved:
            rate = moved / medians["tapegrad"] * 1e6
            note = f"{rate / 1e9:.0f} GB/s" + (f", {rate / self.bandwidth:.0%} of a copy" if self.bandwidth else "")
        if flops:
            note = f"{flops / medians['tapegrad'] / 1e6:.1f} TF/s"
        self.results.append(Result(family, name, "us", medians, spread=spread, note=note))
        print(f"  {family}: {name}: {self.results[-1].ratio:.2f} {note}", file=sys.stderr, flush=True)
        del runs
        gc.collect()
        for m in libraries().values():
            m.cuda.empty_cache()
        return medians


def _values(value: Any) -> list[np.ndarray[Any, Any]]:
    """The first elements of what a run returned, as float64 on the host."""
    if isinstance(value, (tuple, list)):
        return [a for v in value for a in _values(v)]
    return [np.asarray(value.detach().reshape(-1)[:4096].double().cpu().numpy())]


def _tensors(m: Any, arrays: Sequence[np.ndarray[Any, Any]], dtype: str = "") -> list[Any]:
    made = [m.tensor(a).to("cuda") for a in arrays]
    return [t.to(getattr(m, dtype)) if dtype and t.is_floating_point() else t for t in made]


def _large(shape: tuple[int, ...], seed: int = 0) -> np.ndarray[Any, Any]:
    """Random numbers, drawn once for a million elements and repeated."""
    few = np.random.default_rng(seed).standard_normal(min(math.prod(shape), 1 << 20), dtype=np.float32)
    return np.resize(few, shape)


def _with_gradients(m: Any, function: Callable[..., Any], xs: list[Any]) -> Run:
    return with_gradients(m, function, xs, m.ones_like(function(m, *xs).detach()))


def _copies(case: _Measurement, n: int) -> None:
    """The ceiling: a copy of contiguous memory, the faster of the two libraries."""
    medians = case.add("gpu copies", f"copy of {n >> 18} MiB", lambda m: _clone(m, n), moved=8.0 * n)
    case.bandwidth = 8.0 * n / min(medians.values()) * 1e6
    side = math.isqrt(n)
    case.add("gpu copies", f"transposed copy {side}x{side}", lambda m: _transposed(m, side), moved=8.0 * side * side)


def _clone(m: Any, n: int) -> Run:
    (x,) = _tensors(m, [_large((n,))])
    return lambda: x.clone()


def _transposed(m: Any, side: int) -> Run:
    (x,) = _tensors(m, [_large((side, side))])
    return lambda: x.t().contiguous()


_ELEMENTWISE: dict[str, tuple[int, Callable[..., Any]]] = {
    "add": (2, lambda m, x, y: x + y),
    "exp": (1, lambda m, x: m.exp(x)),
    "tanh": (1, lambda m, x: m.tanh(x)),
    "gelu": (1, lambda m, x: m.nn.functional.gelu(x)),
    "where": (2, lambda m, x, y: m.where(x > 0, x, y)),
    "add row": (2, lambda m, x, y: x.view(-1, 4096) + y[:4096]),
}


def _elementwise(case: _Measurement, n: int) -> None:
    for name, (count, function) in _ELEMENTWISE.items():
        for dtype in ("float32",) if case.quick else ("float32", "bfloat16"):
            size = 2 if dtype == "bfloat16" else 4

            def make(m: Any, count: int = count, function: Callable[..., Any] = function, dtype: str = dtype) -> Run:
                xs = _tensors(m, [_large((n,), k) for k in range(count)], dtype)
                return lambda: function(m, *xs)

            moved = 0.0 if name == "where" else float(n * size * ((1 if name == "add row" else count) + 1))
            case.add("gpu elementwise", f"{name} {dtype}", make, moved=moved, tolerance=2e-2 if size == 2 else 1e-4)
    case.add(
        "gpu elementwise", "gelu float32, forward + backward",
        lambda m: _with_gradients(m, lambda m, x: m.nn.functional.gelu(x), _tensors(m, [_large((n,))])), moved=20.0 * n,
    )  # fmt: skip


def _rows(case: _Measurement, n: int) -> None:
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
                (x,) = _tensors(m, [_large((n // columns, columns))])
                return lambda: function(m, x)

            case.add("gpu rows", f"{name}, {n // columns}x{columns}", make, moved=4.0 * n * passes)
    images = (64, 128, max(n // (64 * 128 * 56), 1), 56)

    def normed(m: Any) -> Run:
        (x,) = _tensors(m, [_large(images)])
        return lambda: m.nn.functional.batch_norm(x, None, None, training=True)

    case.add("gpu rows", f"batch_norm {'x'.join(map(str, images))}", normed, moved=8.0 * math.prod(images))

    def labelled(m: Any) -> Run:
        x, y = _tensors(m, [_large((n // 32768 or 1, 32768)), np.arange(n // 32768 or 1) % 32768])
        return _with_gradients(m, lambda m, x, y: m.nn.functional.cross_entropy(x, y), [x, y])

    case.add("gpu rows", "cross_entropy of 32768 classes, forward + backward", labelled, moved=16.0 * n)


def _products(case: _Measurement, side: int) -> None:
    for dtype, tolerance in (("float32", 1e-3), ("float64", 1e-9), ("bfloat16", 2e-2)):
        for n in (side,) if case.quick else (side // 8, side):

            def make(m: Any, n: int = n, dtype: str = dtype) -> Run:
                a, b = _tensors(m, [_large((n, n), 0), _large((n, n), 1)], dtype)
                return lambda: a @ b

            case.add("gpu matmul", f"{n}x{n} {dtype}", make, flops=2.0 * n**3, tolerance=tolerance)
    shapes = [((64, 512, 512), (64, 512, 512)), ((8192, 1024), (1024, 4096))]
    for a_shape, b_shape in shapes[: 0 if case.quick else None]:

        def batched(m: Any, a_shape: tuple[int, ...] = a_shape, b_shape: tuple[int, ...] = b_shape) -> Run:
            a, b = _tensors(m, [_large(a_shape, 0), _large(b_shape, 1)])
            return lambda: a @ b

        name = f"{'x'.join(map(str, a_shape))} @ {'x'.join(map(str, b_shape))}"
        case.add("gpu matmul", name, batched, flops=2.0 * math.prod(a_shape) * b_shape[-1])


def _layers(case: _Measurement) -> None:
    batch = 2 if case.quick else 64

    def convolution(m: Any) -> Run:
        x, w = _tensors(m, [_large((batch, 64, 56, 56)), _large((64, 64, 3, 3), 1) / 24])
        return _with_gradients(m, lambda m, x, w: m.nn.functional.conv2d(x, w, padding=1), [x, w])

    case.add("gpu layers", f"conv 64->64 k3, {batch}x64x56x56", convolution, flops=6.0 * batch * 56 * 56 * 64 * 64 * 9, times=4)

    def pooling(m: Any) -> Run:
        (x,) = _tensors(m, [_large((batch, 64, 112, 112))])
        return _with_gradients(m, lambda m, x: m.nn.functional.max_pool2d(x, 2), [x])

    case.add("gpu layers", f"max_pool2d 2, {batch}x64x112x112", pooling)

    def attention(m: Any) -> Run:
        q, k, v = _tensors(m, [_large((batch // 8 or 1, 16, 1024, 64), s) for s in range(3)])
        return _with_gradients(m, lambda m, q, k, v: m.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True), [q, k, v])

    case.add("gpu layers", f"causal attention {batch // 8 or 1}x16x1024x64", attention, times=4)

    def embedding(m: Any) -> Run:
        w, i = _tensors(m, [_large((50_000, 256)), np.random.default_rng(0).integers(0, 50_000, (64, 512))])
        return _with_gradients(m, lambda m, w, i: m.nn.functional.embedding(i, w), [w, i])

    case.add("gpu layers", "embedding 50000x256 of 64x512", embedding)


def _host(case: _Measurement) -> None:
    """Operations so small that the host's time is all there is."""
    small = {
        "add": lambda m, x, y: x + y,
        "tanh": lambda m, x, y: m.tanh(x),
        "sum": lambda m, x, y: x.sum(),
        "matmul": lambda m, x, y: x @ y,
        "view": lambda m, x, y: x[1:],
    }
    for name, function in small.items():

        def make(m: Any, function: Callable[..., Any] = function) -> Run:
            x, y = _tensors(m, [_large((32, 32), 0), _large((32, 32), 1)])
            return lambda: function(m, x, y)

        case.add("gpu host time", f"{name} 32x32", make, times=_HOST)

    def recorded(m: Any) -> Run:
        x, y = _tensors(m, [_large((32, 32), 0), _large((32, 32), 1)])
        return _with_gradients(m, lambda m, x, y: x * y, [x, y])

    case.add("gpu host time", "mul 32x32, forward + backward", recorded, times=_HOST)


def _steps(case: _Measurement) -> None:
    for title in list(STEPS)[: 2 if case.quick else None]:
        case.add("gpu training", title, lambda m, title=title: training_step(m, title, device="cuda"), times=4, tolerance=1e-2)


def run(quick: bool) -> list[Result]:
    """All of it.

    Raises:
        SystemExit: when there is no GPU, or PyTorch has none.
    """
    import tapegrad

    if not tapegrad.cuda.is_available():
        try:
            tapegrad.zeros(1, device="cuda")
        except RuntimeError as error:
            raise SystemExit(f"benchmarks gpu: {error}") from None
    try:
        torch = libraries()["torch"]
    except ImportError as error:
        raise SystemExit(f"benchmarks gpu compares with PyTorch: {error}") from None
    if not torch.cuda.is_available():
        raise SystemExit(f"benchmarks gpu: PyTorch {torch.__version__} finds no GPU; its build for CUDA is needed")
    case = _Measurement(quick)
    n = 1 << 20 if quick else _LARGE
    _copies(case, n)
    _elementwise(case, n)
    _rows(case, n)
    _products(case, 256 if quick else 8192)
    _layers(case)
    _host(case)
    _steps(case)
    return case.results
