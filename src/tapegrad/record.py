"""Showing the tape: what a root was made of, and everything that a region of code did."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from .graph import FREED, Leaf, Output, Packed
from .modes import listening
from .observing import source_line
from .sweep import reachable
from .tensor import Tensor


class Row(NamedTuple):
    """One operation of a tape.

    Attributes:
        index: its line in the table.
        op: its name.
        inputs: per input, the index of the row that made it, or a description of the leaf or constant.
        shape, dtype: of its (first) output.
        saved: bytes kept for backward.
        line: "file:line" of the call, where it was noted (inside ``record()`` or anomaly mode).
    """

    index: int  # type: ignore[assignment]  # instead of tuple.index
    op: str
    inputs: tuple[str, ...]
    shape: tuple[int, ...]
    dtype: str
    saved: int
    line: str


class Recording(Sequence[Row]):
    """A list of operations, oldest first, that prints as a table."""

    def __init__(self, rows: Sequence[Row] = ()) -> None:
        self._rows = list(rows)

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[Row]:
        return iter(self._rows)

    def __getitem__(self, index: Any) -> Any:
        return self._rows[index]

    @property
    def saved(self) -> int:
        """Bytes kept for backward, counted per operation that keeps them."""
        return sum(row.saved for row in self._rows)

    def __repr__(self) -> str:
        head = ("#", "op", "inputs", "shape", "dtype", "saved", "line")
        cells = [head] + [
            (str(r.index), r.op, ", ".join(r.inputs), str(r.shape), r.dtype, readable_bytes(r.saved), r.line) for r in self._rows
        ]
        widths = [max(len(row[i]) for row in cells) for i in range(len(head))]
        right = {0, 5}
        lines = ["  ".join(c.rjust(w) if i in right else c.ljust(w) for i, (c, w) in enumerate(zip(row, widths, strict=True))).rstrip() for row in cells]
        return "\n".join(lines)


def readable_bytes(n: int) -> str:
    """A number of bytes with its unit."""
    for unit in ("B", "KiB", "MiB"):
        if n < 1024:
            return f"{n:.0f} {unit}" if unit == "B" else f"{n:.1f} {unit}"
        n = n / 1024  # type: ignore[assignment]
    return f"{n:.1f} GiB"


def saved_values(entry: Any) -> list[Any]:
    """What an entry keeps for backward, each once: arrays, what hooks packed, and values without memory of note."""
    if entry.saved is FREED:
        return []
    kept = {id(v): v for value in entry.saved for v in (value if isinstance(value, tuple) else (value,))}
    return [v.value if isinstance(v, Packed) else v for v in kept.values()]


def _saved_bytes(entry: Any) -> int:
    return sum(int(getattr(v, "nbytes", 0)) for v in saved_values(entry))


def tape_of(root: Tensor) -> Recording:
    """The recorded operations that ``root`` was made by, oldest first.

    >>> import tapegrad as tg
    >>> x = tg.tensor([1.0, 2.0], requires_grad=True)
    >>> print((x * x).sum().tape())
    #  op   inputs              shape  dtype    saved  line
    0  mul  leaf(2,), leaf(2,)  (2,)   float32    8 B
    1  sum  #0                  ()     float32    0 B

    Raises:
        RuntimeError: when it does not require grad.
    """
    if root._entry is None:
        raise RuntimeError("tape(): the tensor does not require grad, so no tape leads to it")
    entries = [e for e in reversed(reachable([root._entry])) if not e.is_leaf and type(e) is not Output]
    number = {e: i for i, e in enumerate(entries)}
    rows = []
    for e, i in number.items():
        inputs = []
        for edge in e.edges:
            if edge is None:
                inputs.append("const")
            elif isinstance(edge, Output):
                inputs.append(f"#{number[edge.entry]}[{edge.index}]")
            else:
                inputs.append(f"leaf{tuple(edge.shape)}" if isinstance(edge, Leaf) else f"#{number[edge]}")
        line = "" if e.extra is None else e.extra.line
        rows.append(Row(i, e.op.name, tuple(inputs), tuple(e.shape), str(e.dtype), _saved_bytes(e), line))
    return Recording(rows)


class _Recorder(Recording):
    """A recording that grows while its region runs. It keeps every tensor of the region alive."""

    def __init__(self) -> None:
        super().__init__()
        self._made: dict[int, int] = {}
        self._alive: list[Any] = []

    def operation(self, op: Any, inputs: tuple[Any, ...], params: dict[str, Any], outputs: tuple[Any, ...]) -> None:
        described = tuple(self._describe(x) for x in inputs if x is not None)
        index = len(self._rows)
        first = outputs[0]
        entry = first._entry
        entry = entry.entry if isinstance(entry, Output) else entry
        saved = 0 if entry is None or entry.is_leaf else _saved_bytes(entry)
        name = getattr(op, "name", None) or op.__name__
        if params.get("in_place"):
            name += "_"
        line = source_line()
        self._rows.append(Row(index, name, described, tuple(first._array.shape), first.dtype.name, saved, line))
        for output in outputs:
            self._made[id(output)] = index
        self._alive += [*inputs, *outputs]

    def _describe(self, value: Any) -> str:
        if not isinstance(value, Tensor):
            return repr(value)
        if id(value) in self._made:
            return f"#{self._made[id(value)]}"
        kind = "leaf" if value._entry is not None and value.is_leaf else "const"
        return f"{kind}{tuple(value._array.shape)}"


class record:
    """Keep every operation of a region: ``with tg.record() as tape: ...; print(tape)``.

    >>> import tapegrad as tg
    >>> x = tg.tensor([1.0, 2.0], requires_grad=True)
    >>> with tg.record() as tape:
    ...     y = (2 * x).exp().sum()
    >>> [(row.op, row.inputs) for row in tape]
    [('mul', ('2', 'leaf(2,)')), ('exp', ('#0',)), ('sum', ('#1',))]
    """

    def __enter__(self) -> Recording:
        self._recorder = _Recorder()
        self._listening = listening(self._recorder)
        self._listening.__enter__()
        return self._recorder

    def __exit__(self, *exc: Any) -> None:
        self._listening.__exit__(*exc)


Tensor.tape = tape_of  # type: ignore[attr-defined]
