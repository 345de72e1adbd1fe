"""Module, Parameter and the containers."""

from __future__ import annotations

import copy

import numpy as np
import pytest

import tapegrad as tg
from tapegrad import nn


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(3, 4)
        self.second = nn.Linear(4, 2, bias=False)
        self.register_buffer("scale", tg.ones(2))
        self.register_buffer("scratch", tg.zeros(2), persistent=False)
        self.note = "plain"

    def forward(self, x):
        return self.second(self.first(x).relu()) * self.scale


def snapshot(module: nn.Module) -> dict[str, bytes]:
    return {name: value.detach().numpy().tobytes() for name, value in module.state_dict().items()}


# ---------------------------------------------------------------------------------------------------------- parameter


def test_parameter_shares_memory_and_requires_grad():
    data = tg.ones(2, 3)
    p = nn.Parameter(data)
    assert isinstance(p, tg.Tensor)
    assert p.requires_grad
    assert p.is_leaf
    assert p.data_ptr() == data.data_ptr()
    assert repr(p).startswith("Parameter containing:\ntensor([[1., 1., 1.]")
    assert "requires_grad=True" in repr(p)
    assert not nn.Parameter(data, requires_grad=False).requires_grad
    with tg.no_grad():
        assert nn.Parameter(data).requires_grad
    assert nn.Parameter().shape == (0,)


def test_write_through_the_shared_tensor_is_noticed():
    data = tg.ones(2)
    p = nn.Parameter(data)
    loss = (p * p).sum()
    data.mul_(2)
    with pytest.raises(RuntimeError, match="modified in place"):
        loss.backward()


def test_parameter_rejects_what_is_no_tensor():
    with pytest.raises(TypeError, match="expects a Tensor, got list"):
        nn.Parameter([1.0])
    with pytest.raises(RuntimeError, match="floating-point"):
        nn.Parameter(tg.tensor([1, 2]))


def test_results_are_plain_tensors():
    p = nn.Parameter(tg.ones(2))
    assert type(p * 2) is tg.Tensor
    assert type(p.detach()) is tg.Tensor


def test_deepcopy_is_independent_and_keeps_ties():
    net = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    net[1].weight = net[0].weight
    twin = copy.deepcopy(net)
    assert type(twin[0].weight) is nn.Parameter
    assert twin[1].weight is twin[0].weight
    assert twin[0].weight is not net[0].weight
    before = snapshot(net)
    twin(tg.ones(1, 3)).sum().backward()
    assert net[0].weight.grad is None  # gradients flow to the copy, not to the original
    assert twin[0].weight.grad is not None
    with tg.no_grad():
        twin[0].weight.zero_()
    assert snapshot(net) == before
    frozen = copy.deepcopy(nn.Parameter(tg.ones(1), requires_grad=False))
    assert not frozen.requires_grad


# ------------------------------------------------------------------------------------------------------- registration


def test_names_in_order():
    net = Net()
    assert [n for n, _ in net.named_parameters()] == ["first.weight", "first.bias", "second.weight"]
    assert [n for n, _ in net.named_buffers()] == ["scale", "scratch"]
    assert [n for n, _ in net.named_modules()] == ["", "first", "second"]
    assert [n for n, _ in net.named_children()] == ["first", "second"]
    assert list(net.state_dict()) == ["scale", "first.weight", "first.bias", "second.weight"]
    assert list(net.state_dict(prefix="net.")) == ["net." + n for n in net.state_dict()]
    assert [n for n, _ in net.named_parameters(recurse=False)] == []
    assert [n for n, _ in net.named_parameters("net")] == ["net.first.weight", "net.first.bias", "net.second.weight"]
    assert {"first", "scale"} <= set(dir(net))
    assert net.get_submodule("first") is net.first
    assert net.get_submodule("") is net
    assert net.get_parameter("first.bias") is net.first.bias
    with pytest.raises(AttributeError, match="no module 'third'"):
        net.get_submodule("third")
    with pytest.raises(AttributeError, match=r"no parameter 'second\.bias'"):
        net.get_parameter("second.bias")


def test_shared_parts_come_once():
    shared = nn.Linear(2, 2)
    net = nn.ModuleList([shared, shared])
    assert len(list(net.parameters())) == 2
    assert len(list(net.modules())) == 2
    assert len(list(net.children())) == 1
    assert len(list(net.named_parameters(remove_duplicate=False))) == 4
    assert list(net.state_dict()) == ["0.weight", "0.bias", "1.weight", "1.bias"]


def test_assignment_replaces():
    net = Net()
    net.first = nn.Linear(1, 1)
    assert net.first.weight.shape == (1, 1)
    net.note = nn.Parameter(tg.ones(1))
    assert "note" in dict(net.named_parameters())
    net.note = None
    assert "note" not in dict(net.named_parameters())
    assert net.note is None
    net.scale = tg.zeros(2)
    assert net.state_dict()["scale"].tolist() == [0, 0]
    net.scratch = tg.ones(2)
    assert "scratch" not in net.state_dict()
    del net.scale
    assert not hasattr(net, "scale")
    del net.note
    del net.first
    assert [n for n, _ in net.named_modules()] == ["", "second"]
    net.scratch = nn.Linear(1, 1)  # a buffer's name becomes a module's
    assert "scratch" not in dict(net.named_buffers())


def test_bad_registrations():
    net = Net()
    with pytest.raises(TypeError, match="Parameter or None required"):
        net.first.weight = tg.ones(4, 3)
    with pytest.raises(TypeError, match="Module or None required"):
        net.first = 3
    with pytest.raises(TypeError, match="Tensor or None required"):
        net.scale = 3.0
    with pytest.raises(KeyError, match="already exists"):
        net.register_buffer("note", tg.ones(1))
    with pytest.raises(KeyError, match="contain"):
        net.register_parameter("a.b", None)
    with pytest.raises(KeyError, match="be empty"):
        net.add_module("", None)
    with pytest.raises(TypeError, match="should be a string"):
        net.add_module(1, None)
    with pytest.raises(AttributeError, match="'Net' object has no attribute 'missing'"):
        net.missing  # noqa: B018

    class Early(nn.Module):
        def __init__(self) -> None:
            self.layer = nn.Linear(1, 1)

    with pytest.raises(AttributeError, match=r"before Module\.__init__"):
        Early()


# --------------------------------------------------------------------------------------------------------- state dict


def test_state_dict_round_trip():
    net, other = Net(), Net()
    pointers = [p.data_ptr() for p in other.parameters()]
    keys = other.load_state_dict(net.state_dict())
    assert keys == ([], [])
    assert snapshot(net) == snapshot(other)
    assert [p.data_ptr() for p in other.parameters()] == pointers
    assert not any(v.requires_grad for v in net.state_dict().values())
    assert net.state_dict(keep_vars=True)["first.weight"] is net.first.weight


def test_checkpoint_round_trip(tmp_path):
    net, other = Net(), Net()
    tg.save(net.state_dict(), tmp_path / "net.safetensors")
    other.load_state_dict(tg.load(tmp_path / "net.safetensors"))
    assert snapshot(net) == snapshot(other)


def test_load_reports_everything_and_changes_nothing():
    net = Net()
    before, versions = snapshot(net), [p._version for p in net.parameters()]
    state = {name: value + 1 for name, value in net.state_dict().items()}
    del state["first.bias"]
    state["first.weight"] = tg.ones(5, 5)
    state["second.weight"] = [1.0]
    state["scale"] = tg.ones(2, dtype=tg.complex64)
    state["extra"] = tg.ones(1)
    with pytest.raises(RuntimeError) as caught:
        net.load_state_dict(state)
    text = str(caught.value)
    for part in (
        "loading state_dict for Net",
        "missing key(s): 'first.bias'",
        "unexpected key(s): 'extra'",
        "size mismatch for 'first.weight': (5, 5) in the state dict, (4, 3) in the module",
        "'second.weight': expected a Tensor, got list",
        "dtype mismatch for 'scale'",
    ):
        assert part in text
    assert snapshot(net) == before
    assert [p._version for p in net.parameters()] == versions


def test_load_checks_that_it_can_write():
    net = Net()
    locked = np.zeros(2, np.float32)
    locked.flags.writeable = False
    net.scale = tg.from_numpy(locked)
    before = snapshot(net)
    with pytest.raises(RuntimeError, match=r"'scale'.*read-only"):
        net.load_state_dict({name: tg.ones_like(value) for name, value in net.state_dict().items()})
    assert snapshot(net) == before


def test_load_not_strict():
    net = Net()
    keys = net.load_state_dict({"scale": tg.zeros(2), "extra": tg.ones(1)}, strict=False)
    assert keys.missing_keys == ["first.weight", "first.bias", "second.weight"]
    assert keys.unexpected_keys == ["extra"]
    assert net.scale.tolist() == [0, 0]
    with pytest.raises(RuntimeError, match="size mismatch"):
        net.load_state_dict({"scale": tg.zeros(3)}, strict=False)
    with pytest.raises(TypeError, match="dict-like"):
        net.load_state_dict([1])


def test_load_converts_precision():
    net = nn.Linear(2, 2)
    net.load_state_dict({"weight": tg.ones(2, 2, dtype=tg.float64), "bias": tg.ones(2, dtype=tg.int64)})
    assert net.weight.dtype is tg.float32
    assert net.bias.tolist() == [1, 1]


# ----------------------------------------------------------------------------------------------- modes and conversion


def test_train_eval_apply_requires_grad():
    net = Net()
    assert net.eval() is net
    assert not net.first.training
    assert net.train().first.training
    with pytest.raises(ValueError, match="boolean"):
        net.train("yes")
    seen: list[str] = []
    net.apply(lambda m: seen.append(type(m).__name__))
    assert seen == ["Linear", "Linear", "Net"]
    net.requires_grad_(False)
    assert not any(p.requires_grad for p in net.parameters())
    assert all(p.requires_grad for p in net.requires_grad_().parameters())


def test_conversion_keeps_identity():
    net = Net()
    net.register_buffer("count", tg.tensor([1, 2]))
    params = list(net.parameters())
    net(tg.ones(1, 3)).sum().backward()
    assert net.double() is net
    assert all(a is b for a, b in zip(params, net.parameters(), strict=True))
    assert all(p.dtype is tg.float64 and p.grad.dtype is tg.float64 and p.requires_grad for p in net.parameters())
    assert net.scale.dtype is tg.float64
    assert net.count.dtype is tg.int64
    net.zero_grad()
    net(tg.ones(1, 3, dtype=tg.float64)).sum().backward()
    assert net.first.weight.grad.dtype is tg.float64
    assert net.to(tg.float32).first.weight.dtype is tg.float32
    assert net.to(tg.ones(1, dtype=tg.float64)).first.weight.dtype is tg.float64
    assert net.to("cpu", tg.float32).first.weight.dtype is tg.float32
    assert net.float().cpu().first.weight.dtype is tg.float32
    with pytest.raises(TypeError, match="floating-point or complex"):
        net.to(tg.int64)
    with pytest.raises(RuntimeError, match="no CUDA"):
        net.cuda()


def test_zero_grad():
    net = Net()
    net(tg.ones(1, 3)).sum().backward()
    grad = net.second.weight.grad
    net.zero_grad(set_to_none=False)
    assert net.second.weight.grad is grad
    assert not grad.numpy().any()
    net.zero_grad()
    assert net.second.weight.grad is None


def test_zero_grad_of_a_recorded_gradient():
    net = nn.Linear(2, 1)
    (net(tg.ones(1, 2)) ** 2).sum().backward(create_graph=True)
    assert net.weight.grad.requires_grad
    net.zero_grad(set_to_none=False)
    assert not net.weight.grad.requires_grad
    assert net.weight.grad.tolist() == [[0, 0]]


# -------------------------------------------------------------------------------------------------------------- hooks


def test_hooks_run_in_order_and_replace():
    layer = nn.Identity()
    calls: list[str] = []
    x = tg.tensor([1.0])

    def before(module, args):
        calls.append("before")
        return args[0] + 1

    def earlier(module, args):
        calls.append("earlier")

    def after(module, args, output):
        calls.append("after")
        assert args[0].tolist() == [2]
        return output * 10

    handles = [layer.register_forward_pre_hook(before), layer.register_forward_hook(after)]
    handles.append(layer.register_forward_pre_hook(earlier, prepend=True))
    assert layer(x).tolist() == [20]
    assert calls == ["earlier", "before", "after"]
    for handle in handles:
        handle.remove()
    assert layer(x) is x


def test_hooks_with_keywords():
    class Scale(nn.Module):
        def forward(self, x, by=1):
            return x * by

    layer = Scale()
    seen = []
    handle = layer.register_forward_pre_hook(lambda m, args, kwargs: (args, {"by": kwargs["by"] + 1}), with_kwargs=True)
    with handle, layer.register_forward_hook(lambda m, args, kwargs, out: seen.append(kwargs), with_kwargs=True):
        assert layer(tg.tensor(2.0), by=2).item() == 6
    assert seen == [{"by": 3}]
    layer.register_forward_pre_hook(lambda m, args, kwargs: 1, with_kwargs=True)
    with pytest.raises(RuntimeError, match=r"tuple \(args, kwargs\)"):
        layer(tg.tensor(2.0))


def test_forward_is_required():
    with pytest.raises(NotImplementedError, match="forward"):
        nn.Module()(1)


# --------------------------------------------------------------------------------------------------------- containers


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


# ----------------------------------------------------------------------------------------------------- beside PyTorch


@pytest.mark.compare
def test_repr_and_names_like_torch():
    torch = pytest.importorskip("torch")

    def build(lib):
        return lib.Sequential(
            lib.Linear(3, 4),
            lib.ReLU(inplace=True),
            lib.ReLU(),
            lib.ModuleList([lib.Linear(2, 2), lib.Linear(2, 2), lib.Tanh()]),
            lib.ModuleDict(
                {"a": lib.Sequential(lib.Dropout(0.1), lib.Flatten()), "b": lib.Embedding(5, 2, padding_idx=-1)}
            ),
            lib.Softmax(dim=1),
            lib.LogSoftmax(dim=-1),
            lib.GELU(),
            lib.Identity(),
            lib.Sigmoid(),
            lib.CrossEntropyLoss(),
            lib.MSELoss(),
            lib.ModuleList(),
        )

    ours, theirs = build(nn), build(torch.nn)
    assert repr(ours) == repr(theirs)
    assert [(n, tuple(v.shape)) for n, v in ours.state_dict().items()] == [
        (n, tuple(v.shape)) for n, v in theirs.state_dict().items()
    ]
    assert [n for n, _ in ours.named_modules()] == [n for n, _ in theirs.named_modules()]
