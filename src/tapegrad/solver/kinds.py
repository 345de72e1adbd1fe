"""Solver kinds by Caffe's names, and the optimizers they are."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from .. import optim


class Kind(NamedTuple):
    """A kind of solver.

    Attributes:
        make: the optimizer, of parameters, learning rate, momentum and the other options.
        momentum: what ``momentum`` is when it is not given; None where the kind has none.
    """

    make: Callable[[Any, float, float, Any], optim.Optimizer]
    momentum: float | None


KINDS = {
    "SGD": Kind(lambda params, lr, m, o: optim.SGD(params, lr, momentum=m), 0.0),
    "Nesterov": Kind(lambda params, lr, m, o: optim.SGD(params, lr, momentum=m, nesterov=True), 0.9),
    "AdaGrad": Kind(lambda params, lr, m, o: optim.Adagrad(params, lr, eps=o.delta), None),
    "RMSProp": Kind(lambda params, lr, m, o: optim.RMSprop(params, lr, alpha=o.rms_decay, eps=o.delta), None),
    "AdaDelta": Kind(lambda params, lr, m, o: optim.Adadelta(params, lr, rho=m, eps=o.delta), 0.9),
    "Adam": Kind(lambda params, lr, m, o: optim.Adam(params, lr, betas=(m, o.momentum2), eps=o.delta), 0.9),
}


def make_optimizer(config: Any, params: Iterable[Any]) -> optim.Optimizer:
    """The optimizer that ``config`` describes."""
    kind = KINDS[config.type]
    momentum = kind.momentum if config.momentum is None else config.momentum
    return kind.make(params, config.base_lr, momentum or 0.0, config)
