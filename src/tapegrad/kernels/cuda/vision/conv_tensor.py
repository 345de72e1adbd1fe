"""Convolution and its transposes on tensor cores: as ``conv_kernels`` and ``conv_weight_kernels`` say, of other slabs.

Windows are gathered by element, since in images of any size nothing else is aligned, and go to shared memory 16 bytes at a time.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .. import language as L
from ..elements import to_computed
from ..kernel import family, from_text
from ..language import cuda, device
from ..linalg.tensor_tile import CHUNKS, KINDS, Kind, Slab, TensorTile, multiplied, scope_of, slabs_of
from . import conv_kernels, conv_weight_kernels
from .conv_kernels import head, position, results
from .conv_tile import inside, write, write_several
from .conv_weight_kernels import positions_of

TILES = {
    "large": TensorTile(128, 128, 2, 4, 1.0),
    "flat": TensorTile(64, 128, 2, 4, 0.8),
    "medium": TensorTile(64, 64, 2, 2, 0.65),
    "thin": TensorTile(32, 128, 1, 4, 0.5),
    "tiny": TensorTile(32, 32, 2, 1),  # for the simulator
}


class TensorSlabs:
    """The text that multiplies slabs on tensor cores; as ``conv_tile.Slabs``."""

    b_group = 2

    def __init__(self, tile: TensorTile, kind: Kind, chunks: bool) -> None:
        self.tile, self.kind = tile, kind
        a, self.b = slabs_of(tile, kind, True, True, True)
        self.a = a._replace(exact=not chunks)
        self.row, self.column = tile.row, tile.column

    def setup(self) -> list[str]:
        """Shared memory, the thread's place, and sums of 0."""
        both = (self.a, self.b)
        lines = [f"slab_{s.name} = cuda.shared.array({2 * s.size}, word, alignment=16)" for s in both]
        lines += ["use_a = int32(0); use_b = int32(0); into_a = int32(0); into_b = int32(0)"]
        return [*lines, *self.tile.setup(), *self.tile.sums(), *[line for s in both for line in s.setup()]]

    def loop(self, first: list[str], read: list[str], write: list[str], more: str, advance: list[str]) -> list[str]:
        """Multiply slabs while ``more`` holds, see ``conv_tile.Slabs.loop``; ``write`` is text."""
        both = (self.a, self.b)
        body = [*advance, *[f"into_{s.name} = int32(int32({s.size}) - use_{s.name})" for s in both]]
        body += [f"if {more}:", *_in(read), *multiplied(self.tile, *both), f"if {more}:", *_in(write)]
        body += [*[f"use_{s.name} = into_{s.name}" for s in both], "cuda.syncthreads()"]
        return [*first, f"if {more}:", *_in(read), *_in(write), "cuda.syncthreads()", f"while {more}:", *_in(body)]

    def chunks(self, at: str, fits: str) -> tuple[list[str], list[str], list[str]]:
        """A's rows, copied 16 bytes at a time: what is prepared once, how a slab is read, and how that ends.

        Args:
            at: where a thread's chunk of the slab's first row is, in elements, as a format of {row} and {k}, the first product of it.
            fits: whether it is there, in the same form.
        """
        lanes, down = self.kind.lanes, self.tile.threads // CHUNKS
        setup = ["a_line = int32(t >> int32(2))", f"a_k = int32((t & int32(3)) * int32({lanes}))"]
        setup.append(f"a_put = {self.a.place('a_line', '(t & int32(3))')}")
        read = []
        for r in range(-(-self.tile.rows // down)):
            place = {"row": f"(a_line + int32({r * down}))", "k": "a_k"}
            to = f"int32(into_a + a_put + int32({r * down * CHUNKS * lanes}))"
            copy = f"copy_async(slab_a, {to}, A, {at.format(**place)}, int32(int32({fits.format(**place)}) * int32({lanes})))"
            spare = (r + 1) * down > self.tile.rows  # some threads have no row
            read += [f"if a_line + {r * down} < {self.tile.rows}:", f"    {copy}"] if spare else [copy]
        return setup, [*read, "commit_copies()"], ["wait_copies()"]

    def elements(self, at: str, fits: str) -> tuple[list[str], list[str], list[str]]:
        """The same, one element at a time."""
        depth = self.kind.depth
        setup = [f"a_line = int32(t >> int32({depth.bit_length() - 1}))", f"a_k = int32(t & int32({depth - 1}))"]
        read, write = [], []
        first, places = self.spread(self.a, "a_line", "a_k")
        for r, place in enumerate(places):
            row = f"(a_line + int32({r * self.down}))"
            read.append(f"q{r} = fetch(A, {at.format(row=row, k='a_k')}, {fits.format(row=row, k='a_k')})")
            write.append(f"slab_a[{place}] = q{r}")
        return setup + first, read, write

    @property
    def down(self) -> int:
        """How many rows of a slab threads take at once, when each takes an element."""
        return self.tile.threads // self.kind.depth

    def spread(self, slab: Slab, line: str, k: str) -> tuple[list[str], list[str]]:
        """Where a thread's elements of a slab are in shared memory, of rows ``line``, ``line`` + down, ..., and what is prepared for that."""
        x, period = slab.name, max(1, 8 // self.down)  # chunks of eight rows change places alike
        setup = [f"{x}_put{r} = {slab.element(f'({line} + int32({r * self.down}))', k)}" for r in range(period)]
        step = self.down * CHUNKS * self.kind.lanes
        return setup, [
            f"int32(into_{x} + {x}_put{r % period} + int32({r // period * period * step}))" for r in range(slab.extent // self.down)
        ]


def _in(lines: list[str]) -> list[str]:
    return ["    " + line for line in lines]


def _scope(kind: str, wide: bool) -> dict[str, Any]:
    """What texts refer to: also the device functions that read an element, where there is one, as it goes to shared memory, and
    that join two.
    """
    zero, bits, round_tf32, short = getattr(L, KINDS[kind].word), L.bits_of_float32, L.round_tf32, L.uint32
    if kind == "tf32":

        @device
        def fetch(x, at, here):  # type: ignore[no-untyped-def]
            found = zero(0)
            if here:
                found = round_tf32(bits(x[at]))
            return found

    else:

        @device
        def fetch(x, at, here):  # type: ignore[no-untyped-def]
            found = zero(0)
            if here:
                found = x[at]
            return found

    @device
    def both(low, high):  # type: ignore[no-untyped-def]
        return short(low) | (short(high) << short(16))

    scope = scope_of(kind) | {"cuda": cuda, "load4": L.load4, "fetch": fetch}
    return scope | {"I": L.int64 if wide else L.int32, "both": both, "write": write, "write2": write_several(2)}


@family(
    threads=256, tile=("large", "flat", "medium", "thin"), kind=("bfloat16", "float16", "tf32"), dims=(2,), biased=(True,),
    chunks=(True, False), into=("vectors", "apart"), wide=(False,),
)  # fmt: skip
def tensor_gathered(
    tile: str, kind: str, dims: int, biased: bool, chunks: bool, into: str, wide: bool
) -> tuple[Callable[..., Any], str]:  # fmt: skip
    """``conv_kernels.gathered`` on tensor cores, of a kind of ``KINDS``.

    Args:
        chunks: whether weights can be read 16 bytes at a time.
        tile, dims, biased, into, wide: as there.
    """
    made = KINDS[kind]
    scope = _scope(kind, wide) | {"get": to_computed(made.dtype)}
    kernel = from_text(_gathered(TILES[tile], made, dims, biased, chunks, into), scope, "convolution")
    element, index = made.pointer, "int64*" if wide else "int32*"
    return kernel, f"{element} {element} {element} {element} {index} int64* {'int64 ' * 12}"


def _gathered(tile: TensorTile, kind: Kind, dims: int, biased: bool, chunks: bool, into: str) -> str:
    slabs = TensorSlabs(tile, kind, chunks)
    lines, word = head(tile, dims)
    lines = [*slabs.setup(), *lines, "A = a"]
    loads, lanes = kind.depth * tile.columns // tile.threads, kind.lanes
    shift = lanes.bit_length() - 1
    lines += [f"own_k = int32(quotient(t, int32({tile.columns})) * int32({loads}))", f"window = int32(t & int32({tile.columns - 1}))"]
    lines += position(dims, "g0", "I(column0 + window)", word)
    lines.append("table_at = I((table_at + own_k) * 4)")
    of_weights = slabs.chunks if chunks else slabs.elements
    setup, read, write = of_weights("I(weights_at + {row} * depth + k + {k})", "(row0 + {row} < many) & (k + {k} < depth)")
    lines += [*setup, "weights_at = I(I(phases[first + 2]) + group * I(group_of_a) + row0 * depth)"]
    for r in range(loads):
        read.append(f"e0, e1, e2, e3 = load4(table, I(table_at + (k + {r}) * 4))")
        read.append(f"w{r} = fetch(x, I(g0_at + e0), {inside(dims, 'g0', 'e')})")
    for q in range(loads // lanes):
        names = [f"w{q * lanes + v}" for v in range(lanes)]
        words = [f"both({names[v]}, {names[v + 1]})" for v in range(0, 8, 2)] if lanes == 8 else names
        chunk = f"((own_k >> int32({shift})) + int32({q}))"
        write.append(f"store_quad(slab_b, int32(into_b + {slabs.b.place('window', chunk)}), ({', '.join(words)}))")
    lines += slabs.loop(["k = I(0)"], read, write, "k < depth", [f"k = I(k + {kind.depth})"])
    lines += results(tile, slabs, dims, biased, into, word)
    return f"# {tile}\ndef kernel(a, x, bias, out, table, phases, {conv_kernels.PARAMETERS}):\n" + "".join(f"    {line}\n" for line in lines)


@family(
    threads=256, tile=("large", "flat", "medium", "thin"), kind=("bfloat16", "float16", "tf32"), dims=(2,), chunks=(True, False),
    parts=(True, False), wide=(False,),
)  # fmt: skip
def tensor_correlated(tile: str, kind: str, dims: int, chunks: bool, parts: bool, wide: bool) -> tuple[Callable[..., Any], str]:
    """``conv_weight_kernels.correlated`` on tensor cores, of a kind of ``KINDS``.

    Args:
        chunks: whether gradients of results can be read 16 bytes at a time.
        tile, dims, parts, wide: as there.
    """
    made = KINDS[kind]
    scope = _scope(kind, wide)
    if parts:
        scope["put"] = scope["T"]
    kernel = from_text(_correlated(TILES[tile], made, dims, chunks), scope, "convolution")
    element, index = made.pointer, "int64*" if wide else "int32*"
    return kernel, f"{element} {element} {'float32*' if parts else element} {index} {'int64 ' * 22}"


def _correlated(tile: TensorTile, kind: Kind, dims: int, chunks: bool) -> str:
    slabs = TensorSlabs(tile, kind, chunks)
    shift = kind.depth.bit_length() - 1
    lines = [*slabs.setup(), *conv_weight_kernels.head(tile, dims), "A = g"]
    lines += [f"own = int32(t >> int32({shift}))", f"own_k = int32(t & int32({kind.depth - 1}))"]
    of_rows = slabs.chunks if chunks else slabs.elements
    setup, read_rows, write = of_rows("I(g_at + {row} * in_image)", "(row0 + {row} < many) & (p + {k} < last)")
    lines += setup
    read = ["m = I(p + a_k)", "n = I(quotient(m, in_image))", "g_at = I(n * I(g_image) + (group * many + row0) * in_image + m - n * in_image)"]
    read += [*read_rows, *positions_of(dims), "if m >= last:", f"    i_w = I({conv_kernels.OUTSIDE})"]
    first, places = slabs.spread(slabs.b, "own", "own_k")
    lines += [*first, "table_at = I((column0 + own) * 4)"]
    for r, place in enumerate(places):
        read += [f"e0, e1, e2, e3 = load4(table, I(table_at + {r * slabs.down * 4}))"]
        read += [f"b{r} = fetch(x, I(x_at + e0), {inside(dims, 'i', 'e')})"]
        write.append(f"slab_b[{place}] = b{r}")
    lines += slabs.loop([], read, write, "p < last", [f"p += {kind.depth}"])
    lines += ["start = int64(cuda.blockIdx.y) * of_share + int64(group) * rows * columns"]
    for j in range(tile.column_count):
        lines += [f"to{j} = int64(column0 + {tile.column(j)})", f"here{j} = to{j} < columns"]
    for i in range(tile.row_count):
        lines += [f"row = int64(row0 + {tile.row(i)})", "here = row < rows", "at = start + row * columns"]
        lines += [f"write(out, at + to{j}, here & here{j}, put(c{i}_{j}))" for j in range(tile.column_count)]
    return f"# {tile}\ndef kernel(g, x, out, table, {conv_weight_kernels.PARAMETERS}):\n" + "".join(f"    {line}\n" for line in lines)
