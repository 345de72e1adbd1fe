"""The kernel cache (promise 11): what is a miss, what is refused, and processes that start together."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import textwrap
import types
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tapegrad.kernels import store
from tapegrad.kernels.native import cache

WORK = """
import sys, warnings
warnings.simplefilter("always")
import numpy as np
import tapegrad as tg
from tapegrad.kernels.native import cache
tg.set_num_threads(1)
x = tg.from_numpy(np.linspace(-2, 2, 12, dtype=np.float32).reshape(3, 4)).requires_grad_()
(tg.exp(x) * x + 1.0).sum().backward()
e = np.exp(x.detach().numpy())
assert np.allclose(x.grad.numpy(), e * (1 + x.detach().numpy()), rtol=1e-5), x.grad
print(cache.statistics["compiled"], cache.statistics["loaded"], "numba" in sys.modules)
"""


def environment(home: Path, **more: str) -> dict[str, str]:
    source = str(Path(cache.__file__).parents[3])
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("TAPEGRAD_", "XDG_CACHE"))}
    return {**kept, "TAPEGRAD_CACHE_DIR": str(home), "PYTHONPATH": source, **more}


def process(home: Path, code: str = WORK, **more: str) -> tuple[str, str]:
    done = subprocess.run([sys.executable, "-c", code], env=environment(home, **more), capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout, done.stderr


@pytest.fixture(scope="module")
def warm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory that a process filled with the kernels of WORK."""
    home = tmp_path_factory.mktemp("cache") / "kernels"
    compiled, loaded, numba = process(home)[0].split()
    assert int(compiled) > 3
    assert (loaded, numba) == ("0", "True")
    return home


def test_warm_process_compiles_nothing_and_does_not_import_numba(warm: Path) -> None:
    output, errors = process(warm)
    compiled, loaded, numba = output.split()
    assert (compiled, numba) == ("0", "False")
    assert int(loaded) > 3
    assert errors == ""


def test_directory_is_ours_alone_and_holds_no_pickle(warm: Path) -> None:
    assert warm.stat().st_mode & 0o777 == 0o700
    entries = [e for e in warm.iterdir() if e.name != ".lock"]
    assert entries
    assert all(e.suffix == ".kernel" for e in entries)
    for entry in entries:
        data = entry.read_bytes()
        assert data.startswith(store.MAGIC)
        body = data[len(store.MAGIC) + 32 :]
        length = int.from_bytes(body[:4], "little")
        meta = json.loads(body[4 : 4 + length])
        assert set(meta) == {"symbol", "needs"}
        assert body[4 + length :].startswith(b"\x7fELF")
        assert entry.stat().st_mode & 0o077 == 0


# ------------------------------------------------------------------------------------------- within this process


def build(constant: int) -> Any:
    def kernel(slots, start, stop):  # type: ignore[no-untyped-def]
        for i in range(start, stop):
            slots[i] = constant

    return kernel


def value_of(address: int) -> int:
    import ctypes

    out = np.zeros(2, np.int64)
    ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64)(address)(out.ctypes.data, 0, 2)
    assert out[0] == out[1]
    return int(out[0])


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A fresh directory, and a cache that remembers nothing."""
    path = tmp_path / "kernels"
    monkeypatch.setenv("TAPEGRAD_CACHE_DIR", str(path))
    monkeypatch.setattr(cache, "_addresses", {})
    store.usable_directory.cache_clear()
    yield path
    monkeypatch.undo()
    store.usable_directory.cache_clear()


def ask(constant: int = 7, key: str = "test") -> tuple[int, int]:
    """The kernel's value, and how many were compiled for it, in a cache that has forgotten all it loaded."""
    cache._addresses.clear()
    before = cache.statistics["compiled"]
    value = value_of(cache.native(f"{key}:{constant}", lambda: build(constant)))
    return value, cache.statistics["compiled"] - before


def test_keys_hold_constants_and_flags(home: Path) -> None:
    assert ask(7) == (7, 1)
    assert ask(8) == (8, 1)
    assert ask(7) == (7, 0)
    assert ask(8) == (8, 0)
    assert len({cache._entry_name("m", *rest) for rest in (("k", ()), ("k", ("reassoc",)), ("l", ()))}) == 3
    assert cache.size()[0] == 2
    cache.clear()
    assert cache.size() == (0, 0)
    assert ask(7) == (7, 1)


def sealed(name: str, meta: Any, code: bytes) -> bytes:
    """An entry with a valid digest."""
    import hashlib

    header = meta if isinstance(meta, bytes) else json.dumps(meta).encode()
    body = len(header).to_bytes(4, "little") + header + code
    return store.MAGIC + hashlib.sha256(name.encode() + body).digest() + body


def test_damaged_and_foreign_entries_are_misses(home: Path) -> None:
    assert ask() == (7, 1)
    (path,) = home.glob("*.kernel")
    good = path.read_bytes()
    flipped = [good[:i] + bytes([good[i] ^ 1]) + good[i + 1 :] for i in (0, len(store.MAGIC), len(store.MAGIC) + 33, len(good) // 2, len(good) - 1)]
    damaged = [b"", b"x", store.MAGIC, good[:40], good[:-1], good + b"x", b"\0" * len(good), *flipped]
    ask(8)
    (other,) = [p for p in home.glob("*.kernel") if p != path]
    damaged.append(other.read_bytes())  # whole, but another's
    for data in damaged:
        path.write_bytes(data)
        assert ask() == (7, 1), data[:60]
        assert ask() == (7, 0)  # written anew
    path.unlink()
    path.mkdir()
    assert ask() == (7, 1)


def test_sealed_nonsense_is_a_miss(home: Path) -> None:
    assert ask() == (7, 1)
    (path,) = home.glob("*.kernel")
    good, name = path.read_bytes(), path.stem
    body = good[len(store.MAGIC) + 32 :]
    length = int.from_bytes(body[:4], "little")
    meta, code = json.loads(body[4 : 4 + length]), body[4 + length :]
    nonsense = [
        sealed(name, {**meta, "needs": ["no_such_symbol_anywhere"]}, code),
        sealed(name, {**meta, "symbol": "no_such_function"}, code),
        sealed(name, b"{not json", code),
        sealed(name, {}, code),
        sealed(name, [1], code),
        sealed(name, {**meta, "needs": 5}, code),
    ]
    for data in nonsense:
        path.write_bytes(data)
        assert ask() == (7, 1), data[50:150]


def test_shared_directories_are_refused_with_one_warning(home: Path) -> None:
    for mode in (0o720, 0o702, 0o777):
        home.mkdir(exist_ok=True)
        home.chmod(mode)
        store.usable_directory.cache_clear()
        with pytest.warns(RuntimeWarning, match="others may write") as caught:
            assert ask()[0] == 7
            assert ask(8)[0] == 8
        assert len(caught) == 1
        assert [e.name for e in home.iterdir()] in ([], [".lock"])


def test_foreign_directories_are_refused(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getuid", lambda: 12345)
    with pytest.warns(RuntimeWarning, match="belongs to user"):
        assert ask() == (7, 1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert ask() == (7, 1)


def test_without_a_usable_home_kernels_stay_in_memory(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home.parent.joinpath("file").write_text("")
    monkeypatch.setenv("TAPEGRAD_CACHE_DIR", str(home.parent / "file" / "below"))
    with pytest.warns(RuntimeWarning, match="compiled in memory"):
        assert ask() == (7, 1)
    store.usable_directory.cache_clear()
    for name in ("TAPEGRAD_CACHE_DIR", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)

    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", staticmethod(homeless))
    with pytest.warns(RuntimeWarning, match="compiled in memory"):
        assert ask() == (7, 1)
    assert cache.size() == (0, 0)


def test_a_disk_that_fills_costs_only_the_entry(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store.usable_directory()

    def full(*args: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    assert ask() == (7, 1)
    assert [e.name for e in home.iterdir()] == [".lock"]


LIGHT = """
import ctypes
import numpy as np
from tapegrad.kernels.native import cache
def build(constant):
    def kernel(slots, start, stop):
        for i in range(start, stop):
            slots[i] = constant * i
    return kernel
for constant in range(5):
    address = cache.native(f"light:{constant}", lambda: build(constant))
    out = np.zeros(9, np.int64)
    ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64)(address)(out.ctypes.data, 0, 9)
    assert out.tolist() == [constant * i for i in range(9)], out
print(cache.statistics["compiled"])
"""


def cold_starts(home: Path, count: int, code: str) -> None:
    running = [
        subprocess.Popen([sys.executable, "-c", code], env=environment(home), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(count)
    ]
    for p in running:
        _, errors = p.communicate(timeout=300)
        assert p.returncode == 0, errors
    output, _ = process(home, code)
    assert output.split()[0] == "0"
    assert not list(home.glob("*.tmp"))


def test_processes_that_start_together(warm: Path, tmp_path: Path) -> None:
    shutil.copytree(warm, tmp_path / "kernels")  # so that only the kernels of LIGHT are missing
    cold_starts(tmp_path / "kernels", 8, LIGHT)


@pytest.mark.nightly
def test_many_cold_starts(warm: Path, tmp_path: Path) -> None:
    cold_starts(tmp_path / "whole", 8, WORK)
    for i in range(200):
        shutil.copytree(warm, tmp_path / str(i))
        cold_starts(tmp_path / str(i), 4, LIGHT)


def test_a_fork_waits_for_a_thread_that_compiles(warm: Path) -> None:
    """The child has no such thread, and would wait for it for ever."""
    code = """
        import os, threading, time, warnings
        import tapegrad as tg
        from tapegrad.kernels import store

        warnings.simplefilter("ignore")  # forking with threads is what is tested
        compiling = threading.Event()

        def compile():
            with store.lock:
                compiling.set()
                time.sleep(0.2)

        thread = threading.Thread(target=compile)
        thread.start()
        compiling.wait()
        pid = os.fork()
        if pid == 0:
            os._exit(0 if (tg.ones(3) * 2).sum() == 6 else 1)
        thread.join()
        print(os.waitpid(pid, 0)[1])
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], env=environment(warm), capture_output=True, text=True, timeout=120)
    assert (done.stdout, done.stderr) == ("0\n", "")


def test_an_entry_depends_on_the_modules_it_is_built_from_and_no_others() -> None:
    assert len({store.source(f"tapegrad.kernels.cpu.{m}") for m in ("elementwise", "reduction.reduce", "random.philox")}) == 3
    text = Path(cache.__file__).parents[1].joinpath("cpu", "reduction", "reduce.py").read_text()
    direct = store.IMPORTED.findall(text)
    assert any("kernels" in inside + names for _, inside, names in direct)


def test_a_changed_module_makes_a_new_entry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, text in (("front", "from . import (\n    deep,\n)\n"), ("deep", "x = 1\n"), ("aside", "")):
        (tmp_path / f"{name}.py").write_text(text)
    module = types.ModuleType("front")
    module.__file__ = str(tmp_path / "front.py")
    monkeypatch.setitem(sys.modules, "front", module)

    def digest() -> bytes:
        return store.source.__wrapped__("front")

    before = digest()
    (tmp_path / "aside.py").write_text("y = 2\n")
    assert digest() == before
    (tmp_path / "deep.py").write_text("x = 2\n")
    assert digest() != before


@pytest.mark.parametrize("first", [True, False])
def test_a_person_who_waits_for_the_first_kernels_is_told(tmp_path: Path, warm: Path, first: bool) -> None:
    """Once, on a terminal, when the cache is empty or compiling takes long; ``test_quick_demo`` sees that a pipe gets nothing."""
    pty = pytest.importorskip("pty")
    controller, terminal = pty.openpty()
    code = "import tapegrad as tg\ntg.exp(tg.ones(3)); tg.ones(3, 4).sum()"
    subprocess.run([sys.executable, "-c", code], env=environment(tmp_path / "new" if first else warm), stderr=terminal, timeout=300, check=True)
    os.set_blocking(controller, False)
    os.close(terminal)
    try:
        told = os.read(controller, 4096).decode()
    except OSError:  # nothing was written
        told = ""
    os.close(controller)
    assert told.count("compiling kernels that this machine has not run before") == first
    assert told.count("\n") == first
    assert not first or str(tmp_path / "new") in told
