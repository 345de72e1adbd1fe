"""What ``import tapegrad`` costs and offers, and what no source file may import."""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import tapegrad as tg
from tapegrad import ops
from tapegrad.registry import REGISTRY

PACKAGE = Path(tg.__file__).parent
PUBLIC = ["tapegrad", "tapegrad.nn", "tapegrad.nn.functional", "tapegrad.nn.init"]  # and each module with __all__
for _module in pkgutil.walk_packages(tg.__path__, "tapegrad."):
    if _module.name.endswith("__main__") or _module.name.startswith("tapegrad.kernels.cuda."):  # which needs what only a GPU needs
        continue
    if hasattr(importlib.import_module(_module.name), "__all__"):
        PUBLIC.append(_module.name)
HEAVY = ["hypothesis", "matplotlib", "numba", "numba.cuda", "numba_cuda", "pandas", "rich", "scipy", "sklearn", "torch"]


def fresh(code: str) -> str:
    """What code prints in a process of its own, run from this source tree."""
    start = f"import sys; sys.path.insert(0, {str(PACKAGE.parent)!r})\n"
    done = subprocess.run([sys.executable, "-c", start + code], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_importing_stays_light() -> None:
    fresh("import tapegrad")  # fills the kernel cache: what launches kernels is compiled once per machine
    assert fresh(f"import tapegrad; print(*[name for name in {HEAVY!r} if name in sys.modules])") == ""


def test_a_training_step_with_a_warm_kernel_cache_needs_no_compiler() -> None:
    step = """
import tapegrad as tg
from tapegrad import nn, optim
model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))
optimizer = optim.Adam(model.parameters(), lr=0.1)
nn.functional.cross_entropy(model(tg.rand(5, 4)), tg.tensor([0, 1, 2, 0, 1])).backward()
optimizer.step()
print(*[name for name in ("numba", "torch") if name in sys.modules])
"""
    fresh(step)
    assert fresh(step) == ""


# The modules of kernels/cuda that know CUDA: the first is imported to compile only, and the others import it inside functions.
KNOW_CUDA = {"intrinsics.py", "toolchain.py", "compiler.py", "nvidia.py", "cublas.py"}


def imported(nodes: Any) -> list[str]:
    """What import statements among these name absolutely."""
    found: list[str] = []
    for node in nodes:
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            found += [f"{node.module}.{alias.name}" for alias in node.names]
    return found


def test_only_what_compiles_and_launches_for_a_gpu_imports_cuda() -> None:
    for path in PACKAGE.rglob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        nodes = tree.body if path.name in KNOW_CUDA - {"intrinsics.py", "toolchain.py"} else [] if path.name in KNOW_CUDA else ast.walk(tree)
        assert not [n for n in imported(nodes) if n.startswith(("numba.cuda", "numba_cuda", "cuda."))], path


def test_the_cuda_backend_is_there_without_any_package_of_cuda() -> None:
    """All of its modules but what compiles, also when a GPU is asked for; only its use says what is missing."""
    code = """
import importlib, pkgutil
import tapegrad as tg
assert not [name for name in sys.modules if name.startswith("tapegrad.kernels.cuda")]
assert not tg.cuda.is_available()
import tapegrad.kernels.cuda as backend
for found in pkgutil.walk_packages(backend.__path__, backend.__name__ + "."):
    if not found.name.endswith((".intrinsics", ".toolchain", ".twins", ".simulator", ".simulated")):
        importlib.import_module(found.name)
print(*[name for name in ("numba", "numba_cuda", "cuda.bindings", "cuda.core", "greenlet") if name in sys.modules])
"""
    assert fresh(code) == ""


def names_of(module: Any) -> list[str]:
    """The public names: ``__all__``, or what a module without one defines itself."""
    listed = getattr(module, "__all__", None)
    if listed is not None:
        return list(listed)
    own = [n for n, v in vars(module).items() if not n.startswith("_") and getattr(v, "__module__", "").startswith("tapegrad")]
    return sorted(own)


@pytest.mark.parametrize("name", PUBLIC)
def test_public_names_resolve_and_are_documented(name: str) -> None:
    module = importlib.import_module(name)
    assert inspect.getdoc(module), f"{name} has no docstring"
    found = names_of(module)
    assert len(set(found)) == len(found)
    undocumented = []
    for public in found:
        value = getattr(module, public)
        if inspect.isclass(value) or inspect.isroutine(value):
            own = value.__doc__  # getdoc would take a class's from its base
            if not own or not own.strip():
                undocumented.append(f"{name}.{public}")
    assert not undocumented


# Methods that PyTorch users know and that say nothing beyond their name.
PLAIN = {"forward", "extra_repr"}


def test_public_classes_document_their_methods() -> None:
    modules = [importlib.import_module(name) for name in PUBLIC]
    classes = {value for m in modules for n in names_of(m) if inspect.isclass(value := getattr(m, n))}
    undocumented = [
        f"{c.__name__}.{name}"
        for c in classes
        for name, method in vars(c).items()
        if inspect.isfunction(method) and not name.startswith("_") and name not in PLAIN and not inspect.getdoc(method)
    ]
    assert not undocumented


def test_what_the_families_offer_is_public() -> None:
    """The folders for networks go to ``nn.functional``, ``linalg`` may, the others to the top level."""
    for found in pkgutil.walk_packages(ops.__path__, "tapegrad.ops."):
        family, folder = importlib.import_module(found.name), found.name.split(".")[2]
        spaces = [tg.nn.functional] if folder in ("nn", "vision", "loss") else [tg, tg.linalg, tg.special]
        for public in getattr(family, "__all__", ()):
            assert any(getattr(space, public, None) is getattr(family, public) for space in spaces), f"{found.name}.{public}"


def test_every_public_function_of_an_op_is_in_a_namespace() -> None:
    offered = {id(f) for space in (tg, tg.linalg, tg.nn.functional, tg.special) for f in vars(space).values()}
    hidden = [op.name for op in REGISTRY.values() if op.function is not None and id(op.function) not in offered]
    assert [name for name in hidden if not callable(getattr(tg.Tensor, REGISTRY[name].function.__name__, None))] == []


def test_the_package_is_typed() -> None:
    assert (PACKAGE / "py.typed").exists()
