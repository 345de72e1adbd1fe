"""Mistakes that a new user makes: each raises at once and names the function, what was given and the remedy."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from tapegrad import nn, optim, public
from tapegrad.nn import functional as F
from tapegrad.tensor import Tensor
from tapegrad.utils.data import TensorDataset


def without_weight() -> Any:
    layer = nn.Linear(4, 2)
    layer.weight = None
    return layer(tg.ones(1, 4))


def sgd(**options: Any) -> optim.SGD:
    return optim.SGD([tg.ones(1, requires_grad=True)], **options)


def adam(**options: Any) -> optim.Adam:
    return optim.Adam([tg.ones(1, requires_grad=True)], **options)


def uncalled() -> None:
    with tg.no_grad:
        pass


@pytest.mark.parametrize(
    ("mistake", "error", "match"),
    [
        # sizes
        (lambda: tg.zeros(2.0), TypeError, r"zeros\(\): sizes must be integers, got 2.0"),
        (lambda: tg.zeros(), TypeError, r"zeros\(\) needs a size"),
        (lambda: tg.ones((2, 3.5)), TypeError, r"ones\(\): sizes must be integers, got \(2, 3.5\)"),
        (lambda: tg.full(2.0, 1), TypeError, r"full\(\): sizes must be integers"),
        (lambda: tg.eye(2.0), TypeError, r"eye\(\): sizes must be integers"),
        (lambda: tg.linspace(0, 1, 2.0), TypeError, r"linspace\(\): sizes must be integers"),
        (lambda: tg.randn(2.0), TypeError, r"randn\(\): sizes must be integers"),
        (lambda: tg.rand(), TypeError, r"rand\(\) needs a size"),
        (lambda: tg.randperm(2.0), TypeError, r"randperm\(\): sizes must be integers"),
        (lambda: tg.randint(0, 10), TypeError, r"randint\(\) needs a size, a tuple"),
        (lambda: tg.randint(0, 1.5, (3,)), TypeError, r"randint\(\): low and high must be integers, got 0 and 1.5"),
        (lambda: nn.Linear(4, -1), RuntimeError, "Linear: out_features must not be negative, got -1"),
        (lambda: nn.Linear(4, 2.5), TypeError, "Linear: out_features must be an integer, got 2.5"),
        (lambda: nn.Embedding(4.0, 2), TypeError, "Embedding: num_embeddings must be an integer, got 4.0"),
        (lambda: nn.Conv2d(1, 1, "3"), TypeError, "Conv2d: kernel_size must be an integer or a sequence of 2 integers, got '3'"),
        (lambda: nn.Conv2d(1, 1, 3, padding=("1", 1)), TypeError, r"Conv2d: padding must be .*, got \('1', 1\)"),
        (lambda: nn.Conv1d(1, 1, 3, stride=1.5), TypeError, "Conv1d: stride must be an integer or a sequence of 1 integers, got 1.5"),
        (lambda: nn.Softmax(tg.ones(2)), TypeError, r"Softmax\(\): argument 'dim' must be an integer, got tensor"),
        # data and dtypes
        (lambda: tg.tensor(["a"]), TypeError, "no dtype for dtype\\('<U1'\\), since tensors hold numbers"),
        (lambda: tg.tensor([1.0, None]), TypeError, "got NoneType"),
        (lambda: tg.arange("3"), TypeError, r"arange\(\): argument 'end' must be a number, not str"),
        (lambda: tg.zeros_like(5), TypeError, r"zeros_like\(\): argument 'input' must be a Tensor, not int"),
        (lambda: tg.sum(tg.ones(3), dtype=5), TypeError, "no dtype for 5"),
        (lambda: tg.result_type(None, 1), TypeError, "result_type takes tensors, dtypes and numbers, got NoneType"),
        (lambda: tg.promote_types("float31", tg.int8), TypeError, "no dtype for 'float31'"),
        (lambda: tg.where(tg.ones(2), tg.ones(2), 0.0), RuntimeError, r"where: the condition needs dtype bool, got tapegrad.float32; .*\.bool\(\)"),
        (lambda: tg.ones(2).where(tg.tensor([1, 0]), 0.0), RuntimeError, "where: the condition needs dtype bool, got tapegrad.int64"),
        (lambda: tg.where([True], tg.ones(1), 0.0), TypeError, "argument 'condition' must be a bool Tensor, not list"),
        # layers and optimizers
        (without_weight, TypeError, "argument 'weight' must be a Tensor, not None"),
        (lambda: optim.SGD(nn.Linear(1, 1)), TypeError, r"SGD: params must be an iterable .*, got Linear; pass its \.parameters\(\)"),
        (lambda: sgd(lr="0.1"), TypeError, "Invalid learning rate: expected a number, got str"),
        (lambda: sgd(lr=tg.tensor([0.1, 0.2])), ValueError, "Tensor lr must be 1-element"),
        (lambda: sgd(momentum=None), TypeError, "Invalid momentum value: expected a number, got NoneType"),
        (lambda: adam(betas=0.9), TypeError, "betas must be two numbers, got 0.9"),
        (lambda: adam(betas=("0.9", 0.99)), TypeError, "betas must be two numbers"),
        (lambda: sgd().load_state_dict({}), ValueError, r"SGD\.load_state_dict expects what state_dict\(\) returned: it lacks 'state' and 'param_groups'"),
        (lambda: sgd().load_state_dict([]), TypeError, "expects what state_dict.* got list"),
        (lambda: sgd().add_param_group({"param": []}), ValueError, "needs the key 'params'"),
        (lambda: TensorDataset([1, 2]), TypeError, "TensorDataset takes tensors, got list as argument 0"),
        (lambda: F.cross_entropy(tg.ones(2, 3), tg.tensor([0, 1]), label_smoothing=2.0), ValueError, "label_smoothing must be between 0 and 1"),
        # the tape
        (uncalled, TypeError, r"no_grad must be called: with no_grad\(\)"),
        (lambda: tg.ones(1, requires_grad=True).register_hook(5), TypeError, "register_hook: the hook must be a function, got int"),
        (
            lambda: tg.ones(1, requires_grad=True).register_post_accumulate_grad_hook(None),
            TypeError,
            "register_post_accumulate_grad_hook: the hook must be a function, got NoneType",
        ),
    ],
)
def test_mistake(mistake: Callable[[], Any], error: type[Exception], match: str) -> None:
    with pytest.raises(error, match=match):
        mistake()


def test_mistaken_files(tmp_path: Path) -> None:
    (tmp_path / "text").write_bytes(b"no checkpoint at all" * 10)
    tg.save({"a": tg.ones(100)}, tmp_path / "whole")
    (tmp_path / "cut").write_bytes((tmp_path / "whole").read_bytes()[:100])
    (tmp_path / "short").write_bytes(b"abc")
    for name in ("text", "cut", "short"):
        with pytest.raises(tg.CheckpointError, match=f"{name}: not a tapegrad checkpoint, or truncated"):
            tg.load(tmp_path / name)
    net = nn.Linear(2, 1)
    for thing in (net, {"optimizer": optim.SGD(net.parameters())}):
        with pytest.raises(TypeError, match=r"is not supported; save its \.state_dict\(\)"):
            tg.save(thing, tmp_path / "net")
    assert tg.load(tmp_path / "whole", map_location="cpu", weights_only=True)["a"].shape == (100,)
    with pytest.raises(RuntimeError, match="no CUDA device"):
        tg.load(tmp_path / "whole", "cuda")


def test_different_sizes_in_mse_loss_warn() -> None:
    for loss in (F.mse_loss, nn.MSELoss()):
        with pytest.warns(UserWarning, match=r"target of size \(3,\) and input of size \(3, 1\) differ") as told:
            loss(tg.ones(3, 1), tg.zeros(3))
        assert len(told) == 1
    with pytest.warns(UserWarning, match="mse_loss") as told:
        F.mse_loss(tg.ones(3, 1), tg.zeros(3))
    assert told[0].filename == __file__


def test_what_is_accepted() -> None:
    assert tg.randint(10, size=(3,)).shape == (3,)
    assert tg.randint(5, (2,)).shape == (2,)
    assert tg.randn(()).shape == ()
    assert tg.randn_like(tg.ones(())).shape == ()
    assert tg.softmax(tg.ones(2), 0, dtype="float64").dtype is tg.float64
    assert tg.promote_types("float32", "int64") is tg.float32
    assert tg.can_cast("float64", "float32")
    assert tg.result_type("int32", 1.0) is tg.float32
    assert tg.finfo("float32").bits == 32
    assert tg.iinfo("int8").max == 127
    assert sgd(lr=np.float32(0.5)).param_groups[0]["lr"] == 0.5


def test_reprs() -> None:
    assert repr(tg.Generator().manual_seed(3)) == "<tapegrad.Generator seed=3, counter=0, device='cpu'>"

    def double(g: tg.Tensor) -> tg.Tensor:
        return 2 * g

    handle = tg.ones(1, requires_grad=True).register_hook(double)
    assert repr(handle).endswith("double: registered>")
    handle.remove()
    assert repr(handle).endswith("double: removed>")


@pytest.mark.parametrize("name", ["shape", "dtype", "device", "ndim", "itemsize", "nbytes", "is_cuda", "is_leaf", "grad", "grad_fn"])
def test_properties_of_tensors_have_docs(name: str) -> None:
    assert getattr(tg.Tensor, name).__doc__


def test_an_attribute_error_of_something_else_is_not_blamed_on_an_argument() -> None:
    @public.composite(method=False)
    def wrongly_written(input: Tensor) -> Tensor:
        return input if isinstance(input, Tensor) else math.no_such_function(input)  # type: ignore[attr-defined, no-any-return]

    del public.FUNCTIONS["wrongly_written"]
    with pytest.raises(AttributeError, match="no_such_function"):
        wrongly_written(1.0)


@pytest.mark.parametrize("call", [F.softmax, lambda x: nn.Softmax()(x), F.dropout2d, lambda x: F.mse_loss(x, x, size_average=True)])
def test_warnings_show_the_caller_s_line(call: Callable[[Any], Any]) -> None:
    for _ in range(2):  # the first call may write the function's code
        with pytest.warns(UserWarning, match="softmax|dropout2d|mse_loss") as told:
            call(tg.ones(2, 3))
        assert {w.filename for w in told} == {__file__}
