"""Hooks on modules: forward, backward, registration, one module and all."""

from __future__ import annotations

import pytest

import tapegrad as tg
from tapegrad import nn


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


def test_a_hook_before_forward_may_register_one_after_it():
    layer, calls = nn.Identity(), []
    layer.register_forward_pre_hook(lambda *_: layer.register_forward_hook(lambda *_: calls.append("after")) and None)
    layer(tg.ones(1))
    assert calls == ["after"]


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


def test_hooks_that_are_always_called():
    class Fails(nn.Module):
        def forward(self, x):
            raise ValueError("mine")

    layer, calls = Fails(), []
    layer.register_forward_hook(lambda m, args, out: calls.append("usual"))
    layer.register_forward_hook(lambda m, args, out: calls.append(out), always_call=True)
    with pytest.raises(ValueError, match="mine"):
        layer(1)
    assert calls == [None]
    layer.register_forward_hook(lambda m, args, out: 1 / 0, always_call=True)
    with pytest.warns(UserWarning, match="always_call=True failed, too.*division by zero"), pytest.raises(ValueError, match="mine"):
        layer(1)


def test_hooks_on_all_modules():
    net, calls = nn.Sequential(nn.Identity(), nn.Identity()), []
    x = tg.ones(1, requires_grad=True)
    everywhere = nn.modules.module
    handles = [
        everywhere.register_module_forward_pre_hook(lambda m, args: calls.append("before")),
        everywhere.register_module_forward_hook(lambda m, args, out: out * 2),
        everywhere.register_module_full_backward_pre_hook(lambda m, grads: calls.append("pre")),
        everywhere.register_module_full_backward_hook(lambda m, grads, out: calls.append("back")),
    ]
    try:
        net(x).backward()
    finally:
        for handle in handles:
            handle.remove()
    assert calls == ["before"] * 3 + ["pre", "pre", "back", "pre", "back", "back"]
    assert x.grad.item() == 8
    calls.clear()
    net(x)
    assert calls == []


def test_hooks_on_registration():
    seen = []
    handle = nn.modules.module.register_module_parameter_registration_hook(lambda module, name, param: seen.append(name))
    with handle:
        layer = nn.Linear(1, 1)
    replacement = nn.Tanh()
    with nn.modules.module.register_module_module_registration_hook(lambda module, name, child: replacement):
        layer.child = nn.ReLU()
    with nn.modules.module.register_module_buffer_registration_hook(lambda module, name, buffer: buffer + 1):
        layer.register_buffer("one", tg.zeros(1))
    assert seen == ["weight", "bias"]
    assert layer.child is replacement
    assert layer.one.item() == 1


# ----------------------------------------------------------------------------------------------------- backward hooks


class TwoByTwo(nn.Module):
    def forward(self, a, note, b):
        return a * b, note, a + b


def test_backward_hooks_see_all_inputs_and_outputs():
    layer, seen = TwoByTwo(), {}
    layer.register_full_backward_pre_hook(lambda module, grad_output: seen.update(pre=grad_output))
    layer.register_full_backward_hook(lambda module, grad_input, grad_output: seen.update(grads=grad_input, out=grad_output))
    a, b = tg.tensor([2.0], requires_grad=True), tg.tensor([3.0], requires_grad=True)
    product, note, _ = layer(a, "note", b)
    assert note == "note"
    (product * 10).sum().backward()
    assert [g if g is None else g.tolist() for g in seen["pre"]] == [[10], None, None]  # what was not used has no gradient
    assert seen["out"] == seen["pre"]
    assert [g if g is None else g.tolist() for g in seen["grads"]] == [[30], None, [20]]
    assert (a.grad.item(), b.grad.item()) == (30, 20)


def test_backward_hooks_replace_gradients_in_order():
    layer, order = nn.Identity(), []
    layer.register_full_backward_hook(lambda m, grads, out: order.append("second") or (grads[0] + 1,))
    layer.register_full_backward_hook(lambda m, grads, out: order.append("first") or (grads[0] * 2,), prepend=True)
    layer.register_full_backward_pre_hook(lambda m, grads: (grads[0] * 5,))
    x = tg.ones(2, requires_grad=True)
    layer(x).sum().backward()
    assert x.grad.tolist() == [11, 11]
    assert order == ["first", "second"]
    with layer.register_full_backward_hook(lambda m, grads, out: (grads[0], None)), pytest.raises(RuntimeError, match="got 2, but expected 1"):
        layer(x).sum().backward()
    with layer.register_full_backward_pre_hook(lambda m, grads: ()), pytest.raises(RuntimeError, match="number of grad_output, got 0"):
        layer(x).sum().backward()
    assert x.grad.tolist() == [11, 11]  # all or nothing


def test_backward_hook_where_no_input_needs_a_gradient():
    layer, seen = nn.Linear(2, 1, bias=False), []
    handle = layer.register_full_backward_hook(lambda m, grads, out: seen.append((grads, out[0].tolist())))
    with pytest.warns(UserWarning, match="no input requires grad"):
        layer(tg.ones(1, 2)).sum().backward()
    assert seen == [((None,), [[1]])]
    handle.remove()
    layer.register_full_backward_hook(lambda m, grads, out: out)
    with pytest.warns(UserWarning, match="no input requires grad"), pytest.raises(RuntimeError, match="must return None"):
        layer(tg.ones(1, 2)).sum().backward()
    with tg.no_grad():
        assert layer(tg.ones(1, 2)).grad_fn is None


def test_backward_hook_on_a_module_that_writes_to_its_input():
    layer = nn.ReLU(inplace=True)
    x = tg.tensor([-1.0, 2.0], requires_grad=True)
    with layer.register_full_backward_hook(lambda m, grads, out: None), pytest.raises(RuntimeError, match="ReLU has a backward hook and wrote"):
        layer(x * 1)
    layer.register_full_backward_pre_hook(lambda m, out: (out[0] * 2,))  # looks at outputs only
    layer(x * 1).sum().backward()
    assert x.grad.tolist() == [0, 2]


def test_backward_hook_needs_tensors():
    class Dict(nn.Module):
        def forward(self, x):
            return {"x": x * 2}

    layer, seen = Dict(), []
    layer.register_full_backward_hook(lambda *args: seen.append(args))
    x = tg.ones(1, requires_grad=True)
    with pytest.warns(UserWarning, match="should be a Tensor or a tuple"):
        output = layer(x)
    output["x"].backward()
    assert x.grad.item() == 2
    assert seen == []


def test_backward_hook_under_create_graph():
    layer = nn.Identity()
    layer.register_full_backward_hook(lambda m, grads, out: (grads[0] * grads[0],))
    x = tg.tensor([3.0], requires_grad=True)
    (g,) = tg.autograd.grad((layer(x) ** 2).sum(), x, create_graph=True)
    assert g.item() == 36  # (2 x)^2
    g.sum().backward()
    assert x.grad.item() == 576  # the gradient 8 x passes the hook, too
