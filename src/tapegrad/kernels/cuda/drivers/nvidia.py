"""NVIDIA's driver: memory, streams and events through cuda-bindings, kernels through ``cuda.core``. Imports them when it is first asked."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator
from importlib import metadata
from typing import Any, NoReturn

from .. import store
from . import OutOfMemory, Properties, packages_missing
from .thread import ACTIVE, NONE, activated, thread_words

_MAJOR = 75  # CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR
_OLDEST = 8  # that has the conversions of bfloat16
_NO_DEVICE = 100  # the driver's number for it


class Nvidia:
    """The GPUs of this machine. Every call that the driver refuses raises RuntimeError with its name and the driver's words."""

    exact = described = False

    def __init__(self) -> None:
        self._ready: dict[int, Any] = {}  # device -> cuda.core's
        self._count: int | None = None
        self._why = ""
        self._lock = threading.Lock()
        self._forked = False  # from a process that used a GPU
        os.register_at_fork(after_in_child=self._note_fork)

    # ------------------------------------------------------------------------------------------------------- devices

    def count(self) -> int:
        """How many GPUs can be used; 0 also where the driver or a package is missing, and ``missing`` says which."""
        if self._count is None:
            with self._lock:
                if self._count is None:
                    self._count = self._find()
        return self._count

    def _find(self) -> int:
        import ctypes

        try:
            library = ctypes.CDLL("libcuda.so.1")
        except OSError:
            self._why = "NVIDIA's driver is missing (libcuda.so.1 is not found); a GPU needs it"
            if packages_missing():
                self._why += ", and pip install 'tapegrad[cuda13]' (or [cuda12])"
            return 0
        number, version, result = ctypes.c_int(), ctypes.c_int(), library.cuInit(0)
        if result == 0:
            result = library.cuDeviceGetCount(ctypes.byref(number))
        if result != 0 or number.value == 0:
            why = "CUDA_VISIBLE_DEVICES may hide it" if result in (0, _NO_DEVICE) else f"error {result} of the driver"
            self._why = f"NVIDIA's driver finds no GPU ({why}; 'nvidia-smi' lists those there are)"
            return 0
        major = ctypes.c_int()
        if library.cuDeviceGetAttribute(ctypes.byref(major), _MAJOR, 0) == 0 and major.value < _OLDEST:
            self._why = f"the GPU has compute capability {major.value}.x, and kernels need {_OLDEST}.0 (A100, RTX 30) or newer"
            return 0
        library.cuDriverGetVersion(ctypes.byref(version))
        driver = version.value // 1000
        lacking = packages_missing()
        if lacking:
            wanted = "cuda13" if driver >= 13 else "cuda12"
            are = "is not installed" if len(lacking) == 1 else "are not installed"
            self._why = f"{' and '.join(lacking)} {are}; pip install 'tapegrad[{wanted}]' brings what this machine's driver can use"
            return 0
        bindings = int(metadata.version("cuda-bindings").split(".")[0])
        if bindings > driver:
            self._why = f"the driver is for CUDA {driver}, cuda-bindings for CUDA {bindings}; pip install 'tapegrad[cuda12]', or a newer driver"
            return 0
        return number.value

    def missing(self) -> str:
        self.count()
        return self._why

    def activate(self, device: int) -> None:
        """Make the device current for this thread, as libraries of NVIDIA's expect."""
        self._use(device)

    def _note_fork(self) -> None:
        self._forked = bool(self._ready)
        activated(NONE)  # so that native code asks

    def _use(self, device: int) -> Any:
        """Make the device current for this thread; cuda.core's object for it."""
        if self._forked:
            raise RuntimeError("a GPU can't be used in a forked process whose parent used one; start the process by 'spawn' (multiprocessing)")
        ready = self._ready.get(device)
        if ready is None:
            ready = self._ready[device] = _core().Device(device)
        if thread_words()[ACTIVE] != device:
            ready.set_current()
            activated(device)
        return ready

    @contextlib.contextmanager
    def _meanwhile(self, device: int) -> Iterator[None]:
        """Make the device current, then again the one that was: for what finalizers do, in the middle of anything in this thread."""
        before = int(thread_words()[ACTIVE])
        self._use(device)
        try:
            yield
        finally:
            if before not in (NONE, device):
                self._use(before)

    def properties(self, device: int) -> Properties:
        cuda = _bindings()
        self._use(device)

        def attribute(name: str) -> int:
            return int(_checked(name, cuda.cuDeviceGetAttribute(getattr(cuda.CUdevice_attribute, f"CU_DEVICE_ATTRIBUTE_{name}"), device)))

        name = _checked("cuDeviceGetName", cuda.cuDeviceGetName(256, device)).split(b"\0")[0].decode()
        return Properties(
            name,
            (attribute("COMPUTE_CAPABILITY_MAJOR"), attribute("COMPUTE_CAPABILITY_MINOR")),
            attribute("MULTIPROCESSOR_COUNT"),
            int(_checked("cuDeviceTotalMem", cuda.cuDeviceTotalMem(device))),
            attribute("MAX_SHARED_MEMORY_PER_BLOCK_OPTIN"),
            attribute("L2_CACHE_SIZE"),
        )

    # -------------------------------------------------------------------------------------------------------- memory

    def memory(self, device: int) -> tuple[int, int]:
        self._use(device)
        free, total = _checked("cuMemGetInfo", _bindings().cuMemGetInfo())
        return int(free), int(total)

    def allocate(self, device: int, size: int) -> int:
        cuda = _bindings()
        self._use(device)
        result, address = cuda.cuMemAlloc(size)
        if result == cuda.CUresult.CUDA_ERROR_OUT_OF_MEMORY:
            raise OutOfMemory
        return int(_checked("cuMemAlloc", (result, address)))

    def release(self, device: int, address: int) -> None:
        self._use(device)
        _checked("cuMemFree", _bindings().cuMemFree(address))

    def holder(self, address: int) -> int:
        cuda = _bindings()
        self._use(max(int(thread_words()[ACTIVE]), 0))
        attribute = cuda.CUpointer_attribute.CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL
        return int(_checked("cuPointerGetAttribute", cuda.cuPointerGetAttribute(attribute, address)))

    def pinned(self, size: int) -> int:
        self._use(max(int(thread_words()[ACTIVE]), 0))
        return int(_checked("cuMemHostAlloc", _bindings().cuMemHostAlloc(max(size, 1), 0)))

    def release_pinned(self, address: int) -> None:
        self._use(max(int(thread_words()[ACTIVE]), 0))
        _checked("cuMemFreeHost", _bindings().cuMemFreeHost(address))

    def copy(self, device: int, stream: int, to: int, source: int, size: int, kind: str) -> None:
        if size:
            cuda = _bindings()
            self._use(device)
            name = {"to device": "cuMemcpyHtoDAsync", "to host": "cuMemcpyDtoHAsync", "within": "cuMemcpyDtoDAsync", "between": "cuMemcpyAsync"}[kind]
            _checked(name, getattr(cuda, name)(to, source, size, stream))

    def fill(self, device: int, stream: int, address: int, byte: int, size: int) -> None:
        if size:
            self._use(device)
            _checked("cuMemsetD8Async", _bindings().cuMemsetD8Async(address, byte, size, stream))

    # ------------------------------------------------------------------------------------------------------- kernels

    def load(self, device: int, kernel: Any) -> Any:
        self._use(device)
        code = store.code(kernel, self.properties(device).capability)
        return _core().ObjectCode.from_cubin(code.cubin).get_kernel(code.entry)

    def handle(self, loaded: Any) -> int:
        return int(loaded.handle if hasattr(loaded, "handle") else loaded._handle)  # its name before it was public

    def functions(self) -> tuple[int, int]:
        import ctypes

        library = ctypes.CDLL("libcuda.so.1")
        launch, fill = (ctypes.cast(f, ctypes.c_void_p).value for f in (library.cuLaunchKernel, library.cuMemsetD8Async))
        return launch or 0, fill or 0

    def failed(self, result: int) -> NoReturn:
        cuda = _bindings()
        _checked("launching", (cuda.CUresult(result),))
        raise AssertionError(result)

    # ----------------------------------------------------------------------------------------------- streams, events

    def new_stream(self, device: int, priority: int) -> int:
        cuda = _bindings()
        self._use(device)
        flags = cuda.CUstream_flags.CU_STREAM_NON_BLOCKING
        return int(_checked("cuStreamCreate", cuda.cuStreamCreateWithPriority(flags, priority)))

    def release_stream(self, device: int, stream: int) -> None:
        self._use(device)
        _checked("cuStreamDestroy", _bindings().cuStreamDestroy(stream))

    def synchronize(self, device: int, stream: int | None) -> None:
        cuda = _bindings()
        self._use(device)
        _checked("synchronizing", cuda.cuCtxSynchronize() if stream is None else cuda.cuStreamSynchronize(stream))

    def finished(self, device: int, stream: int) -> bool:
        self._use(device)
        return self._done("cuStreamQuery", _bindings().cuStreamQuery(stream))

    def new_event(self, device: int, timing: bool) -> int:
        cuda = _bindings()
        flag = cuda.CUevent_flags.CU_EVENT_DEFAULT if timing else cuda.CUevent_flags.CU_EVENT_DISABLE_TIMING
        with self._meanwhile(device):
            return int(_checked("cuEventCreate", cuda.cuEventCreate(flag)))

    def release_event(self, device: int, event: int) -> None:
        with self._meanwhile(device):
            _checked("cuEventDestroy", _bindings().cuEventDestroy(event))

    def record(self, device: int, event: int, stream: int) -> None:
        with self._meanwhile(device):
            _checked("cuEventRecord", _bindings().cuEventRecord(event, stream))

    def wait(self, device: int, event: int, stream: int) -> None:
        self._use(device)
        _checked("cuStreamWaitEvent", _bindings().cuStreamWaitEvent(stream, event, 0))

    def reached(self, device: int, event: int) -> bool:
        self._use(device)
        return self._done("cuEventQuery", _bindings().cuEventQuery(event))

    def synchronize_event(self, device: int, event: int) -> None:
        self._use(device)
        _checked("cuEventSynchronize", _bindings().cuEventSynchronize(event))

    def elapsed(self, device: int, start: int, end: int) -> float:
        self._use(device)
        return float(_checked("cuEventElapsedTime", _bindings().cuEventElapsedTime(start, end)))

    @staticmethod
    def _done(name: str, answer: tuple[Any, ...]) -> bool:
        if answer[0] == _bindings().CUresult.CUDA_ERROR_NOT_READY:
            return False
        _checked(name, answer)
        return True


def _bindings() -> Any:
    from cuda.bindings import driver

    return driver


def _core() -> Any:
    import cuda.core

    if hasattr(cuda.core, "Device"):
        return cuda.core
    import cuda.core.experimental  # its name before 1.0

    return cuda.core.experimental


def _checked(what: str, answer: tuple[Any, ...]) -> Any:
    """What a call of the driver's returned.

    Raises:
        RuntimeError: when it failed.
    """
    cuda = _bindings()
    result, *values = answer
    if result != cuda.CUresult.CUDA_SUCCESS:
        words = cuda.cuGetErrorString(result)[1]
        raise RuntimeError(f"CUDA: {what} failed: {words.decode() if words else result} ({result.name})")
    return values[0] if len(values) == 1 else tuple(values)
