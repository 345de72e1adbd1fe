"""The loss of connectionist temporal classification."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ... import dtypes
from ...device import backend, on_host, placed
from ...modes import enable_grad
from ...plan import ON_TENSORS
from ...public import public
from ...registry import Op, register
from ...samples import ErrorInput, Input, Sample
from ...tape import grad
from ...tensor import Tensor, wrap
from ..checks import index_array, read_values
from ..elementwise.basic import where
from ..elementwise.comparison import isinf
from ..shape.copy import to_dtype
from .reduction import reduced

__all__ = ["ctc_loss"]


def _likelihood(log_probs: Any, labels: list[int], blank: int) -> Any:
    """The sum over all paths that collapse to the labels, one by one."""
    total = 0.0
    for path in itertools.product(range(log_probs.shape[1]), repeat=len(log_probs)):
        if [label for label, _ in itertools.groupby(path) if label != blank] == labels:
            total += math.exp(sum(log_probs[t, label] for t, label in enumerate(path)))
    return total


def _reference(
    log_probs: Any, targets: Any, input_lengths: Any, target_lengths: Any, blank: int = 0, reduction: str = "mean", zero_infinity: bool = False
) -> Any:
    batch = log_probs[:, None] if log_probs.ndim == 2 else log_probs
    starts = np.cumsum([0, *target_lengths])
    losses = []
    for i, (length, count) in enumerate(zip(input_lengths, target_lengths, strict=True)):
        labels = targets[starts[i] : starts[i + 1]] if targets.ndim == 1 else targets[i, :count]
        p = _likelihood(batch[:length, i], labels.tolist(), blank)
        losses.append(-math.log(p) if p else 0.0 if zero_infinity else math.inf)
    if reduction == "mean":
        return np.mean([loss / max(count, 1) for loss, count in zip(losses, target_lengths, strict=True)])
    return np.sum(losses) if reduction == "sum" else np.array(losses) if log_probs.ndim == 3 else np.array(losses[0])


_ctc = register(
    Op(
        "ctc_loss",
        ("log_probs", "targets", "input_lengths", "target_lengths"),
        lambda B, x, t, inputs, counts, *, blank: B.ctc(x, t, inputs, counts, blank),
        {
            "log_probs": lambda K, g, log_probs, targets, input_lengths, target_lengths, nll, alpha, blank: K.ctc_loss_backward(
                g, log_probs, targets, input_lengths, target_lengths, nll, alpha, blank=blank
            )
        },
        residuals=("nll", "alpha"),
        method=False,
        samples=[Sample((Input((4, 2, 3)), Input((2, 2), 1, 3, "int"), Input((2,), 3, 5, "int"), Input((2,), 1, 2, "int")), {"blank": 0})],
        reference=lambda x, t, inputs, counts, blank: _reference(x, t, inputs, counts, blank, "none"),
        error_inputs=[
            ErrorInput(
                lambda tg: tg.nn.functional.ctc_loss(tg.zeros(4, 1, 3), tg.tensor([[1, 3]]), (4,), (2,)), RuntimeError, "ctc_loss: target 3 is out of range"
            ),
            ErrorInput(lambda tg: tg.nn.functional.ctc_loss(tg.zeros(4, 1, 3), tg.tensor([[1]]), (5,), (1,)), RuntimeError, "ctc_loss: input_lengths .*4"),
            ErrorInput(
                lambda tg: tg.nn.functional.ctc_loss(tg.zeros(4, 2, 3), tg.tensor([[1]]), (4, 4), (1, 1)), RuntimeError, r"ctc_loss: targets of shape \(1, 1\)"
            ),
            ErrorInput(lambda tg: tg.nn.functional.ctc_loss(tg.zeros(4, 1, 3), tg.tensor([[1]]), (4,), (1, 1)), RuntimeError, "ctc_loss: target_lengths"),
            ErrorInput(lambda tg: tg.nn.functional.ctc_loss(tg.zeros(4, 1, 3), tg.tensor([[1]]), (4,), (1,), 3), RuntimeError, "ctc_loss: blank 3"),
            ErrorInput(lambda tg: tg.nn.functional.ctc_loss(tg.zeros(4), tg.tensor([1]), (4,), (1,)), RuntimeError, r"ctc_loss: .*\(t, n, c\).*\(4,\)"),
        ],
        kinds="f",
    )
)


register(
    Op(
        "ctc_loss_backward",
        ("g_out", "log_probs", "targets", "input_lengths", "target_lengths", "nll", "alpha"),
        lambda B, g, x, t, inputs, counts, nll, alpha, *, blank: B.ctc_backward(g, x, t, inputs, counts, nll, alpha, blank),
        {
            ("g_out", "log_probs"): lambda K, g, g_out, log_probs, targets, input_lengths, target_lengths, needs, blank: _second_order(
                K, g, g_out, log_probs, targets, input_lengths, target_lengths, needs, blank
            )
        },
        method=False,
        samples=[
            Sample(
                (Input((2,)), Input((1, 2, 3)), Input((2, 1), 1, 3, "int"), Input((2,), 1, 2, "int"), Input((2,), 1, 2, "int"))
                + (Input((2,), constant=True), Input((1, 2, 3), constant=True)),
                {"blank": 0},
            )
        ],
        # at one time and with one label, an alignment ends in the label or, as alpha may say here, in the blank behind it
        reference=lambda g, x, t, inputs, counts, nll, alpha, blank: (
            -g[:, None]
            * (
                np.exp(alpha[0, :, 1:2] + nll[:, None]) * (np.arange(x.shape[2]) == t)
                + np.exp(alpha[0, :, 2:] + nll[:, None]) * (np.arange(x.shape[2]) == blank)
            )
        )[None],
        kinds="f",
    )
)


_SECOND = "the second derivative of ctc_loss()"


def _second_order(
    K: Any, g: Any, g_out: Any, log_probs: Any, targets: Any, input_lengths: Any, target_lengths: Any, needs: tuple[bool, ...], blank: int
) -> tuple[Any, Any]:
    """The gradient of the gradient: that of the same recursions, step by step on tensors."""
    on_tensors = isinstance(g, Tensor)
    given = [read_values(x, _SECOND) if isinstance(x, Tensor) else on_host(x) for x in (targets, input_lengths, target_lengths)]
    with enable_grad():
        roots = [g_out, log_probs] if on_tensors else [wrap(g_out).requires_grad_(), wrap(log_probs).requires_grad_()]
        gradient = _differentiable_gradient(roots[0], roots[1], given[0], given[1], given[2], blank)
        wanted = [root for root, need in zip(roots, needs, strict=False) if need]
        found = iter(grad(gradient, wanted, g if on_tensors else wrap(g), create_graph=on_tensors))
    made = [next(found) if need else None for need in needs[:2]]
    return made[0] if on_tensors or made[0] is None else made[0]._array, made[1] if on_tensors or made[1] is None else made[1]._array


def _differentiable_gradient(g: Tensor, log_probs: Tensor, targets: Any, input_lengths: Any, target_lengths: Any, blank: int) -> Tensor:
    """``ctc_backward`` of the kernels in operations that can be differentiated again."""
    K, B, where_ = ON_TENSORS, backend(targets), log_probs.device

    def constant(array: Any) -> Tensor:
        return wrap(placed(np.ascontiguousarray(array), where_))

    states = B.with_blanks(targets, blank)
    times, n, classes = (int(d) for d in log_probs._array.shape)
    size = states.shape
    index = constant(np.broadcast_to(states[None], (times, *size)))
    emitted = K.gather(log_probs, index, dim=2)
    steps = [K.reshape(K.narrow(emitted, dim=0, start=t, length=1), shape=size) for t in range(times)]
    skip, place = B.may_skip(states, blank), np.broadcast_to(np.arange(size[1]), size)
    zeros = constant(np.zeros(size, log_probs._array.dtype))

    def masked(x: Any, kept: Any, other: Any = -math.inf) -> Any:
        return K.where(constant(np.broadcast_to(kept, size)), x, other)

    def moved(x: Any, by: int) -> Any:
        kept = size[1] - abs(by)
        if kept <= 0:
            return masked(zeros, False)
        part = K.pad_zeros(K.narrow(x, dim=1, start=max(-by, 0), length=kept), dim=1, before=max(by, 0), total=size[1])
        return masked(part, place >= by if by > 0 else place < kept)

    def at(t: int) -> Any:
        return (input_lengths == t + 1)[:, None]

    before, final = masked(zeros, place < np.where(target_lengths > 0, 2, 1)[:, None]), masked(zeros, False)
    alphas: list[Any] = []
    for t in range(times):
        if t:
            a = alphas[-1]
            before = K.logaddexp(K.logaddexp(a, moved(a, 1)), masked(moved(a, 2), skip))
        alphas.append(K.add(before, steps[t]))
        final = masked(alphas[t], at(t), final)
    ends = B.last_states(size, target_lengths)
    loss = K.neg(K.logsumexp(masked(final, ends), axes=(1,), keepdim=True))
    possible = np.isfinite(read_values(loss, _SECOND))
    scale, level = masked(K.reshape(g, shape=(n, 1)), possible, 0.0), masked(loss, possible, 0.0)
    beta = masked(zeros, False)
    total = constant(np.zeros(log_probs._array.shape, log_probs._array.dtype))
    for t in reversed(range(times)):
        if t + 1 < times:
            a = K.add(beta, steps[t + 1])
            beta = K.logaddexp(K.logaddexp(a, moved(a, -1)), moved(masked(a, skip), -2))
        beta = masked(masked(zeros, ends), at(t), beta)
        share = K.scatter_zeros(K.mul(scale, K.exp(K.add(K.add(alphas[t], beta), level))), constant(states), dim=1, size=(n, classes))
        total = K.sub(total, K.pad_zeros(K.reshape(share, shape=(1, n, classes)), dim=0, before=t, total=times))
    return total


def _lengths(name: str, given: Tensor | Sequence[int], n: int, most: int) -> Any:
    array = read_values(given, "ctc_loss()") if isinstance(given, Tensor) else np.asarray(given)
    if array.dtype.kind not in "iu" and array.size:
        raise RuntimeError(f"ctc_loss: {name} need integers, got dtype {array.dtype}")
    array = array.astype(np.int64).reshape(-1)
    if array.shape != (n,) or (n and (array.min() < 0 or array.max() > most)):
        raise RuntimeError(f"ctc_loss: {name} need {n} lengths from 0 to {most}, got {array.tolist()}")
    return array


def _labels(targets: Tensor, n: int, given: Tensor | Sequence[int], classes: int, blank: int) -> tuple[Any, Any]:
    """Labels (n, s), where the targets are, and how many of each row count, (n,), on the host."""
    t = index_array(targets, "ctc_loss()")
    if targets.dtype.category != 1 or t.ndim not in (1, 2) or (t.ndim == 2 and t.shape[0] != n):
        raise RuntimeError(f"ctc_loss: targets of shape {tuple(t.shape)} and dtype {targets.dtype}; expected integers (n, s), with n = {n}, or all in one row")
    counts = _lengths("target_lengths", given, n, t.shape[-1])
    if t.ndim == 1:
        if int(counts.sum()) > t.shape[0]:
            raise RuntimeError(f"ctc_loss: target_lengths {counts.tolist()} add up to more than the {t.shape[0]} targets")
    return backend(t).ctc_labels(t, counts, classes, blank), counts


_LOG_PROBS = Input((4, 2, 3), -3.0, -0.5)
_TWO = Input((2, 2), 1, 3, "int")


@public(
    _ctc,
    samples=[
        *[Sample((_LOG_PROBS, _TWO), {"input_lengths": (4, 3), "target_lengths": (2, 1), "reduction": r}) for r in ("none", "sum", "mean")],
        Sample((_LOG_PROBS, Input((3,), 0, 2, "int")), {"input_lengths": (4, 4), "target_lengths": (3, 0), "blank": 2, "zero_infinity": True}),
        Sample((Input((4, 3), -3.0, -0.5), Input((2,), 1, 3, "int")), {"input_lengths": (4,), "target_lengths": (2,), "reduction": "sum"}),
        Sample((_LOG_PROBS, _TWO), {"input_lengths": (1, 4), "target_lengths": (2, 2), "zero_infinity": True}),
    ],
    reference=_reference,
)
def ctc_loss(
    log_probs: Tensor,
    targets: Tensor,
    input_lengths: Tensor | Sequence[int],
    target_lengths: Tensor | Sequence[int],
    blank: int = 0,
    reduction: str = "mean",
    zero_infinity: bool = False,
) -> Tensor:
    """The negative log-likelihood of label sequences of unknown alignment (Graves et al., 2006,
    https://doi.org/10.1145/1143844.1143891).

    Args:
        log_probs: log-probabilities of the classes at each time, shape (t, n, c) or (t, c).
        targets: labels, shape (n, s), or of all sequences one after the other.
        input_lengths: how many times of each sequence count.
        target_lengths: how many labels each sequence has.
        blank: the class that stands for no label.
        reduction: "mean" (each loss divided by its number of labels, then averaged), "sum" or "none".
        zero_infinity: an impossible sequence (longer than its input) counts as 0 instead of inf; its gradient is 0 in any case.

    The gradient is that of ``log_probs`` as they are. PyTorch's has exp(log_probs) added, which makes no difference behind log_softmax.

    Raises:
        RuntimeError: when shapes, lengths or labels don't fit.
        ValueError: for an unknown reduction.
    """
    if log_probs.ndim not in (2, 3) or not log_probs.dtype.is_floating_point:
        raise RuntimeError(
            f"ctc_loss: expected floating-point log-probabilities (t, n, c) or (t, c), got shape {tuple(log_probs.shape)} of {log_probs.dtype}"
        )
    x = log_probs if log_probs.ndim == 3 else log_probs.unsqueeze(1)
    x = to_dtype(x, dtypes.float32) if x.dtype.itemsize == 2 else x
    times, n, classes = (int(d) for d in x._array.shape)
    if not 0 <= blank < classes:
        raise RuntimeError(f"ctc_loss: blank {blank} is none of the {classes} classes")
    inputs = _lengths("input_lengths", input_lengths, n, times)
    labels, counts = _labels(targets, n, target_lengths, classes, blank)
    where_ = log_probs.device
    given = wrap(labels).to(where_)  # targets may be on the CPU, as lengths are
    loss: Tensor = _ctc.call(x, given, wrap(placed(inputs, where_)), wrap(placed(counts, where_)), blank=blank)
    if zero_infinity:
        loss = where(isinf(loss), 0.0, loss)
    if reduction == "mean":
        loss = loss / wrap(placed(np.maximum(counts, 1).astype(x._array.dtype), where_))
    loss = to_dtype(loss, log_probs.dtype)
    return reduced(loss if log_probs.ndim == 3 else loss.squeeze(0), reduction, "ctc_loss")
