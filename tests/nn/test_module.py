"""Module and Parameter: registration, going through parts, conversion."""

from __future__ import annotations

import copy

import pytest
from small_net import Net, snapshot

import tapegrad as tg
from tapegrad import nn
from tapegrad.nn import functional as F

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
    assert net.get_buffer("scale") is net.scale
    with pytest.raises(AttributeError, match="Net has no attribute `third`"):
        net.get_submodule("third")
    with pytest.raises(AttributeError, match="`weight` is not an nn.Module"):
        net.get_submodule("first.weight")
    with pytest.raises(AttributeError, match="Linear has no attribute `scale`"):
        net.get_parameter("second.scale")
    with pytest.raises(AttributeError, match="`scale` is not an nn.Parameter"):
        net.get_parameter("scale")
    with pytest.raises(AttributeError, match="`weight` is not a buffer"):
        net.get_buffer("first.weight")


def test_set_submodule():
    net = Net()
    net.set_submodule("first", nn.Sequential(nn.ReLU()))
    net.set_submodule("first.0", nn.Tanh(), strict=True)
    net.set_submodule("third", nn.ReLU())
    assert [type(m).__name__ for m in net.modules()] == ["Net", "Sequential", "Tanh", "Linear", "ReLU"]
    with pytest.raises(AttributeError, match="no attribute `fourth`"):
        net.set_submodule("fourth", nn.ReLU(), strict=True)
    with pytest.raises(AttributeError, match="`weight` is not an nn.Module"):
        net.set_submodule("second.weight", nn.ReLU())
    with pytest.raises(ValueError, match="without a target name"):
        net.set_submodule("", nn.ReLU())
    with pytest.raises(ValueError, match="not an nn.Module"):
        net.set_submodule("third", 3)


def test_buffers_by_assignment():
    net = nn.Module()
    net.a = nn.Buffer(tg.ones(2))
    net.b = nn.Buffer(tg.ones(2), persistent=False)
    net.c = tg.ones(2)  # a plain attribute
    assert [n for n, _ in net.named_buffers()] == ["a", "b"]
    assert list(net.state_dict()) == ["a"]
    net.a = nn.Parameter(tg.ones(1))
    assert [n for n, _ in net.named_parameters()] == ["a"]
    with pytest.raises(TypeError, match="Buffer expects a Tensor, got list"):
        nn.Buffer([1.0])


def test_arguments_of_module():
    with pytest.raises(TypeError, match="unexpected keyword argument 'size'"):
        nn.Sigmoid(size=3)
    with pytest.raises(TypeError, match="1 positional"):
        nn.Tanh(3)

    class Base:
        def __init__(self, size):
            self.size = size

    class Both(nn.Module, Base):
        call_super_init = True

    assert Both(size=3).size == 3


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
    with pytest.raises(TypeError, match="Parameter or None required.*becomes one by Parameter"):
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
    with pytest.raises(AttributeError, match="'Net' object has no attribute 'missing'") as caught:
        net.missing  # noqa: B018
    assert (caught.value.name, caught.value.obj) == ("missing", net)  # what Python makes "Did you mean" of

    class Early(nn.Module):
        def __init__(self) -> None:
            self.layer = nn.Linear(1, 1)

    with pytest.raises(AttributeError, match=r"cannot assign module before Module\.__init__.*super\(\)"):
        Early()


def test_a_wrapper_may_look_into_its_part():
    class Wrapper(nn.Module):
        def __init__(self, inner: nn.Module) -> None:
            super().__init__()
            self.inner = inner
            self.scale = nn.Parameter(tg.ones(1))

        def __getattr__(self, name):
            try:
                return super().__getattr__(name)
            except AttributeError:
                return getattr(self.inner, name)

    wrapper = Wrapper(nn.Linear(2, 3))
    assert wrapper.out_features == 3
    assert list(wrapper.state_dict()) == ["scale", "inner.weight", "inner.bias"]


@pytest.mark.parametrize(
    ("part", "hint"),
    [
        (nn.ReLU, r"give an instance, ReLU\(...\), not the class"),
        (F.relu, "relu is a function: use the module that calls it"),
        ([nn.ReLU()], r"one by one, Sequential\(\*modules\)"),
    ],
)
def test_what_is_no_module_gets_a_hint(part, hint):
    with pytest.raises(TypeError, match=hint):
        nn.Sequential(part)


@pytest.mark.parametrize("use", [lambda m: m(tg.ones(1)), lambda m: list(m.parameters()), repr, lambda m: m.eval(), lambda m: m.state_dict()])
def test_a_module_without_super_init_says_so(use):
    class Late(nn.Module):
        def __init__(self) -> None:
            self.size = 3

    with pytest.raises(AttributeError, match=r"'Late' object has no attribute .*super\(\)\.__init__\(\)"):
        use(Late())


def test_subclasses_may_mend_copies():
    class Newer(nn.Linear):
        def __setstate__(self, state):
            super().__setstate__({"added": 1, **state})

    assert copy.deepcopy(Newer(2, 2)).added == 1


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
    with pytest.raises(TypeError, match="floating point or complex"):
        net.to(tg.int64)
    with pytest.raises(RuntimeError, match="no CUDA"):
        net.cuda()


def test_more_conversions():
    net = Net()
    net.register_buffer("count", tg.tensor([1, 2]))
    assert net.bfloat16().first.weight.dtype is tg.bfloat16
    assert net.half().scale.dtype is tg.float16
    assert net.type(tg.float64).count.dtype is tg.float64
    with pytest.raises(RuntimeError, match="requires grad"):
        net.type(tg.int64)
    weight = net.first.weight
    before = weight.data_ptr()
    assert net.to_empty(device="cpu") is net
    assert net.first.weight is weight
    assert weight.data_ptr() != before
    assert weight.requires_grad
    assert net.scale.dtype is tg.float64


def test_conversion_reaches_overrides():
    class Twice(nn.Linear):
        def _apply(self, fn, recurse=True):
            self.extra = fn(self.extra)
            return super()._apply(fn, recurse)

    layer = Twice(1, 1)
    layer.extra = tg.ones(1)
    nn.Sequential(layer).double()
    assert layer.extra.dtype is tg.float64


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


# ----------------------------------------------------------------------------------------------------- beside PyTorch


@pytest.mark.compare
def test_repr_and_names_like_torch(torch):
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
