"""What kernels are written in: ``cuda`` of Numba's, types, the functions of one element, and accesses that Numba has no words for.

Beside the simulator the same names mean Python that does the same (see ``twins``). Kernels take them from here, so that a kernel is
written once.
"""

from __future__ import annotations

from .drivers import CHOICE

SIMULATED = CHOICE != "nvidia"
BLOCK = 64 if SIMULATED else 256  # threads, for kernels that have no reason for another number

if SIMULATED:
    from .twins import *  # noqa: F403
else:
    from .intrinsics import *  # type: ignore[assignment,no-redef]  # noqa: F403
