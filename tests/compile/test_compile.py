"""The compiled replay: equal to eager bit for bit, callable from nopython code, and refusing what it can't replay."""

import collections
import threading

import numba
import numpy as np
import pytest

import tapegrad as tg
import tapegrad.nn.functional as F
from tapegrad.kernels import cpu

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
        return parameter.detach().sum()

    step(tg.ones(3))
    with pytest.raises(tg.CompileError, match=r"test_compile\.py:\d+"):
        step(tg.ones(3))


@pytest.mark.parametrize(
    "read",
    [
        lambda t: t.item(),
        float,
        int,
        lambda t: 1.0 if t else 2.0,
        lambda t: t.tolist(),
        lambda t: t.detach().numpy(),
        lambda t: np.asarray(t.detach()),
        lambda t: [10, 20][(t > 0).long()],
        lambda t: 0.0 if t > 3 else 1.0,
        lambda t: 1.0 in t,
        lambda t: tg.equal(t, t),
        lambda t: tg.allclose(t, t),
        lambda t: tg.tensor(t.detach()),
        lambda t: tg.full((2,), t.detach()),
    ],
)
def test_values_that_reach_python_are_an_error_with_their_line(read):
    """A branch on values: the replay can't follow it, and a confirmation on like data would not see that."""
    w = tg.ones(3, requires_grad=True)

    @tg.compile
    def step(x):
        y = (w * x).sum()
        read(y)
        return y

    with pytest.raises(tg.CompileError, match=r"gives Python a tensor's value.*|no kernel.*") as caught:
        step(tg.ones(3))
    assert "test_compile.py:" in str(caught.value)


def test_reading_values_outside_of_a_trace_is_free_again():
    with pytest.raises(tg.CompileError):
        tg.compile(lambda x: x.item())(tg.ones(1))
    assert tg.ones(1).item() == 1.0


@pytest.mark.parametrize("draw", [lambda x: F.dropout(x, 0.5), lambda x: x * tg.rand(3)])
def test_randomness_is_refused(draw):
    with pytest.raises(tg.CompileError, match="random"):
        tg.compile(draw)(tg.ones(3))


def replayed_losses(loss, targets):
    """The compiled function's values on each target array after it was confirmed on the first, and the eager ones."""
    x = tg.tensor(np.random.default_rng(2).standard_normal((4, 3)).astype(np.float32))
    compiled = tg.compile(lambda y: loss(x, y))
    for _ in range(3):
        compiled(targets[0])
    assert compiled.program is not None
    return [(compiled(y).item(), loss(x, y).item()) for y in targets]


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("options", [{}, {"ignore_index": 2}, {"weight": tg.tensor([1.0, 2.0, 4.0])}, {"label_smoothing": 0.2}])
def test_replayed_cross_entropy_follows_the_targets(options, reduction):
    """The mean's divisor, and which rows are ignored, depend on the targets."""
    ignored = options.get("ignore_index", -100)
    targets = [tg.tensor(t) for t in ([0, 1, 0, 1], [2, 1, 0, 0], [2, 2, 2, 0], [ignored, ignored, 0, 1], [1, 1, 1, 1])]
    for replayed, eager in replayed_losses(lambda x, y: F.cross_entropy(x, y, reduction=reduction, **options).sum(), targets):
        assert replayed == eager


def test_replay_checks_class_targets_before_it_writes():
    eager, replayed = make_parameters(), make_parameters()
    step, compiled = make_step(eager), tg.compile(make_step(replayed))
    for x, y in batches(5):
        step(x, y), compiled(x, y)
    for wrong in (4, -1):
        with pytest.raises(IndexError, match=f"target {wrong} is out of range for 4 classes"):
            compiled(x, tg.tensor([0, 1, 2, wrong, 0, 0]))
    assert bits(replayed) == bits(eager)
    assert bits([compiled(x, y)]) == bits([step(x, y)])


def train(optimizer, **options):
    """A step of a small network and its parameters."""
    parameters = make_parameters()
    opt = optimizer(parameters, **options)
    w1, b1, w2, b2 = parameters

    def step(x, y):
        opt.zero_grad()
        loss = F.cross_entropy(F.linear(F.relu(F.linear(x, w1, b1)), w2, b2), y)
        loss.backward()
        opt.step()
        return loss

    return step, opt, parameters


OPTIMIZERS = [
    (tg.optim.SGD, {"lr": 0.1}),
    (tg.optim.SGD, {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.01}),
    (tg.optim.Adam, {"lr": 0.01}),
    (tg.optim.AdamW, {"lr": 0.01, "amsgrad": True}),
    (tg.optim.RMSprop, {"lr": 0.01, "centered": True}),
    (tg.optim.Adagrad, {"lr": tg.tensor(0.1), "lr_decay": 0.1}),
    (tg.optim.Adamax, {"lr": 0.01}),
    (tg.optim.Adadelta, {"lr": 0.5}),
]


@pytest.mark.parametrize(("optimizer", "options"), OPTIMIZERS)
def test_replayed_optimizers_are_eager_bit_for_bit(optimizer, options):
    (step, opt, eager), (function, other, replayed) = train(optimizer, **options), train(optimizer, **options)
    compiled = tg.compile(function)
    for x, y in batches(10):
        assert bits([compiled(x, y)]) == bits([step(x, y)])
        assert bits(replayed) == bits(eager)
    assert compiled.program is not None
    assert [s.get("step") for s in other.state.values()] == [s.get("step") for s in opt.state.values()]


@pytest.mark.parametrize(("optimizer", "options"), OPTIMIZERS)
def test_a_changed_learning_rate_is_seen(optimizer, options):
    (step, opt, eager), (function, other, replayed) = train(optimizer, **options), train(optimizer, **options)
    compiled = tg.compile(function)
    for i, (x, y) in enumerate(batches(16)):
        if i in (6, 7):
            opt.param_groups[0]["lr"] *= 0.5
            other.param_groups[0]["lr"] *= 0.5
        step(x, y), compiled(x, y)
        assert bits(replayed) == bits(eager)
        assert (compiled.program is None) == (i in (0, 1, 6, 7, 8) or ("momentum" in options and i == 2))


def test_a_program_is_not_replayed_under_autocast():
    compiled = tg.compile(lambda x: x @ x)
    x = tg.full((2, 2), 1 + 2**-9)
    for _ in range(4):
        exact = compiled(x)
    assert compiled.program is not None
    with tg.autocast("cpu"), pytest.raises(tg.CompileError, match="to at .* has no kernel"):
        compiled(x)
    assert compiled(x).tolist() == exact.tolist()


def test_a_loss_in_float64_is_no_constant():
    p = tg.ones(3, dtype=tg.float64, requires_grad=True)
    compiled = tg.compile(lambda x: (p * x).sum().detach())
    for k in range(5):
        assert compiled(tg.full((3,), float(k), dtype=tg.float64)).item() == 3 * k
    assert compiled.program is not None


def test_loaded_optimizer_state_is_seen():
    (step, opt, eager), (function, other, replayed) = train(tg.optim.SGD, lr=0.1, momentum=0.9), train(tg.optim.SGD, lr=0.1, momentum=0.9)
    compiled = tg.compile(function)
    for i, (x, y) in enumerate(batches(10)):
        if i == 3:
            saved = [{"state": {k: {n: t.clone() for n, t in s.items()} for k, s in o.state_dict()["state"].items()}, "param_groups": o.state_dict()["param_groups"]} for o in (opt, other)]
        if i == 6:
            opt.load_state_dict(saved[0])
            other.load_state_dict(saved[1])
        step(x, y), compiled(x, y)
        assert bits(replayed) == bits(eager)


def test_a_module_switched_to_eval_is_traced_anew():
    net = tg.nn.Sequential(tg.nn.Linear(3, 3), tg.nn.Dropout(0.5)).eval()
    compiled = tg.compile(lambda x: net(x).detach())
    for _ in range(4):
        compiled(tg.ones(2, 3))
    assert compiled.program is not None
    net.train()
    with pytest.raises(tg.CompileError, match="random"):
        compiled(tg.ones(2, 3))


@pytest.mark.parametrize(
    "change",
    [
        lambda net: setattr(net[0], "weight", tg.nn.Parameter(tg.ones(3, 3))),
        lambda net: net.load_state_dict({"0.weight": tg.ones(3, 3), "0.bias": tg.ones(3)}, assign=True),
        lambda net: net.__setitem__(1, tg.nn.Tanh()),
        lambda net: net[1].register_forward_hook(lambda module, args, output: output * 2),
        lambda net: delattr(net[0], "bias") or setattr(net[0], "bias", None),
    ],
    ids=["parameter", "assigned state", "module", "hook", "removed parameter"],
)
def test_a_module_with_another_part_is_traced_anew(change):
    net = tg.nn.Sequential(tg.nn.Linear(3, 3), tg.nn.ReLU())
    compiled = tg.compile(lambda x: net(x).detach())
    for _ in range(4):
        compiled(tg.ones(2, 3))
    assert compiled.program is not None
    change(net)
    assert bits([compiled(tg.ones(2, 3))]) == bits([net(tg.ones(2, 3))])


def test_adam_is_refused_in_nopython_code():
    compiled = tg.compile(train(tg.optim.Adam)[0])
    for x, y in batches(3):
        compiled(x, y)
    with pytest.raises(tg.CompileError, match=r"\.njit can't advance the counter 'step'.*Adam.*SGD"):
        compiled.njit  # noqa: B018


def test_arguments_by_name():
    compiled = tg.compile(lambda x, y: x - y)
    for _ in range(4):
        assert compiled(y=tg.ones(2), x=tg.zeros(2)).tolist() == [-1, -1]
    assert compiled.program is not None
    with pytest.raises(TypeError, match="'z'"):
        compiled(tg.ones(2), tg.ones(2), z=tg.ones(2))

    def by_name(x, *, y):
        return x - y

    with pytest.raises(TypeError, match="'y' can only be given by name"):
        tg.compile(by_name)(tg.ones(2), y=tg.ones(2))


def test_another_number_of_arguments_is_traced_anew():
    compiled = tg.compile(lambda *xs: xs[0] + xs[-1])
    for _ in range(4):
        assert compiled(tg.ones(1)).item() == 2
    assert compiled(tg.ones(1), tg.zeros(1)).item() == 1


def test_what_is_no_function_or_tensor_is_refused():
    with pytest.raises(TypeError, match=r"compile\(\) takes a function of tensors, got int"):
        tg.compile(5)
    with pytest.raises(TypeError, match=r"argument 0 must be a tensor or array, got int; .*tensor"):
        tg.compile(lambda x: x)(5)


def test_a_compiled_function_prints_how_far_it_is():
    def double(x):
        return x * 2

    compiled, seen = tg.compile(double), []
    for _ in range(4):
        seen.append(repr(compiled).partition("double: ")[2])
        compiled(tg.ones(2))
    assert seen[:3] == [f"called {i} of the 3 times that it needs>" for i in range(3)]
    assert seen[3] == "1 operations, 1 kernels>"


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


def test_replay_checks_probabilities():
    compiled = tg.compile(lambda p: F.binary_cross_entropy(p, tg.ones(2)))
    for _ in range(4):
        compiled(tg.tensor([0.5, 0.25]))
    assert compiled.program is not None
    with pytest.raises(RuntimeError, match="binary_cross_entropy: the input needs probabilities"):
        compiled(tg.tensor([0.5, 1.25]))


@pytest.mark.parametrize("divide", [lambda a, b: a // b, lambda a, b: a % b, tg.fmod], ids=["floor_divide", "remainder", "fmod"])
def test_replay_refuses_integer_division_by_zero(divide):
    compiled = tg.compile(divide)
    a = tg.tensor([4, 5, 6])
    for _ in range(4):
        compiled(a, tg.tensor([1, 2, 3]))
    assert compiled.program is not None
    with pytest.raises(RuntimeError, match="ZeroDivisionError: .* the integer divisor has a zero"):
        compiled(a, tg.tensor([1, 0, 3]))


def test_a_module_stays_a_module():
    model = tg.nn.Linear(2, 3)
    with pytest.warns(UserWarning, match="a module runs as it is"):
        assert tg.compile(model, mode="reduce-overhead") is model
    with pytest.raises(TypeError, match="unexpected option 'fast'"):
        tg.compile(model, fast=True)


def test_options_of_pytorch_are_accepted():
    @tg.compile(mode="max-autotune")
    def double(x):
        return x * 2

    assert [double(tg.ones(2)).tolist() for _ in range(4)] == [[2.0, 2.0]] * 4
    assert double.program is not None


def test_splitting_where_a_tensor_says_is_refused():
    with pytest.raises(tg.CompileError, match=r"tolist\(\) at .*test_compile\.py:\d+ gives Python a tensor's value"):
        tg.compile(lambda x, places: x.tensor_split(places)[0] * 2)(tg.ones(5), tg.tensor([2]))


def test_values_that_the_step_computes_are_checked_after_it_ran():
    compiled = tg.compile(lambda x: F.binary_cross_entropy(x * 2, tg.ones(2)))
    for _ in range(4):
        compiled(tg.tensor([0.5, 0.25]))
    assert compiled.program is not None
    with pytest.raises(RuntimeError, match="binary_cross_entropy: the input needs probabilities"):
        compiled(tg.tensor([0.5, 0.75]))


def test_what_numpy_did_inside_an_operation_is_noticed_whatever_the_data(monkeypatch):
    """The output comes from a kernel here, but not the row-major copy that the kernel reads."""
    linear = cpu.linear
    monkeypatch.setattr(cpu, "linear", lambda x, weight, bias: linear(np.array(x, order="C"), weight, bias))
    w = tg.ones(4, 3)
    compiled = tg.compile(lambda x: F.linear(x.transpose(0, 1), w))
    x = tg.rand(2, 5, 3)
    compiled(x), compiled(x)
    with pytest.raises(tg.CompileError, match=r"did not reproduce the result; a part of linear at .*test_compile\.py:\d+ is not done by a kernel"):
        compiled(x)


def test_calls_from_several_threads_run_one_after_the_other():
    w = tg.ones(64, 64)
    compiled = tg.compile(lambda x: tg.exp((x * w).sum(1) * 0) * x[0])
    for _ in range(3):
        compiled(tg.ones(64))
    wrong = []

    def call(value):
        for _ in range(200):
            result = compiled(tg.full((64,), value))
            if result.tolist() != [value] * 64:
                wrong.append(value)

    threads = [threading.Thread(target=call, args=(float(i),)) for i in range(4)]
    [t.start() for t in threads]
    [t.join() for t in threads]
    assert not wrong


def gradient_step(p, clear):
    def step(x):
        if clear:
            p.grad = None
        loss = (p * x).sum()
        loss.backward()
        return loss

    return step


@pytest.mark.parametrize("keep", [lambda g: g, lambda g: g.numpy(), lambda g: g.numpy()[:1], lambda g: g[:1]])
def test_gradients_that_somebody_keeps_do_not_change(keep):
    p = tg.ones(2, requires_grad=True)
    compiled, kept = tg.compile(gradient_step(p, True)), []
    for i in range(12):
        compiled(tg.full((2,), float(i)))
        kept.append(keep(p.grad))
    assert [g[0].item() for g in kept] == list(range(12))
    assert compiled.program is not None


def test_gradients_accumulate_as_in_eager_calls():
    eager, replayed = (tg.ones(2, requires_grad=True) for _ in range(2))
    step, compiled = gradient_step(eager, False), tg.compile(gradient_step(replayed, False))
    for i in range(24):
        if i in (4, 10, 11, 12, 13, 18):
            eager.grad = replayed.grad = None
        before = replayed.grad
        step(tg.full((2,), float(i))), compiled(tg.full((2,), float(i)))
        assert replayed.grad.tolist() == eager.grad.tolist()
        assert before is None or replayed.grad is before
        assert (compiled.program is None) == (i not in (3, 7, 8, 9, 12, 13, 16, 17, 21, 22, 23))


def test_gradients_that_the_step_does_not_set_are_left_alone():
    p = tg.ones(2, requires_grad=True)
    p.grad = tg.ones(2)
    compiled = tg.compile(lambda x: (p.detach() * x).sum() + (p * x).sum().detach())
    for _ in range(5):
        compiled(tg.ones(2))
    assert compiled.program is not None
    p.grad = None
    compiled(tg.ones(2))
    assert p.grad is None


def test_an_optimizer_step_follows_gradients_made_outside():
    p = tg.ones(2, requires_grad=True)
    optimizer = tg.optim.SGD([p], lr=1.0)
    compiled = tg.compile(lambda: optimizer.step())
    for i in range(8):
        p.grad = tg.full((2,), float(i))
        compiled()
    assert p.tolist() == [1.0 - sum(range(8))] * 2


def test_switching_requires_grad_off_is_seen():
    p, q = (tg.ones(2, requires_grad=True) for _ in range(2))

    @tg.compile
    def step(x):
        p.grad = q.grad = None
        loss = (p * q * x).sum()
        loss.backward()
        return loss

    for _ in range(4):
        step(tg.ones(2))
    q.requires_grad_(False)
    step(tg.ones(2))
    assert q.grad is None
    assert p.grad is not None


@pytest.mark.parametrize("register", ["register_hook", "register_post_accumulate_grad_hook"])
def test_hooks_on_parameters_are_refused(register):
    p, seen = tg.ones(2, requires_grad=True), []
    compiled = tg.compile(gradient_step(p, True))
    for _ in range(4):
        compiled(tg.ones(2))
    with getattr(p, register)(seen.append), pytest.raises(tg.CompileError, match=r"shape \(2,\) has a hook on its gradient"):
        compiled(tg.ones(2))
    assert compiled(tg.ones(2)).item() == 2.0


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda x, p: (p * x).sum(), r"a result of shape \(\) requires grad"),
        (lambda x, p: {"loss": [p * x]}, r"a result of shape \(2,\) requires grad"),
        (lambda x, p: x.add_(1), r"add_? at .*test_compile.py:\d+ writes to an argument"),
        (lambda x, p: x[:1].mul_(2), r"mul_? at .* writes to an argument"),
        (lambda x, p: x.requires_grad_().detach(), "makes its argument 0 require grad"),
    ],
)
def test_what_the_caller_would_miss_is_refused(function, message):
    p = tg.ones(2, requires_grad=True)
    with pytest.raises(tg.CompileError, match=message):
        tg.compile(lambda x: function(x, p))(tg.ones(2))


def test_results_whose_graph_was_consumed_come_back_detached():
    p = tg.ones(2, requires_grad=True)

    @tg.compile
    def step(x):
        p.grad = None
        parts = p * x
        loss = parts.sum()
        loss.backward()
        return Result(loss, parts)

    for _ in range(5):
        result = step(tg.ones(2))
        assert type(result) is Result
        assert result.loss.item() == 2
        assert not result.parts.requires_grad


Result = collections.namedtuple("Result", "loss parts")


def test_recording_or_not_is_part_of_what_was_traced():
    p = tg.ones(2, requires_grad=True)
    compiled = tg.compile(lambda x: p * x)
    with tg.no_grad():
        for _ in range(4):
            compiled(tg.ones(2))
        assert compiled.program is not None
    with pytest.raises(tg.CompileError, match="requires grad"):
        compiled(tg.ones(2))


def test_arrays_of_the_other_byte_order():
    compiled = tg.compile(lambda x: x * 2)
    for _ in range(4):
        assert compiled(np.array([1.0, 2.0], ">f4")).tolist() == [2, 4]
    assert compiled.program is not None
    with pytest.raises(TypeError, match="no dtype for"):
        compiled(np.array(["a"]))


def test_missing_arguments_leave_the_program_alone():
    compiled = tg.compile(lambda x, y: x + y)
    for _ in range(4):
        compiled(tg.ones(2), tg.ones(2))
    with pytest.raises(TypeError, match="missing a required argument: 'y'"):
        compiled(tg.ones(2))
    assert compiled.program is not None
