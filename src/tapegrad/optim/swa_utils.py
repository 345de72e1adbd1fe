"""Averages of a model's weights along its training, as ``torch.optim.swa_utils``.

Stochastic weight averaging: Izmailov et al., 2018, https://arxiv.org/abs/1803.05407.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain
from typing import Any

from ..modes import no_grad
from ..nn import Module
from ..nn.modules.batchnorm import _BatchNorm
from ..ops.create import tensor
from ..tensor import Tensor
from .lr_scheduler.scheduler import LRScheduler, check_anneal_strategy, per_group
from .optimizer import Optimizer

__all__ = ["SWALR", "AveragedModel", "get_ema_avg_fn", "get_ema_multi_avg_fn", "get_swa_avg_fn", "get_swa_multi_avg_fn", "update_bn"]

AverageOne = Callable[[Tensor, Tensor, Any], Tensor]
AverageMany = Callable[[Sequence[Tensor], Sequence[Tensor], Any], None]


# ------------------------------------------------------------------------------------------------------------ averages


def get_ema_avg_fn(decay: float = 0.999) -> AverageOne:
    """An ``avg_fn``: decay * averaged + (1 - decay) * current.

    Raises:
        ValueError: for a decay that is not in [0, 1].
    """
    _check_decay(decay)

    @no_grad()
    def ema_update(ema_param: Tensor, current_param: Tensor, num_averaged: Any) -> Tensor:
        return ema_param * decay + current_param * (1 - decay)

    return ema_update


def get_swa_avg_fn() -> AverageOne:
    """An ``avg_fn``: the mean of all models so far."""

    @no_grad()
    def swa_update(averaged_param: Tensor, current_param: Tensor, num_averaged: Any) -> Tensor:
        return averaged_param + (current_param - averaged_param) / (num_averaged + 1)

    return swa_update


def get_ema_multi_avg_fn(decay: float = 0.999) -> AverageMany:
    """A ``multi_avg_fn`` of the average of :func:`get_ema_avg_fn`.

    Raises:
        ValueError: for a decay that is not in [0, 1].
    """
    _check_decay(decay)
    average = get_ema_avg_fn(decay)

    @no_grad()
    def ema_update(ema_param_list: Sequence[Tensor], current_param_list: Sequence[Tensor], num_averaged: Any) -> None:
        for ema, current in zip(ema_param_list, current_param_list, strict=True):
            if ema.dtype.differentiable:
                ema.lerp_(current, 1 - decay)
            else:
                ema.copy_(average(ema, current, num_averaged))

    return ema_update


def get_swa_multi_avg_fn() -> AverageMany:
    """A ``multi_avg_fn`` of the average of :func:`get_swa_avg_fn`."""
    average = get_swa_avg_fn()

    @no_grad()
    def swa_update(averaged_param_list: Sequence[Tensor], current_param_list: Sequence[Tensor], num_averaged: Any) -> None:
        for averaged, current in zip(averaged_param_list, current_param_list, strict=True):
            averaged.copy_(average(averaged, current, num_averaged))

    return swa_update


def _check_decay(decay: float) -> None:
    if not 0.0 <= decay <= 1.0:
        raise ValueError(f"Invalid decay value {decay} provided. Please provide a value in [0,1] range.")


# --------------------------------------------------------------------------------------------------------------- models


class AveragedModel(Module):
    """A copy of a model whose parameters are averages of the model's.

    The first :meth:`update_parameters` copies, later ones average. Calling it runs the copy.

    Args:
        model: what is copied.
        device: where the copy lives; where the model does by default.
        avg_fn: of (averaged, current, number averaged so far), gives the new average; the mean by default.
        multi_avg_fn: instead, writes new averages into a list of tensors, given such a list and the list of current ones.
        use_buffers: average buffers, too; else they are copied.

    Attributes:
        module: the copy.
        n_averaged: how many models were averaged: a buffer.

    Raises:
        AssertionError: when both functions are given.
    """

    n_averaged: Tensor

    def __init__(
        self,
        model: Module,
        device: Any = None,
        avg_fn: AverageOne | None = None,
        multi_avg_fn: AverageMany | None = None,
        use_buffers: bool = False,
    ) -> None:
        super().__init__()
        if avg_fn is not None and multi_avg_fn is not None:
            raise AssertionError("Only one of avg_fn and multi_avg_fn should be provided")
        copied = copy.deepcopy(model)
        self.module: Module = copied if device is None else copied.to(device)
        self.register_buffer("n_averaged", tensor(0, device=device))
        self.avg_fn = avg_fn
        self.multi_avg_fn = multi_avg_fn
        self.use_buffers = use_buffers

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.module(*args, **kwargs)

    @no_grad()
    def update_parameters(self, model: Module) -> None:
        """Take the model's parameters into the average."""
        pairs = [(mine.detach(), its.detach().to(mine.device)) for mine, its in zip(self._averaged(self.module), self._averaged(model), strict=True)]
        if int(self.n_averaged) == 0:
            _copy(pairs)
        elif self.multi_avg_fn is not None:
            for same in _by_dtype(pairs):
                self.multi_avg_fn([mine for mine, _ in same], [its for _, its in same], self.n_averaged)
        else:
            average = self.avg_fn or get_swa_avg_fn()
            for mine, its in pairs:
                mine.copy_(average(mine, its, self.n_averaged))
        if not self.use_buffers:
            _copy(zip(self.module.buffers(), model.buffers(), strict=True))
        self.n_averaged += 1

    def _averaged(self, model: Module) -> Iterator[Tensor]:
        return chain(model.parameters(), model.buffers()) if self.use_buffers else iter(model.parameters())


def _copy(pairs: Iterable[tuple[Tensor, Tensor]]) -> None:
    for mine, its in pairs:
        mine.detach().copy_(its.detach())


def _by_dtype(pairs: list[tuple[Tensor, Tensor]]) -> Iterable[list[tuple[Tensor, Tensor]]]:
    groups: dict[Any, list[tuple[Tensor, Tensor]]] = {}
    for pair in pairs:
        groups.setdefault(pair[0].dtype, []).append(pair)
    return groups.values()


@no_grad()
def update_bn(loader: Iterable[Any], model: Module, device: Any = None) -> None:
    """Compute the running statistics of a model's batch normalisations anew, by one pass over a loader.

    Args:
        loader: of batches that the model takes, or of lists and tuples whose first element it takes.
        model: whose other parts run as in training.
        device: where batches are moved to.
    """
    layers = {module: module.momentum for module in model.modules() if isinstance(module, _BatchNorm)}
    if not layers:
        return
    was_training = model.training
    model.train()
    for layer in layers:
        layer.reset_running_stats()
        layer.momentum = None  # the plain mean over batches
    try:
        for batch in loader:
            x = batch[0] if isinstance(batch, (list, tuple)) else batch
            model(x if device is None else x.to(device))
    finally:
        for layer, momentum in layers.items():
            layer.momentum = momentum
        model.train(was_training)


# -------------------------------------------------------------------------------------------------------- learning rate


class SWALR(LRScheduler):
    """Move from the learning rate of the moment to ``swa_lr``, which then stays.

    Args:
        optimizer, last_epoch: see :class:`LRScheduler`.
        swa_lr: one for all groups, or a list.
        anneal_epochs: how many steps it takes.
        anneal_strategy: on a "cos" or "linear" curve.

    Raises:
        ValueError: for another strategy, a number of steps that is negative or no integer, or a list of another length.
    """

    def __init__(
        self, optimizer: Optimizer, swa_lr: Any, anneal_epochs: int = 10, anneal_strategy: str = "cos", last_epoch: int = -1
    ) -> None:
        for group, value in zip(optimizer.param_groups, per_group("swa_lr", optimizer, swa_lr), strict=True):
            group["swa_lr"] = value
        check_anneal_strategy(anneal_strategy)
        if not isinstance(anneal_epochs, int) or anneal_epochs < 0:
            raise ValueError(f"anneal_epochs must be equal or greater than 0, got {anneal_epochs}")
        self._anneal_strategy = anneal_strategy
        self.anneal_epochs = anneal_epochs
        super().__init__(optimizer, last_epoch)

    def _way(self, step: int) -> float:
        """The part of the way to ``swa_lr`` that is behind at a step."""
        t = max(0.0, min(1.0, step / max(1, self.anneal_epochs)))
        return t if self._anneal_strategy == "linear" else (1 - math.cos(math.pi * t)) / 2

    def _next_lr(self) -> list[Any]:
        step = self._step_count - 1
        if self.anneal_epochs == 0:
            step = max(1, step)
        before, now = self._way(step - 1), self._way(step)
        rates = []
        for group in self.optimizer.param_groups:
            end = group["swa_lr"]
            start = end if before == 1 else (group["lr"] - before * end) / (1 - before)
            rates.append(end * now + start * (1 - now))
        return rates
