"""The compiled replay: equal to eager bit for bit, callable from nopython code, and refusing what it can't replay."""

import numba
import numpy as np
import pytest

import tapegrad as tg
import tapegrad.nn.functional as F

SHAPES = ((16, 8), (16,), (4, 16), (4,))


def make_parameters():
    rng = np.random.default_rng(0)
    return [tg.tensor(rng.standard_normal(s).astype(np.float32) * 0.3, requires_grad=True) for s in SHAPES]


def make_step(parameters, rate=0.1, decay=0.0):
    w1, b1, w2, b2 = parameters

    def step(x, y):
        for p in parameters:
            p.grad = None
        loss = F.cross_entropy(F.linear(F.relu(F.linear(x, w1, b1)), w2, b2), y)
        if decay:
            loss = loss + decay / 2 * ((w1 * w1).sum() + (w2 * w2).sum())
        loss.backward()
        with tg.no_grad():
            for p in parameters:
                p.add_(p.grad, alpha=-rate)
        return loss

    return step


def batches(count, rows=6):
    rng = np.random.default_rng(1)
    for _ in range(count):
        yield tg.tensor(rng.standard_normal((rows, 8)).astype(np.float32)), tg.tensor(rng.integers(0, 4, rows))


def bits(tensors):
    return [t.detach().numpy().tobytes() for t in tensors]


@pytest.mark.parametrize("decay", [0.0, 0.01])
def test_replay_is_eager_bit_for_bit(decay):
    eager, replayed = make_parameters(), make_parameters()
    step, compiled = make_step(eager, decay=decay), tg.compile(make_step(replayed, decay=decay))
    for x, y in batches(12):
        expected, loss = step(x, y), compiled(x, y)
        assert bits([loss]) == bits([expected])
        assert bits(replayed) == bits(eager)
        assert bits([p.grad for p in replayed]) == bits([p.grad for p in eager])
    assert compiled.program is not None


def test_replay_runs_no_python_of_the_function():
    calls = []
    step = make_step(make_parameters())

    def counted(x, y):
        calls.append(1)
        return step(x, y)

    compiled = tg.compile(counted)
    for x, y in batches(10):
        compiled(x, y)
    assert len(calls) == 3  # two traces and a confirmation


def test_results_are_fresh_memory():
    compiled = tg.compile(make_step(make_parameters()))
    losses = [compiled(x, y) for x, y in batches(8)]
    values = [loss.item() for loss in losses]
    assert len(set(values)) == 8
    assert not np.may_share_memory(losses[-1].detach().numpy(), losses[-2].detach().numpy())


def test_runs_inside_nopython_code():
    eager, replayed = make_parameters(), make_parameters()
    step, compiled = make_step(eager), tg.compile(make_step(replayed))
    (x, y), *_ = batches(1)
    for _ in range(3):
        step(x, y)
        compiled(x, y)
    native = compiled.njit

    @numba.njit
    def train(xs, ys, times):
        loss = np.float32(0)
        for _ in range(times):
            loss = native(xs, ys)
        return loss

    loss = train(x.numpy(), y.numpy(), 5)
    expected = [step(x, y) for _ in range(5)][-1]
    assert np.float32(loss).tobytes() == bits([expected])[0]
    assert bits(replayed) == bits(eager)


def test_versions_move_so_that_stale_saved_values_are_noticed():
    parameters = make_parameters()
    compiled = tg.compile(make_step(parameters))
    for x, y in batches(5):
        compiled(x, y)
    loss = (parameters[0] * parameters[0]).sum()
    compiled(x, y)
    with pytest.raises(RuntimeError, match="a compiled step"):
        loss.backward()


def test_other_shapes_are_traced_anew():
    eager, replayed = make_parameters(), make_parameters()
    step, compiled = make_step(eager), tg.compile(make_step(replayed))
    for rows in (6, 6, 6, 6, 5, 5, 5, 5, 6):
        for x, y in batches(1, rows):
            assert bits([compiled(x, y)]) == bits([step(x, y)])
    assert bits(replayed) == bits(eager)


def test_a_parameter_with_new_memory_is_traced_anew():
    parameters = make_parameters()
    compiled = tg.compile(make_step(parameters))
    for x, y in batches(5):
        compiled(x, y)
    parameters[0].data = tg.zeros(16, 8)
    before = parameters[0].detach().numpy().copy()
    compiled(x, y)
    assert compiled.program is None
    assert not np.array_equal(before, parameters[0].detach().numpy())


def test_a_changing_number_is_an_error_with_its_line():
    parameter = tg.ones(3, requires_grad=True)
    rates = iter([0.1, 0.2, 0.3])

    @tg.compile
    def step(x):
        parameter.grad = None
        (parameter * x).sum().backward()
        with tg.no_grad():
            parameter.add_(parameter.grad * next(rates))
        return parameter.sum()

    step(tg.ones(3))
    with pytest.raises(tg.CompileError, match=r"test_compile\.py:\d+"):
        step(tg.ones(3))


def test_data_dependence_outside_kernels_is_an_error():
    """A branch on values: the replay can't follow it, and the confirming call sees that."""
    w = tg.ones(3, requires_grad=True)

    @tg.compile
    def step(x):
        y = (w * x).sum()
        return y * float(x.numpy()[0])

    step(tg.ones(3))
    step(tg.ones(3))
    with pytest.raises(tg.CompileError, match="did not reproduce"):
        step(tg.ones(3) * 2)


def test_randomness_is_refused():
    step = tg.compile(lambda x: F.dropout(x, 0.5))
    with pytest.raises(tg.CompileError, match="dropout"):
        step(tg.ones(3))


def test_arguments_that_require_grad_are_refused():
    with pytest.raises(tg.CompileError, match="requires grad"):
        tg.compile(lambda x: x * 2)(tg.ones(2, requires_grad=True))


def test_njit_needs_a_program():
    with pytest.raises(tg.CompileError, match="three times"):
        tg.compile(lambda x: x * 2).njit  # noqa: B018


def test_the_program_prints():
    compiled = tg.compile(make_step(make_parameters()))
    for x, y in batches(3):
        compiled(x, y)
    text = repr(compiled.program)
    assert "cross_entropy_backward" in text
    assert "test_compile.py" in text
