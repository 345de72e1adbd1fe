"""Connectionist temporal classification: sums over alignments, in log space, for a whole batch at each time step."""

from __future__ import annotations

from typing import Any

import numpy as np

_NEVER = -np.inf


def _shifted(a: Any, by: int) -> Any:
    """States (n, s) moved up by ``by`` (down when negative); what moves in is impossible."""
    out = np.full_like(a, _NEVER)
    if by > 0:
        out[:, by:] = a[:, :-by]
    else:
        out[:, :by] = a[:, -by:]
    return out


def with_blanks(targets: Any, blank: int) -> Any:
    """The states (n, 2 s + 1) that stand for labels (n, s): blanks between and around them."""
    out = np.full((len(targets), 2 * targets.shape[1] + 1), blank, np.int64)
    out[:, 1::2] = targets
    return out


def ctc_labels(targets: Any, counts: Any, classes: int, blank: int) -> Any:
    """Labels (n, most) from targets (n, s), or from those of all sequences in one row; blank behind the ``counts`` (n,) of each.

    Raises:
        RuntimeError: when one is not a class.
    """
    used = np.arange(int(counts.max(initial=0))) < counts[:, None]
    chosen = targets[: int(counts.sum())] if targets.ndim == 1 else targets[:, : used.shape[1]][used]
    wrong = chosen[(chosen < 0) | (chosen >= classes)]
    if wrong.size:
        raise RuntimeError(f"ctc_loss: target {int(wrong[0])} is out of range for {classes} classes")
    labels = np.full(used.shape, blank, np.int64)
    labels[used] = chosen
    return labels


def may_skip(states: Any, blank: int) -> Any:
    """Where a state (n, s) may follow the one two before: it is no blank and another label."""
    out = np.zeros(states.shape, np.bool_)
    out[:, 2:] = (states[:, 2:] != blank) & (states[:, 2:] != states[:, :-2])
    return out


def last_states(shape: tuple[int, ...], target_lengths: Any) -> Any:
    """Which states (n, s) an alignment may end in: the last blank and the last label."""
    place, last = np.arange(shape[1]), 2 * target_lengths[:, None]
    return (place == last) | (place == last - 1)


def ctc(log_probs: Any, targets: Any, input_lengths: Any, target_lengths: Any, blank: int) -> tuple[Any, Any, Any]:
    """The negative log-likelihoods (n,), twice, and the forward variables alpha (t, n, s), for log-probabilities (t, n, c).

    Of ``targets`` (n, l), the first ``target_lengths`` (n,) count. Graves et al., ICML 2006, section 4.1.
    """
    states = with_blanks(targets, blank)
    times, n = log_probs.shape[:2]
    emitted = _emitted(log_probs, states)
    alpha = np.full((times, n, states.shape[1]), _NEVER, log_probs.dtype)
    skip = may_skip(states, blank)
    first = np.arange(states.shape[1]) < np.where(target_lengths > 0, 2, 1)[:, None]
    for t in range(times):
        if t == 0:
            before = np.where(first, 0, _NEVER).astype(log_probs.dtype)
        else:
            a = alpha[t - 1]
            before = np.logaddexp(np.logaddexp(a, _shifted(a, 1)), np.where(skip, _shifted(a, 2), _NEVER))
        alpha[t] = before + emitted[t]
    if times == 0:
        loss = np.where(target_lengths > 0, np.inf, 0).astype(log_probs.dtype)
        return loss, loss.copy(), alpha
    ends = np.where(last_states(states.shape, target_lengths), alpha[np.maximum(input_lengths - 1, 0), np.arange(n)], _NEVER)
    likelihood = np.logaddexp.reduce(ends, axis=1)
    likelihood = np.where(input_lengths > 0, likelihood, np.where(target_lengths > 0, _NEVER, 0))
    loss = (-likelihood).astype(log_probs.dtype)
    return loss, loss.copy(), alpha  # users may write to the first, backward needs the second


def ctc_backward(g: Any, log_probs: Any, targets: Any, input_lengths: Any, target_lengths: Any, loss: Any, alpha: Any, blank: int) -> Any:
    """The gradient (t, n, c) of ``ctc``: minus the probability of each label at each time, given the targets."""
    times, n, _ = log_probs.shape
    states = with_blanks(targets, blank)
    out = np.zeros_like(log_probs)
    emitted = _emitted(log_probs, states)
    skip = may_skip(states, blank)
    beta = np.full(states.shape, _NEVER, log_probs.dtype)
    ends = np.where(last_states(states.shape, target_lengths), 0, _NEVER)
    scale = np.where(np.isinf(loss), 0, g)[:, None]
    level = np.where(np.isinf(loss), 0, loss)[:, None]
    rows = np.arange(n)[:, None]
    for t in reversed(range(times)):
        if t + 1 < times:
            a = beta + emitted[t + 1]
            beta = np.logaddexp(np.logaddexp(a, _shifted(a, -1)), _shifted(np.where(skip, a, _NEVER), -2))
        beta = np.where((input_lengths == t + 1)[:, None], ends, beta)
        np.subtract.at(out[t], (rows, states), scale * np.exp(alpha[t] + beta + level))
    return out


def _emitted(log_probs: Any, states: Any) -> Any:
    """The log-probabilities of the states at each time, (t, n, s)."""
    return np.take_along_axis(log_probs, np.broadcast_to(states, (len(log_probs), *states.shape)), axis=2)
