"""Lazy modules and parameters without a shape."""

from __future__ import annotations

import copy

import pytest

import tapegrad as tg
from tapegrad import nn


def net() -> nn.Sequential:
    return nn.Sequential(nn.LazyConv1d(3, 2), nn.LazyBatchNorm1d(), nn.ReLU(), nn.Flatten(), nn.LazyLinear(2))


def test_optimizer_made_before_the_first_input():
    model = net()
    optimizer = tg.optim.SGD(model.parameters(), lr=0.1)
    params = list(model.parameters())
    model(tg.ones(4, 2, 5))
    assert [type(m).__name__ for m in model] == ["Conv1d", "BatchNorm1d", "ReLU", "Flatten", "Linear"]
    assert all(a is b for a, b in zip(params, model.parameters(), strict=True))
    assert [tuple(p.shape) for p in params] == [(3, 2, 2), (3,), (3,), (3,), (2, 12), (2,)]
    before = params[4].detach().clone()
    model(tg.randn(4, 2, 5)).sum().backward()
    optimizer.step()
    assert not (params[4] == before).all()
    assert model[0].in_channels == 2


def test_same_start_as_the_layer_it_becomes():
    tg.manual_seed(3)
    lazy = nn.LazyLinear(4)
    lazy(tg.ones(2, 3))
    tg.manual_seed(3)
    usual = nn.Linear(3, 4)
    assert lazy.weight.tolist() == usual.weight.tolist()
    assert lazy.bias.tolist() == usual.bias.tolist()


def test_state_dict_of_lazy_modules():
    ready, lazy = net(), net()
    ready(tg.randn(4, 2, 5))
    keys = list(lazy.state_dict())
    assert keys == list(ready.state_dict())
    with pytest.raises(RuntimeError, match=r"size|Missing"):
        lazy.load_state_dict({"0.weight": tg.ones(1)})
    assert lazy[0].has_uninitialized_params()  # nothing has changed
    lazy.load_state_dict(ready.state_dict())
    x = tg.randn(4, 2, 5)
    assert lazy.eval()(x).tolist() == ready.eval()(x).tolist()
    assert type(lazy[4]) is nn.Linear
    assert lazy[4].in_features == 12
    with pytest.raises(RuntimeError, match="uninitialized parameter"):
        ready.load_state_dict(net().state_dict())
    again = net()
    again.load_state_dict(net().state_dict())  # nothing to copy
    assert again[0].has_uninitialized_params()
    wrong = nn.LazyLinear(2)
    wrong.load_state_dict({"weight": tg.ones(2, 5), "bias": tg.ones(2)})
    with pytest.raises(RuntimeError, match=r"weight was loaded with shape \(2, 5\), the input needs \(2, 4\)"):
        wrong(tg.ones(1, 4))


def test_conversion_and_copies_before_the_first_input():
    model = net().double()
    twin = copy.deepcopy(model)
    model(tg.ones(4, 2, 5, dtype=tg.float64))
    assert model[4].weight.dtype is tg.float64
    assert twin[0].has_uninitialized_params()
    assert twin(tg.ones(4, 3, 5, dtype=tg.float64)).shape == (4, 2)
    assert twin[0].in_channels == 3


def test_mistakes():
    with pytest.raises(RuntimeError, match=r"expected 3D \(unbatched\) or 4D \(batched\) input"):
        nn.LazyConv2d(3, 2)(tg.ones(2, 2))
    with pytest.raises(ValueError, match="divisible by groups"):
        nn.LazyConv2d(4, 2, groups=2)(tg.ones(1, 3, 4, 4))
    with pytest.raises(ValueError, match="expected 4D input"):
        nn.LazyBatchNorm2d()(tg.ones(2, 2))


def test_a_lazy_module_of_ones_own():
    class Scale(nn.modules.lazy.LazyModuleMixin, nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = nn.UninitializedParameter()
            self.register_buffer("seen", nn.UninitializedBuffer(dtype=tg.int64))

        def initialize_parameters(self, x):
            if self.has_uninitialized_params():
                self.scale.materialize(x.shape[-1:])
                self.seen.materialize((1,))
                nn.init.ones_(self.scale)

        def forward(self, x):
            return x * self.scale

    layer = Scale()
    assert layer(tg.ones(2, 3)).shape == (2, 3)
    assert type(layer.scale) is nn.Parameter
    assert layer.seen.dtype is tg.int64
    Scale.initialize_parameters = lambda self, x: None
    with pytest.raises(RuntimeError, match="without a shape"):
        Scale()(tg.ones(2))


def test_uninitialized_parameter():
    p = nn.UninitializedParameter(dtype=tg.float64)
    assert isinstance(p, nn.Parameter)
    assert repr(p) == "<UninitializedParameter>"
    assert p.dtype is tg.float64
    assert p.requires_grad
    with pytest.raises(RuntimeError, match="shape of an uninitialized parameter"):
        p.shape  # noqa: B018
    for use in (lambda: p + 1, lambda: tg.exp(p), lambda: p.sum(), lambda: nn.UninitializedBuffer() * 2):
        with pytest.raises(ValueError, match="no shape and no values yet"):
            use()
    frozen = copy.deepcopy(p).requires_grad_(False)
    p.materialize((2, 3))
    assert (type(p), tuple(p.shape), p.requires_grad, p.is_leaf) == (nn.Parameter, (2, 3), True, True)
    frozen.materialize((1,), dtype=tg.float32)
    assert not frozen.requires_grad
    assert frozen.dtype is tg.float32
