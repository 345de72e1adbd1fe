"""Running CUDA kernels as Python: every thread of a block is a greenlet, which goes on where its block or warp has arrived.

Memory is checked: a kernel that reads or writes outside of the block that a pointer lies in fails, and so does a warp whose threads meet
at different places. ``language`` takes from here what it has from Numba otherwise.
"""

from __future__ import annotations

import contextvars
import itertools
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

try:
    import greenlet
except ImportError as error:
    raise ImportError("TAPEGRAD_CUDA_DRIVER=simulator needs greenlet, ml_dtypes: pip install 'tapegrad[cuda-compile]'") from error

WARP = 32
BytesAt = Callable[[int], tuple[np.ndarray[Any, Any], int]]  # of an address: the memory that has it, and the offset there


class _Index:
    """x, y and z, as Numba's ``threadIdx``."""

    __slots__ = ("x", "y", "z")

    def __init__(self, x: int = 1, y: int = 1, z: int = 1) -> None:
        self.x, self.y, self.z = x, y, z


class _Thread(greenlet.greenlet):  # type: ignore[misc]
    index: _Index
    number: int
    warp: _Warp
    at: str = ""  # where it waits: "block", "warp", or nowhere
    shared: int = 0  # how many shared arrays it has asked for
    copies: list[list[tuple[Any, Any]]]  # groups of copies that it has not waited for, the last one not ended


class _Warp:
    """Threads that exchange values: what each brought last, and what all brought when they met last."""

    def __init__(self) -> None:
        self.threads: list[_Thread] = []
        self.given: list[Any] = [None] * WARP
        self.met: list[Any] = [None] * WARP


class _Shared:
    """Shared arrays: the k-th that every thread of a block asks for is the same."""

    def __init__(self) -> None:
        self.arrays: list[np.ndarray[Any, Any]] = []

    def array(self, shape: Any, dtype: Any, alignment: int | None = None) -> np.ndarray[Any, Any]:
        thread = cuda.thread
        if thread.shared == len(self.arrays):
            made = np.empty(shape, dtype)
            made.view(np.uint8).fill(0xA5)
            self.arrays.append(made)
        thread.shared += 1
        return self.arrays[thread.shared - 1]


class _Local:
    @staticmethod
    def array(shape: Any, dtype: Any, alignment: int | None = None) -> np.ndarray[Any, Any]:
        return np.empty(shape, dtype)


class _Atomic:
    """One thread runs at a time, so nothing comes between."""

    @staticmethod
    def add(array: Any, index: Any, value: Any) -> Any:
        old = array[index]
        array[index] = old + value
        return old


class _Cuda:
    """What a kernel sees as ``cuda``, while it runs."""

    atomic = _Atomic()
    local = _Local()

    def __init__(self) -> None:
        self.blockIdx = self.blockDim = self.gridDim = _Index()
        self.shared = _Shared()
        self.thread: _Thread = None  # type: ignore[assignment]
        self.hub: Any = None

    @property
    def threadIdx(self) -> _Index:
        return self.thread.index

    @property
    def laneid(self) -> int:
        return self.thread.number % WARP

    def _wait(self, where: str) -> None:
        self.thread.at = where
        self.hub.switch()

    def syncthreads(self) -> None:
        self._wait("block")

    def _exchange(self, value: Any, lane: int) -> Any:
        thread, warp = self.thread, self.thread.warp
        warp.given[thread.number % WARP] = value
        self._wait("warp")
        return warp.met[lane] if 0 <= lane < len(warp.threads) else value

    def shfl_sync(self, mask: int, value: Any, lane: int) -> Any:
        return self._exchange(value, int(lane) % WARP)

    def shfl_down_sync(self, mask: int, value: Any, by: int) -> Any:
        return self._exchange(value, self.laneid + int(by))

    def shfl_up_sync(self, mask: int, value: Any, by: int) -> Any:
        return self._exchange(value, self.laneid - int(by))

    def shfl_xor_sync(self, mask: int, value: Any, by: int) -> Any:
        return self._exchange(value, self.laneid ^ int(by))

    def brought(self, value: Any) -> list[Any]:
        """What each thread of the warp brings."""
        thread, warp = self.thread, self.thread.warp
        warp.given[thread.number % WARP] = value
        self._wait("warp")
        return warp.met[: len(warp.threads)]

    def ballot_sync(self, mask: int, value: Any) -> np.uint32:
        return np.uint32(sum(1 << k for k, vote in enumerate(self.brought(value)) if vote))

    def any_sync(self, mask: int, value: Any) -> bool:
        return any(self.brought(value))


cuda = _Cuda()


class Pointer:
    """A typed address in device memory: ``p[i]``."""

    __slots__ = ("at", "dtype", "values")

    def __init__(self, memory: np.ndarray[Any, Any], offset: int, dtype: np.dtype[Any]) -> None:
        first = offset % dtype.itemsize
        whole = (memory.size - first) // dtype.itemsize * dtype.itemsize
        self.values = memory[first : first + whole].view(dtype)
        self.at = (offset - first) // dtype.itemsize
        self.dtype = dtype

    def place(self, index: Any, count: int = 1) -> int:
        """The place of an element, and of the ``count`` - 1 after it, in ``values``.

        Raises:
            IndexError: where there is none.
        """
        k = self.at + int(index)
        if not 0 <= k <= self.values.size - count:
            raise IndexError(f"element {index} (and {count - 1} more) of a pointer to {self.dtype}: the block has {self.values.size - self.at}")
        return k

    def __getitem__(self, index: Any) -> Any:
        return self.values[self.place(index)]

    def __setitem__(self, index: Any, value: Any) -> None:
        self.values[self.place(index)] = value


class _Nothing:
    """A pointer to no memory, for inputs that are left out and for arrays without elements: a kernel may have it, and not use it."""

    def __init__(self, said: str) -> None:
        self.said = said

    def __getitem__(self, index: Any) -> Any:
        raise IndexError(f"a kernel reads or writes at element {index} of {self.said}")

    __setitem__ = __getitem__  # type: ignore[assignment]


def _pointer(address: int, dtype: np.dtype[Any], bytes_at: BytesAt) -> Any:
    if not address:
        return _Nothing("a null pointer")
    try:
        return Pointer(*bytes_at(address), dtype)
    except RuntimeError as error:
        return _Nothing(f"a pointer: {error}")


class Program:
    """A kernel, ready to run."""

    def __init__(self, function: Callable[..., None], signature: Sequence[str]) -> None:
        self.function = function
        self.types = [np.dtype(name.rstrip("*")) for name in signature]
        self.pointers = [name.endswith("*") for name in signature]

    def run(self, grid: Sequence[int], block: Sequence[int], shared: int, arguments: Sequence[Any], bytes_at: BytesAt) -> None:
        """Run all blocks, one after another.

        Raises:
            TypeError: for a wrong number of arguments.
            RuntimeError: where threads of a warp wait at different places.
        """
        if len(arguments) != len(self.types):
            raise TypeError(f"{self.function.__name__} takes {len(self.types)} arguments, got {len(arguments)}")
        values = []
        for value, dtype, pointer in zip(arguments, self.types, self.pointers, strict=True):
            if pointer:
                values.append(_pointer(value, dtype, bytes_at))
            else:
                values.append(dtype.type(value))
        cuda.gridDim, cuda.blockDim = _Index(*grid), _Index(*block)
        cuda.hub = greenlet.getcurrent()
        with np.errstate(all="ignore"):
            for z, y, x in itertools.product(*[range(n) for n in (*grid, 1, 1)[2::-1]]):
                cuda.blockIdx, cuda.shared = _Index(x, y, z), _Shared()
                self._block(block, values)

    def _block(self, block: Sequence[int], values: Sequence[Any]) -> None:
        threads = []
        for number, (z, y, x) in enumerate(itertools.product(*[range(n) for n in (*block, 1, 1)[2::-1]])):
            if number % WARP == 0:
                warp = _Warp()
            thread = _Thread(self.function)
            thread.gr_context = contextvars.copy_context()  # in which NumPy warns of nothing
            thread.index, thread.number, thread.warp, thread.copies = _Index(x, y, z), number, warp, [[]]
            warp.threads.append(thread)
            threads.append(thread)
        _advance(threads, values)
        while alive := [t for t in threads if not t.dead]:
            waiting = {id(t.warp): t.warp for t in alive if t.at == "warp"}
            if not waiting:
                _advance(alive, ())
            for warp in waiting.values():
                living = [t for t in warp.threads if not t.dead]
                if any(t.at != "warp" for t in living):
                    raise RuntimeError(f"{self.function.__name__}: some threads of a warp wait for it, others for the block")
                warp.met = list(warp.given)
                _advance(living, ())


def _advance(threads: Iterable[_Thread], values: Sequence[Any]) -> None:
    for thread in threads:
        thread.at = ""
        cuda.thread = thread
        thread.switch(*values)


def runnable(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function of a kernel's, as it is: what ``cuda.jit(device=True)`` compiles otherwise."""
    return function
