"""A device made of host memory that runs the PTX which Numba compiles for a GPU, on the CPU: what a kernel's Python does not show, of types,
layouts of threads and sizes that a GPU gets, shows here.
"""

from __future__ import annotations

import threading
from typing import Any

import numpy as np

from ... import store
from ..simulated import Simulated
from . import flow, machine

_KINDS = {"u64": "iu", "s64": "iu", "b64": "iuf", "u32": "iu", "s32": "iu", "b32": "iuf", "f32": "f", "f64": "f"}


class Interpreted(Simulated):
    """Runs PTX made for compute capability 9.0; with ``apart`` the warps of a block one after another."""

    def __init__(self, apart: bool = False) -> None:
        super().__init__()
        self.apart = apart
        self._texts: dict[str, tuple[flow.Program, dict[str, int]]] = {}
        self._loading = threading.Lock()

    def load(self, device: int, kernel: Any) -> Any:
        text = store.ptx(kernel, self.properties(device).capability)
        with self._loading:
            found = self._texts.get(text)
            if found is None:
                program = flow.program(text)
                found = self._texts[text] = program, self._placed(program)
        return *found, kernel

    def _placed(self, program: flow.Program) -> dict[str, int]:
        """Variables of the module in the memory of the device."""
        placed = {}
        for name, variable in program.variables.items():
            if variable.space in ("global", "const"):
                placed[name] = self.allocate(0, variable.size)
                block, _ = self.bytes_at(placed[name])
                block[:] = np.frombuffer(variable.values or bytes(variable.size), np.uint8)
                self._used[0] -= variable.size  # no tensor's
        return placed

    def launch(self, device: int, stream: int, loaded: Any, grid: Any, block: Any, shared: int, arguments: tuple[Any, ...]) -> None:
        program, constants, kernel = loaded
        if len(arguments) != len(program.parameters):
            raise TypeError(f"{kernel.name} takes {len(program.parameters)} arguments, got {len(arguments)}")
        most = kernel.threads[0] if isinstance(kernel.threads, tuple) else kernel.threads
        if not 0 < np.prod(block) <= most or not np.prod(grid) > 0 or max((*grid, 1)[1:3]) > 65535:
            raise ValueError(f"{kernel.name}: a grid of {grid} blocks of {block} threads, compiled for {most} threads at most")
        given = [_bytes(kernel.name, value, kind) for value, (_, kind, _) in zip(arguments, program.parameters, strict=True)]
        with self._running:
            machine.Launch(program, grid, block, shared, given, self.bytes_at, constants, self.apart).run()


def _bytes(name: str, value: Any, kind: str) -> bytes:
    """An argument as ``cuda.core`` hands it over: Python's int as 64 bits, of which the kernel takes the lowest, NumPy's numbers as they are.

    Raises:
        TypeError: where that is not what the kernel takes.
    """
    size = int(kind[1:]) // 8
    if value.__class__ is int and kind[0] != "f" and -(1 << 8 * size - 1) <= value < 1 << 8 * size:
        return int(value).to_bytes(size, "little", signed=value < 0)
    if not isinstance(value, np.generic) or value.dtype.kind not in _KINDS[kind] or value.nbytes != size:
        raise TypeError(f"{name}: an argument {value!r} of {type(value).__name__} for a parameter of type {kind}")
    return value.tobytes()
