"""The options of a Solver."""

from __future__ import annotations

import numbers
from collections.abc import Callable, Sequence, Sized
from dataclasses import dataclass
from typing import Any

from .kinds import KINDS
from .policies import POLICIES


@dataclass(kw_only=True)
class SolverConfig:
    """What a :class:`Solver` does; the names are those of Caffe's SolverParameter.

    Attributes:
        base_lr: the learning rate that the policy starts from; may be left out when an optimizer is given, whose own then counts.
        lr_policy: "fixed", "step", "exp", "inv", "multistep", "poly" or "sigmoid"; or a function from the iteration to the factor
            that ``base_lr`` is multiplied with.
        gamma, power: parameters of the policy.
        stepsize: iterations per step ("step"), or the iteration at which "sigmoid" has half the rate; it rises with a positive
            gamma and falls with a negative one.
        stepvalue: the iterations at which "multistep" multiplies by gamma.
        max_iter: where ``solve()`` ends, and "poly" reaches 0.
        type: "SGD", "Nesterov", "AdaGrad", "RMSProp", "AdaDelta" or "Adam".
        momentum: of SGD (0 by default) and Nesterov (0.9), beta1 of Adam (0.9), rho of AdaDelta (0.9).
        momentum2: beta2 of Adam.
        rms_decay: how much of the mean square RMSProp keeps.
        delta: what AdaGrad, RMSProp, AdaDelta and Adam add to a denominator.
        weight_decay: how much of the regularisation's gradient is added to the loss's.
        regularization_type: "L2", whose gradient is the parameter, or "L1", whose gradient is its sign.
        iter_size: batches per update; the gradient is their mean.
        clip_gradients: the largest norm that all gradients together may have, before regularisation; negative for any.
        test_interval: iterations between tests; 0 for none.
        test_iter: batches per test of a loader; by default all.
        test_initialization: test before the first iteration, too.
        display: iterations between lines of the log; 0 for none.
        average_loss: over how many iterations the displayed loss is averaged.
        snapshot: iterations between snapshots; 0 for none.
        snapshot_prefix: a snapshot is written to "{prefix}_iter_{iteration}.safetensors".
        snapshot_after_train: take one at the end of ``solve()``, if a prefix is given.

    Raises:
        ValueError: naming all options that are wrong or lacking.
    """

    base_lr: float | None = None
    lr_policy: str | Callable[[int], float] = "fixed"
    gamma: float | None = None
    power: float | None = None
    stepsize: int | None = None
    stepvalue: Sequence[int] = ()
    max_iter: int | None = None
    type: str = "SGD"
    momentum: float | None = None
    momentum2: float = 0.999
    rms_decay: float = 0.99
    delta: float = 1e-8
    weight_decay: float = 0.0
    regularization_type: str = "L2"
    iter_size: int = 1
    clip_gradients: float = -1.0
    test_interval: int = 0
    test_iter: int | None = None
    test_initialization: bool = True
    display: int = 0
    average_loss: int = 1
    snapshot: int = 0
    snapshot_prefix: str | None = None
    snapshot_after_train: bool = True

    def __post_init__(self) -> None:
        problems = [*_wrong_numbers(self), *_wrong_names(self)]
        if problems:
            raise ValueError("SolverConfig:\n\t" + "\n\t".join(problems))


# option -> (is an integer, lowest value, whether that value itself is allowed)
_NUMBERS: dict[str, tuple[bool, float, bool]] = {
    "base_lr": (False, 0, True),
    "gamma": (False, float("-inf"), False),
    "power": (False, float("-inf"), False),
    "stepsize": (True, 1, True),
    "max_iter": (True, 1, True),
    "momentum": (False, 0, True),
    "momentum2": (False, 0, True),
    "rms_decay": (False, 0, True),
    "delta": (False, 0, True),
    "weight_decay": (False, 0, True),
    "iter_size": (True, 1, True),
    "clip_gradients": (False, float("-inf"), False),
    "test_interval": (True, 0, True),
    "test_iter": (True, 1, True),
    "display": (True, 0, True),
    "average_loss": (True, 1, True),
    "snapshot": (True, 0, True),
}
_BELOW_ONE = ("momentum", "momentum2", "rms_decay")


def _wrong_numbers(config: SolverConfig) -> list[str]:
    problems = []
    for name, (integer, least, inclusive) in _NUMBERS.items():
        value: Any = getattr(config, name)
        if value is None:
            continue
        kind: type = numbers.Integral if integer else numbers.Real
        fits = isinstance(value, kind) and not isinstance(value, bool)
        if not fits:
            problems.append(f"{name} must be {'an integer' if integer else 'a number'}, got {value!r}")
        elif not (value >= least if inclusive else value > least) or value == float("inf"):
            problems.append(f"{name} must be {f'at least {least}' if inclusive else 'finite'}, got {value!r}")
        elif name in _BELOW_ONE and value >= 1:
            problems.append(f"{name} must be below 1, got {value!r}")
    try:
        values = list(config.stepvalue)
    except TypeError:
        return [*problems, f"stepvalue must be integers in ascending order, got {config.stepvalue!r}"]
    if not all(isinstance(v, numbers.Integral) for v in values) or values != sorted(values):
        problems.append(f"stepvalue must be integers in ascending order, got {values!r}")
    return problems


def _wrong_names(config: SolverConfig) -> list[str]:
    problems = []
    policy: Any = config.lr_policy
    if not callable(policy):
        if policy not in POLICIES:
            problems.append(f"lr_policy must be a function or one of {', '.join(POLICIES)}; got {policy!r}")
        else:
            given = {name: getattr(config, name) for name in POLICIES[policy].needs}
            lacking = [name for name, value in given.items() if value is None or (isinstance(value, Sized) and not len(value))]
            problems += [f"lr_policy {policy!r} needs {name}" for name in lacking]
            if policy in ("step", "exp", "inv", "multistep") and isinstance(config.gamma, numbers.Real) and config.gamma < 0:
                problems.append(f"lr_policy {policy!r} needs a gamma of at least 0, got {config.gamma!r}")
    if config.type not in KINDS:
        problems.append(f"type must be one of {', '.join(KINDS)}; got {config.type!r}")
    elif KINDS[config.type].momentum is None and config.momentum:
        problems.append(f"{config.type} has no momentum, got {config.momentum!r}")
    elif config.type == "Nesterov" and config.momentum == 0:
        problems.append("Nesterov needs a momentum above 0")
    if config.regularization_type not in ("L1", "L2"):
        problems.append(f"regularization_type must be L1 or L2, got {config.regularization_type!r}")
    if config.snapshot and config.snapshot_prefix is None:
        problems.append(f"snapshot={config.snapshot} needs a snapshot_prefix")
    return problems
