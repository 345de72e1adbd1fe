"""What a Solver calls while it works, and early stopping."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .solver import Solver


class Callback:
    """Called at the turning points of a :class:`Solver`; a subclass overrides the methods it needs.

    What ``state_dict`` returns is kept in snapshots and comes back through ``load_state_dict``.
    """

    def on_step(self, solver: Solver) -> None:
        """After each update."""

    def on_test(self, solver: Solver, results: dict[str, float]) -> None:
        """After each test, with what ``Solver.test`` returns."""

    def on_snapshot(self, solver: Solver, path: str) -> None:
        """After a snapshot was written."""

    def on_end(self, solver: Solver) -> None:
        """At the end of ``solve()``."""

    def state_dict(self) -> dict[str, Any]:
        """What the callback has to remember: a nesting that :func:`tapegrad.save` accepts."""
        return {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from what ``state_dict`` returned."""


class AfterStep(Callback):
    """A plain function as a callback: it is called with the solver after each update."""

    def __init__(self, function: Callable[[Solver], object]) -> None:
        self.function = function

    def on_step(self, solver: Solver) -> None:
        self.function(solver)


class EarlyStopping(Callback):
    """Ends training when a test result has not improved for some tests.

    Args:
        monitor: the result's name, such as "test/loss".
        patience: how many tests in a row may pass without an improvement; the next one ends training.
        min_delta: by how much a result must be better to count.
        mode: "min" when less is better, else "max".

    Attributes:
        best: the best result so far, or None.
        best_iteration: the iteration in which it was tested.
        waited: tests since.

    Raises:
        ValueError: for a mode, patience or min_delta that is none; during training, when no test has such a result.
    """

    def __init__(self, monitor: str, patience: int = 3, min_delta: float = 0.0, mode: str = "min") -> None:
        if mode not in ("min", "max"):
            raise ValueError(f"EarlyStopping: mode must be 'min' or 'max', got {mode!r}")
        if patience < 0 or not min_delta >= 0:
            raise ValueError(f"EarlyStopping: patience and min_delta must not be negative, got {patience!r} and {min_delta!r}")
        self.monitor, self.patience, self.min_delta, self.mode = monitor, patience, min_delta, mode
        self.best: float | None = None
        self.best_iteration = 0
        self.waited = 0

    def on_test(self, solver: Solver, results: dict[str, float]) -> None:
        if self.monitor not in results:
            raise ValueError(f"EarlyStopping: there is no test result {self.monitor!r}, only {', '.join(results)}")
        value = results[self.monitor]
        if not math.isnan(value) and (self.best is None or self._better(value, self.best)):
            self.best, self.best_iteration, self.waited = value, solver.iteration, 0
            return
        self.waited += 1
        if self.waited > self.patience:
            solver.stop(
                f"{self.monitor} was never a number"
                if self.best is None
                else f"{self.monitor} has not improved on {self.best:.6g} since iteration {self.best_iteration}"
            )

    def _better(self, value: float, best: float) -> bool:
        gain = best - value if self.mode == "min" else value - best
        return gain > self.min_delta

    def state_dict(self) -> dict[str, Any]:
        return {"best": self.best, "best_iteration": self.best_iteration, "waited": self.waited}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.best, self.best_iteration, self.waited = (state_dict[name] for name in ("best", "best_iteration", "waited"))
