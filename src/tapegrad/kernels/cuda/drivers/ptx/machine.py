"""Threads of CUDA blocks, all of a launch or as many as are run together: NumPy's arrays have an element for each.

Threads that are at the same basic block run it together; of several, the block that comes first in the text is run next, so that threads
which parted meet again as soon as they can. Those that have come to a barrier wait for the living threads of their CUDA block, and those
that come to what a warp does together wait for the warp.

In another order the first warp of every CUDA block goes as far as it can, then the second, and so on: what a warp reads before another has
written it is then not there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from . import tensor_cores
from .flow import Block, Program
from .memory import _UNSET, Lanes, Memory

WARP = 32
TOGETHER = 8192  # threads
_STEPS = 50_000_000  # basic blocks, before a kernel is taken to be in a loop without end
u4 = np.uint32


class Launch:
    """A kernel on a grid.

    Args:
        arguments: of each parameter the bytes.
        bytes_at, constants: as of ``Memory``.
        apart: run the warps of a block one after another.
    """

    def __init__(
        self, program: Program, grid: Sequence[int], block: Sequence[int], shared: int, arguments: Sequence[bytes],
        bytes_at: Callable[[int], tuple[Any, int]], constants: dict[str, int], apart: bool = False,
    ) -> None:  # fmt: skip
        self.program = program
        self.grid, self.block = (*grid, 1, 1)[:3], (*block, 1, 1)[:3]
        self.shared = shared
        self.arguments = {name: value for (name, _, _), value in zip(program.parameters, arguments, strict=True)}
        self.bytes_at, self.constants = bytes_at, constants
        self.apart = apart

    def run(self) -> None:
        """All blocks."""
        size = int(np.prod(self.block))
        slots = -(-size // WARP) * WARP
        blocks, most = int(np.prod(self.grid)), max(1, TOGETHER // slots)
        for first in range(0, blocks, most):
            Machine(self, range(first, min(first + most, blocks)), size, slots).run()


class Machine:
    """Threads that run together. The methods are what basic blocks call; ``A`` there is the threads that are at it, None for all."""

    def __init__(self, launch: Launch, blocks: range, size: int, slots: int) -> None:
        self.launch, self.program = launch, launch.program
        n = self.n = len(blocks) * slots
        numbers = np.arange(n)
        self.block_of = numbers // slots
        inside = numbers % slots
        self.lane, self.warp = (inside % WARP).astype(u4), numbers // WARP
        (bx, by, _), (gx, gy, _) = launch.block, launch.grid
        block = self.block_of + blocks.start
        self._special: dict[str, Any] = {
            "tid_x": (inside % bx).astype(u4), "tid_y": (inside // bx % by).astype(u4), "tid_z": (inside // (bx * by)).astype(u4),
            "ctaid_x": (block % gx).astype(u4), "ctaid_y": (block // gx % gy).astype(u4), "ctaid_z": (block // (gx * gy)).astype(u4),
            "laneid": self.lane, "warpid": (inside // WARP).astype(u4), "nwarpid": u4(slots // WARP), "smid": u4(0), "nsmid": u4(1),
            "lanemask_eq": u4(1) << self.lane, "lanemask_lt": (u4(1) << self.lane) - u4(1), "clock": u4(0), "clock_hi": u4(0),
        }  # fmt: skip
        for name, extent in zip("xyz", zip(launch.block, launch.grid, strict=True), strict=True):
            self._special["ntid_" + name], self._special["nctaid_" + name] = u4(extent[0]), u4(extent[1])
        self.memory = Memory(launch.bytes_at, launch.constants, self.program.variables, self.block_of, launch.shared)
        self.alive = inside < size
        self.count = int(self.alive.sum())
        self.registers: list[Any] = [None] * len(self.program.held)

    # -------------------------------------------------------------------------------------------------------- scheduling

    def run(self) -> None:
        """Until every thread has ended.

        Raises:
            RuntimeError: where the threads that are left wait for others that never come, and whatever an access does wrong.
        """
        # Threads by whose turn it is (all threads, or a warp of every block) and by the number of the basic block that they are at.
        self._ready: dict[tuple[int, int], Any] = {}
        self._stalled: dict[tuple[int, int], Any] = {}  # at what a warp does together, without their whole warp
        self._waiting: list[tuple[int, Any]] = []  # at a barrier: where they go on, and who
        self._part(0, np.flatnonzero(self.alive))
        blocks = self.program.blocks
        with np.errstate(all="ignore"):
            for _ in range(_STEPS):
                if not self._ready and not self._release():
                    break
                key = min(self._ready)
                lanes, block = self._ready.pop(key), blocks[key[1]]
                if block.together and lanes is not None:
                    lanes = self._whole_warps(key, lanes)
                    if lanes is None:
                        continue
                    if len(lanes) == self.n:
                        lanes = None
                try:
                    result = self._do(block, lanes)
                except (RuntimeError, NotImplementedError) as error:
                    raise type(error)(f"{self.program.name[:80]}: {error} ({self._who(lanes)}, in the basic block that begins {block.first!r})") from error
                self._go_on(key[0], block, lanes, result)
            else:
                raise RuntimeError(f"{self.program.name[:80]}: {_STEPS} basic blocks and no end")

    def _part(self, place: int, lanes: Any) -> None:
        """Threads go on at a basic block, each when it is its turn."""
        if not self.launch.apart:
            return self._arrive((0, place), None if len(lanes) == self.n else lanes)
        turns = self._special["warpid"][lanes]
        for turn in np.unique(turns).tolist():
            those = lanes[turns == turn]
            self._arrive((turn, place), None if len(those) == self.n else those)

    def _do(self, block: Block, lanes: Lanes) -> Any:
        """Run a basic block; the predicate of its branch."""
        registers = self.registers
        given = [registers[k] for k in block.reads]
        for k, value in enumerate(given):
            if value is None:
                number = block.reads[k]
                value = given[k] = registers[number] = self._unset(number)
            if lanes is not None and value.ndim:
                given[k] = value[lanes]
        found = block.run(self, lanes, *given)
        if lanes is None:
            for k, value in zip(block.writes, found, strict=False):
                registers[k] = value
        else:
            for k, value in zip(block.writes, found, strict=False):
                old = registers[k]
                if old is None:
                    new = self._unset(k)
                elif old.ndim == 0:
                    new = np.full(self.n, old)
                else:
                    new = old.copy()
                new[lanes] = value
                registers[k] = new
        return found[-1] if len(found) > len(block.writes) else None

    def _unset(self, number: int) -> Any:
        """A register that nobody has written."""
        held = self.program.held[number]
        if held == "p":
            return np.arange(self.n) % 2 == 0
        return np.full((self.n, int(held[1]) // 2), _UNSET, np.uint16).view(held)[:, 0].copy()

    def _go_on(self, turn: int, block: Block, lanes: Lanes, predicate: Any) -> None:
        end, targets = block.end, block.targets
        if end == "branch":
            if predicate.ndim == 0:
                self._arrive((turn, targets[0] if predicate else targets[1]), lanes)
                return
            taken = int(np.count_nonzero(predicate))
            if taken == 0 or taken == len(predicate):
                self._arrive((turn, targets[0] if taken else targets[1]), lanes)
                return
            first, second = np.flatnonzero(predicate), np.flatnonzero(~predicate)
            if lanes is not None:
                first, second = lanes[first], lanes[second]
            self._arrive((turn, targets[0]), first)
            self._arrive((turn, targets[1]), second)
        elif end == "exit" or not targets:
            if lanes is None:
                self.alive[:] = False
            else:
                self.alive[lanes] = False
        elif end == "barrier":
            if lanes is None:
                self._arrive((turn, targets[0]), None)
            else:
                self._waiting.append((targets[0], lanes))
        elif end == "table":
            where = np.broadcast_to(predicate, (self.n if lanes is None else len(lanes),))
            everyone = np.arange(self.n) if lanes is None else lanes
            for k in np.unique(where).tolist():
                self._arrive((turn, targets[k]), everyone[where == k])
        else:
            self._arrive((turn, targets[0]), lanes)

    def _arrive(self, key: tuple[int, int], lanes: Lanes) -> None:
        there = self._ready.get(key)
        if there is not None:
            lanes = np.concatenate((there, lanes))
        stalled = self._stalled.pop(key, None)
        if stalled is not None:
            lanes = np.concatenate((stalled, lanes))
        self._ready[key] = None if lanes is None or len(lanes) == self.n else lanes

    def _whole_warps(self, key: tuple[int, int], lanes: Any) -> Any:
        """Those whose whole warp is there, as far as it lives; the others wait. None where nobody is left."""
        warps = self.n // WARP
        there, alive = np.bincount(self.warp[lanes], minlength=warps), np.bincount(self.warp[self.alive], minlength=warps)
        whole = (there == alive)[self.warp[lanes]]
        if whole.all():
            return np.sort(lanes)
        self._stalled[key] = lanes[~whole]
        return np.sort(lanes[whole]) if whole.any() else None

    def _release(self) -> bool:
        """Let threads go on that waited, now that nobody else can; whether there are any."""
        for key, lanes in list(self._stalled.items()):  # others of their warp may have ended
            del self._stalled[key]
            whole = self._whole_warps(key, lanes)
            if whole is not None:
                self._ready[key] = None if len(whole) == self.n else whole
        if self._ready:
            return True
        if self._waiting:
            alive = np.bincount(self.block_of[self.alive], minlength=self.block_of[-1] + 1)
            there = np.bincount(np.concatenate([self.block_of[lanes] for _, lanes in self._waiting]), minlength=len(alive))
            free, waiting, self._waiting = there == alive, self._waiting, []
            for place, lanes in waiting:
                going = free[self.block_of[lanes]]
                if going.any():
                    self._part(place, lanes[going])
                if not going.all():
                    self._waiting.append((place, lanes[~going]))
            if self._ready:
                return True
        if self._stalled:
            (_, place), lanes = self._stalled.popitem()
            raise RuntimeError(
                f"{self.program.name[:80]}: {self._who(lanes)} wait for their warp at {self.program.blocks[place].first!r}, "
                f"and the others of it are elsewhere: {[(p, self._who(w)) for p, w in self._waiting]}"
            )
        if self._waiting:
            raise RuntimeError(f"{self.program.name[:80]}: {self._who(self._waiting[0][1])} wait at a barrier that others of their block never reach")
        return False

    def _who(self, lanes: Lanes) -> str:
        if lanes is None:
            return "all threads"
        k = int(lanes[0])
        return f"{len(lanes)} threads, the first {k % (self.n // (self.block_of[-1] + 1))} of block {self.block_of[k]}"

    # ----------------------------------------------------------------------------------------------- what blocks call

    def special(self, name: str, lanes: Lanes) -> Any:
        """A special register."""
        value = self._special[name]
        return value if lanes is None or value.ndim == 0 else value[lanes]

    def parameter(self, name: str, offset: int, dtype: Any) -> Any:
        """A parameter of the kernel, or an element of one."""
        return np.frombuffer(self.launch.arguments[name], dtype, 1, offset)[0]

    def trap(self, lanes: Lanes) -> None:
        raise RuntimeError("the kernel traps")

    def spread(self, value: Any, lanes: Lanes) -> tuple[Any, Any]:
        """A value of the threads that are here, by the number of the thread; and which are here."""
        here = np.zeros(self.n, bool)
        here[slice(None) if lanes is None else lanes] = True
        kind = value.dtype
        full = np.zeros(self.n, bool) if kind.kind == "b" else np.full((self.n, max(kind.itemsize // 2, 1)), _UNSET, np.uint16).view(kind)[:, 0].copy()
        full[slice(None) if lanes is None else lanes] = value
        return full, here

    def _check(self, mask: Any, here: Any, lanes: Lanes) -> None:
        """Every living thread that the mask names must be here."""
        named = (np.broadcast_to(mask, (self.n if lanes is None else len(lanes),)))
        bits = np.packbits((self.alive & ~here).reshape(-1, WARP), axis=1, bitorder="little").view(u4)[:, 0]
        missing = bits[self.warp if lanes is None else self.warp[lanes]]
        if (named & missing).any():
            raise RuntimeError("threads of a warp meet, and one that their mask names is elsewhere")

    def shuffle(self, how: str, value: Any, by: Any, clamp: Any, mask: Any, lanes: Lanes) -> tuple[Any, Any]:
        """``shfl.sync``: a value of another thread of the warp, and whether there is such a thread."""
        full, here = self.spread(value, lanes)
        if lanes is not None:
            self._check(mask, here, lanes)
        lane = self.lane if lanes is None else self.lane[lanes]
        number = np.arange(self.n) if lanes is None else lanes
        by, segment, limit = by & u4(31), (clamp >> u4(8)) & u4(31), clamp & u4(31)
        low = lane & segment
        most = low | (limit & ~segment)
        if how == "up":
            source, inside = lane.astype(np.int64) - by, lane.astype(np.int64) - by >= most
        elif how == "down":
            source, inside = lane + by, lane + by <= most
        elif how == "bfly":
            source, inside = lane ^ by, lane ^ by <= most
        else:
            source = low | (by & ~segment)
            inside = source <= most
        source = np.where(inside, source, lane).astype(np.int64)
        return full[number - lane + source], inside

    def vote(self, how: str, predicate: Any, mask: Any, lanes: Lanes) -> Any:
        """``vote.sync``, and ``activemask`` without a mask."""
        full, here = self.spread(predicate, lanes)
        if mask is not None and lanes is not None:
            self._check(mask, here, lanes)
        bits, there = (np.packbits(x.reshape(-1, WARP), axis=1, bitorder="little").view(u4)[:, 0] for x in (full, here))
        warp = self.warp if lanes is None else self.warp[lanes]
        named = u4(0xFFFFFFFF) if mask is None else mask
        votes, voters = bits[warp] & named, there[warp] & named
        if how == "ballot":
            return votes
        if how == "uni":
            return (votes == 0) | (votes == voters)
        return votes != 0 if how == "any" else votes == voters

    def reduced(self, how: str, value: Any, mask: Any, lanes: Lanes) -> Any:
        """``redux.sync`` of integers, for masks that all of a warp share."""
        full, here = self.spread(value, lanes)
        if lanes is not None:
            self._check(mask, here, lanes)
        operation, neutral = {
            "add": (np.add, 0), "and": (np.bitwise_and, ~value.dtype.type(0)), "or": (np.bitwise_or, 0), "xor": (np.bitwise_xor, 0),
            "min": (np.minimum, np.iinfo(value.dtype).max), "max": (np.maximum, np.iinfo(value.dtype).min),
        }[how]  # fmt: skip
        named, _ = self.spread(np.broadcast_to(mask, (len(here) if lanes is None else len(lanes),)), lanes)
        inside = here & ((named >> self.lane) & u4(1) != 0)
        rows = np.where(inside, full, value.dtype.type(neutral)).reshape(-1, WARP)
        found = operation.reduce(rows, axis=1, dtype=value.dtype)
        return found[self.warp if lanes is None else self.warp[lanes]]

    def matching(self, value: Any, mask: Any, lanes: Lanes) -> Any:
        """``match.any.sync``: the threads of the warp that have the same value."""
        full, here = self.spread(value, lanes)
        if lanes is not None:
            self._check(mask, here, lanes)
        rows, there = full.reshape(-1, WARP), here.reshape(-1, WARP)
        same = (rows[:, :, None] == rows[:, None, :]) & there[:, None, :]
        bits = np.packbits(same, axis=2, bitorder="little").view(u4)[:, :, 0].reshape(-1)
        return (bits if lanes is None else bits[lanes]) & mask

    def _warps(self, lanes: Lanes) -> Any:
        """The numbers of the warps that are here, all of them whole."""
        if lanes is None:
            return np.arange(self.n // WARP)
        if len(lanes) % WARP or (lanes[::WARP] % WARP).any():
            raise RuntimeError("an instruction for whole warps by a part of one")
        return self.warp[lanes[::WARP]]

    def multiplied(self, shape: str, kind: str, accumulated: str, a: Any, b: Any, c: Any, lanes: Lanes) -> Any:
        """``mma.sync``."""
        self._warps(lanes)
        number = self.n if lanes is None else len(lanes)
        given = [[np.broadcast_to(x, (number,)).reshape(-1, WARP) for x in registers] for registers in (a, b, c)]
        return [x.reshape(-1) for x in tensor_cores.multiplied(shape, kind, accumulated, *given)]

    def matrices(self, address: Any, count: int, transposed: bool, lanes: Lanes) -> Any:
        """``ldmatrix``: rows of 8 by 8 matrices, whose addresses the first ``8 count`` threads of the warp have."""
        warps = self._warps(lanes)
        address = np.broadcast_to(address, (len(warps) * WARP,)).reshape(-1, WARP)
        readers = (warps[:, None] * WARP + np.arange(8 * count)).reshape(-1)
        rows = address[:, : 8 * count].reshape(-1)
        found = self.memory.load("shared", rows, np.uint32, 4, readers)
        words = np.stack(found, axis=1).reshape(len(warps), count, 8, 4)
        if transposed:
            words = np.ascontiguousarray(words.view(np.uint16).reshape(len(warps), count, 8, 8).swapaxes(2, 3)).view(np.uint32).reshape(words.shape)
        return [np.ascontiguousarray(words[:, k]).reshape(-1) for k in range(count)]

