"""Parametrizations, and the norms that older hooks keep."""

from __future__ import annotations

import copy
import inspect
from typing import Any

import numpy as np
import pytest
from beside_pytorch import arguments, assert_same, assert_same_gradients, loss, pair, twice

import tapegrad as tg
from tapegrad import nn
from tapegrad.nn.utils import parametrizations, parametrize


class Symmetric(nn.Module):
    calls = 0

    def forward(self, x: Any) -> Any:
        self.calls += 1
        return x.triu() + x.triu(1).T


class Exponential(nn.Module):
    def forward(self, x: Any) -> Any:
        return x.exp()

    def right_inverse(self, value: Any) -> Any:
        return value.log()


class Product(nn.Module):
    def forward(self, a: Any, b: Any) -> Any:
        return a * b

    def right_inverse(self, value: Any) -> Any:
        return value / 2, tg.full(value.shape, 2.0)


def test_a_weight_is_computed_from_its_original() -> None:
    layer = nn.Linear(3, 3)
    original = layer.weight
    assert parametrize.register_parametrization(layer, "weight", Symmetric()) is layer
    assert list(layer.state_dict()) == ["bias", "parametrizations.weight.original"]
    assert layer.parametrizations.weight.original is original
    assert layer.weight.tolist() == layer.weight.T.tolist()
    layer(tg.ones(1, 3)).sum().backward()
    assert original.grad.tolist() == [[1, 2, 2], [0, 1, 2], [0, 0, 1]]
    assert isinstance(layer, nn.Linear) and type(layer).__name__ == "ParametrizedLinear"
    assert parametrize.type_before_parametrizations(layer) is nn.Linear
    with pytest.raises(RuntimeError, match="parametrization Symmetric does not implement right_inverse"):
        layer.weight = tg.ones(3, 3)


def test_removing_gives_the_class_and_the_parameter_back() -> None:
    for leave in (True, False):
        layer = nn.Linear(3, 3)
        original, raw = layer.weight, layer.weight.tolist()
        parametrize.register_parametrization(layer, "weight", Symmetric())
        value = layer.weight.tolist()
        other = copy.deepcopy(layer)
        parametrize.remove_parametrizations(layer, "weight", leave_parametrized=leave)
        assert type(layer) is nn.Linear and layer.weight is original
        assert layer.weight.tolist() == (value if leave else raw)
        assert list(layer.state_dict()) == ["bias", "weight"]
        assert not parametrize.is_parametrized(layer)
        assert parametrize.is_parametrized(other, "weight") and other.weight.tolist() == value


def test_assigning_goes_through_the_inverse() -> None:
    layer = nn.Linear(2, 2)
    layer.weight.data = tg.tensor([[1.0, 2.0], [3.0, 4.0]])
    parametrize.register_parametrization(layer, "weight", Exponential())
    np.testing.assert_allclose(layer.weight.tolist(), [[1, 2], [3, 4]], rtol=1e-6)
    layer.weight = tg.full((2, 2), 5.0)
    np.testing.assert_allclose(layer.parametrizations.weight.original.tolist(), np.log(np.full((2, 2), 5.0)), rtol=1e-6)
    parametrize.register_parametrization(layer, "weight", Symmetric())
    assert len(layer.parametrizations.weight) == 2
    np.testing.assert_allclose(layer.weight.tolist(), np.full((2, 2), 5.0), rtol=1e-6)


def test_several_originals() -> None:
    layer = nn.Linear(2, 2)
    value = layer.weight.tolist()
    parametrize.register_parametrization(layer, "weight", Product())
    assert [n for n, _ in layer.named_parameters()] == ["bias", "parametrizations.weight.original0", "parametrizations.weight.original1"]
    assert layer.weight.tolist() == value
    with pytest.raises(ValueError, match="leave_parametrized=False needs one original"):
        parametrize.remove_parametrizations(layer, "weight", leave_parametrized=False)
    twin = nn.Linear(2, 2)
    parametrize.transfer_parametrizations_and_params(layer, twin)
    assert twin.weight.tolist() == value and twin.parametrizations.weight.original0 is layer.parametrizations.weight.original0
    parametrize.remove_parametrizations(layer, "weight")
    assert layer.weight.tolist() == value and isinstance(layer.weight, nn.Parameter)


def test_a_cached_weight_is_computed_once() -> None:
    layer = parametrize.register_parametrization(nn.Linear(2, 2), "weight", Symmetric())
    counter = layer.parametrizations.weight[0]
    before = counter.calls
    with parametrize.cached():
        for _ in range(3):
            layer(tg.ones(1, 2))
        with parametrize.cached():
            assert layer.weight is layer.weight
    assert counter.calls == before + 1
    assert layer.weight is not layer.weight


def test_spectral_norm_makes_the_largest_singular_value_one() -> None:
    tg.manual_seed(0)
    layer = parametrizations.spectral_norm(nn.Conv2d(3, 4, 2), n_power_iterations=50)
    singular = np.linalg.svd(layer.weight.detach().numpy().reshape(4, -1), compute_uv=False)
    assert singular[0] == pytest.approx(1, rel=1e-4)
    state = {name: value.tolist() for name, value in layer.eval().state_dict().items()}
    layer(tg.ones(1, 3, 4, 4))
    assert {name: value.tolist() for name, value in layer.state_dict().items()} == state


def test_weight_norm_loads_the_names_of_the_older_one() -> None:
    with pytest.warns(FutureWarning, match="nn.utils.weight_norm is deprecated"):
        old = nn.utils.weight_norm(nn.Linear(3, 2))
    new = parametrizations.weight_norm(nn.Linear(3, 2))
    new.load_state_dict(old.state_dict())
    x = tg.randn(4, 3)
    np.testing.assert_allclose(new(x).tolist(), old(x).tolist(), rtol=1e-6)
    nn.utils.remove_weight_norm(old)
    np.testing.assert_allclose(new(x).tolist(), old(x).tolist(), rtol=1e-6)
    with pytest.raises(ValueError, match="weight_norm of 'weight' not found"):
        nn.utils.remove_weight_norm(old)


class _Returns(nn.Module):
    def __init__(self, function: Any) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Any) -> Any:
        return self.function(x)


@pytest.mark.parametrize(
    "function, message",
    [
        (lambda x: x.double(), r"may not change shape and dtype .* from \(3, 3\), tapegrad.float32 to \(3, 3\), tapegrad.float64"),
        (lambda x: x[:1], r"from \(3, 3\), tapegrad.float32 to \(1, 3\)"),
        (lambda x: 3, "must return a tensor, got int"),
    ],
)
def test_a_parametrization_must_fit(function: Any, message: str) -> None:
    layer = nn.Linear(3, 3)
    with pytest.raises(ValueError, match=message):
        parametrize.register_parametrization(layer, "weight", _Returns(function))
    assert type(layer) is nn.Linear and list(layer.state_dict()) == ["weight", "bias"]
    weight = layer.weight.tolist()
    unfit = _Returns(function)
    unfit.right_inverse = lambda value: value * 2
    with pytest.raises(ValueError, match=message):
        parametrize.register_parametrization(layer, "weight", unfit)
    assert layer.weight.tolist() == weight
    with pytest.raises(ValueError, match="does not have a parameter, a buffer, or a parametrized element with name 'w'"):
        parametrize.register_parametrization(layer, "w", Symmetric())


# ------------------------------------------------------------------------------------------------------- beside PyTorch

LAYERS: dict[str, tuple[Any, tuple[int, ...]]] = {
    "Linear": (lambda lib: lib.nn.Linear(3, 2), (4, 3)),
    "Conv2d": (lambda lib: lib.nn.Conv2d(2, 3, 2), (1, 2, 4, 4)),
    "ConvTranspose1d": (lambda lib: lib.nn.ConvTranspose1d(2, 3, 2), (1, 2, 4)),
}
NORMS: dict[str, Any] = {
    "weight_norm": lambda utils, layer: utils.parametrizations.weight_norm(layer),
    "weight_norm dim 1": lambda utils, layer: utils.parametrizations.weight_norm(layer, dim=1),
    "weight_norm dim None": lambda utils, layer: utils.parametrizations.weight_norm(layer, dim=None),
    "weight_norm bias": lambda utils, layer: utils.parametrizations.weight_norm(layer, "bias"),
    "spectral_norm": lambda utils, layer: utils.parametrizations.spectral_norm(layer),
    "spectral_norm dim -1": lambda utils, layer: utils.parametrizations.spectral_norm(layer, n_power_iterations=3, dim=-1),
    "spectral_norm bias": lambda utils, layer: utils.parametrizations.spectral_norm(layer, "bias", dim=0),
    "both": lambda utils, layer: utils.parametrizations.weight_norm(utils.parametrizations.spectral_norm(layer), "bias"),
    "old weight_norm": lambda utils, layer: utils.weight_norm(layer),
    "old spectral_norm": lambda utils, layer: utils.spectral_norm(layer),
}


@pytest.mark.compare
@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("norm", NORMS)
def test_norms_like_torch(norm: str, layer: str, torch: Any) -> None:
    build, shape = LAYERS[layer]
    modules = pair(lambda lib: NORMS[norm](lib.nn.utils, build(lib)))
    x = twice(np.random.default_rng(0).normal(size=shape))
    for training in (True, True, False):
        outputs = []
        for side, module in enumerate(modules):
            module.train(training).zero_grad()
            outputs.append(module(x[side]))
            loss(outputs[-1]).backward()
        assert_same(*outputs)
        assert_same_gradients(*modules, x)
    ours, theirs = modules
    for name, value in theirs.state_dict().items():
        assert_same(ours.state_dict()[name], value, name)
    for lib, module in ((tg, ours), (torch, theirs)):
        if norm.startswith("old"):
            getattr(lib.nn.utils, f"remove_{norm[4:]}")(module)
        else:
            for name in list(module.parametrizations):
                lib.nn.utils.parametrize.remove_parametrizations(module, name)
    assert repr(ours) == repr(theirs) and list(ours.state_dict()) == list(theirs.state_dict())
    assert_same(ours(x[0]), theirs(x[1]))


@pytest.mark.compare
def test_signatures_like_torch(torch: Any) -> None:
    theirs = torch.nn.utils
    for ours, other in ((parametrize, theirs.parametrize), (nn.utils, theirs), (parametrizations, theirs.parametrizations)):
        for name in set(ours.__all__) - {"clip_grad_norm"}:  # whose signature PyTorch hides
            value = getattr(ours, name)
            if inspect.isfunction(value):
                assert arguments(value) == arguments(getattr(other, name)), name
