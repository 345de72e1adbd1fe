"""Adaptive softmax: many classes, the frequent ones cheaper (Grave et al., https://arxiv.org/abs/1609.04309)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from ...ops.shape.join import cat
from ...tensor import Tensor
from .. import functional as F
from .container import ModuleList, Sequential
from .linear import Linear
from .module import Module

__all__ = ["AdaptiveLogSoftmaxWithLoss"]


class ASMoutput(NamedTuple):
    """What :class:`AdaptiveLogSoftmaxWithLoss` returns: the targets' log-probabilities (n,), and minus their mean."""

    output: Tensor
    loss: Tensor


class AdaptiveLogSoftmaxWithLoss(Module):
    """Log-probabilities of classes sorted by falling frequency: input (n, in_features) or (in_features), target (n) or ().

    The first ``cutoffs[0]`` classes are in the head, beside one entry for each further cluster of classes. Cluster i is reached through
    ``in_features / div_value^(i + 1)`` features.

    Args:
        in_features: the size of the input.
        n_classes: the number of classes.
        cutoffs: where clusters begin: increasing, below ``n_classes``.
        div_value: by what the features are reduced for each cluster.
        head_bias: whether the head has a bias.

    Attributes:
        head: a Linear of in_features to cutoffs[0] + number of clusters.
        tail: for each cluster, a Sequential of two Linears without bias.

    Raises:
        ValueError: for cutoffs that are no increasing positive integers below ``n_classes``.
    """

    def __init__(
        self,
        in_features: int,
        n_classes: int,
        cutoffs: Sequence[int],
        div_value: float = 4.0,
        head_bias: bool = False,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        given = list(cutoffs)
        if not given:
            raise ValueError("AdaptiveLogSoftmaxWithLoss: cutoffs should be a sequence of length larger than 0")
        if given != sorted(set(given)) or min(given) <= 0 or max(given) > n_classes - 1 or any(int(c) != c for c in given):
            raise ValueError(
                "AdaptiveLogSoftmaxWithLoss: cutoffs should be a sequence of unique, positive integers sorted in an increasing order, "
                f"where each value is between 1 and n_classes-1; got {given} for {n_classes} classes"
            )
        self.in_features = in_features
        self.n_classes = n_classes
        self.cutoffs = [*given, n_classes]
        self.div_value = div_value
        self.head_bias = head_bias
        self.shortlist_size = given[0]
        self.n_clusters = len(given)
        self.head_size = self.shortlist_size + self.n_clusters
        self.head = Linear(in_features, self.head_size, bias=head_bias, device=device, dtype=dtype)
        self.tail = ModuleList()
        for i, (low, high) in enumerate(zip(self.cutoffs, self.cutoffs[1:], strict=False)):
            hidden = int(in_features // div_value ** (i + 1))
            self.tail.append(
                Sequential(
                    Linear(in_features, hidden, bias=False, device=device, dtype=dtype),
                    Linear(hidden, high - low, bias=False, device=device, dtype=dtype),
                )
            )

    def reset_parameters(self) -> None:
        """Draw new starting values."""
        self.head.reset_parameters()
        for first, second in self.tail:  # type: ignore[attr-defined]
            first.reset_parameters()
            second.reset_parameters()

    def forward(self, input_: Tensor, target_: Tensor) -> ASMoutput:
        """The log-probability of each target, and minus their mean.

        Raises:
            RuntimeError: when shapes don't fit, or a target is no class.
        """
        batched = target_.ndim == 1
        if target_.ndim > 1 or input_.ndim != target_.ndim + 1 or (batched and input_.shape[0] != target_.shape[0]):
            raise RuntimeError(
                "AdaptiveLogSoftmaxWithLoss: input and target should have the same size in the batch dimension, (n, in_features) and (n) "
                f"or (in_features) and (), got {tuple(input_.shape)} and {tuple(target_.shape)}"
            )
        input, target = (input_, target_) if batched else (input_.unsqueeze(0), target_.unsqueeze(0))
        if target.numel():
            lowest, highest = int(target.min()), int(target.max())
            if lowest < 0 or highest >= self.n_classes:
                raise RuntimeError(
                    f"AdaptiveLogSoftmaxWithLoss: target values should be in [0, {self.n_classes - 1}], "
                    f"but they are in [{lowest}, {highest}]"
                )
        # Which entry of the head leads to the target, and the log-probability within the target's cluster, if it is in one.
        entry, within = target, input.new_zeros(target.shape[0])
        for i, (low, high) in enumerate(zip(self.cutoffs, self.cutoffs[1:], strict=False)):
            rows = (target.ge(low) & target.lt(high)).nonzero().squeeze(1)
            if rows.numel():
                entry = entry.index_fill(0, rows, self.shortlist_size + i)
                cluster = F.log_softmax(self.tail[i](input.index_select(0, rows)), 1)
                local = cluster.gather(1, (target.index_select(0, rows) - low).unsqueeze(1)).squeeze(1)
                within = within + input.new_zeros(target.shape[0]).index_copy(0, rows, local)
        output = F.log_softmax(self.head(input), 1).gather(1, entry.unsqueeze(1)).squeeze(1) + within
        loss = (-output).mean()
        return ASMoutput(output if batched else output.squeeze(0), loss)

    def _get_full_log_prob(self, input: Tensor, head_output: Tensor) -> Tensor:
        """The log-probabilities of all classes, from the head's output."""
        head = F.log_softmax(head_output, 1)
        parts = [head[:, : self.shortlist_size]]
        for i, cluster in enumerate(self.tail):
            parts.append(F.log_softmax(cluster(input), 1) + head[:, self.shortlist_size + i].unsqueeze(1))
        return cat(parts, 1)

    def log_prob(self, input: Tensor) -> Tensor:
        """The log-probabilities of all classes: (n, in_features) -> (n, n_classes)."""
        return self._get_full_log_prob(input, self.head(input))

    def predict(self, input: Tensor) -> Tensor:
        """The most probable class of each row, computing the clusters only of rows that lead there: (n, in_features) -> (n)."""
        head_output = self.head(input)
        best = head_output.argmax(1)
        rows = (best >= self.shortlist_size).nonzero().squeeze(1)
        if not rows.numel():
            return best
        return best.index_copy(0, rows, self._get_full_log_prob(input.index_select(0, rows), head_output.index_select(0, rows)).argmax(1))
