"""Loops of elementary functions become vector code without calls: on this machine, and cross-emitted for AVX-512, AVX2 and NEON."""

import importlib
import re

import llvmlite.binding as llvm
import numpy as np
import pytest
from llvmlite import ir
from numba import cfunc

from tapegrad.kernels.body import Body
from tapegrad.kernels.cpu.arrange import FLAT, Arrangement
from tapegrad.kernels.cpu.vmath import functions, guarded, value
from tapegrad.kernels.cpu.vmath.value import DOUBLE, FLOAT, LONG, Value
from tapegrad.kernels.native import abi, cache

llvm.initialize_all_targets()
llvm.initialize_all_asmprinters()

TARGETS = {
    "avx512": ("x86_64-unknown-linux-gnu", "sapphirerapids", 64, r"%zmm\d+"),
    "avx2": ("x86_64-unknown-linux-gnu", "haswell", 32, r"%ymm\d+"),
    "neon": ("aarch64-unknown-linux-gnu", "cortex-a76", 16, r"v\d+\.(4s|2d)"),
}
CASES = [(kind, name) for kind in ("float32", "float64") for name in functions.vectorised(kind)]


def loop_of(kind: str, name: str) -> str:
    """The LLVM code of ``for i in range(n): out[i] = f(a[i], b[i])``."""
    element = FLOAT if kind == "float32" else DOUBLE
    module = ir.Module()
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), [element.as_pointer()] * 3 + [LONG]), "kernel")
    abi.use_widest_vectors(function)
    builder = ir.IRBuilder(function.append_basic_block("entry"))
    a, b, out, n = function.args
    loop, done = builder.append_basic_block("loop"), builder.append_basic_block("done")
    entry = builder.block
    builder.cbranch(builder.icmp_signed(">", n, LONG(0)), loop, done)
    builder.position_at_end(loop)
    i = builder.phi(LONG)
    operands = [Value(builder, builder.load(builder.gep(p, [i]))) for p in (a, b)]
    body = functions.vectorised(kind)[name]
    count = 2 if name in ("pow", "atan2") else 1
    builder.store(body(*operands[:count]).ir, builder.gep(out, [i]))
    following = builder.add(i, LONG(1))
    i.add_incoming(LONG(0), entry)
    i.add_incoming(following, loop)
    builder.cbranch(builder.icmp_signed("<", following, n), loop, done)
    builder.position_at_end(done)
    builder.ret_void()
    return str(module)


def assembly(code: str, triple: str, cpu: str) -> str:
    machine = llvm.Target.from_triple(triple).create_target_machine(cpu=cpu, opt=3)
    module = llvm.parse_assembly(code)
    module.triple, module.data_layout = triple, str(machine.target_data)
    builder = llvm.create_pass_builder(machine, llvm.create_pipeline_tuning_options(speed_level=3))
    builder.getModulePassManager().run(module, builder)
    return str(machine.emit_assembly(module))


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize(("kind", "name"), CASES)
def test_a_loop_becomes_vector_code(kind, name, target, monkeypatch):
    triple, cpu, width, registers = TARGETS[target]
    monkeypatch.setattr(value, "_scales_vectors", lambda: target == "avx512")
    monkeypatch.setattr(guarded, "vector_bytes", lambda: width)
    text = assembly(loop_of(kind, name), triple, cpu)
    assert len(re.findall(registers, text)) > 40
    variants = set()
    for function, code in functions_of(text).items():
        for called in re.findall(r"^\s+(?:callq?|bl)\s+([\w.]+)", code, re.MULTILINE):
            assert called.startswith("tapegrad.") or function.endswith(".rare"), f"{function} calls {called}"
            if function == "kernel":
                variants.add(called.rpartition(".")[2])
    lanes = width // (4 if kind == "float32" else 8)
    assert not variants or f"v{lanes}" in variants


def functions_of(text: str) -> dict[str, str]:
    """The functions in assembly, by name."""
    parts = re.split(r"^(kernel|tapegrad[\w.]*):", text, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def compiled(monkeypatch, lines: tuple[str, ...], letters: str) -> str:
    """The LLVM code of an elementwise kernel of float32, for this machine."""
    elementwise = importlib.import_module("tapegrad.kernels.cpu.elementwise")  # the package's attribute of that name is its function
    built = []
    monkeypatch.setattr(cache, "native", lambda key, build: built.append(build()) or 0)
    x = np.ones(3, np.float32)
    elementwise.kernels(Body(("a", "b"), lines, ("t0",)), (x, x), (x,), x.dtype, Arrangement(FLAT, letters, (False,) * 3, 0, ()))
    return cfunc(abi.KERNEL, nopython=True, error_model="numpy")(built[0])._library.get_llvm_str()


@pytest.mark.parametrize("lines", [("t0 = a + b",), ("t1 = exp(a)", "t0 = t1 * b"), ("t0 = pow(a, b)",), ("t0 = sin(a) if b > T(0) else a",)])
@pytest.mark.parametrize("letters", ["ccc", "csc"])
def test_kernels_are_vector_code_where_an_output_is_an_input(monkeypatch, lines, letters):
    code = compiled(monkeypatch, lines, letters)
    assert "vector.body" in code
    assert "vector.memcheck" not in code, "vector code only after a check that operands do not overlap"
    assert not re.search(r"call float @\w+f\(", code), "a function of libm's"
    assert "@tapegrad" not in code or re.search(r"^vector\.body:[^:]*call <\d+ x float> @tapegrad", code, re.MULTILINE), "no variant for vectors called"
