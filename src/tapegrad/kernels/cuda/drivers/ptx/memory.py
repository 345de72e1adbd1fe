"""The memory that a kernel sees: of the device, of each block and of each thread, with every access checked for its place and alignment."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .syntax import Variable

u8, i8 = np.uint64, np.int64
Lanes = Any  # the threads that are there: their numbers, or None for all
SHARED, LOCAL = 1 << 56, 1 << 57  # where generic addresses of these spaces begin
_FIRST = 1024  # the lowest address of shared and local memory, so that a null pointer is none
_RESERVED = 48 << 10
_WARP = 32
_UNSET = np.uint16(0xFFF5)  # what memory and registers hold first: NaN of every width, and large as integers


def unset(size: int) -> np.ndarray[Any, Any]:
    """Bytes that nobody has written."""
    return np.full((size + 7) // 8 * 4, _UNSET, np.uint16).view(np.uint8)


class Memory:
    """Of the blocks that run together.

    Args:
        bytes_at: of an address on the device, the memory that has it and the offset there.
        constants: variable -> its address on the device.
        block_of: of each thread, the number of its block.
        dynamic: bytes of shared memory that the launch asked for.
    """

    def __init__(
        self, bytes_at: Callable[[int], tuple[Any, int]], constants: dict[str, int], variables: dict[str, Variable], block_of: Any, dynamic: int
    ) -> None:
        self._bytes_at = bytes_at
        self._addresses = {name: u8(address) for name, address in constants.items()}
        sizes = {"shared": _FIRST, "local": _FIRST}
        for name, variable in sorted(variables.items(), key=lambda item: item[1].dynamic):
            if variable.space in sizes:
                start = -(-sizes[variable.space] // variable.alignment) * variable.alignment
                self._addresses[name] = u8(start)
                sizes[variable.space] = start + (dynamic if variable.dynamic else variable.size)
        self.static = sizes["shared"] - _FIRST - dynamic * any(v.dynamic for v in variables.values())
        if self.static > _RESERVED:
            raise RuntimeError(f"{self.static} bytes of static shared memory: a kernel may have {_RESERVED}")
        self._threads = len(block_of)
        self._sizes = {name: size - _FIRST for name, size in sizes.items()}
        shared, local = ((self._sizes[name] + 15) // 16 * 16 for name in ("shared", "local"))
        blocks = int(block_of[-1]) + 1
        self._room = {"shared": unset(blocks * shared), "local": unset(self._threads * local)}
        self._start = {"shared": block_of * shared - _FIRST, "local": np.arange(self._threads) * local - _FIRST}
        self._later: dict[int, list[list[tuple[Any, ...]]]] = {}  # of each warp, groups of copies that have not arrived

    def address(self, name: str) -> Any:
        """The address of a variable in its space."""
        return self._addresses[name]

    def to_generic(self, address: Any, space: str) -> Any:
        return address + u8({"shared": SHARED, "local": LOCAL}.get(space, 0))

    def of_generic(self, address: Any, space: str) -> Any:
        return address - u8({"shared": SHARED, "local": LOCAL}.get(space, 0))

    # ---------------------------------------------------------------------------------------------------------- accesses

    def load(self, space: str, address: Any, dtype: Any, count: int, lanes: Lanes) -> Any:
        """An element of each thread, or of a vector a tuple of them."""
        size = np.dtype(dtype).itemsize
        if space in ("global", "const") and address.ndim == 0:
            memory, first = self._one(int(address), size * count, dtype)
            return memory[first] if count == 1 else tuple(memory[first : first + count])
        parts = self._parts(space, address, size * count, dtype, lanes)
        if len(parts) == 1:
            _, memory, first = parts[0]
            return memory[first] if count == 1 else tuple([memory[first + k] for k in range(count)])
        found = np.empty((count, self._number(lanes)), dtype)
        for at, memory, first in parts:
            for k in range(count):
                found[k, at] = memory[first + k]
        return found[0] if count == 1 else tuple(found)

    def store(self, space: str, address: Any, dtype: Any, values: Sequence[Any], lanes: Lanes) -> None:
        """Elements of each thread; where several write to a place, one of them does."""
        size = np.dtype(dtype).itemsize
        for at, memory, first in self._parts(space, address, size * len(values), dtype, lanes):
            for k, value in enumerate(values):
                memory[first + k] = value[at] if value.ndim and at is not None else value

    def _number(self, lanes: Lanes) -> int:
        return self._threads if lanes is None else len(lanes)

    def _parts(self, space: str, address: Any, size: int, dtype: Any, lanes: Lanes) -> list[tuple[Any, Any, Any]]:
        """Memory by memory: which of the threads (None: all), the memory as elements, and the places of theirs in it."""
        if address.ndim == 0:
            address = np.full(self._number(lanes), address)
        if np.bitwise_or.reduce(address) & u8(size - 1):
            raise RuntimeError(f"an access of {size} bytes to {space} memory at {_odd(address, size):#x} is not aligned")
        if space in ("shared", "local"):
            return [(None, *self._own(space, address, size, dtype, lanes))]
        low, high = int(address.min()), int(address.max())
        if space == "generic" and low < 1 << 58:
            parts = []
            for name, start, stop in (("local", LOCAL, 1 << 58), ("shared", SHARED, LOCAL), ("global", 1 << 58, 1 << 64)):
                at = np.flatnonzero((address >= u8(start)) & (address <= u8(stop - 1)))
                if len(at):
                    inside = self.of_generic(address[at], name)
                    those = at if lanes is None else lanes[at]
                    for part, memory, first in self._parts(name, inside, size, dtype, those):
                        parts.append((at if part is None else at[part], memory, first))
            if sum(len(at) for at, _, _ in parts) < len(address):
                raise RuntimeError(f"an access of {size} bytes at address {low:#x}, where no memory is")
            return parts
        memory, first = self._one(low, size, dtype)
        if high - low <= memory.nbytes - first * memory.itemsize - size:
            return [(None, memory, ((address - u8(low)) >> u8(memory.itemsize.bit_length() - 1)).view(i8) + first)]
        return self._several(address, size, dtype)

    def _several(self, address: Any, size: int, dtype: Any) -> list[tuple[Any, Any, Any]]:
        parts = []
        left = np.arange(len(address))
        while len(left):
            low = int(address[left].min())
            memory, first = self._one(low, size, dtype)
            inside = address[left] <= u8(low + memory.nbytes - first * memory.itemsize - size)
            at = left[inside]
            parts.append((at, memory, ((address[at] - u8(low)) >> u8(memory.itemsize.bit_length() - 1)).view(i8) + first))
            left = left[~inside]
        return parts

    def _one(self, address: int, size: int, dtype: Any) -> tuple[Any, int]:
        """The memory on the device that has an address, as elements, and the place of the address there."""
        block, offset = self._bytes_at(address)
        if offset + size > block.size:
            raise RuntimeError(f"an access of {size} bytes at {address:#x}, {offset} bytes from the start of a block of {block.size}")
        item = np.dtype(dtype).itemsize
        if address & (size - 1):
            raise RuntimeError(f"an access of {size} bytes at {address:#x} is not aligned")
        skip = offset % item
        return block[skip : skip + (block.size - skip) // item * item].view(dtype), offset // item

    def _own(self, space: str, address: Any, size: int, dtype: Any, lanes: Lanes) -> tuple[Any, Any]:
        most = self._sizes[space] + _FIRST - size
        outside = (address < u8(_FIRST)) | (address > u8(max(most, 0)))
        if outside.any():
            raise RuntimeError(f"an access of {size} bytes at {int(address[outside][0]) - _FIRST} of {self._sizes[space]} bytes of {space} memory")
        starts = self._start[space] if lanes is None else self._start[space][lanes]
        shift = np.dtype(dtype).itemsize.bit_length() - 1
        return self._room[space].view(dtype), (address.view(i8) + starts) >> i8(shift)

    # ----------------------------------------------------------------------------------------------------------- atomics

    def atomic(self, name: str, space: str, address: Any, dtype: Any, values: Sequence[Any], lanes: Lanes) -> Any:
        """One thread after another; what each found."""
        kind, number = np.dtype(dtype), self._number(lanes)
        given = [np.broadcast_to(v, (number,)) for v in values]
        found = np.empty(number, kind)
        operation = _ATOMICS[name]
        for at, memory, first in self._parts(space, address, kind.itemsize, dtype, lanes):
            inputs = given if at is None else [g[at] for g in given]
            if len(np.unique(first)) == len(first):
                old = memory[first]
                memory[first] = operation(old, *inputs)
            else:
                old = np.empty(len(first), kind)
                for k, place in enumerate(first.tolist()):
                    old[k] = memory[place]
                    memory[place] = operation(old[k], *[g[k] for g in inputs])
            found[slice(None) if at is None else at] = old
        return found

    # ------------------------------------------------------------------------------------------------------ copies later

    def copy_later(self, to: Any, source: Any, size: int, given: Any, lanes: Lanes) -> None:
        """``cp.async``: the first ``given`` bytes, and zeros."""
        number = self._number(lanes)
        to, source, given = (np.broadcast_to(x, (number,)) for x in (to, source, given))
        for address in (to, source):
            if np.bitwise_or.reduce(address) & u8(size - 1):
                raise RuntimeError(f"cp.async of {size} bytes at {_odd(address, size):#x} is not aligned")
        for warp, at, mine in self._warps(lanes):
            self._later.setdefault(warp, [[]])[-1].append((mine, to[at], source[at], given[at], size))

    def commit(self, lanes: Lanes) -> None:
        """``cp.async.commit_group``: groups are a thread's, and the threads of a warp commit together."""
        for warp, _, _ in self._warps(lanes):
            self._later.setdefault(warp, [[]]).append([])

    def arrive(self, left: int, everything: bool, lanes: Lanes) -> None:
        """The copies of all groups but the last ``left``, and of the one that is not committed if ``everything``."""
        for warp, _, _ in self._warps(lanes):
            groups = self._later.setdefault(warp, [[]])
            while len(groups) - 1 > left:
                self._arrive(groups.pop(0))
            if everything:
                self._arrive(groups[-1])
                groups[-1] = []

    def _warps(self, lanes: Lanes) -> list[tuple[int, Any, Any]]:
        """Warp by warp: its number, which of the threads are its own, and their numbers.

        Raises:
            NotImplementedError: for a part of a warp.
        """
        everyone = np.arange(self._threads) if lanes is None else lanes
        warps, counts = np.unique(everyone // _WARP, return_counts=True)
        whole = np.minimum(_WARP, self._threads - warps * _WARP)
        if (counts != whole).any():
            raise NotImplementedError("cp.async by some of the threads of a warp")
        return [(int(warp), at := np.flatnonzero(everyone // _WARP == warp), everyone[at]) for warp in warps]

    def _arrive(self, copies: list[tuple[Any, ...]]) -> None:
        for lanes, to, source, given, size in copies:
            for k in range(size):
                wanted = given > k
                value = np.zeros(len(lanes), np.uint8)
                if wanted.any():
                    value[wanted] = self.load("generic", source[wanted] + u8(k), np.uint8, 1, lanes[wanted])
                self.store("shared", to + u8(k), np.uint8, (value,), lanes)


def _odd(address: Any, size: int) -> int:
    return int(address[(address & u8(size - 1)) != 0][0])


_ATOMICS: dict[str, Callable[..., Any]] = {
    "add": lambda old, x: old + x,
    "min": np.minimum,
    "max": np.maximum,
    "and": lambda old, x: old & x,
    "or": lambda old, x: old | x,
    "xor": lambda old, x: old ^ x,
    "exch": lambda old, x: x,
    "cas": lambda old, x, y: np.where(old == x, y, old),
    "inc": lambda old, x: np.where(old >= x, x.dtype.type(0), old + x.dtype.type(1)),
    "dec": lambda old, x: np.where((old == 0) | (old > x), x, old - x.dtype.type(1)),
}
