"""State dicts: saving, and loading all or nothing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from small_net import Net, snapshot

import tapegrad as tg
from tapegrad import nn
from tapegrad.nn.modules.utils import consume_prefix_in_state_dict_if_present


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
        "Error(s) in loading state_dict for Net:",
        'Missing key(s) in state_dict: "first.bias"',
        'Unexpected key(s) in state_dict: "extra"',
        "size mismatch for first.weight: copying a param with shape tapegrad.Size([5, 5])",
        "named \"second.weight\", expected a Tensor from checkpoint but received <class 'list'>",
        "dtype mismatch for scale",
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
    with pytest.raises(RuntimeError, match="scale.*read-only"):
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


def test_load_numbers_from_files_that_have_one_element():
    net = nn.Module()
    net.count = nn.Buffer(tg.tensor(0))
    net.load_state_dict({"count": tg.tensor([7])})
    assert (net.count.item(), net.count.shape) == (7, ())


def test_names_of_wrapped_models():
    class Wrapped(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.module = nn.BatchNorm1d(2)

    state = Wrapped().state_dict()
    consume_prefix_in_state_dict_if_present(state, "module.")
    inner = nn.BatchNorm1d(2)
    assert state._metadata[""] == {"version": 2}
    assert not inner.load_state_dict(state).missing_keys


def test_load_by_assignment():
    net = Net()
    before, weight = net.first.weight, tg.ones(4, 3, dtype=tg.float64)
    net.first.bias.requires_grad_(False)
    state = {**net.state_dict(), "first.weight": weight, "first.bias": nn.Parameter(tg.ones(4)), "scale": tg.ones(2, dtype=tg.int64)}
    net.load_state_dict(state, assign=True)
    assert net.first.weight is not before
    assert type(net.first.weight) is nn.Parameter
    assert net.first.weight.data_ptr() == weight.data_ptr()
    assert net.first.weight.requires_grad
    assert not net.first.bias.requires_grad
    assert net.scale is state["scale"]
    with pytest.raises(RuntimeError, match=r"dtype mismatch for second\.weight: tapegrad.int64 .* can't require grad"):
        net.load_state_dict({**state, "second.weight": tg.ones(2, 4, dtype=tg.int64)}, assign=True)


def test_metadata_and_destination():
    net = Net()
    made = net.state_dict()
    assert made._metadata == {"": {"version": 1}, "first": {"version": 1}, "second": {"version": 1}}
    into: dict[str, Any] = {"kept": 1}
    assert net.state_dict(destination=into, prefix="net.") is into
    assert list(into) == ["kept", *(f"net.{name}" for name in made)]
    with pytest.warns(FutureWarning, match="by keyword"):
        assert list(net.state_dict({}, "net.")) == [f"net.{name}" for name in made]


def test_batch_norm_reads_files_without_the_counter():
    layer = nn.BatchNorm1d(2)
    state = dict(layer.state_dict())
    del state["num_batches_tracked"]
    assert layer.load_state_dict(state) == ([], [])
    full = layer.state_dict()
    del full["num_batches_tracked"]  # with the metadata of version 2 it must be there
    with pytest.raises(RuntimeError, match=r'Missing key.*"num_batches_tracked"'):
        layer.load_state_dict(full)


class Counter(nn.Module):
    """Has state that is no tensor."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(1, 1)
        self.steps = 0

    def get_extra_state(self):
        return {"steps": self.steps}

    def set_extra_state(self, state):
        self.steps = state["steps"]


def test_extra_state():
    net, other = nn.Sequential(Counter()), nn.Sequential(Counter())
    net[0].steps = 3
    state = net.state_dict()
    assert list(state) == ["0._extra_state", "0.layer.weight", "0.layer.bias"]
    other.load_state_dict(state)
    assert other[0].steps == 3
    net[0].steps = 5
    with pytest.raises(RuntimeError, match="size mismatch"):
        other.load_state_dict({**net.state_dict(), "0.layer.weight": tg.ones(2)})
    assert other[0].steps == 3  # nothing is taken unless all fits
    with pytest.raises(RuntimeError, match=r'Missing key.*"0\._extra_state"'):
        other.load_state_dict({k: v for k, v in state.items() if "extra" not in k})
    with pytest.raises(RuntimeError, match=r'Unexpected key.*"_extra_state"'):
        nn.Linear(1, 1).load_state_dict({**nn.Linear(1, 1).state_dict(), "_extra_state": 1})


def test_hooks_of_saving():
    net = nn.Sequential(nn.Linear(1, 1))
    seen: list[Any] = []
    net[0].register_state_dict_pre_hook(lambda module, prefix, keep_vars: seen.append((prefix, keep_vars)))
    handle = net.register_state_dict_post_hook(lambda module, state, prefix, metadata: state.pop("0.bias") and None)
    assert list(net.state_dict(keep_vars=True)) == ["0.weight"]
    assert seen == [("0.", True)]
    handle.remove()
    with net.register_state_dict_post_hook(lambda *args: {}), pytest.raises(RuntimeError, match="must return None"):
        net.state_dict()
    with net._register_state_dict_hook(lambda module, state, prefix, metadata: {"all": len(state)}):
        assert net.state_dict() == {"all": 2}


def test_hooks_before_loading():
    net = nn.Sequential(nn.Linear(1, 1))

    def rename(module, state, prefix, metadata, strict, missing, unexpected, errors):
        assert module is net[0]
        state[f"{prefix}weight"] = state.pop(f"{prefix}w")

    net[0].register_load_state_dict_pre_hook(rename)
    given = {"w": tg.full((1, 1), 2.0), "bias": tg.zeros(1)}
    net[0].load_state_dict(given)
    assert net[0].weight.item() == 2
    assert list(given) == ["w", "bias"]  # hooks get a copy


def test_hooks_after_loading_may_excuse_keys():
    net = Net()
    state = {"scale": tg.zeros(2), "extra": tg.ones(1)}

    def excuse(module, keys):
        assert not net.scale.numpy().any()  # the values are there
        keys.missing_keys.clear()
        keys.unexpected_keys.clear()

    handle = net.register_load_state_dict_post_hook(excuse)
    assert net.load_state_dict(state) == ([], [])
    handle.remove()
    # What a hook sees is taken back when loading fails after all.
    before = snapshot(net)
    with net.register_load_state_dict_post_hook(lambda module, keys: None), pytest.raises(RuntimeError, match="Missing"):
        net.load_state_dict({"scale": tg.full((2,), 7.0)})
    assert snapshot(net) == before
    with net.register_load_state_dict_post_hook(lambda module, keys: 1), pytest.raises(AssertionError, match="must return None"):
        net.load_state_dict({**net.state_dict(), "scale": tg.full((2,), 7.0)})
    assert snapshot(net) == before


def test_subclasses_mend_old_files():
    class Renamed(nn.Linear):
        _version = 2

        def _save_to_state_dict(self, destination, prefix, keep_vars):
            super()._save_to_state_dict(destination, prefix, keep_vars)
            destination[f"{prefix}note"] = tg.ones(1)

        def _load_from_state_dict(self, state_dict, prefix, local_metadata, *rest):
            if local_metadata.get("version") != 2:
                state_dict[f"{prefix}weight"] = state_dict.pop(f"{prefix}kernel")
            state_dict.pop(f"{prefix}note", None)
            super()._load_from_state_dict(state_dict, prefix, local_metadata, *rest)

    layer = Renamed(1, 1)
    assert list(layer.state_dict()) == ["weight", "bias", "note"]
    assert layer.load_state_dict(layer.state_dict()) == ([], [])
    layer.load_state_dict({"kernel": tg.full((1, 1), 3.0), "bias": tg.zeros(1)})
    assert layer.weight.item() == 3
