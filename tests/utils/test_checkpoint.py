"""Recomputation: the same gradients from less memory."""

from __future__ import annotations

import gc
import weakref
from contextlib import contextmanager

import numpy as np
import pytest

import tapegrad as tg
from tapegrad import autograd, nn
from tapegrad.utils.checkpoint import CheckpointError, checkpoint, checkpoint_sequential


def model() -> nn.Module:
    tg.manual_seed(1)
    return nn.Sequential(nn.Linear(4, 16), nn.ReLU(inplace=True), nn.Dropout(0.5), nn.Linear(16, 8), nn.Tanh(), nn.Linear(8, 2)).double()


def inputs() -> tg.Tensor:
    return tg.linspace(-1, 1, 12, dtype=tg.float64).reshape(3, 4).requires_grad_()


def gradients(run, **options):
    """Of the sum of squares, for the input and the parameters; then a number drawn from the default generator."""
    net, x = model(), inputs()
    tg.manual_seed(7)
    loss = (run(net, x) ** 2).sum()
    drawn = tg.rand(()).item()
    loss.backward(**options)
    return [t.grad.numpy() for t in (x, *net.parameters())], drawn, tg.rand(()).item()


def nested(net, x):
    return checkpoint(lambda x: checkpoint(net[3:], checkpoint(net[:3], x) * 1.0), x)


def single_layers(net, x):
    net[1].inplace = False
    return checkpoint_sequential(net, 100, x)


@pytest.mark.parametrize(
    "run",
    [
        lambda net, x: checkpoint(net, x, use_reentrant=False),
        lambda net, x: checkpoint(net, x, early_stop=False),
        lambda net, x: checkpoint(lambda x, net: net(x), x, net=net),
        lambda net, x: checkpoint_sequential(net, 3, x),
        single_layers,
        nested,
    ],
    ids=["whole", "without early stop", "keywords", "sequential", "single layers", "nested"],
)
def test_gradients_and_random_numbers_are_the_same(run):
    plain, *numbers = gradients(lambda net, x: net(x))
    found, *others = gradients(run)
    for a, b in zip(found, plain, strict=True):
        assert np.array_equal(a, b)
    assert others == numbers


def test_memory():
    net = model().eval()
    plain = net(inputs()).tape().saved
    assert checkpoint(net, inputs()).tape().saved == 0
    assert 0 < checkpoint_sequential(net, 2, inputs()).tape().saved < plain
    made = []

    def wide(x):
        y = x.exp()
        made.append(weakref.ref(y))
        return y.sin().sum()

    loss = checkpoint(wide, inputs())
    assert made[0]() is None
    loss.backward()
    del loss
    gc.collect()
    assert [ref() for ref in made] == [None, None]


def test_inner_arguments_are_not_kept_by_the_outer_region():
    kept = []

    def outer(x):
        y = x.exp() * 2
        kept.append(weakref.ref(y))
        return checkpoint(tg.sin, y).sum()

    x = inputs()
    loss = checkpoint(outer, x)
    assert kept[0]() is None
    loss.backward()
    assert np.allclose(x.grad.numpy(), (tg.cos(2 * x.exp()) * 2 * x.exp()).detach().numpy(), rtol=1e-14)


def test_higher_derivatives():
    x = tg.tensor([0.3, -0.7], dtype=tg.float64, requires_grad=True)
    results = []
    for run in (lambda f: f(x), lambda f: checkpoint(f, x)):
        (first,) = autograd.grad(run(lambda x: (x.exp() * x.sin()).prod()), x, create_graph=True)
        results.append([first.tolist(), autograd.grad((first * first).sum(), x)[0].tolist()])
    assert np.allclose(results[0], results[1], rtol=1e-15)


def test_backward_again():
    x = inputs()
    calls = []

    def function(x):
        calls.append(1)
        return x.exp().sum()

    loss = checkpoint(function, x)
    loss.backward(retain_graph=True)
    loss.backward()
    assert np.allclose(x.grad.numpy(), 2 * np.exp(x.detach().numpy()))
    assert len(calls) == 3
    with pytest.raises(RuntimeError, match="second time"):
        loss.backward()
    with tg.no_grad():
        assert not checkpoint(function, x).requires_grad


def test_several_outputs_of_which_one_is_used():
    x = inputs()
    a, b = checkpoint(lambda x: (x.exp(), x.sin()), x)
    b.sum().backward()
    assert np.array_equal(x.grad.numpy(), x.cos().detach().numpy())


def test_functions_that_do_something_else():
    turn = iter([1, 2, 1, 2])
    loss = checkpoint(lambda x: x[: next(turn)].exp().sum(), inputs())
    with pytest.raises(CheckpointError, match=r"had shape \(1, 4\) and dtype tapegrad.float64, but shape \(2, 4\)"):
        loss.backward()
    more = iter([False, True])
    loss = checkpoint(lambda x: x.sum() if next(more) else x.exp().sum(), inputs())
    with pytest.raises(CheckpointError, match="saved 1 values for backward, but 0"):
        loss.backward()
    with pytest.raises(ValueError, match="'default' or 'none', got 'all'"):
        checkpoint(tg.exp, inputs(), determinism_check="all")
    with pytest.raises(ValueError, match="segments must be positive"):
        checkpoint_sequential([tg.exp], 0, inputs())


def test_what_changed_in_place_before_backward():
    w = tg.ones(4, dtype=tg.float64, requires_grad=True)
    loss = checkpoint(lambda x: (x * w).exp().sum(), inputs())
    with tg.no_grad():
        w += 1
    with pytest.raises(RuntimeError, match=r"a value of shape \(4,\) .* modified in place by add_"):
        loss.backward()
    x = inputs() * 1
    loss = checkpoint(lambda x: (x + 1).exp().sum(), x)
    x.mul_(2)
    with pytest.raises(RuntimeError, match="an argument was modified in place by mul_"):
        loss.backward()


def test_random_numbers_differ_when_not_preserved():
    drawn = []

    def function(x):
        drawn.append(tg.rand(3).tolist())
        return x.exp().sum()

    checkpoint(function, inputs()).backward()
    checkpoint(function, inputs(), preserve_rng_state=False).backward()
    assert drawn[0] == drawn[1]
    assert drawn[2] != drawn[3]


def test_modes_of_the_first_run_hold_again():
    pytest.importorskip("ml_dtypes")
    w = tg.full((3, 3), 0.7, requires_grad=True)
    x = tg.linspace(-1, 1, 6).reshape(2, 3)
    results = []
    for run in (lambda f, x: f(x), checkpoint):
        with tg.autocast("cpu", dtype=tg.bfloat16):
            loss = run(lambda x: (x @ w).exp().sum(), x)
        results.append(tg.autograd.grad(loss, w)[0].tolist())
    assert results[0] == results[1]


def test_a_compiled_step_computes_again_as_well():
    w = tg.ones(3, requires_grad=True)

    @tg.compile
    def step(x):
        checkpoint(lambda x: (x * w).exp().sum(), x).backward()

    for k in range(1, 5):
        step(tg.full((3,), 0.1 * k))
    assert np.allclose(w.grad.numpy(), sum(0.1 * k * np.exp(0.1 * k) for k in range(1, 5)), rtol=1e-6)


def test_context_fn():
    seen = []

    @contextmanager
    def note(text):
        seen.append(text)
        yield

    checkpoint(tg.exp, inputs(), context_fn=lambda: (note("first"), note("again"))).sum().backward()
    assert seen == ["first", "again"]


def test_an_exception_in_recomputation_leaves_everything_as_it_was():
    x = inputs()
    turn = iter([1, 0])
    loss = checkpoint(lambda x: (x * (1 // next(turn))).exp().sum(), x)
    state = tg.get_rng_state().tolist()
    with pytest.raises(ZeroDivisionError):
        loss.backward()
    assert x.grad is None
    assert tg.get_rng_state().tolist() == state
    assert tg.is_grad_enabled()
