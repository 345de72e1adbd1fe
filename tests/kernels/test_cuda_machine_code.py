"""Every CUDA kernel compiles to machine code of two generations of GPUs, of the kind that its family promises. No GPU is needed."""

from __future__ import annotations

import importlib
import pkgutil
import re
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from cuda_elementwise_kernels import Case as Elementwise, optimizer_kernels, registered_kernels

import tapegrad.kernels.cuda
from tapegrad.kernels.cuda.compiler import Code, compile_kernel
from tapegrad.kernels.cuda.elementwise_source import Layout
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
    assert ".tensor_" not in kernel.name or "mma.sync" in code.ptx, f"{kernel.name} does not use tensor cores"
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


# The functions of an element are the same for all float dtypes and layouts, and so are reading and writing for all functions: by day every
# operation and derivative in float32, these few in other dtypes and in rows; by night the product.
PARTS = 8
NARROW = ("float64", "float16", "bfloat16", "int64", "int8", "uint8", "bool", "complex64")
FEW = {"add", "mul", "exp", "where", "maximum", "backward of mul (1, 1)", "backward of tanh (1,)"}
ROWS = Layout(4, 2, False, ())


def elementwise_by_day() -> list[Elementwise]:
    found = [*registered_kernels(), *optimizer_kernels(("float32",))]
    for case in [*registered_kernels(NARROW), *registered_kernels(("float32",), ROWS)]:
        if case.name.rpartition(" ")[0] in FEW:
            found.append(case)
    return found


def elementwise_by_night() -> list[Elementwise]:
    return [*registered_kernels(NARROW), *registered_kernels(("complex128",)), *registered_kernels(("float32",), ROWS), *optimizer_kernels(("float64",))]


def compile_elementwise(cases: Sequence[Elementwise]) -> None:
    assert cases
    vectors = 0
    for case in cases:
        for code in compile_kernel(case.kernel.function(), case.kernel.signature(), ARCHITECTURES, case.kernel.threads).values():
            check(case.kernel, code, local=case.doubles, doubles=case.doubles)  # reducing an angle takes both
            vectors += len(re.findall(r"(?:ld|st)\.global\S*\.v[24]", code.ptx))
    assert vectors >= len(cases)


@pytest.mark.parametrize("part", range(PARTS))
def test_elementwise_operations_and_their_derivatives_compile(part: int) -> None:
    compile_elementwise(elementwise_by_day()[part::PARTS])


@pytest.mark.nightly
@pytest.mark.parametrize("part", range(32))
def test_elementwise_operations_compile_in_every_dtype(part: int) -> None:
    compile_elementwise(elementwise_by_night()[part::32])


def test_there_are_families_of_every_kind() -> None:
    packages = {name.partition(".")[0] for name in FAMILIES}
    assert {"reduction", "index", "linalg", "nn", "vision", "random"} <= packages
