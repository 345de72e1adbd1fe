"""Memory, streams, events and launches of the CUDA backend, by the books of a driver without a device: in a process of its own for each test."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import tapegrad as tg

START = """
import gc, sys, threading
import numpy as np
import tapegrad as tg
from tapegrad.kernels import cuda as K
from tapegrad.kernels.cuda import exchange, memory, pinned, store
from tapegrad.kernels.cuda.context import context

log, driver = getattr(context.driver, "log", []), context.driver  # the simulator has none
f32 = np.dtype(np.float32)
MiB = 1 << 20

def asked(what):
    return [entry[1:] for entry in log if entry[0] == what]

x = tg.zeros(4, device="cuda")
log.clear()
"""


def run(code: str, home: Path | None = None, **settings: str) -> str:
    """What the code prints, beside the null driver."""
    source = str(Path(tg.__file__).parents[1])
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("TAPEGRAD_", "PYTEST_"))}
    env = {**kept, "PYTHONPATH": source, "TAPEGRAD_CUDA_DRIVER": "null", "TAPEGRAD_CACHE_DIR": os.environ.get("TAPEGRAD_CACHE_DIR", ""), **settings}
    if home is not None:
        env["TAPEGRAD_CACHE_DIR"] = str(home)
    elif not env["TAPEGRAD_CACHE_DIR"]:
        del env["TAPEGRAD_CACHE_DIR"]
    done = subprocess.run([sys.executable, "-c", START + textwrap.dedent(code)], env=env, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout.strip()


def test_blocks_have_few_sizes() -> None:
    run("""
        sizes = [memory.rounded(n) for n in range(1, 5 * MiB, 777)]
        assert all(s >= n for s, n in zip(sizes, range(1, 5 * MiB, 777)))
        assert memory.rounded(0) == memory.rounded(1) == 512 and memory.rounded(513) == 1024
        large = [memory.rounded(n) for n in range(MiB + 1, 64 * MiB, 4321)]
        assert len(set(large)) <= 8 * 6 + 1 and all(s <= n * 9 / 8 for s, n in zip(large, range(MiB + 1, 64 * MiB, 4321)))
        assert memory.rounded(3 * MiB) == 3 * MiB
    """)


def test_memory_is_taken_again_by_the_same_stream_only() -> None:
    run("""
        a = K.empty((1000,), f32)
        address = a.address
        view = a[10:20]
        del a
        assert K.empty((1000,), f32).address != address  # the view keeps it
        del view
        assert K.empty((990,), f32).address == address  # the same size class
        taken = len(asked("allocate"))
        side = tg.cuda.Stream()
        with tg.cuda.stream(side):
            b = K.empty((1000,), f32)
            assert b.address != address and b.owner.stream == side.cuda_stream
            other = b.address
            del b
            assert K.empty((1000,), f32).address == other
        assert K.empty((1000,), f32).address == address
        assert len(asked("allocate")) == taken + 1
    """)


def test_memory_used_by_another_stream_waits_for_it() -> None:
    run("""
        side = tg.cuda.Stream()
        t = tg.empty(1000, device="cuda")
        address = t.data_ptr()
        t.record_stream(side)
        t.record_stream(side)
        t.record_stream(tg.cuda.default_stream())  # its own
        assert asked("record") == []  # not yet: the stream may be given more that uses it
        driver.reached = lambda device, event: False
        del t
        assert [stream for _, _, stream in asked("record")] == [side.cuda_stream]
        a = K.empty((1000,), f32)
        assert a.address != address
        driver.reached = lambda device, event: True
        assert K.empty((1000,), f32).address == address
    """)


def test_when_memory_runs_out_unused_blocks_are_given_back_first() -> None:
    assert "cuda:0 is out of memory: tried to allocate 600.00 MiB; of 1.00 GiB, " in run("""
        a = K.empty((600 * MiB // 4,), f32)
        del a
        b = K.empty((700 * MiB // 4,), f32)  # another size: the first block must go
        assert ("synchronize", 0, None) in log and ("release", 0, 640 * MiB) in log
        assert log.index(("synchronize", 0, None)) < [e[0] for e in log].index("release")
        stats = tg.cuda.memory_stats()
        assert (stats["num_alloc_retries"], stats["num_ooms"]) == (1, 0)
        try:
            K.empty((600 * MiB // 4,), f32)
        except tg.cuda.OutOfMemoryError as error:
            assert isinstance(error, RuntimeError)
            print(error)
        stats = tg.cuda.memory_stats()
        assert (stats["num_alloc_retries"], stats["num_ooms"]) == (2, 1)
        del b
        tg.cuda.set_per_process_memory_fraction(0.5)
        K.empty((400 * MiB // 4,), f32)
        try:
            K.empty((600 * MiB // 4,), f32)
        except tg.cuda.OutOfMemoryError as error:
            assert "limited to 50%" in str(error)
        else:
            raise AssertionError
    """)


def test_the_error_of_a_full_gpu_is_one_class() -> None:
    run("""
        assert tg.OutOfMemoryError is tg.cuda.OutOfMemoryError is memory.DeviceOutOfMemory and issubclass(tg.OutOfMemoryError, RuntimeError)
        assert str(tg.OutOfMemoryError) == "<class 'tapegrad.OutOfMemoryError'>"
        try:
            tg.empty(1 << 29, device="cuda")
        except tg.OutOfMemoryError as error:
            assert "out of memory" in str(error)
        else:
            raise AssertionError
    """)


def test_statistics_add_up() -> None:
    run("""
        start = tg.cuda.memory_allocated()
        a, b = K.empty((3 * MiB,), np.dtype(np.uint8)), K.empty((100,), np.dtype(np.uint8))
        assert tg.cuda.memory_allocated() == start + 3 * MiB + 512
        reserved = tg.cuda.memory_reserved()
        del a
        assert tg.cuda.memory_allocated() == start + 512 and tg.cuda.memory_reserved() == reserved
        assert tg.cuda.max_memory_allocated() == start + 3 * MiB + 512
        assert tg.cuda.memory_stats()["allocation.all.current"] == 2
        tg.cuda.reset_peak_memory_stats()
        assert tg.cuda.max_memory_allocated() == start + 512
        tg.cuda.empty_cache()
        assert tg.cuda.memory_reserved() == reserved - 3 * MiB == sum(driver.blocks[0].values())
        assert tg.cuda.mem_get_info() == ((1 << 30) - tg.cuda.memory_reserved(), 1 << 30)
        summary = tg.cuda.memory_summary()
        assert "memory of cuda:0" in summary and "3.00 MiB" in summary  # the most that was reserved since
        assert tg.cuda.memory_allocated(1) == 0
    """)


def test_launches_go_to_the_current_device_and_stream() -> None:
    run("""
        y = x * 2.5 + x
        launches = asked("launch")
        assert [(device, stream) for device, stream, *_ in launches] == [(0, 0)] * 2
        device, stream, name, grid, block, arguments = launches[0]
        assert name.startswith("elementwise") and grid == (1, 1, 1) and block[1:] == (1, 1)
        assert arguments[0] == x.data_ptr() and arguments[1] == np.float32(2.5) and arguments[-1] == 4
        log.clear()
        s = tg.cuda.Stream()
        with tg.cuda.stream(s):
            assert tg.cuda.current_stream() == s
            x + 1
            with tg.cuda.device(1):
                assert tg.cuda.current_stream() == tg.cuda.default_stream()
                t = tg.ones(2, device="cuda")
                assert str(t.device) == "cuda:1"
                t + 1
            x + 1
        x + 1
        assert [(d, q) for d, q, name, *_ in asked("launch")] == [(0, s.cuda_stream), (1, 0), (1, 0), (0, s.cuda_stream), (0, 0)]
        assert tg.cuda.current_device() == 0
    """)


def test_every_thread_has_its_device_and_streams() -> None:
    run("""
        found = []
        def work():
            found.append((tg.cuda.current_device(), tg.cuda.current_stream().cuda_stream))
            tg.cuda.set_device(0)
            tg.zeros(3, device="cuda") + 1
        tg.cuda.set_device(1)
        tg.cuda.set_stream(tg.cuda.Stream(1))
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        assert found == [(0, 0)]
        assert tg.cuda.current_device() == 1
        tg.zeros(3, device="cuda") + 1
        assert [d for d, *_ in asked("launch")] == [0, 1]
        assert asked("launch")[1][1] == tg.cuda.current_stream().cuda_stream != 0
    """)


def test_streams_are_shared_and_never_given_back() -> None:
    run("""
        streams = [tg.cuda.Stream() for _ in range(40)]
        assert len({s.cuda_stream for s in streams}) == 32 and streams[0] == streams[32]
        assert tg.cuda.Stream(1).cuda_stream not in {s.cuda_stream for s in streams} and tg.cuda.Stream(1).device == tg.device("cuda:1")
        del streams
        gc.collect()
        assert asked("release stream") == []
    """)


def test_events_order_and_time() -> None:
    run("""
        a, b = tg.cuda.Event(enable_timing=True), tg.cuda.Event(enable_timing=True)
        assert a.query() and a.device is None
        for first, second in ((a, b), (tg.cuda.Event(), b)):
            try:
                first.elapsed_time(second)
            except ValueError as error:
                assert "enable_timing" in str(error)
            else:
                raise AssertionError
        a.record()
        x + 1
        s = tg.cuda.Stream()
        b.record(s)
        assert a.elapsed_time(b) >= 2  # steps of the books
        s.wait_stream(tg.cuda.current_stream())
        event, stream = asked("record")[-1][1:]
        assert stream == 0 and asked("wait") == [(0, event, s.cuda_stream)]
        made = len(driver.events)
        del a, b
        assert len(driver.events) < made
    """)


def test_finalizers_may_run_in_the_middle_of_an_allocation() -> None:
    run("""
        class Cycle:
            def __init__(self, array):
                self.array, self.me = array, self
        allocate = driver.allocate
        def interrupted(device, size):
            gc.collect()
            return allocate(device, size)
        driver.allocate = interrupted
        start = tg.cuda.memory_allocated()
        for n in range(1, 200):
            Cycle(K.empty((n * 1000,), f32))
        gc.collect()
        assert tg.cuda.memory_allocated() == start
        tg.cuda.empty_cache()
        assert tg.cuda.memory_reserved() == memory.pool().allocated
        pool = memory.pool()
        kept = [[] for _ in range(4)]
        def work(k):
            for n in range(300):
                kept[k] = [K.empty((n,), f32) for _ in range(3)]
        threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
        [t.start() for t in threads]
        [t.join() for t in threads]
        kept.clear()
        assert pool.allocated == start and len({a for addresses in pool.free.values() for a in addresses}) == sum(map(len, pool.free.values()))
    """)


def test_calls_of_nvidias_driver_are_made_with_their_device_current() -> None:
    run("""
        import types
        from tapegrad.kernels.cuda.drivers import nvidia
        from tapegrad.kernels.cuda.drivers.thread import ACTIVE, thread_words
        made = []
        class Bindings:
            CUresult = types.SimpleNamespace(CUDA_SUCCESS=0, CUDA_ERROR_NOT_READY=600)
            CUevent_flags = types.SimpleNamespace(CU_EVENT_DEFAULT=0, CU_EVENT_DISABLE_TIMING=2)
            def __getattr__(self, name):
                return lambda *args: made.append((name, int(thread_words()[ACTIVE]))) or (0, 1)
        nvidia._bindings = Bindings
        nvidia._core = lambda: types.SimpleNamespace(Device=lambda number: types.SimpleNamespace(set_current=lambda: None))
        gpus = nvidia.Nvidia()
        gpus.activate(0)
        event = gpus.new_event(1, False)
        gpus.record(1, event, 0)
        gpus.release_event(1, event)
        assert made == [("cuEventCreate", 1), ("cuEventRecord", 1), ("cuEventDestroy", 1)]
        assert thread_words()[ACTIVE] == 0  # finalizers do these, in the middle of anything
        made.clear()
        gpus.reached(1, event), gpus.synchronize_event(0, event), gpus.elapsed(1, event, event), gpus.release_stream(0, 3)
        assert [device for _, device in made] == [1, 0, 1, 0]
        def elsewhere():
            made.clear()
            gpus.release_pinned(5)
            assert made == [("cuMemFreeHost", 0)]
        thread = threading.Thread(target=elsewhere)
        thread.start()
        thread.join()
        assert made
    """)


def test_copies_between_devices_follow_both_streams() -> None:
    run("""
        y = x.to("cuda:1")
        assert str(y.device) == "cuda:1" and tg.cuda.current_device() == 0
        order = [entry[0] for entry in log if entry[0] in ("record", "wait", "copy")]
        assert order == ["record", "wait", "copy", "record", "wait"]
        assert asked("copy") == [(0, 0, 16, "between")]
        assert [d for d, *_ in asked("record")] == [1, 0] and [d for d, *_ in asked("wait")] == [0, 1]
    """)


def test_copies_of_pinned_memory_do_not_wait() -> None:
    run("""
        p = K.pinned.empty((3, 4), f32)
        p[...] = 1
        t = tg.from_numpy(p)
        assert t.is_pinned() and t[1:].T.is_pinned() and not tg.ones(2).is_pinned()
        log.clear()
        y = t.to("cuda", non_blocking=True)
        assert asked("copy") == [(0, 0, 48, "to device")] and asked("synchronize") == []
        h = y.to("cpu", non_blocking=True)
        assert h.is_pinned() and asked("synchronize") == []
        t.to("cuda")
        tg.ones(3).to("cuda")  # small ones are copied to pinned memory first
        assert asked("synchronize") == []
        tg.ones(1 << 15).to("cuda", non_blocking=True)  # not pinned
        y.cpu()
        assert asked("synchronize") == [(0, 0)] * 2
        address = p.ctypes.data
        driver.reached = lambda device, event: False
        del p, t
        assert K.pinned.empty((3, 4), f32).ctypes.data != address  # its copy may be under way
        driver.reached = lambda device, event: True
        q = [K.pinned.empty((3, 4), f32) for _ in range(9)]
        assert address in [a.ctypes.data for a in q]
    """)


def test_what_kernels_are_kept_by() -> None:
    run("""
        from tapegrad.kernels.cuda.kernel import FAMILIES
        import importlib, pkgutil
        for found in pkgutil.walk_packages(K.__path__, K.__name__ + "."):
            if not found.name.endswith((".intrinsics", ".toolchain", ".twins", ".simulator", ".simulated")):
                importlib.import_module(found.name)
        kernels = [kernel for family in FAMILIES.values() for kernel in family.members()]
        assert len(kernels) > 50
        assert len({kernel.key for kernel in kernels}) == len(kernels)
        assert [k.key for k in kernels if " at 0x" in k.key or "<" in k.key] == []  # another in every process
        names = {store._entry_name(k.module, k.key, k.threads, (9, 0)) for k in kernels}
        assert len(names) == len(kernels)
        k = kernels[0]
        assert store._entry_name(k.module, k.key, k.threads, (8, 0)) not in names
        assert "numba" not in sys.modules and not any(k._made for k in kernels)
    """)


KEEP = """
    from tapegrad.kernels.cuda.compiler import Code
    compiled = []
    def compile_kernel(function, signature, architectures, threads):
        compiled.append((function.__name__, signature))
        return {arch: Code("kernel", b"\\x7fELF" + bytes([k]), "text", 32, 0, 0) for k, arch in enumerate(architectures)}
    store.compiler.compile_kernel = compile_kernel
    loaded = []
    driver.__class__.load = lambda self, device, kernel: loaded.append(store.code(kernel, (9, 0))) or kernel
    from tapegrad.kernels.cuda.kernel import family
    @family(dtype=("float32",))
    def twice(dtype):
        def kernel(x, n): ...
        built.append(dtype)
        return kernel, "float32* int64"
    built = []
    twice("float32").launch(1, 32, x._array, 4)
    twice("float32").launch(1, 32, x._array, 4)
    with tg.cuda.device(1):
        twice("float32").launch(1, 32, None, 4)
    assert loaded[0] == Code("kernel", b"\\x7fELF\\0", "", 32, 0, 0) == loaded[1] and len(loaded) == 2
"""


def test_code_is_kept_on_disk_and_taken_from_there_without_a_compiler(tmp_path: Path) -> None:
    home = tmp_path / "kernels"
    (tmp_path / "made.py").write_text("def made(): ...")
    first = run(KEEP + "    print(built, compiled, store.statistics)", home)
    assert first == "['float32'] [('kernel', ['float32*', 'int64'])] {'compiled': 1, 'loaded': 0}"
    again = run(KEEP + "    print(built, compiled, store.statistics, 'numba' in sys.modules)", home)
    assert again == "[] [] {'compiled': 0, 'loaded': 1} False"
    assert run(KEEP.replace("float32", "float64") + "    print(store.statistics)", home) == "{'compiled': 1, 'loaded': 0}"
    for entry in home.glob("*.kernel"):
        if b'"entry"' in (data := entry.read_bytes()):
            entry.write_bytes(data[:-1])  # a damaged one is made anew
    assert run(KEEP + "    print(store.statistics)", home) == "{'compiled': 1, 'loaded': 0}"


def test_a_real_kernel_comes_from_disk_without_numba(tmp_path: Path) -> None:
    pytest.importorskip("numba_cuda")
    pytest.importorskip("cuda.bindings")
    code = """
        loaded = []
        driver.__class__.load = lambda self, device, kernel: loaded.append(store.code(kernel, (9, 0))) or kernel
        (x.exp() + x.sum(0)).half()
        import hashlib
        print(len(loaded), store.statistics["compiled"], "numba" in sys.modules, hashlib.sha256(b"".join(c.cubin for c in loaded)).hexdigest())
    """
    count, compiled, numba, digest = run(code, tmp_path / "kernels").split()
    assert int(count) > 2 and (compiled, numba) == (count, "True")
    assert run(code, tmp_path / "kernels").split() == [count, "0", "False", digest]
