"""What kernels are written in: ``cuda`` of Numba's, types, the functions of one element, and accesses that Numba has no words for.

Beside the simulator the same names mean Python that does the same (see ``twins``). Kernels take them from here, so that a kernel is
written once. For a GPU they stand for what is in ``intrinsics``, which is imported when a kernel is compiled (see ``deferred``).
"""

from __future__ import annotations

from typing import Any

from .drivers import CHOICE

SIMULATED = CHOICE == "simulator"
BLOCK = 64 if SIMULATED else 256  # threads, for kernels that have no reason for another number

if SIMULATED:
    from .twins import *  # noqa: F403
else:
    from .deferred import device as device, word

    def __getattr__(name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return word(name)


def words() -> dict[str, Any]:
    """All of them by name, for kernels from generated source: for a builder to ask, since it imports Numba."""
    if SIMULATED:
        from . import twins as module
    else:
        from . import intrinsics as module  # type: ignore[no-redef]
    return {name: getattr(module, name) for name in module.__all__}
