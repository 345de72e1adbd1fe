"""Tables of vectors that integers look up: one by one, or in bags."""

from __future__ import annotations

from typing import Any, ClassVar, TypeVar

from ...modes import no_grad
from ...ops.create import empty
from ...tensor import Tensor
from .. import functional as F, init
from ..parameter import Parameter
from .layer import Layer
from .utils import check_sizes

__all__ = ["Embedding", "EmbeddingBag"]

T = TypeVar("T", bound="_Table")


class _Table(Layer):
    """What both hold: ``weight``, of shape (num_embeddings, embedding_dim), and a row that is no entry."""

    _shown = "{num_embeddings}, {embedding_dim}"

    def __init__(
        self, num_embeddings: int, embedding_dim: int, padding_idx: int | None, _weight: Tensor | None, trained: bool, device: Any, dtype: Any
    ) -> None:
        super().__init__()
        check_sizes(type(self).__name__, num_embeddings=num_embeddings, embedding_dim=embedding_dim)
        self.num_embeddings = num_embeddings
        self.embedding_dim = embedding_dim
        if padding_idx is not None:
            if not -num_embeddings <= padding_idx < num_embeddings:
                raise ValueError(
                    f"{type(self).__name__}: padding_idx must be within num_embeddings: {padding_idx} is not among {num_embeddings} rows"
                )
            padding_idx %= num_embeddings
        self.padding_idx = padding_idx
        if _weight is None:
            self.weight = Parameter(empty(num_embeddings, embedding_dim, device=device, dtype=dtype), requires_grad=trained)
            self.reset_parameters()
        else:
            if tuple(_weight.shape) != (num_embeddings, embedding_dim):
                raise ValueError(
                    f"{type(self).__name__}: the weight's shape {tuple(_weight.shape)} does not match num_embeddings and embedding_dim, "
                    f"{(num_embeddings, embedding_dim)}"
                )
            self.weight = Parameter(_weight, requires_grad=trained)

    def reset_parameters(self) -> None:
        """Draw new starting values."""
        init.normal_(self.weight)
        self._fill_padding_idx_with_zero()

    def _fill_padding_idx_with_zero(self) -> None:
        if self.padding_idx is not None:
            with no_grad():
                self.weight[self.padding_idx].fill_(0)

    @classmethod
    def _from(cls: type[T], embeddings: Tensor, freeze: bool, **options: Any) -> T:
        if embeddings.ndim != 2:
            raise ValueError(f"{cls.__name__}: embeddings parameter is expected to be 2-dimensional, got shape {tuple(embeddings.shape)}")
        rows, size = embeddings.shape
        make: Any = cls
        table: T = make(rows, size, _weight=embeddings, **options)
        table.weight.requires_grad_(not freeze)
        return table


class Embedding(_Table):
    """Rows of a table: integers of any shape (...) -> (..., embedding_dim).

    Args:
        num_embeddings: the number of rows.
        embedding_dim: the size of each.
        padding_idx: a row that is 0 at first and gets no gradient.
        max_norm: rows that are looked up are first scaled, in place, to at most this norm.
        norm_type: the p of that norm.
        scale_grad_by_freq: divide gradients by how often a row occurs in the input.
        sparse: accepted; gradients are dense.
        _weight: the table, instead of a new one.
        _freeze: whether the table is not trained.

    Attributes:
        weight: shape (num_embeddings, embedding_dim), standard normal at first.

    Raises:
        ValueError: when ``padding_idx`` is not a row, or the table that is given has another shape.
    """

    _shown_unless: ClassVar[dict[str, Any]] = {
        "padding_idx": None,
        "max_norm": None,
        "norm_type": 2,
        "scale_grad_by_freq": False,
        "sparse": False,
    }

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        padding_idx: int | None = None,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        sparse: bool = False,
        _weight: Tensor | None = None,
        _freeze: bool = False,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(num_embeddings, embedding_dim, padding_idx, _weight, not _freeze, device, dtype)
        self.max_norm = max_norm
        self.norm_type = norm_type
        self.scale_grad_by_freq = scale_grad_by_freq
        self.sparse = sparse

    def forward(self, input: Tensor) -> Tensor:
        return F.embedding(input, self.weight, self.padding_idx, self.max_norm, self.norm_type, self.scale_grad_by_freq)

    @classmethod
    def from_pretrained(
        cls,
        embeddings: Tensor,
        freeze: bool = True,
        padding_idx: int | None = None,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        sparse: bool = False,
    ) -> Embedding:
        """A layer with the rows of a matrix (shared, not copied), which are not trained if ``freeze``.

        Raises:
            ValueError: when ``embeddings`` is not 2-dimensional.
        """
        return cls._from(
            embeddings,
            freeze,
            padding_idx=padding_idx,
            max_norm=max_norm,
            norm_type=norm_type,
            scale_grad_by_freq=scale_grad_by_freq,
            sparse=sparse,
        )


class EmbeddingBag(_Table):
    """Sums, means or maxima of rows of a table, over bags of integers: (b, l), or (l) cut at ``offsets`` (b), -> (b, embedding_dim).

    Args:
        mode: "sum", "mean" or "max" of the rows of a bag.
        include_last_offset: whether the last offset is the end of the last bag, as in a CSR matrix.
        padding_idx: a row that bags leave out.
        num_embeddings, embedding_dim, max_norm, norm_type, scale_grad_by_freq, sparse: as in :class:`Embedding`.

    Attributes:
        weight: shape (num_embeddings, embedding_dim), standard normal at first.

    Raises:
        ValueError: when ``padding_idx`` is not a row, or the table that is given has another shape.
    """

    _shown_unless: ClassVar[dict[str, Any]] = {
        "max_norm": None,
        "norm_type": 2,
        "scale_grad_by_freq": False,
        "mode!r": None,  # always shown
        "padding_idx": None,
    }

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        mode: str = "mean",
        sparse: bool = False,
        _weight: Tensor | None = None,
        include_last_offset: bool = False,
        padding_idx: int | None = None,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(num_embeddings, embedding_dim, padding_idx, _weight, True, device, dtype)
        self.max_norm = max_norm
        self.norm_type = norm_type
        self.scale_grad_by_freq = scale_grad_by_freq
        self.mode = mode
        self.sparse = sparse
        self.include_last_offset = include_last_offset

    def forward(self, input: Tensor, offsets: Tensor | None = None, per_sample_weights: Tensor | None = None) -> Tensor:
        return F.embedding_bag(
            input,
            self.weight,
            offsets,
            self.max_norm,
            self.norm_type,
            self.scale_grad_by_freq,
            self.mode,
            per_sample_weights=per_sample_weights,
            include_last_offset=self.include_last_offset,
            padding_idx=self.padding_idx,
        )

    @classmethod
    def from_pretrained(
        cls,
        embeddings: Tensor,
        freeze: bool = True,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        mode: str = "mean",
        sparse: bool = False,
        include_last_offset: bool = False,
        padding_idx: int | None = None,
    ) -> EmbeddingBag:
        """A layer with the rows of a matrix (shared, not copied), which are not trained if ``freeze``.

        Raises:
            ValueError: when ``embeddings`` is not 2-dimensional.
        """
        return cls._from(
            embeddings,
            freeze,
            max_norm=max_norm,
            norm_type=norm_type,
            scale_grad_by_freq=scale_grad_by_freq,
            mode=mode,
            sparse=sparse,
            include_last_offset=include_last_offset,
            padding_idx=padding_idx,
        )
