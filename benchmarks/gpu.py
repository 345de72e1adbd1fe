"""The GPU beside PyTorch's. The cases are in :mod:`benchmarks.gpu_cases`; here they run so that one that fails costs only itself.

First all parts compile their kernels, side by side. Then they are timed one after another, each in a process of its own, which writes every
case down when it begins and when it ends: after a fault of the GPU, which ends a process's use of it, a hang or a crash, the part goes on in
another process with the case after.
"""

from __future__ import annotations

import faulthandler
import gc
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from .gpu_cases import COPY, PARTS, Measurement, compare, rate, timed
from .harness import Result, Run, libraries, settings

_A_CASE = 45  # seconds, at most
_ALL = 220  # seconds for everything, without being asked for another number
_SLOW = 0.4  # of that, at most, to compile in


class _Passed(Measurement):
    """Leaves out the cases that ran before."""

    def __init__(self, quick: bool, skipped: int) -> None:
        self.quick, self._skipped = quick, skipped

    def add(self, family: str, name: str, make: Callable[[Any], Run], **how: Any) -> None:
        if self._skipped:
            self._skipped -= 1
            return
        faulthandler.dump_traceback_later(_A_CASE, exit=True)
        self.take(family, name, make, **how)
        faulthandler.cancel_dump_traceback_later()
        gc.collect()

    def take(self, family: str, name: str, make: Callable[[Any], Run], **how: Any) -> None:
        raise NotImplementedError


class _Compiled(_Passed):
    """Runs each case once with our library, so that its kernels are on disk."""

    def take(self, family: str, name: str, make: Callable[[Any], Run], **how: Any) -> None:
        import tapegrad

        try:
            make(tapegrad)()
            tapegrad.cuda.synchronize()
        except Exception as error:
            print(f"  compiling {name}: {_line(error)}", file=sys.stderr, flush=True)


class _Timed(_Passed):
    """Compares and times each case, and writes it to a file of a line each."""

    def __init__(self, quick: bool, skipped: int, bandwidth: float, path: Path) -> None:
        super().__init__(quick, skipped)
        self.bandwidth, self._path = bandwidth, path

    def _write(self, **said: Any) -> None:
        with self._path.open("a") as file:
            file.write(json.dumps(said) + "\n")

    def take(self, family: str, name: str, make: Callable[[Any], Run], **how: Any) -> None:
        self._write(begins=name, family=family)
        result = self._measured(family, name, make, **how)
        self._write(result=asdict(result))
        print(f"  {family}: {name}: {result.ratio and round(result.ratio, 2)} {result.note}", file=sys.stderr, flush=True)
        for m in libraries().values():
            m.cuda.synchronize()  # fails after a fault of the GPU: another process must go on
            m.cuda.empty_cache()

    def _measured(
        self, family: str, name: str, make: Callable[[Any], Run], *, times: int = 8, moved: float = 0.0, flops: float = 0.0, tolerance: float = 1e-3
    ) -> Result:
        wrong = ""
        try:
            runs = {library: make(m) for library, m in libraries().items()}
            try:
                compare(name, runs, tolerance)
            except AssertionError as error:
                wrong = f" WRONG: {_difference(error)}"
            medians, spread = timed(runs, libraries(), self.quick, times)
        except Exception as error:
            return Result(family, name, "us", {}, note=f"FAILED: {_line(error)}")
        if name == COPY:
            self.bandwidth = moved / min(medians.values()) * 1e6
        return Result(family, name, "us", medians, spread=spread, note=rate(moved, flops, medians["tapegrad"], self.bandwidth) + wrong)


def _difference(error: AssertionError) -> str:
    """How far values are from each other, of NumPy's many lines."""
    telling = [line.strip() for line in str(error).splitlines() if line.startswith(("Mismatched", "Max", "nan location", "inf location", "(shapes"))]
    return "; ".join(telling) or _line(error)


def _line(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"


def _command(part: str, *arguments: Any) -> list[str]:
    return [sys.executable, "-m", "benchmarks.gpu", part, *map(str, arguments)]


def _compile(quick: bool, until: float) -> None:
    """Kernels of all parts, each part in a process."""
    start = time.monotonic()
    running = [subprocess.Popen(_command(part, int(quick))) for part in PARTS]
    for process in running:
        try:
            process.wait(max(1.0, until - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    print(f"  kernels compiled in {time.monotonic() - start:.0f} s", file=sys.stderr, flush=True)


def _time(part: str, quick: bool, bandwidth: float, until: float) -> list[Result]:
    """The results of a part; a case that ended its process has none but a note."""
    results: list[Result] = []
    with tempfile.TemporaryDirectory() as folder:
        for turn in range(5):
            path = Path(folder, f"{turn}.jsonl")
            left = until - time.monotonic()
            if left < 2:
                return [*results, Result(f"gpu {part}", "the rest", "us", {}, note="FAILED: no time left")]
            try:
                code = subprocess.run(_command(part, int(quick), len(results), bandwidth, path), timeout=left, check=False).returncode
            except subprocess.TimeoutExpired:
                code = -1
            lines = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
            results += [Result(**line["result"]) for line in lines if "result" in line]
            if code == 0:
                break
            if not lines:
                return [*results, Result(f"gpu {part}", "the rest", "us", {}, note=f"FAILED: exit status {code}")]
            if "begins" in lines[-1]:
                results.append(Result(lines[-1]["family"], lines[-1]["begins"], "us", {}, note=f"FAILED: ended its process ({code})"))
    return results


def run(quick: bool, keep: Callable[[list[Result]], None] = lambda results: None) -> list[Result]:
    """All of it; ``keep`` gets the results so far after each part.

    Raises:
        SystemExit: when there is no GPU, or PyTorch has none.
    """
    import tapegrad

    try:
        tapegrad.cuda.init()
    except RuntimeError as error:
        raise SystemExit(f"benchmarks gpu: {error}") from None
    try:
        torch = libraries()["torch"]
    except ImportError as error:
        raise SystemExit(f"benchmarks gpu compares with PyTorch: {error}") from None
    if not torch.cuda.is_available():
        raise SystemExit(f"benchmarks gpu: PyTorch {torch.__version__} finds no GPU; its build for CUDA is needed")
    allowed = float(settings["seconds"] or _ALL)
    start = time.monotonic()
    results: list[Result] = []
    keep(results)
    _compile(quick, start + _SLOW * allowed)
    bandwidth = 0.0
    for part in PARTS:
        results += _time(part, quick, bandwidth, start + allowed)
        copies = [r for r in results if r.case == COPY and r.medians]
        if copies:
            bandwidth = 8.0 * (1 << (20 if quick else 27)) / min(copies[0].medians.values()) * 1e6
        keep(results)
    return results


def main(part: str, quick: str, skipped: str = "", bandwidth: str = "0", path: str = "") -> None:
    """A part, in this process: timed, or without more arguments compiled."""
    if not path:
        PARTS[part](_Compiled(quick == "1", 0))
        return
    torch = libraries()["torch"]
    torch.backends.cudnn.allow_tf32 = False
    PARTS[part](_Timed(quick == "1", int(skipped), float(bandwidth), Path(path)))


if __name__ == "__main__":
    main(*sys.argv[1:])
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)  # without the destructors of two libraries on one device
