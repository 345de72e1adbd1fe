"""Learning-rate policies: what the base learning rate is multiplied with in an iteration.

The formulas are those of Caffe's SolverParameter
(https://github.com/BVLC/caffe/blob/master/src/caffe/proto/caffe.proto), with t the number of updates made so far.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from .config import SolverConfig


class Policy(NamedTuple):
    """A policy.

    Attributes:
        factor: the formula, of the iteration and the options.
        needs: the options that must be given.
    """

    factor: Callable[[int, Any], float]
    needs: tuple[str, ...] = ()


def _logistic(x: float) -> float:
    """1 / (1 + exp(-x)), also where the exponential would overflow."""
    return 1 / (1 + math.exp(-x)) if x >= 0 else math.exp(x) / (1 + math.exp(x))


POLICIES = {
    "fixed": Policy(lambda t, o: 1.0),
    "step": Policy(lambda t, o: o.gamma ** (t // o.stepsize), ("gamma", "stepsize")),
    "exp": Policy(lambda t, o: o.gamma**t, ("gamma",)),
    "inv": Policy(lambda t, o: (1 + o.gamma * t) ** -o.power, ("gamma", "power")),
    "multistep": Policy(lambda t, o: o.gamma ** sum(t >= value for value in o.stepvalue), ("gamma", "stepvalue")),
    "poly": Policy(lambda t, o: max(0.0, 1 - t / o.max_iter) ** o.power, ("power", "max_iter")),
    "sigmoid": Policy(lambda t, o: _logistic(o.gamma * (t - o.stepsize)), ("gamma", "stepsize")),
}


def rate_factor(config: SolverConfig, iteration: int) -> float:
    """What ``config``'s policy multiplies the base learning rate with after ``iteration`` updates."""
    policy = config.lr_policy
    return float(policy(iteration)) if callable(policy) else float(POLICIES[policy].factor(iteration, config))
