"""L-BFGS."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from ..modes import enable_grad, no_grad
from ..ops.create import zeros_like
from ..ops.elementwise.complex_parts import view_as_real
from ..ops.shape.join import cat
from ..tensor import Tensor
from .line_search import Point, strong_wolfe
from .optimizer import Optimizer
from .options import check, check_learning_rate, number

_LEAST_CURVATURE = 1e-10  # steps along which the gradient changed less are not remembered


class LBFGS(Optimizer):
    """Limited-memory BFGS (Nocedal, 1980, https://doi.org/10.1090/S0025-5718-1980-0572855-7): Newton's method for whole batches.

    ``step(closure)`` takes up to ``max_iter`` iterations and calls ``closure``, which clears the gradients, computes the loss, calls
    ``backward()`` and returns the loss, up to ``max_eval`` times. It keeps 2 ``history_size`` copies of all parameters, and treats
    them as one vector: there is one parameter group.

    Args:
        params: see :class:`Optimizer`.
        lr: the step length, or the first one that a line search tries.
        max_iter: iterations per step.
        max_eval: evaluations of the loss per step; 5/4 of ``max_iter`` by default.
        tolerance_grad: stop when no element of the gradient is larger.
        tolerance_change: stop when neither parameters nor loss change by more.
        history_size: how many steps the estimate of the curvature remembers.
        line_search_fn: "strong_wolfe", or None for steps of fixed length.

    Raises:
        TypeError: for a learning rate that is no number.
        ValueError: for a negative learning rate, and several parameter groups.
        RuntimeError: in ``step()``, for another line search.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Tensor = 1,
        max_iter: int = 20,
        max_eval: int | None = None,
        tolerance_grad: float = 1e-7,
        tolerance_change: float = 1e-9,
        history_size: int = 100,
        line_search_fn: str | None = None,
    ) -> None:
        check_learning_rate(lr)
        limits = {"max_iter": max_iter, "max_eval": max_iter * 5 // 4 if max_eval is None else max_eval}
        tolerances = {"tolerance_grad": tolerance_grad, "tolerance_change": tolerance_change}
        super().__init__(
            params, {"lr": lr, **limits, **tolerances, "history_size": history_size, "line_search_fn": line_search_fn}
        )
        check(len(self.param_groups) == 1, "LBFGS doesn't support per-parameter options (parameter groups)")

    @no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Minimise the loss that ``closure`` computes for some iterations; returns the loss before them.

        Raises:
            TypeError: without a closure, and when it returns nothing.
        """
        if closure is None:
            raise TypeError("LBFGS.step() needs a closure that computes the loss and its gradients, and returns the loss")
        group = self.param_groups[0]
        originals = group["params"]
        params = [_real(p) for p in originals]
        state = self.state[originals[0]]  # there is one for all parameters
        state.setdefault("func_evals", 0)
        state.setdefault("n_iter", 0)

        first = None

        def evaluate() -> tuple[float, Tensor]:
            nonlocal first
            with enable_grad():
                loss = closure()
            if loss is None:
                raise TypeError("LBFGS.step(closure): closure returned None; it must return the loss")
            first = loss if first is None else first
            state["func_evals"] += 1
            return float(loss), _flat_gradient(originals)

        already = state["func_evals"]
        loss, grad = evaluate()
        if _largest(grad) <= group["tolerance_grad"]:
            return first
        for iteration in range(1, group["max_iter"] + 1):
            state["n_iter"] += 1
            direction = _direction(state, grad, group["history_size"])
            last, state["prev_loss"] = loss, loss
            state["prev_flat_grad"] = grad.clone()
            t = number(group["lr"])
            if state["n_iter"] == 1:
                t *= min(1.0, 1.0 / grad.abs().sum().item())
            state.update(d=direction, t=t)
            slope = grad.dot(direction).item()
            if slope > -group["tolerance_change"]:
                break
            if group["line_search_fn"] is not None:
                if group["line_search_fn"] != "strong_wolfe":
                    raise RuntimeError(f"only 'strong_wolfe' is supported, got line_search_fn={group['line_search_fn']!r}")
                left = group["max_eval"] - (state["func_evals"] - already)
                found = _search(params, evaluate, Point(0.0, loss, grad, slope), direction, t, left)
                t, loss, grad = found.t, found.value, found.grad
                state["t"] = t
            _move(params, direction, t)
            if group["line_search_fn"] is None and iteration < group["max_iter"]:  # after the last, the next step will evaluate
                loss, grad = evaluate()
            if (
                state["func_evals"] - already >= group["max_eval"]
                or _largest(grad) <= group["tolerance_grad"]
                or _largest(direction * t) <= group["tolerance_change"]
                or abs(loss - last) < group["tolerance_change"]
            ):
                break
        return first

    def misfits(self, param: Tensor, state: dict[str, Any]) -> list[str]:
        size = sum(_real(p).numel() for p in self.param_groups[0]["params"])
        vectors = [(name, state[name]) for name in ("d", "prev_flat_grad") if isinstance(state.get(name), Tensor)]
        vectors += [(name, v) for name in ("old_dirs", "old_stps") for v in state.get(name) or ()]
        return [f"{name} has shape {tuple(v.shape)}, it should have ({size},)" for name, v in vectors if tuple(v.shape) != (size,)]


def _direction(state: dict[str, Any], grad: Tensor, history_size: int) -> Tensor:
    """The inverse of the estimated Hessian times the negative gradient, by the two-loop recursion; also notes the last step."""
    if state["n_iter"] == 1:
        state.update(old_dirs=[], old_stps=[], ro=[], H_diag=1)
        return -grad
    changes, steps, ro = state["old_dirs"], state["old_stps"], state["ro"]
    change = grad - state["prev_flat_grad"]
    step = state["d"] * number(state["t"])
    curvature = change.dot(step).item()
    if curvature > _LEAST_CURVATURE:
        if len(changes) == history_size:
            for kept in (changes, steps, ro):
                kept.pop(0)
        changes.append(change)
        steps.append(step)
        ro.append(1.0 / curvature)
        state["H_diag"] = curvature / change.dot(change).item()
    al = state.setdefault("al", [None] * history_size)
    direction = -grad
    for i in reversed(range(len(changes))):
        al[i] = steps[i].dot(direction).item() * number(ro[i])
        direction.add_(changes[i], alpha=-al[i])
    direction.mul_(number(state["H_diag"]))
    for i in range(len(changes)):
        direction.add_(steps[i], alpha=al[i] - changes[i].dot(direction).item() * number(ro[i]))
    return direction


def _search(
    params: list[Tensor], evaluate: Callable[[], tuple[float, Tensor]], start: Point, direction: Tensor, t: float, left: int
) -> Point:
    """The point that a line search finds with ``left`` evaluations; the parameters stay where they are."""
    origin = [p.clone() for p in params]

    def at(t: float) -> Point:
        _move(params, direction, t)
        value, grad = evaluate()
        for p, x in zip(params, origin, strict=True):
            p.copy_(x)
        return Point(t, value, grad, grad.dot(direction).item())

    return strong_wolfe(at, start, t, _largest(direction), max_iterations=left)[0]


def _flat_gradient(params: list[Tensor]) -> Tensor:
    """All gradients as one vector, in memory of its own."""
    return cat([_real(zeros_like(p) if p.grad is None else p.grad).reshape(-1) for p in params])


def _real(x: Tensor) -> Tensor:
    """The real view of a complex tensor; a real one as it is."""
    return view_as_real(x) if x.is_complex() else x


def _move(params: list[Tensor], direction: Tensor, t: float) -> None:
    """Add ``t * direction`` to the parameters."""
    offset = 0
    for p in params:
        p.add_(direction[offset : offset + p.numel()].reshape(p.shape), alpha=t)
        offset += p.numel()


def _largest(x: Tensor) -> float:
    value: float = x.abs().max().item()
    return value
