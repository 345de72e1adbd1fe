"""Values of tensors reach Python only where a trace is told, so that a compiled function never freezes what it should look at again."""

from __future__ import annotations

import ast
import copy
from pathlib import Path

import pytest

import tapegrad as tg
from tapegrad.nn import functional as F

OPS = Path(tg.__file__).parent / "ops"
METADATA = {"__class__", "dtype", "flags", "itemsize", "nbytes", "ndim", "shape", "size", "strides"}
# These look at an array's type or place only, tell the trace, or leave what they find on a GPU.
NO_READ = {
    "apart", "backend", "bags_of_rows", "check_values", "device_of", "drawn", "drawn_like", "last_written", "may_share_memory", "need_between",
    "number",
}  # fmt: skip

# What handles a tensor's array without showing its values to Python, or only while nothing is traced.
ALLOWED = {
    "checks.py: index_array": "tells the trace",
    "checks.py: read_values": "tells the trace",
    "convert.py: detach": "shares the memory",
    "convert.py: is_pinned": "asks for the place",
    "convert.py: record_stream": "asks for the place",
    "convert.py: set_data": "shares the memory",
    "dlpack.py: cuda_array_interface": "tells the trace",
    "dlpack.py: dlpack": "tells the trace",
    "index/scatter_reduce.py: _dtype": "asks for the dtype",
    "index/search.py: bincount": "tells the trace",
    "loss/ctc.py: _second_order": "where nothing is traced, to return the arrays that it was given tensors for",
    "nn/attention.py: _weights_and_slopes": "asks for the dtype and the device",
    "nn/attention.py: scaled_dot_product_attention": "asks for the dtype and the device",
    "nn/recurrent.py: _second_order": "where nothing is traced, to return the arrays that it was given tensors for",
    "python_protocols.py: copied": "shares the memory",
    "python_protocols.py: deep_copied": "tells the trace",
    "shape/reshape.py: _view_bits": "shares the memory",
    "shape/reshape.py: replace_with_view": "shares the memory",
    "shape/windows.py: as_strided": "asks for the strides",
    "vision/grid_sample.py: grid_sample": "a trace always takes the way that holds for any grid",
}


class Reads(ast.NodeVisitor):
    """The functions of a file that do more with ``tensor._array`` than ask for its metadata."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.found: set[str] = set()
        self._function = ""
        self._names: set[str] = set()

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        outside = self._function, self._names
        self._function = outside[0] or node.name
        self._names = outside[1] | {
            target.id
            for statement in ast.walk(node)
            if isinstance(statement, ast.Assign)
            for target, value in _pairs(statement)
            if isinstance(target, ast.Name) and any(_is_array(part) for part in _alternatives(value))
        }
        for statement in node.body:
            self.visit(statement)
        self._function, self._names = outside

    def visit_Assign(self, node: ast.Assign) -> None:
        for target, value in _pairs(node):
            if not (isinstance(target, ast.Name) and target.id in self._names):
                self.visit(value)
            else:  # a name for the array; what is done with the name counts
                for part in _alternatives(value):
                    if not _is_array(part):
                        self.visit(part)
            self.visit(target)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        if node.attr in METADATA and (_is_array(node.value) or isinstance(node.value, ast.Name)):
            return
        if _is_array(node) and isinstance(node.ctx, ast.Load):
            self.found.add(f"{self.file}: {self._function}")
        self.generic_visit(node)

    def visit_Name(self, node: ast.Name) -> None:
        if node.id in self._names and isinstance(node.ctx, ast.Load):
            self.found.add(f"{self.file}: {self._function}")

    def visit_Call(self, node: ast.Call) -> None:
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        if name in NO_READ:
            return
        self.generic_visit(node)


def _is_array(node: ast.AST) -> bool:
    return isinstance(node, ast.Attribute) and node.attr == "_array"


def _alternatives(node: ast.expr) -> list[ast.expr]:
    return [*_alternatives(node.body), *_alternatives(node.orelse)] if isinstance(node, ast.IfExp) else [node]


def _pairs(node: ast.Assign) -> list[tuple[ast.expr, ast.expr]]:
    target = node.targets[0]
    if isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple) and len(target.elts) == len(node.value.elts):
        return list(zip(target.elts, node.value.elts, strict=True))
    return [(target, node.value)]


def reads_of(source: str, file: str = "file.py") -> set[str]:
    reads = Reads(file)
    reads.visit(ast.parse(source))
    return reads.found


@pytest.mark.parametrize(
    ("body", "reads"),
    [
        ("return x._array.any()", True),
        ("a = x._array\n    return a.max()", True),
        ("a = x._array if x is not None else y\n    return np.sum(a)", True),
        ("a, b = x._array, y._array\n    return a.shape, b.dtype.kind", False),
        ("return x._array.shape, backend(x._array)", False),
        ("a = x._array\n    return a.__class__ is list", False),
        ("return f(x._array)", True),
    ],
)
def test_the_search_finds_reads(body, reads):
    assert reads_of(f"def read(x, y):\n    {body}\n") == ({"file.py: read"} if reads else set())


def test_operations_read_values_only_where_a_trace_is_told():
    found = {place for path in sorted(OPS.rglob("*.py")) for place in reads_of(path.read_text(), path.relative_to(OPS).as_posix())}
    assert found - ALLOWED.keys() == set(), "use checks.read_values, which tells the trace, or checks.need_in_range and modes.check_values to validate"
    assert ALLOWED.keys() - found == set(), "these read no longer"


INDEX, MASK = tg.tensor([0, 2]), tg.tensor([True, False, True])


@pytest.mark.parametrize(
    "read",
    [
        lambda x: F.nll_loss(x.reshape(1, 3), tg.tensor([0])),
        lambda x: F.multi_margin_loss(x, tg.tensor(1)),
        lambda x: F.multilabel_margin_loss(x, tg.tensor([1, -1, 0])),
        lambda x: F.ctc_loss(x.reshape(1, 3).log_softmax(1), tg.tensor([1]), [1], [1]),
        lambda x: F.embedding_bag(INDEX, x.reshape(3, 1), tg.tensor([0, 1])),
        lambda x: F.embedding(INDEX, x.reshape(3, 1), max_norm=1.0),
        lambda x: x.repeat_interleave(tg.tensor([1, 0, 2])),
        lambda x: x[INDEX],
        lambda x: x[tg.tensor(1)],
        lambda x: x[MASK],
        lambda x: x.masked_select(MASK),
        lambda x: x.masked_scatter(MASK, x),
        lambda x: x.index_select(0, INDEX),
        lambda x: x.index_put((INDEX,), x[:2]),
        lambda x: x.take(INDEX),
        lambda x: x.scatter(0, INDEX, x),
        lambda x: x.scatter_reduce(0, INDEX, x, "amax"),
        lambda x: x.take_along_dim(tg.tensor([-1]), 0),
        lambda x: copy.deepcopy(x) * 2,
    ],
)
def test_a_compiled_function_refuses_what_reads_values(read):
    with pytest.raises(tg.CompileError, match="gives Python a tensor's value|unique_places .* has no kernel"):
        tg.compile(read)(tg.tensor([0.5, 1.0, 2.0]))


@pytest.mark.parametrize(
    ("function", "good", "bad", "error"),
    [
        (lambda w: tg.ones(2, 3).cov(aweights=w), [1.0, 2.0, 3.0], [1.0, -2.0, 3.0], "cov: aweights must not be negative"),
    ],
)
def test_a_replay_checks_values_again(function, good, bad, error):
    compiled = tg.compile(function)
    for _ in range(4):
        compiled(tg.tensor(good))
    with pytest.raises(RuntimeError, match=error):
        compiled(tg.tensor(bad))
