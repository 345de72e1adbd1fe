"""What kernels over rows share: pieces of their text, and reductions over the threads that work on one row, their team.

A team of 1 to 32 threads is a part of a warp; a larger one is a whole block. All threads of a warp (of a block) reduce together.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

from .. import language as L
from ..elements import computed, stored, to_computed, to_stored, type_of
from ..kernel import from_text
from ..language import cuda, device

WARP = 32
NAMES = ("load2", "load4", "load8", "load16", "store2", "store4", "store8", "store16", "int32", "int64", "exp", "log", "sqrt", "INF", "cuda")


def scope_of(dtype: str, **more: Any) -> dict[str, Any]:
    """The names that generated text uses: T (what is computed in), get and put (from and to memory), and those of the language."""
    return {name: getattr(L, name) for name in NAMES} | {"T": type_of(dtype), "get": to_computed(dtype), "put": to_stored(dtype)} | more


def lines(level: int, *parts: str) -> str:
    """Statements, each line indented by ``level`` steps."""
    return "\n".join("    " * level + line for part in parts for line in part.splitlines())


def tree(terms: Sequence[str], operation: str = "({} + {})") -> str:
    """An expression that joins terms pairwise."""
    joined = list(terms)
    while len(joined) > 1:
        pairs = [operation.format(a, b) for a, b in zip(joined[::2], joined[1::2], strict=False)]
        joined = pairs + ([joined[-1]] if len(joined) % 2 else [])
    return joined[0]


def largest(names: Sequence[str]) -> str:
    """Statements that leave the largest of some variables in ``most``; NaN counts for nothing beside a number."""
    return "\n".join([f"most = {names[0]}", *[f"most = {x} if {x} > most else most" for x in names[1:]]])


def loads(names: Sequence[str], pointer: str, place: str, width: int, get: str = "get") -> str:
    """Statements that read neighbouring elements to variables."""
    if width == 1:
        return f"{names[0]} = {get}({pointer}[{place}])"
    return "\n".join([f"v = load{width}({pointer}, {place})", *[f"{x} = {get}(v[{j}])" for j, x in enumerate(names)]])


def stores(values: Sequence[str], pointer: str, place: str, width: int) -> str:
    """A statement that writes neighbouring elements."""
    if width == 1:
        return f"{pointer}[{place}] = put({values[0]})"
    return f"store{width}({pointer}, {place}, ({', '.join(f'put({x})' for x in values)}))"


@functools.cache
def team_sum(dtype: str, team: int) -> Any:
    """A device function (value, scratch): the sum over a team, the same bits in each of its threads; ``scratch`` is a shared array."""
    return _reduction(dtype, team, "total = total + other", "T(0)")


@functools.cache
def team_max(dtype: str, team: int) -> Any:
    """A device function (value, scratch): the largest of a team's; NaN counts for nothing beside a number."""
    return _reduction(dtype, team, "total = other if other > total else total", "-T(INF)")


def _reduction(dtype: str, team: int, join: str, start: str) -> Any:
    warp = [f"other = cuda.shfl_xor_sync(0xFFFFFFFF, total, {k})\n{join}" for k in (16, 8, 4, 2, 1) if k < team]
    block = ""
    if team > WARP:
        each = [f"other = scratch[{k}]\n{join}" for k in range(team // WARP)]
        block = "\n".join([
            "cuda.syncthreads()",  # what was read from scratch before is read
            "if cuda.threadIdx.x % 32 == 0:",
            "    scratch[cuda.threadIdx.x // 32] = total",
            "cuda.syncthreads()",
            f"total = {start}",
            *each,
        ])  # fmt: skip
    text = f"def reduce(total, scratch):\n{lines(1, *warp, block)}\n    return total\n"
    return device(from_text(text, {"cuda": cuda, "T": type_of(dtype), "INF": L.INF}, "reduction of a team", "reduce"))


def over_rows(parameters: str, team: int, width: int, *body: str) -> str:
    """The text of a kernel in which teams go over ``rows`` rows of ``n`` elements, a thread beginning with the vector at ``lane`` of its row.

    The body's statements know ``row``, and ``row_read``, the last row for those that have none; ``at``, where the thread begins; and
    ``scratch`` for the functions of a team.
    """
    return f"""
def kernel({parameters}):
    scratch = cuda.shared.array(32, T)
    thread = int64(cuda.threadIdx.x)
    each = int64(cuda.blockDim.x) // {team}
    first = int64(cuda.blockIdx.x) * each
    lane = thread % {team} * {width}
    while first < rows:
        row = first + thread // {team}
        row_read = row if row < rows else rows - 1
        at = row_read * n + lane
{lines(2, *body)}
        first += int64(cuda.gridDim.x) * each
"""


def of(dtype: str) -> str:
    """The type of a pointer to elements."""
    return f"{stored(dtype)}*"


def wide(dtype: str) -> str:
    """The type of a pointer to what is kept in the precision of the computation."""
    return f"{computed(dtype)}*"


def number(dtype: str) -> str:
    """The type of a number in the precision of the computation."""
    return computed(dtype)
