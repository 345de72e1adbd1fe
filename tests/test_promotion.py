"""The published promotion table is current. ``python tests/test_promotion.py`` writes it again."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

import tapegrad as tg
from tapegrad import dtypes

PAGE = Path(__file__).parents[1] / "docs" / "promotion.md"

HEAD = """\
# Promotion of data types

What an operation on two tensors computes in: `tg.promote_types(a, b)`, the same as `torch.promote_types`. This page is written by
`python tests/test_promotion.py`, and a test fails when it is not current.

Data types have a category: bool < integer < floating < complex. Tensors with dimensions decide. A 0-d tensor takes part only when
its category is higher than theirs, and a Python number only when its category is higher still, so `2 * x` and `x + tg.tensor(1.0)`
have the dtype of `x` when that is floating. A number that raises the category brings the default: int64, the default floating
dtype (float32 unless `tg.set_default_dtype` says otherwise) or the complex dtype made of it; floats that turn complex keep their
width. `tg.result_type(...)` tells.

Integer division `/` and functions such as `exp` turn integers and bools into the default floating dtype. `matmul` and `linear`
promote nothing: they ask for equal dtypes. In place, the result must fit the written tensor's category.

float16 and bfloat16 (which needs the `ml_dtypes` package) are storage: arithmetic is done in float32 and rounded.

"""

TAIL = """
With Python numbers and 0-d tensors (`x` has dimensions, `s` has none):

| operands | dtype |
|---|---|
"""

# (as written on the page, the dtype promised)
EXAMPLES = [
    ("x_int32 + 1", "int32"),
    ("x_int32 + 1.0", "float32"),
    ("x_int32 + s_float64", "float64"),
    ("x_int32 + s_int64", "int32"),
    ("x_float16 + 1.0", "float16"),
    ("x_float32 + s_float64", "float32"),
    ("x_float32 + 1j", "complex64"),
    ("x_float64 + 1j", "complex128"),
    ("x_bool + 1", "int64"),
    ("x_bool + True", "bool"),
    ("s_int32 + s_float64", "float64"),
    ("s_float32 + 1.0", "float32"),
    ("x_uint8 / x_uint8", "float32"),
]


def operand(name: str) -> tg.Tensor:
    """A tensor of the dtype that a name such as x_int32 or s_int32 says."""
    kind, _, dtype = name.partition("_")
    return tg.ones((2,) if kind == "x" else (), dtype=dtypes.to_dtype(dtype))


def computed(text: str) -> str:
    """The dtype of an example's result."""
    names = {word: operand(word) for word in text.replace("/", " ").replace("+", " ").split() if word[:2] in ("x_", "s_")}
    return str(eval(text, {}, names).dtype.name)


def page() -> str:
    """The page, from the table in force."""
    names = [d.name for d in dtypes.ALL]
    table = tg.promotion_table()
    lines = ["| | " + " | ".join(names) + " |", "|---" * (len(names) + 1) + "|"]
    lines += [f"| **{a}** | " + " | ".join(table[a, b] for b in names) + " |" for a in names]
    examples = [f"| `{text}` | {promised} |" for text, promised in EXAMPLES]
    return HEAD + "\n".join(lines) + "\n" + TAIL + "\n".join(examples) + "\n"


def test_the_page_is_current() -> None:
    pytest.importorskip("ml_dtypes", reason="the page has bfloat16")
    assert PAGE.read_text(encoding="utf-8") == page(), "run python tests/test_promotion.py"


@pytest.mark.parametrize(("text", "promised"), EXAMPLES)
def test_examples(text: str, promised: str) -> None:
    assert computed(text) == promised


def test_the_table_is_a_least_upper_bound() -> None:
    table = tg.promotion_table()
    names = [d.name for d in dtypes.ALL]
    for a in names:
        assert table[a, a] == a
        for b in names:
            both = table[a, b]
            assert table[b, a] == both
            assert table[a, both] == both
            for c in names:
                assert table[both, c] == table[a, table[b, c]] or "uint8" in (a, b, c), (a, b, c)


PAIRS = [*zip(dtypes.ALL, dtypes.ALL[1:], strict=False), (dtypes.uint8, dtypes.int64), (dtypes.int64, dtypes.float16)]
PAIRS += [(dtypes.float64, dtypes.complex64), (dtypes.bool_, dtypes.complex128), (dtypes.int16, dtypes.bool_)]


@pytest.mark.parametrize(("a", "b"), PAIRS, ids=lambda d: d.name)
def test_operations_follow_the_table(a: dtypes.dtype, b: dtypes.dtype) -> None:
    total = tg.ones(2, dtype=a) + tg.ones(2, dtype=b)
    assert total.dtype is tg.promote_types(a, b)
    assert total._array.dtype == total.dtype.numpy


@pytest.mark.compare
def test_same_as_torch(torch: Any) -> None:
    for (a, b), both in tg.promotion_table().items():
        assert str(torch.promote_types(getattr(torch, a), getattr(torch, b))) == f"torch.{both}"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    sys.stdout.write(f"wrote {PAGE.name}\n")
