"""The CUDA source that is emitted from the ops' own expressions, against texts read and approved by a person.

After an intended change: TAPEGRAD_UPDATE_GOLDEN=1 pytest tests/kernels/test_cuda_source.py, then read the difference.
"""

import ast
import os
from pathlib import Path

import pytest

from tapegrad.kernels.cuda.elementwise_source import Layout, kernel_source
from tapegrad.registry import REGISTRY

GOLDEN = Path(__file__).parent / "golden"
CASES = {
    "mul_forward": ("mul", None),
    "mul_backward": ("mul", (True, True)),
    "tanh_backward": ("tanh", (True,)),
    "gelu_forward": ("gelu", None),
    "gelu_backward": ("gelu", (True,)),
    "where_forward": ("where", None),
    "where_backward": ("where", (False, True, True)),
    "lt_forward": ("lt", None),
}


PAIRS = Layout(2)  # two elements at a time: short


def emitted(op_name, needs, layout=PAIRS):
    op = REGISTRY[op_name]
    computation = op.computation if needs is None else op.plans[needs].computation
    body = computation.body(False)
    in_dtypes = ["bool" if name in body.booleans else "float32" for name in body.inputs]
    out = "bool" if op.dtype == "bool" else "float32"
    return kernel_source(body, (*in_dtypes, *[out] * len(body.results)), len(in_dtypes), "float32", layout)[0]


@pytest.mark.parametrize("case", CASES)
def test_source_is_the_approved_one(case):
    source = emitted(*CASES[case])
    file = GOLDEN / f"{case}.txt"
    if os.environ.get("TAPEGRAD_UPDATE_GOLDEN"):
        file.write_text(source)
    assert source == file.read_text()


@pytest.mark.parametrize("case", CASES)
def test_every_literal_has_the_dtype_of_the_computation(case):
    """A bare float literal would be a double, and the whole kernel would compute in doubles."""
    tree = ast.parse(emitted(*CASES[case]))
    wrapped = {id(call.args[0]) for call in ast.walk(tree) if isinstance(call, ast.Call) and getattr(call.func, "id", "") == "T" and call.args}
    floats = [n for n in ast.walk(tree) if isinstance(n, ast.Constant) and isinstance(n.value, float)]
    assert all(id(n) in wrapped for n in floats)


def test_scalars_are_passed_by_value():
    body = REGISTRY["mul"].computation.body(False)
    source, types = kernel_source(body, ("float32", None, "float32"), 2, "float32", Layout())
    assert "def kernel(p0, s1, p2, n):" in source and "e1 = T(s1)" in source
    assert types == "float32* float32 float32* int64"


def test_the_places_of_a_vector_take_one_division_for_each_dimension():
    source = emitted("mul", None, Layout(4, 2, False, (1,)))
    assert source.count("quotient(") == 1 and "e1 = T(p1[at1])" in source and "load4(p0, at0)" in source
