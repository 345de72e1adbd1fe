"""Containers of modules and of parameters."""

from __future__ import annotations

import pytest

import tapegrad as tg
from tapegrad import nn


def test_sequential():
    a, b, c = nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1)
    net = nn.Sequential(a, b, c)
    assert net(tg.ones(4, 2)).shape == (4, 1)
    assert len(net) == 3
    assert net[0] is a
    assert net[-1] is c
    assert list(net[1:]) == [b, c]
    assert list(net[1:].state_dict()) == ["2.weight", "2.bias"]  # slices keep names
    net[1] = nn.Tanh()
    del net[0]
    assert list(net.state_dict()) == ["1.weight", "1.bias"]
    net.append(b).insert(0, a)
    assert [type(m).__name__ for m in net] == ["Linear", "Tanh", "Linear", "ReLU"]
    with pytest.raises(IndexError, match="out of range"):
        net[4]
    with pytest.raises(TypeError, match="Module or None"):
        nn.Sequential(3)
    named = nn.Sequential({"in": a, "out": c})
    assert list(named.state_dict()) == ["in.weight", "in.bias", "out.weight", "out.bias"]
    assert named[1] is c
    named[1] = b
    assert named.out is b


def test_module_list():
    layers = nn.ModuleList(nn.Linear(2, 2) for _ in range(3))
    layers.extend([nn.ReLU()])
    assert len(layers) == 4
    assert isinstance(layers[1:], nn.ModuleList)
    assert [n for n, _ in layers.named_children()] == ["0", "1", "2", "3"]
    del layers[:2]
    assert [n for n, _ in layers.named_children()] == ["0", "1"]
    with pytest.raises(NotImplementedError):
        layers(1)


def test_module_dict():
    table = nn.ModuleDict({"a": nn.ReLU(), "b": nn.Linear(1, 1)})
    assert list(table) == ["a", "b"] == list(table.keys())
    assert "a" in table
    assert list(table.state_dict()) == ["b.weight", "b.bias"]
    popped = table.pop("a")
    assert isinstance(popped, nn.ReLU)
    table["c"] = popped
    assert [type(m).__name__ for m in table.values()] == ["Linear", "ReLU"]
    assert [n for n, _ in table.items()] == ["b", "c"]
    del table["c"]
    assert len(table) == 1
    table.clear()
    assert len(table) == 0


def test_sequential_as_a_list():
    a, b, c = nn.ReLU(), nn.Tanh(), nn.Sigmoid()
    net = nn.Sequential(a, b)
    assert list(net + nn.Sequential(c)) == [a, b, c]
    assert list(net * 2) == list(2 * net) == [a, b, a, b]
    net += nn.Sequential(c)
    assert list(net) == [a, b, c]
    assert net.pop(-1) is c
    net *= 2
    assert list(net) == [a, b, a, b]
    assert list(net.state_dict()) == []
    assert [n for n, _ in net.named_modules(remove_duplicate=False)] == ["", "0", "1", "2", "3"]
    assert list(net[::2]) == [a, a]
    assert isinstance(net.pop(slice(1, 3)), nn.Sequential)
    assert list(net) == [a, b]
    assert list(net.extend([c]).insert(3, a).insert(-1, b)) == [a, b, c, b, a]
    for mistake, error, pattern in (
        (lambda: net + [a], ValueError, "only objects of Sequential"),
        (lambda: net * 0, ValueError, "Non-positive multiplication factor 0"),
        (lambda: net * "a", TypeError, "unsupported operand"),
        (lambda: net.insert(9, a), IndexError, "index 9 is out of range"),
        (lambda: net.insert(0, 3), TypeError, "got int"),
        (lambda: net.append(3), TypeError, "Module or None required"),
        (lambda: net.extend(3), TypeError, "Sequential.extend should be called with an iterable"),
        (lambda: net.pop(7), IndexError, "out of range"),
    ):
        with pytest.raises(error, match=pattern):
            mistake()


def test_module_list_as_a_list():
    a, b, c = nn.ReLU(), nn.Tanh(), nn.Sigmoid()
    layers = nn.ModuleList([a])
    layers += [c]
    layers.insert(1, b)
    assert list(layers + [a]) == [a, b, c, a]
    assert layers.pop(0) is a
    assert list(reversed(layers)) == [c, b]
    assert b in layers
    with pytest.raises(TypeError, match="ModuleList.extend should be called with an iterable"):
        nn.ModuleList(3)


def test_module_dict_takes_pairs():
    table = nn.ModuleDict([("b", nn.ReLU()), ("a", nn.Tanh())])
    table.update(nn.ModuleDict({"a": nn.Sigmoid()}))
    assert [(k, type(m).__name__) for k, m in table.items()] == [("b", "ReLU"), ("a", "Sigmoid")]
    with pytest.raises(ValueError, match="element #0 has length 1; 2 is required"):
        table.update([("a",)])
    with pytest.raises(TypeError, match="element #0 should be Iterable; is int"):
        table.update([3])
    with pytest.raises(TypeError, match="key/value pairs, but got int"):
        table.update(3)
    with pytest.raises(KeyError, match="missing"):
        table["missing"]


# --------------------------------------------------------------------------------------------------------- parameters


def test_parameter_list():
    weights = nn.ParameterList([tg.ones(2), nn.Parameter(tg.zeros(1)), "note"])
    assert [type(w).__name__ for w in weights] == ["Parameter", "Parameter", "str"]
    assert list(weights.state_dict()) == ["0", "1"]
    weights += [tg.ones(3)]
    weights[1] = tg.ones(4)
    assert weights.append(tg.ones(5)).extend([tg.ones(6)]) is weights
    assert [tuple(w.shape) for w in weights.parameters()] == [(2,), (4,), (3,), (5,), (6,)]
    assert weights[-1].shape == (6,)
    assert isinstance(weights[1:3], nn.ParameterList)
    assert len(weights[1:3]) == 2
    assert repr(weights[:3]) == (
        "ParameterList(\n    (0): Parameter containing: [tapegrad.float32 of size 2]\n"
        "    (1): Parameter containing: [tapegrad.float32 of size 4]\n    (2): Object of type: str\n)"
    )
    with pytest.raises(IndexError, match="index 6 is out of range"):
        weights[6]
    with pytest.raises(TypeError, match="iterable"):
        weights.extend(3)
    with pytest.raises(RuntimeError, match="should not be called"):
        weights(tg.ones(1))


def test_parameter_dict():
    weights = nn.ParameterDict({"a": tg.ones(1), "note": 3})
    weights["b"] = tg.ones(2)
    weights.update([("c", tg.ones(3))])
    assert list(weights) == ["a", "note", "b", "c"] == list(weights.keys())
    assert list(reversed(weights)) == ["c", "b", "note", "a"]
    assert list(weights.state_dict()) == ["a", "b", "c"]
    assert weights.a is weights["a"]
    assert weights.pop("note") == 3
    assert "note" not in weights
    assert weights.popitem()[0] == "c"
    assert weights.get("c") is None
    assert weights.setdefault("d", tg.ones(4)).shape == (4,)
    twin = weights.copy()
    assert twin["a"] is weights["a"]
    assert list(weights | nn.ParameterDict({"e": tg.ones(5)})) == ["a", "b", "d", "e"]
    assert list({"z": tg.ones(1)} | weights) == ["z", "a", "b", "d"]
    assert list(nn.ParameterDict({"b": tg.ones(1), "a": tg.ones(1)})) == ["a", "b"]  # PyTorch sorts a dict, so its checkpoints do
    assert list(nn.ParameterDict([("b", tg.ones(1)), ("a", tg.ones(1))]).copy()) == ["b", "a"]
    twin |= {"f": tg.ones(6)}
    assert list(twin) == ["a", "b", "d", "f"]
    assert list(twin.fromkeys(["x", "y"], 1).items()) == [("x", 1), ("y", 1)]
    del twin["a"]
    assert not hasattr(twin, "a")
    twin.clear()
    assert len(twin) == 0
    assert not list(twin.parameters())
    with pytest.raises(TypeError, match="names in a ParameterDict are strings"):
        weights[1] = tg.ones(1)
    with pytest.raises(RuntimeError, match="should not be called"):
        weights(1)
