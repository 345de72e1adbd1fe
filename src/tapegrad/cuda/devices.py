"""Which GPUs there are, what they are, and which one "cuda" means."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any, NamedTuple

from .. import dtypes
from ..device import cuda_backend, cuda_device_count, cuda_is_available, device as Device

__all__ = [
    "current_device", "device", "device_count", "device_of", "get_device_capability", "get_device_name", "get_device_properties", "init",
    "is_available", "is_bf16_supported", "is_initialized", "set_device", "synchronize",
]  # fmt: skip


def is_available() -> bool:
    """Whether tensors can live on a GPU: there is one, its driver, and the packages that compile and launch kernels."""
    return cuda_is_available()


def device_count() -> int:
    """The number of GPUs that can be used."""
    return cuda_device_count()


def numbered(which: Any = None) -> int:
    """The number of a GPU, given as one, as a device or its name, or None for the current one.

    Raises:
        ValueError: for the CPU.
        RuntimeError: when there is no such GPU.
    """
    if isinstance(which, int) and not isinstance(which, bool):
        which = None if which < 0 else Device("cuda", which)  # as in PyTorch, -1 is the current one
    found = Device("cuda" if which is None else which)
    if found.type != "cuda":
        raise ValueError(f"expected a GPU, such as 'cuda:0', got {found}")
    return int(cuda_backend().numbered(found))


def init() -> None:
    """Start using GPUs, which the first tensor on one does as well.

    Raises:
        RuntimeError: when none can be used, with what is missing.
    """
    cuda_backend()


def is_initialized() -> bool:
    """Whether a GPU has been used."""
    from ..device import BACKENDS

    return len(BACKENDS) > 1


def current_device() -> int:
    """The number of the GPU that "cuda" means.

    Raises:
        RuntimeError: when there is none.
    """
    return numbered()


def set_device(device: Any) -> None:
    """Choose the GPU that "cuda" means in this thread; a negative number changes nothing.

    Raises:
        RuntimeError: when there is no such GPU.
    """
    _context().use(numbered(device))


class device(contextlib.ContextDecorator):
    """``with device(1):`` makes a GPU the one that "cuda" means, for a while."""

    def __init__(self, device: Any) -> None:
        self.idx = numbered(device)
        self._before: list[int] = []

    def __enter__(self) -> None:
        context = _context()
        self._before.append(context.device)
        context.use(self.idx)

    def __exit__(self, *error: object) -> None:
        _context().use(self._before.pop())


@contextlib.contextmanager
def device_of(obj: Any) -> Iterator[None]:
    """As :class:`device`, of a tensor's GPU; nothing for one on the CPU."""
    if obj.is_cuda:
        with device(obj.device):
            yield
    else:
        yield


class DeviceProperties(NamedTuple):
    """What is known of a GPU; memory and caches are in bytes."""

    name: str
    major: int
    minor: int
    total_memory: int
    multi_processor_count: int
    shared_memory_per_block_optin: int
    L2_cache_size: int
    warp_size: int = 32


def get_device_properties(device: Any = None) -> DeviceProperties:
    """What is known of a GPU."""
    from ..kernels.cuda.context import properties

    number = numbered(device)
    found = properties(number)
    return DeviceProperties(found.name, *found.capability, found.total_memory, found.multiprocessors, found.shared_memory, found.l2_cache)


def get_device_name(device: Any = None) -> str:
    """The name of a GPU.

    Raises:
        RuntimeError: when there is none.
    """
    return get_device_properties(device).name


def get_device_capability(device: Any = None) -> tuple[int, int]:
    """The compute capability of a GPU, such as (9, 0).

    Raises:
        RuntimeError: when there is none.
    """
    found = get_device_properties(device)
    return found.major, found.minor


def is_bf16_supported(including_emulation: bool = True) -> bool:
    """Whether the GPU has instructions for bfloat16, and the package ml_dtypes NumPy's; False without a GPU."""
    return dtypes.bfloat16 is not None and is_available() and get_device_capability() >= (8, 0)


def synchronize(device: Any = None) -> None:
    """Wait until a GPU has finished what it was given.

    Raises:
        RuntimeError: when there is none.
    """
    from ..kernels.cuda.context import synchronize

    synchronize(numbered(device))


def _context() -> Any:
    from ..kernels.cuda.context import context

    return context
