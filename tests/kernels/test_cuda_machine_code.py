"""Every CUDA kernel compiles to machine code of two generations of GPUs, of the kind that its family promises. No GPU is needed."""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections.abc import Iterable

import pytest

import tapegrad.kernels.cuda
from tapegrad.kernels.cuda.compiler import Code, compile_kernel
from tapegrad.kernels.cuda.kernel import FAMILIES, Family, Kernel

ARCHITECTURES = [(8, 0), (9, 0)]
REGISTERS = 65536  # of a multiprocessor, which its threads share
# A thread's, in packages whose kernels wait for memory and so want many threads; tiles of products take what there is.
MOST = {"reduction": 128, "index": 128, "random": 128, "elementwise": 96, "optim": 96}

for _module in pkgutil.walk_packages(tapegrad.kernels.cuda.__path__, "tapegrad.kernels.cuda."):
    if not _module.name.endswith((".twins", ".simulator", ".simulated")):
        importlib.import_module(_module.name)


def is_double(kernel: Kernel) -> bool:
    """Whether it may compute in double precision."""
    return re.search(r"float64|complex128", kernel.name) is not None or any(t.startswith(("float64", "complex128")) for t in kernel.signature())


def check(kernel: Kernel, code: Code, *, local: bool, doubles: bool) -> None:
    assert code.cubin[:4] == b"\x7fELF"
    assert code.spilled == 0, f"{kernel.name}: {code.spilled} bytes of registers spilled"
    assert local or code.stack == 0, f"{kernel.name}: {code.stack} bytes of local memory"
    threads, blocks = kernel.threads if isinstance(kernel.threads, tuple) else (kernel.threads, 1)
    package = kernel.name.partition(".")[0]
    assert code.registers <= min(MOST.get(package, 255), REGISTERS // (threads * blocks)), f"{kernel.name}: {code.registers} registers"
    if not doubles and not is_double(kernel):
        found = [line.strip() for line in code.ptx.splitlines() if ".f64" in line and not line.strip().startswith((".param", ".reg"))]
        assert not found, f"{kernel.name} computes in double precision: {found[:3]}"


def covering(family: Family) -> list[Kernel]:
    """Members among which every value of every constant occurs, dtypes among them; the nightly test takes all combinations."""
    count = max(map(len, family.over.values()), default=1)
    chosen = [{name: values[k % len(values)] for name, values in family.over.items()} for k in range(count)]
    return [family.make(**constants) for constants in chosen]


def compile_and_check(name: str, kernels: Iterable[Kernel]) -> None:
    family, vectors = FAMILIES[name], 0
    for kernel in kernels:
        for code in compile_kernel(kernel.function(), kernel.signature(), ARCHITECTURES, kernel.threads).values():
            check(kernel, code, local=family.local, doubles=family.doubles)
            vectors += len(re.findall(r"(?:ld|st)\.global\S*\.v[24]", code.ptx))
    assert not family.vectors or vectors, f"{name}: no access wider than an element"


@pytest.mark.parametrize("name", sorted(FAMILIES))
def test_a_family_compiles(name: str) -> None:
    compile_and_check(name, covering(FAMILIES[name]))


@pytest.mark.nightly
@pytest.mark.parametrize("name", sorted(FAMILIES))
def test_all_of_a_family_compile(name: str) -> None:
    compile_and_check(name, FAMILIES[name].members())


def test_there_are_families_of_every_kind() -> None:
    packages = {name.partition(".")[0] for name in FAMILIES}
    assert {"reduction", "index", "linalg", "nn", "vision", "random"} <= packages
