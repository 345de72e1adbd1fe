"""Losses."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...kernels.cpu.nn.classes import check_classes
from ...modes import check_values
from ...public import public
from ...registry import Op, register
from ...samples import ErrorInput, Input, Sample, binary
from ...scalarops import elementwise
from ...tensor import Tensor, no_tensor
from ..checks import need_floating
from .class_targets import check_class_weight
from .reduction import reduced, reduction_of, warn_of_broadcasting

__all__ = ["cross_entropy", "mse_loss"]

_squared_error = elementwise(
    "squared_error",
    lambda input, target: (input - target) * (input - target),
    {
        "input": lambda g, input, target: g * (2.0 * (input - target)),
        "target": lambda g, input, target: g * (2.0 * (target - input)),
    },
    method=False,
    samples=binary(),
    reference=lambda a, b: (a - b) ** 2,
    kinds="if",
)


@public(
    "squared_error",
    samples=[Sample((Input((3, 4)), Input((3, 4))), {"reduction": r}) for r in ("mean", "sum", "none")],
    reference=lambda x, t, reduction: getattr(np, str({"none": "asarray"}.get(reduction, reduction)))((x - t) ** 2),
    error_inputs=[
        ErrorInput(lambda tg: tg.nn.functional.mse_loss(tg.ones(3), tg.ones(3), reduction="mode"), ValueError, "mse_loss: reduction"),
    ],
)
def mse_loss(
    input: Tensor, target: Tensor, size_average: bool | None = None, reduce: bool | None = None, reduction: str = "mean"
) -> Tensor:
    """(input - target)^2, averaged, summed or per element; the two broadcast, with a warning.

    Raises:
        ValueError: for an unknown reduction.
        RuntimeError: when the shapes can't be broadcast.
    """
    if isinstance(input, Tensor) and isinstance(target, Tensor):
        warn_of_broadcasting(input, target, "mse_loss")
    reduction = reduction_of(size_average, reduce, reduction, "mse_loss")
    return reduced(_squared_error(input, target), reduction, "mse_loss")


# Per row i with class weights w and smoothing s: (1 - s) w[t] (lse - x[t]) + s / c * sum_k w[k] (lse - x[k]).
_cross_entropy = register(
    Op(
        "cross_entropy",
        ("input", "target", "weight"),
        lambda B, x, t, w, *, ignore_index, label_smoothing: B.cross_entropy(x, t, w, ignore_index, label_smoothing),
        {
            "input": lambda K, g, input, target, weight, lse, ignore_index, label_smoothing: K.cross_entropy_backward(
                g, input, target, lse, weight, ignore_index=ignore_index, label_smoothing=label_smoothing
            )
        },
        residuals=("lse",),
        method=False,
        samples=[
            Sample((Input((4, 3)), Input((4,), 0, 3, "int"), Input((3,), 0.5, 1.5)), {"ignore_index": i, "label_smoothing": s})
            for i, s in [(-100, 0.0), (-100, 0.2), (1, 0.0), (1, 0.2)]
        ],
        reference=lambda x, t, w, ignore_index, label_smoothing: _cross_entropy_reference(x, t, w, ignore_index, label_smoothing),
        error_inputs=[
            ErrorInput(lambda tg: tg.nn.functional.cross_entropy(tg.ones(2, 3), tg.tensor([0, 3])), IndexError, "target 3 is out of range"),
            ErrorInput(lambda tg: tg.nn.functional.cross_entropy(tg.ones(2, 3), tg.tensor([0, 1, 2])), RuntimeError, r"\(2, 3\).*\(3,\)"),
            ErrorInput(
                lambda tg: tg.nn.functional.cross_entropy(tg.ones(2, 3), tg.tensor([0, 1]), tg.ones(2)),
                RuntimeError,
                r"cross_entropy: weight needs .*\(3,\) for input \(2, 3\), got \(2,\)",
            ),
            ErrorInput(
                lambda tg: tg.nn.functional.cross_entropy(tg.ones(2, 3), tg.tensor([0, 1]), tg.ones(3, dtype=tg.float64)),
                RuntimeError,
                "expected equal dtypes, got weight tapegrad.float64, input tapegrad.float32",
            ),
            ErrorInput(
                lambda tg: tg.nn.functional.cross_entropy(tg.ones(2, 3, dtype=tg.int64), tg.tensor([0, 1])), RuntimeError, "cross_entropy: input must be floating"
            ),
            ErrorInput(lambda tg: tg.nn.functional.cross_entropy(tg.ones(2, 3), [0, 1]), TypeError, "argument 'target' must be a Tensor, not list"),
            ErrorInput(
                lambda tg: tg.nn.functional.cross_entropy(tg.ones(2, 3), tg.tensor([0, 1]), [1.0, 1.0, 1.0]),
                TypeError,
                "argument 'weight' must be a Tensor, not list",
            ),
            ErrorInput(lambda tg: tg.nn.functional.cross_entropy(tg.ones(2, 3), tg.ones(2)), RuntimeError, r"got \(2,\); .*long\(\) for class indices"),
        ],
        kinds="f",
    )
)

_reduced = register(
    Op(
        "reduced_cross_entropy",
        ("input", "target", "weight"),
        lambda B, x, t, w, *, ignore_index, label_smoothing, mean: B.reduced_cross_entropy(x, t, w, ignore_index, label_smoothing, mean),
        {
            "input": lambda K, g, input, target, weight, lse, divisor, ignore_index, label_smoothing, mean: K.cross_entropy_backward(
                K.expand(K.div(g, divisor) if mean else g, size=target.shape),
                input, target, lse, weight, ignore_index=ignore_index, label_smoothing=label_smoothing,
            )
        },
        residuals=("lse", "divisor"),
        method=False,
        samples=[
            Sample((Input((4, 3)), Input((4,), 0, 3, "int"), Input((3,), 0.5, 1.5)), {"ignore_index": i, "label_smoothing": s, "mean": m})
            for i, s, m in [(-100, 0.0, True), (-100, 0.2, False), (1, 0.2, True)]
        ],
        reference=lambda x, t, w, ignore_index, label_smoothing, mean: (
            _cross_entropy_reference(x, t, w, ignore_index, label_smoothing).sum() / (w[t[t != ignore_index]].sum() if mean else 1)
        ),
        kinds="f",
    )
)  # fmt: skip

register(
    Op(
        "cross_entropy_backward",
        ("g_rows", "input", "target", "lse", "weight"),
        lambda B, g, x, t, lse, w, *, ignore_index, label_smoothing: B.cross_entropy_backward(g, x, t, lse, w, ignore_index, label_smoothing),
        {
            # linear in g_rows: its gradient is the same rows weighted by the cotangent
            "g_rows": lambda K, g, g_rows, input, target, lse, weight, ignore_index, label_smoothing: K.sum(
                K.mul(
                    g,
                    K.cross_entropy_backward(
                        K.add(K.mul(g_rows, 0.0), 1.0), input, target, lse, weight, ignore_index=ignore_index, label_smoothing=label_smoothing
                    ),
                ),
                axes=(1,),
                keepdim=False,
            ),
            # d/dx of total * softmax(x), where total is the row's sum of class weights times g
            "input": lambda K, g, g_rows, input, target, weight, ignore_index, label_smoothing: K.softmax_backward(
                K.mul(g, K.reshape(K.mul(g_rows, K.cross_entropy_weights(input, target, weight, ignore_index=ignore_index, label_smoothing=label_smoothing)), shape=(-1, 1))),
                K.softmax(input, dim=1),
                dim=1,
            ),
        },
        method=False,
        samples=[
            Sample(
                (Input((4,)), Input((4, 3)), Input((4,), 0, 3, "int"), Input((4,), 1.0, 2.0), Input((3,), 0.5, 1.5)),
                {"ignore_index": i, "label_smoothing": s},
            )
            for i, s in [(-100, 0.0), (-100, 0.2), (1, 0.2)]
        ],
        reference=lambda g, x, t, lse, w, ignore_index, label_smoothing: _cross_entropy_backward_reference(
            g, x, t, lse, w, ignore_index, label_smoothing
        ),
        kinds="f",
    )
)


# What multiplies the softmax in each row's gradient; without smoothing, what each row counts for in the mean.
register(
    Op(
        "cross_entropy_weights",
        ("input", "target", "weight"),
        lambda B, x, t, w, *, ignore_index, label_smoothing: B.cross_entropy_weights(x, t, w, ignore_index, label_smoothing),
        method=False,
        samples=[
            Sample((Input((4, 3)), Input((4,), 0, 3, "int"), Input((3,), 0.5, 1.5)), {"ignore_index": i, "label_smoothing": s})
            for i, s in [(-100, 0.0), (-100, 0.2), (1, 0.2)]
        ],
        reference=lambda x, t, w, ignore_index, label_smoothing: np.where(
            t == ignore_index, 0, (1 - label_smoothing) * w[t] + label_smoothing * w.mean()
        ),
        kinds="f",
    )
)


def _cross_entropy_reference(x: Any, t: Any, w: Any, ignore_index: int, label_smoothing: float) -> Any:
    logp = x - np.log(np.exp(x).sum(axis=1, keepdims=True))
    kept = t != ignore_index
    safe = np.where(kept, t, 0)
    picked = -logp[np.arange(len(t)), safe] * w[safe]
    smooth = -(logp * w).mean(axis=1)
    return np.where(kept, (1 - label_smoothing) * picked + label_smoothing * smooth, 0)


def _cross_entropy_backward_reference(g: Any, x: Any, t: Any, lse: Any, w: Any, ignore_index: int, label_smoothing: float) -> Any:
    """Row by row: the weights that the loss puts on -log p, times (p - their own class)."""
    shares = label_smoothing * w / w.size + (1 - label_smoothing) * w * np.eye(w.size)[t]
    p = np.exp(x - lse[:, None])
    return np.where((t != ignore_index)[:, None], g[:, None] * (p * shares.sum(axis=1, keepdims=True) - shares), 0)


_LOGITS, _CLASSES, _FACTORS = Input((4, 3)), Input((4,), 0, 3, "int"), Input((3,), 0.5, 1.5, constant=True)


@public(
    _cross_entropy,
    samples=[
        *[
            Sample((_LOGITS, _CLASSES), {"reduction": r, "label_smoothing": s, "ignore_index": i})
            for r, s, i in [("mean", 0.0, -100), ("mean", 0.1, 2), ("sum", 0.1, -100), ("none", 0.0, 2)]
        ],
        *[Sample((_LOGITS, _CLASSES, _FACTORS), {"reduction": r, "ignore_index": 0}) for r in ("mean", "sum", "none")],
        Sample((_LOGITS, Input((4, 3), 0.1, 0.5), _FACTORS), {"label_smoothing": 0.1}),
        Sample((Input((4,)), Input((), 0, 4, "int"))),
        Sample((Input((2, 3, 4)), Input((2, 4), 0, 3, "int")), {"reduction": "none"}),
        Sample((Input((2, 3, 4)), Input((2, 3, 4), 0.1, 0.5)), {"reduction": "mean"}),
    ],
    reference="loss_references.cross_entropy",
)
def cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    ignore_index: int = -100,
    reduce: bool | None = None,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Tensor:
    """The negative log-likelihood of classes under softmax(input).

    Args:
        input: logits, shape (n, c), (c,), or (n, c, d1, ...).
        target: class indices, shape (n,), (), or (n, d1, ...), int64; or class probabilities of the input's shape.
        weight: a factor per class, shape (c,), of the input's dtype.
        size_average, reduce: PyTorch's older form of ``reduction``.
        ignore_index: targets of this value count for nothing.
        reduction: "mean" (weighted by ``weight``), "sum" or "none".
        label_smoothing: in [0, 1], how much of the target is spread evenly over all classes.

    Raises:
        IndexError: when a target is not a class.
        RuntimeError: when shapes or dtypes don't fit.
        TypeError: when an argument is not a tensor.
        ValueError: for another reduction or label smoothing.
    """
    reduction = reduction_of(size_average, reduce, reduction, "cross_entropy")
    _check_arguments(input, target, weight, label_smoothing)
    if target.dtype.is_floating_point:
        return _soft_cross_entropy(input, target, weight, reduction, label_smoothing)
    x, t = input, target
    if x.ndim == 1:
        x, t = x.reshape(1, -1), t.reshape(-1)
    elif x.ndim > 2:
        x = x.permute(0, *range(2, x.ndim), 1).reshape(-1, x.shape[1])
        t = t.reshape(-1)
    expected = () if input.ndim == 1 else (input._array.shape[0], *input._array.shape[2:])
    if target._array.shape != expected:
        hint = "" if target._array.shape != input._array.shape else f"; class probabilities must be floating-point, got {target.dtype}"
        raise RuntimeError(
            f"cross_entropy: input {tuple(input.shape)} and target {tuple(target.shape)} don't fit: the target needs shape {expected}{hint}"
        )
    if t.dtype.category != 1:
        raise RuntimeError(f"cross_entropy: class targets need an integer dtype, got {target.dtype}; use .long()")
    t = t if t._array.dtype == np.int64 else t.to(np.int64)
    classes = int(x._array.shape[1])
    check_values(t, lambda array: check_classes(array, classes, ignore_index, "cross_entropy"))
    smoothing = float(label_smoothing)
    if reduction == "none":
        rows: Tensor = _cross_entropy.call(x, t, weight, ignore_index=ignore_index, label_smoothing=smoothing)
        return rows if x is input else rows.reshape(expected)
    mean = reduction == "mean"
    return _reduced.call(x, t, weight, ignore_index=ignore_index, label_smoothing=smoothing, mean=mean)  # type: ignore[no-any-return]


def _check_arguments(input: Any, target: Any, weight: Any, label_smoothing: float) -> None:
    for name, value in (("input", input), ("target", target), ("weight", weight)):
        if not isinstance(value, Tensor) and (value is not None or name != "weight"):
            raise TypeError(f"cross_entropy(): argument {name!r} must be a Tensor, not {no_tensor(value)}")
    if not 0.0 <= label_smoothing <= 1.0:
        raise ValueError(f"cross_entropy: label_smoothing must be between 0 and 1, got {label_smoothing}")
    need_floating("cross_entropy", input=input)
    if input.ndim == 0:
        raise RuntimeError("cross_entropy: input needs shape (n, c), (c,) or (n, c, d1, ...), got ()")
    check_class_weight(weight, input, input._array.shape[0 if input.ndim == 1 else 1], "cross_entropy")


def _soft_cross_entropy(input: Tensor, target: Tensor, weight: Tensor | None, reduction: str, label_smoothing: float) -> Tensor:
    if input.shape != target.shape:
        raise RuntimeError(
            f"cross_entropy: class probabilities need the input's shape {tuple(input.shape)}, got {tuple(target.shape)}; "
            "or use target.long() for class indices"
        )
    dim = 0 if input.ndim == 1 else 1
    if label_smoothing:
        target = target * (1 - label_smoothing) + label_smoothing / input._array.shape[dim]
    logp = input.log_softmax(dim)
    if weight is not None:
        logp = logp * weight.reshape(*[-1 if i == dim else 1 for i in range(input.ndim)])
    rows = -(logp * target).sum(dim)
    if reduction == "mean":
        return rows.sum() / max(rows.numel(), 1)
    return reduced(rows, reduction, "cross_entropy")
