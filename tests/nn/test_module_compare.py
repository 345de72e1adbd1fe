"""Module beside PyTorch's: the same steps in both libraries leave the same record."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable
from typing import Any

import pytest

import tapegrad

pytestmark = pytest.mark.compare


def plain(value: Any) -> Any:
    """Tensors as nested lists, errors as their types, the rest as it is."""
    if isinstance(value, (tuple, list)):
        return [plain(v) for v in value]
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items()}
    return value.tolist() if hasattr(value, "tolist") else value


class Recorder(list[Any]):
    """What happened, in plain values."""

    def __call__(self, *values: Any) -> None:
        self.append(plain(list(values)))

    def trying(self, step: Callable[[], Any]) -> None:
        """Record the result, or the type of the error."""
        try:
            self(step())
        except Exception as error:
            self(type(error).__name__)


def net(lib: Any) -> Any:
    nn = lib.nn
    model = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.ModuleDict({"a": nn.BatchNorm1d(3), "b": nn.Identity()}))
    model.shared = model[0]
    model.register_buffer("kept", lib.zeros(1))
    model.register_buffer("passing", lib.zeros(1), persistent=False)
    return model


def hooks_forward_and_backward(lib: Any, record: Recorder) -> None:
    layer = lib.nn.Bilinear(2, 2, 1, bias=False)
    with lib.no_grad():
        layer.weight.fill_(0.5)
    layer.register_forward_pre_hook(lambda m, args: record("pre", args))
    layer.register_forward_pre_hook(lambda m, args: (args[0] * 2, args[1]), prepend=True)
    layer.register_forward_hook(lambda m, args, kwargs, out: record("after", args, kwargs, out), with_kwargs=True)
    layer.register_forward_hook(lambda m, args, out: out + 1)
    layer.register_full_backward_hook(lambda m, grads, out: record("backward", grads, out))
    layer.register_full_backward_hook(lambda m, grads, out: (grads[0] * 3, grads[1]), prepend=True)
    layer.register_full_backward_pre_hook(lambda m, out: record("backward pre", out))
    layer.register_full_backward_pre_hook(lambda m, out: (out[0] * 7,), prepend=True)
    x, y = (lib.tensor([[1.0, i]], requires_grad=True) for i in (2.0, 3.0))
    out = layer(x, y)
    record(out)
    (out * out).sum().backward()
    record(x.grad, y.grad, layer.weight.grad)
    frozen = lib.tensor([[1.0, 2.0]])
    layer(frozen, y).sum().backward()
    record(y.grad, layer.weight.grad)
    (g,) = lib.autograd.grad(layer(x, y).pow(2).sum(), x, create_graph=True)
    g.sum().backward()
    record(g, x.grad)


def hooks_that_go_wrong(lib: Any, record: Recorder) -> None:
    def failing(*args: Any) -> None:
        raise ValueError

    layer = lib.nn.Identity()
    x = lib.ones(1, requires_grad=True)
    layer.register_forward_hook(lambda m, args, out: record("always", out), always_call=True)
    with layer.register_forward_pre_hook(failing):
        record.trying(lambda: layer(x))
    with layer.register_forward_pre_hook(lambda m, args, kwargs: 1, with_kwargs=True):
        record.trying(lambda: layer(x))
    with layer.register_full_backward_hook(lambda m, grads, out: (None, None)):
        record.trying(lambda: layer(x).backward())
    with layer.register_full_backward_pre_hook(lambda m, grads: (None, None)):
        record.trying(lambda: layer(x).backward())
    record(x.grad)


def names(lib: Any, record: Recorder) -> None:
    model = net(lib)
    for repeat in (True, False):
        record([n for n, _ in model.named_modules(remove_duplicate=repeat)])
        record([n for n, _ in model.named_parameters("p", remove_duplicate=repeat)])
        record([n for n, _ in model.named_buffers(remove_duplicate=repeat)])
    record([n for n, _ in model.named_parameters(recurse=False)], [n for n, _ in model.named_children()])
    record(list(model.state_dict(prefix="x.")), list(model.state_dict()._metadata), repr(model))
    record([n for n in ("0", "kept", "shared", "training", "forward") if n in dir(model)])
    for target in ("", "0", "2.a", "2.c", "0.weight", "shared.bias", "2.a.running_mean", "kept", "nothing"):
        for method in ("get_submodule", "get_parameter", "get_buffer"):
            record.trying(lambda method=method, target=target: type(getattr(model, method)(target)).__name__)
    seen: list[str] = []
    model.apply(lambda m: seen.append(type(m).__name__))
    record(seen, [m.training for m in model.eval().modules()])


def loading(lib: Any, record: Recorder) -> None:
    model = net(lib)

    def tried(change: Callable[[dict[str, Any]], object], **options: Any) -> None:
        state = copy.deepcopy(model.state_dict())
        change(state)
        record.trying(lambda: tuple(model.load_state_dict(state, **options)))

    tried(lambda s: None)
    tried(lambda s: s.pop("0.weight"), strict=False)
    tried(lambda s: s.pop("0.weight"))
    tried(lambda s: s.update({"2.c.x": lib.ones(1), "y": lib.ones(1), "0.weight.z": lib.ones(1)}), strict=False)
    tried(lambda s: s.update({"y": lib.ones(1)}))
    tried(lambda s: s.update({"0.weight": lib.ones(2)}), strict=False)
    tried(lambda s: s.update({"0.weight": [1.0]}), strict=False)
    tried(lambda s: s.pop("2.a.num_batches_tracked"))
    tried(lambda s: (s.pop("2.a.num_batches_tracked"), delattr(s, "_metadata")))
    tried(lambda s: s.update({"kept": lib.ones(1, dtype=lib.float64)}), assign=True)
    record(str(model.kept.dtype).split(".")[1], model.kept)
    tried(lambda s: s.update({"0.bias": lib.ones(3, dtype=lib.float64)}), assign=True)
    record(str(model[0].bias.dtype).split(".")[1], model[0].bias.requires_grad, type(model[0].bias).__name__)
    record.trying(lambda: model.load_state_dict([1]))


def error_text(lib: Any, record: Recorder) -> None:
    model = net(lib)
    state = model.state_dict()
    del state["0.bias"]
    state["0.weight"] = lib.ones(1)
    state["new"] = lib.ones(())
    with pytest.raises(RuntimeError) as caught:
        model.load_state_dict(state)
    record(str(caught.value).replace(f"{lib.__name__}.", ""))


def conversion(lib: Any, record: Recorder) -> None:
    model = net(lib)
    model[0](lib.ones(2, 2)).sum().backward()

    def dtypes() -> list[str]:
        values = [*model.parameters(), *model.buffers(), model[0].weight.grad]
        return [str(v.dtype).split(".")[1] for v in values]

    for convert in (
        lambda: model.double(),
        lambda: model.half(),
        lambda: model.bfloat16(),
        lambda: model.to(lib.float64),
        lambda: model.to("cpu", lib.float32),
        lambda: model.to(lib.ones(1, dtype=lib.float64)),
        lambda: model.to(device="cpu", dtype=lib.float32, non_blocking=True),
        lambda: model.to(lib.int32),
        lambda: model.type(lib.float64),
        lambda: model.to_empty(device="cpu"),
        lambda: model.requires_grad_(False).type(lib.int32),
    ):
        record.trying(lambda convert=convert: convert() is model)
        record(dtypes())


def registering(lib: Any, record: Recorder) -> None:
    nn = lib.nn
    model = net(lib)
    model.a = nn.Buffer(lib.ones(1), persistent=False)
    model.b = nn.Parameter(lib.ones(1))
    model.kept = None
    model.b = None
    record(list(model.state_dict()), list(model._parameters), list(model._buffers), list(model._non_persistent_buffers_set))
    for step in (
        lambda: model.register_buffer("b", lib.ones(1)),
        lambda: model.register_parameter("x.y", None),
        lambda: model.register_parameter("", None),
        lambda: model.register_parameter(3, None),
        lambda: model.register_parameter("p", lib.ones(1)),
        lambda: model.register_buffer("q", 3),
        lambda: model.add_module("r", 3),
        lambda: setattr(model, "b", lib.ones(1)),
        lambda: setattr(model, "kept", 3),
        lambda: setattr(model, "0", 3),
        lambda: model.missing,
        lambda: delattr(model, "missing"),
        lambda: model.set_submodule("2.b", nn.Tanh()),
        lambda: model.set_submodule("2.new", nn.Tanh(), strict=True),
        lambda: model.set_submodule("2.new", nn.Tanh()),
        lambda: model.train(1),
        lambda: nn.Module(3),
        lambda: nn.Module()(3),
        lambda: model.get_extra_state(),
    ):
        record.trying(step)
    del model.a, model.passing
    record(list(model._buffers), repr(model))


SCENARIOS = [hooks_forward_and_backward, hooks_that_go_wrong, names, loading, error_text, conversion, registering]


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda s: s.__name__)
def test_same_record(scenario: Callable[[Any, Recorder], None], torch: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ours, theirs = Recorder(), Recorder()
        scenario(tapegrad, ours)
        scenario(torch, theirs)
    assert ours == theirs
