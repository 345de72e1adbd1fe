"""Mistakes that raise: the message names the operation, the shapes and the fix, and the type is PyTorch's."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest

import tapegrad as tg


class Mistake(NamedTuple):
    """What goes wrong in namespace ``m``, what it raises, what the message must contain, and PyTorch's type."""

    make: Callable[[Any], Any]
    error: type[Exception]
    says: tuple[str, ...]
    torchs: type[Exception] | tuple[type[Exception], ...] | None = RuntimeError


def _x(m: Any, *shape: int) -> Any:
    return m.ones(*(shape or (2,)), requires_grad=True)


def _freed(m: Any) -> None:
    x = _x(m)
    y = (x * x).sum()
    y.backward()
    y.backward()


def _leaf_view(m: Any) -> None:
    _x(m, 2, 3)[0].mul_(2)


def _saved(m: Any) -> None:
    y = _x(m).exp()
    y.add_(1)
    y.sum().backward()


def _function(m: Any, result: Callable[[Any], Any]) -> None:
    class Mine(m.autograd.Function):  # type: ignore[name-defined,misc]
        @staticmethod
        def forward(ctx: Any, a: Any, b: Any) -> Any:
            return a * b

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            return result(g)

    Mine.apply(_x(m), _x(m)).sum().backward()


def _hook(m: Any, hook: Callable[[Any], Any]) -> None:
    h = _x(m) * 2
    h.register_hook(hook)
    h.sum().backward()


def _retained(m: Any) -> None:
    _x(m).detach().retain_grad()


MISTAKES: dict[str, Mistake] = {
    "second backward": Mistake(_freed, RuntimeError, ("mul", "second time", "freed", "retain_graph=True")),
    "write to a leaf": Mistake(
        lambda m: _x(m, 2, 3).add_(1), RuntimeError, ("add_", "leaf", "requires grad", "(2, 3)", "no_grad()", "out-of-place")
    ),
    "augmented assignment to a leaf": Mistake(lambda m: _x(m).__imul__(2), RuntimeError, ("mul_", "leaf", "no_grad()")),
    "item assignment to a leaf": Mistake(lambda m: _x(m, 2, 3).__setitem__(0, 1.0), RuntimeError, ("leaf", "(2, 3)", "no_grad()")),
    "write to a view of a leaf": Mistake(_leaf_view, RuntimeError, ("mul_", "view of a leaf", "(2, 3)", "no_grad()")),
    "saved value modified": Mistake(_saved, RuntimeError, ("exp saved", "(2,)", "by add_", "version is now 1", "clone()")),
    "write to expanded memory": Mistake(lambda m: m.ones(1).expand(3).add_(1), RuntimeError, ("add_", "(3,)", "expanded", "clone()")),
    "root of many elements": Mistake(
        lambda m: (_x(m, 2, 3) * 2).backward(), RuntimeError, ("(2, 3)", "one element", ".sum()", "gradient=")
    ),
    "gradient of another shape": Mistake(lambda m: (_x(m) * 2).backward(m.ones(3)), RuntimeError, ("backward", "(3,)", "(2,)")),
    "gradient of another dtype": Mistake(
        lambda m: (_x(m) * 2).backward(m.ones(2, dtype=m.float64)), RuntimeError, ("float64", "float32", ".to()"), None
    ),
    "gradient that is no tensor": Mistake(lambda m: (_x(m) * 2).backward([1.0, 2.0]), TypeError, ("Tensor", "list"), None),
    "wrong number of gradients": Mistake(
        lambda m: m.autograd.backward([_x(m) * 2], [m.ones(2), m.ones(2)]), RuntimeError, ("1 tensors but 2 gradients",), None
    ),
    "integers that require grad": Mistake(
        lambda m: m.tensor([1, 2], requires_grad=True), RuntimeError, ("floating-point", "int64", ".to(")
    ),
    "bools that require grad": Mistake(lambda m: m.tensor([True]).requires_grad_(), RuntimeError, ("floating-point", "bool", ".to(")),
    "root that needs no grad": Mistake(lambda m: m.ones(2).sum().backward(), RuntimeError, ("the tensor (shape ()) does not require grad", "requires_grad_()")),
    "grad of what needs no grad": Mistake(
        lambda m: m.autograd.grad(_x(m).sum(), m.ones(3)), RuntimeError, ("grad", "input 0", "(3,)", "requires_grad_()")
    ),
    "unused input": Mistake(
        lambda m: m.autograd.grad(_x(m).sum(), [_x(m, 3)]), RuntimeError, ("grad", "input 0", "(3,)", "allow_unused=True")
    ),
    "function returns too few": Mistake(lambda m: _function(m, lambda g: g), RuntimeError, ("Mine.backward", "1 gradients", "expected 2")),
    "function returns too many": Mistake(
        lambda m: _function(m, lambda g: (g, g, g)), RuntimeError, ("Mine.backward", "3 gradients", "expected 2")
    ),
    "function returns another shape": Mistake(
        lambda m: _function(m, lambda g: (g, m.ones(3))), RuntimeError, ("Mine.backward", "(3,)", "input 1", "(2,)")
    ),
    "incompatible shapes": Mistake(
        lambda m: m.ones(2, 3) + m.ones(4, 1, 2), RuntimeError, ("add", "(2, 3)", "(4, 1, 2)", "broadcast", "dimension -1")
    ),
    "incompatible shapes in place": Mistake(lambda m: m.ones(3).mul_(m.ones(2, 3)), RuntimeError, ("mul_", "(2, 3)", "(3,)")),
    "incompatible matrices": Mistake(lambda m: m.ones(2, 3) @ m.ones(2, 3), RuntimeError, ("matmul", "(2, 3)")),
    "float written into int": Mistake(lambda m: m.tensor([1, 2]).add_(0.5), RuntimeError, ("add_", "float32", "int64", ".to(")),
    "item of many": Mistake(lambda m: m.ones(2).item(), RuntimeError, ("item()", "one element", "(2,)", "tolist()")),
    "truth value of many": Mistake(lambda m: bool(m.ones(2, 2)), RuntimeError, ("truth value", "(2, 2)", ".any()", ".all()")),
    "unknown keyword": Mistake(lambda m: m.ones(2).sum(dimension=0), TypeError, ("dimension",), TypeError),
    "unknown keyword of a factory": Mistake(lambda m: m.zeros(2, dtyp=m.float32), TypeError, ("dtyp",), TypeError),
    "hook changes the shape": Mistake(lambda m: _hook(m, lambda g: g.sum()), RuntimeError, ("hook", "MulBackward0", "(2,)", "()")),
    "hook changes the dtype": Mistake(lambda m: _hook(m, lambda g: g.double()), RuntimeError, ("hook", "float32", "float64"), None),
    "hook returns no tensor": Mistake(lambda m: _hook(m, lambda g: 1.0), TypeError, ("hook", "Tensor", "float"), TypeError),
    "numpy of what requires grad": Mistake(lambda m: _x(m).numpy(), RuntimeError, ("numpy()", "requires grad", "detach().numpy()")),
    "switching off a result": Mistake(lambda m: (_x(m) * 2).requires_grad_(False), RuntimeError, ("requires_grad", ".detach()")),
    "retain_grad of a constant": Mistake(_retained, RuntimeError, ("retain_grad", "(2,)", "does not require grad")),
    "hook on a constant": Mistake(
        lambda m: m.ones(2).register_hook(print), RuntimeError, ("register_hook", "(2,)", "does not require grad")
    ),
    "grad of another shape assigned": Mistake(lambda m: setattr(_x(m), "grad", m.ones(3)), RuntimeError, ("assigned grad", "(3,)", "(2,)")),
    "grad that is no tensor assigned": Mistake(lambda m: setattr(_x(m), "grad", 3.0), TypeError, ("assigned grad", "float"), TypeError),
    "deepcopy of a result": Mistake(lambda m: __import__("copy").deepcopy(_x(m) * 2), RuntimeError, ("leaf", ".detach()", ".clone()")),
    "detaching a view in place": Mistake(lambda m: (_x(m) * 2)[0:1].detach_(), RuntimeError, ("detach_", "view", "detach()")),
    "another device": Mistake(lambda m: m.ones(2).to("cuda"), RuntimeError, ("CUDA", "device='cpu'"), (RuntimeError, AssertionError)),
    "indexing with floats": Mistake(lambda m: m.ones(2)[m.ones(2)], IndexError, ("float32", "integer"), IndexError),
    "complex root": Mistake(lambda m: (_x(m) * 1j).sum().backward(), RuntimeError, ("complex64", "real", "gradient=")),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_message(name: str) -> None:
    mistake = MISTAKES[name]
    with pytest.raises(mistake.error) as caught:
        mistake.make(tg)
    text = str(caught.value)
    missing = [word for word in mistake.says if word not in text]
    assert not missing, f"{text!r} lacks {missing}"
    assert not re.search(r"array\(|<class|object at 0x|np\.", text)


@pytest.mark.compare
@pytest.mark.parametrize("name", [n for n, m in MISTAKES.items() if m.torchs is not None])
def test_type_is_pytorchs(name: str, torch: Any) -> None:
    mistake = MISTAKES[name]
    expected = mistake.torchs
    assert expected is not None
    with pytest.raises(expected):
        mistake.make(torch)
    assert issubclass(mistake.error, expected)


def test_the_library_works_after_every_mistake() -> None:
    for mistake in MISTAKES.values():
        with pytest.raises(mistake.error):
            mistake.make(tg)
        x = tg.ones(2, requires_grad=True)
        (x * x).sum().backward()
        assert x.grad.tolist() == [2.0, 2.0]


def test_reading_grad_of_a_result_warns() -> None:
    y = tg.ones(2, requires_grad=True) * 2
    with pytest.warns(UserWarning, match=r"not a leaf.*retain_grad\(\)"):
        assert y.grad is None
