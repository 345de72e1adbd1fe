"""What the tape is made of: entries, their outputs, and leaves.

An edge is the object that a gradient flows to: the :class:`Entry` of the operation that made a tensor, an :class:`Output` of an
entry with several outputs, or a :class:`Leaf`. Edges hold no tensors, so an entry lives only as long as a tensor that it made
or an entry that uses it.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from typing import Any

from .storage import Storage, tick
from .tensor import Tensor


class Packed:
    """What a saved-tensor hook made of a saved value."""

    __slots__ = ("dtype", "shape", "value")

    def __init__(self, value: Any, shape: tuple[int, ...], dtype: Any) -> None:
        self.value = value
        self.shape = shape
        self.dtype = dtype

    def unpack(self, hook: Callable[[Any], Any], name: str) -> Any:
        """The array again.

        Raises:
            TypeError, RuntimeError: when the hook returns something else than a tensor like the one packed.
        """
        tensor = hook(self.value)
        if not isinstance(tensor, Tensor):
            raise TypeError(f"{name}: the unpack hook must return a Tensor, got {type(tensor).__name__}")
        array = tensor._array
        if array.shape != self.shape or array.dtype != self.dtype:
            raise RuntimeError(
                f"{name}: the unpack hook must return a tensor of the shape and dtype that was packed, {tuple(self.shape)} and "
                f"{self.dtype}; got {tuple(array.shape)} and {array.dtype}"
            )
        return array


class Extra:
    """What few edges have, kept out of the others: hooks, a tensor that retains its gradient, a source line, and so on."""

    __slots__ = ("checksums", "fix", "hooks", "line", "post_hooks", "retained", "unpack")

    def __init__(self) -> None:
        self.hooks: dict[int, Callable[[Tensor], Tensor | None]] = {}
        self.post_hooks: dict[int, Callable[[Tensor], None]] = {}
        self.retained: weakref.ref[Tensor] | None = None
        self.line = ""
        # per edge: the (shape, dtype) that its gradient must be reduced and cast to, or None
        self.fix: tuple[tuple[tuple[int, ...], Any] | None, ...] | None = None
        self.unpack: Callable[[Any], Any] | None = None
        self.checksums: tuple[int, ...] | None = None


class Edge:
    """Where a gradient flows to. ``shape`` and ``dtype`` (NumPy's) are those of the value, and so of its gradient."""

    __slots__ = ("__weakref__", "dtype", "extra", "seq", "shape")
    is_leaf = False
    seq: int
    shape: tuple[int, ...]
    dtype: Any
    extra: Extra | None

    def more(self) -> Extra:
        """The rarely needed part, made on demand."""
        if self.extra is None:
            self.extra = Extra()
        return self.extra

    def name(self) -> str:
        raise NotImplementedError


class Entry(Edge):
    """One recorded operation.

    Attributes:
        seq: its place in the process-wide order.
        op: how to differentiate it (a plan made by the registry; see ``plan.Plan``).
        edges: per input, where its gradient flows to, or None where none is needed.
        saved: the values its derivative needs, or FREED after a backward pass.
        cells: per saved value, the storage whose version must not have moved, or None.
    """

    __slots__ = ("cells", "edges", "op", "saved")
    op: Any
    edges: tuple[Edge | None, ...]
    saved: Any
    cells: tuple[Storage | None, ...]

    def name(self) -> str:
        """The operation's name as PyTorch spells it, ``MulBackward0``."""
        return "".join(part[:1].upper() + part[1:] for part in self.op.name.split("_")) + "Backward0"

    @property
    def next_functions(self) -> tuple[tuple[Any, int], ...]:
        """(entry or leaf, output index) of every input, as PyTorch's ``grad_fn.next_functions``."""
        return tuple((e.entry, e.index) if isinstance(e, Output) else (e, 0) for e in self.edges)

    def __repr__(self) -> str:
        return f"<{self.name()} #{self.seq}>"


ENTRY_SLOTS = ("seq", "op", "edges", "saved", "cells", "shape", "dtype", "extra")  # that a new entry has set
CALL_SLOTS = (*ENTRY_SLOTS[:-1], "params", "outputs", "extra")


class Call(Entry):
    """An entry with keyword metadata.

    Attributes:
        outputs: how many there are when there are several, else 0.
        kinds: per output of several, its shape and dtype, or None for one that has no gradient.
    """

    __slots__ = ("_made", "kinds", "outputs", "params")
    params: dict[str, Any]
    outputs: int
    kinds: Sequence[tuple[tuple[int, ...], Any] | None]
    _made: dict[int, weakref.ref[Output]]

    def split(self, kinds: Sequence[tuple[tuple[int, ...], Any] | None]) -> None:
        """Have several outputs."""
        self.outputs, self.kinds, self._made = len(kinds), kinds, {}

    def output(self, index: int) -> Output | None:
        """The edge of one of several outputs, the same one as long as anybody uses it; None where there is no gradient."""
        kind = self.kinds[index]
        if kind is None:
            return None
        ref = self._made.get(index)
        edge = None if ref is None else ref()
        if edge is None:
            edge = Output(self, index, *kind)
            self._made[index] = weakref.ref(edge)
        return edge


class Output(Edge):
    """One output of an entry that has several."""

    __slots__ = ("entry", "index")

    def __init__(self, entry: Call, index: int, shape: tuple[int, ...], dtype: Any) -> None:
        self.seq = tick()
        self.entry = entry
        self.index = index
        self.shape = shape
        self.dtype = dtype
        self.extra = None

    def name(self) -> str:
        """The operation's name as PyTorch spells it."""
        return self.entry.name()

    @property
    def next_functions(self) -> tuple[tuple[Any, int], ...]:
        return self.entry.next_functions


class Leaf(Edge):
    """Where the gradient of a tensor that requires grad is accumulated. It does not keep the tensor alive."""

    __slots__ = ("tensor",)
    is_leaf = True

    def __init__(self, tensor: Tensor) -> None:
        self.seq = 0
        self.tensor = weakref.ref(tensor)
        self.shape = tensor._array.shape
        self.dtype = tensor._array.dtype
        self.extra = None

    def name(self) -> str:
        return "AccumulateGrad"

    @property
    def next_functions(self) -> tuple[()]:
        return ()

    @property
    def variable(self) -> Tensor | None:
        """The leaf tensor, while it lives."""
        return self.tensor()

    def __repr__(self) -> str:
        return "<AccumulateGrad>"


class _Freed:
    def __repr__(self) -> str:
        return "<freed by backward>"


FREED: Any = _Freed()
