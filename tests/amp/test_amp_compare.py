"""Mixed precision beside PyTorch: which dtypes functions compute in, gradients, and the loss scale."""

from __future__ import annotations

import numpy as np
import pytest
from test_functions_compare import PAIRS, flat, theirs, translated

import tapegrad as tg

pytestmark = [pytest.mark.compare, pytest.mark.filterwarnings("ignore")]


FLOATING = [(f, c, k) for f, c, k in PAIRS if "f" in f.kinds]


def name_of(value):
    return str(value.dtype).rpartition(".")[2] if hasattr(value, "dtype") else type(value).__name__


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "mixed", "float64"])
def test_dtypes_of_every_function(dtype, torch):
    """The dtypes of results under autocast are PyTorch's wherever PyTorch has any."""
    wrong = []
    for f, case, k in FLOATING:
        arrays = case.arrays(np.float64 if dtype == "float64" else np.float32)
        results = []
        for lib, sample, function in ((torch, translated(f.samples[k]), theirs(f.name)), (tg, f.samples[k], f.call)):
            tensors = [lib.from_numpy(a.copy()) for a in arrays]
            for i, x in enumerate(tensors):
                if x.is_floating_point() and (dtype == "bfloat16" or (dtype == "mixed" and i % 2)):
                    tensors[i] = x.bfloat16()
            try:
                with lib.autocast("cpu"):
                    results.append([name_of(r) for r in flat(sample.call(function, tensors))])
            except (RuntimeError, NotImplementedError, TypeError, ValueError) as error:
                results.append(str(error))
        if results[0] != results[1] and not isinstance(results[0], str):
            wrong.append(f"{f.name}{k} PyTorch {results[0]}, here {results[1]}")
    assert not wrong, "\n".join(wrong)


def test_regions(torch):
    for lib in (tg, torch):
        a, b = lib.ones(2, 2), lib.ones(2, 2)
        seen = []

        @lib.autocast("cpu", dtype=lib.bfloat16)
        def product(a=a, b=b):
            return a @ b

        seen.append(name_of(product()))
        with lib.autocast("cpu"):
            seen += [name_of(a @ b), lib.is_autocast_enabled("cpu"), str(lib.get_autocast_dtype("cpu")).rpartition(".")[2]]
            with lib.autocast("cpu", enabled=False):
                seen += [name_of(a @ b), lib.is_autocast_enabled("cpu")]
                with lib.autocast("cpu", dtype=lib.float16):
                    seen += [name_of(a @ b)]
            seen += [name_of(a.double() @ b.double()), name_of(a @ b)]
        seen += [name_of(a @ b), lib.is_autocast_enabled("cpu")]
        if lib is tg:
            ours = seen
    assert ours == seen


def networks(lib):
    m = lib.nn
    convolutional = m.Sequential(
        m.Conv2d(2, 4, 3), m.BatchNorm2d(4), m.ReLU(), m.MaxPool2d(2), m.Flatten(), m.Linear(36, 8), m.LayerNorm(8), m.GELU(), m.Linear(8, 3)
    )
    return convolutional


def test_a_network_trains_as_in_pytorch(torch):
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((5, 2, 8, 8)).astype(np.float32), rng.integers(0, 3, 5)
    results = []
    weights = None
    for lib in (torch, tg):
        net = networks(lib)
        if weights is None:
            weights = {k: v.detach().numpy().copy() for k, v in net.state_dict().items()}
        net.load_state_dict({k: lib.from_numpy(np.array(v)) for k, v in weights.items()})
        optimizer = lib.optim.SGD(net.parameters(), lr=0.1)
        losses = []
        for _ in range(10):
            optimizer.zero_grad()
            with lib.autocast("cpu"):
                out = net(lib.from_numpy(x))
                loss = lib.nn.functional.cross_entropy(out, lib.from_numpy(y))
            assert (name_of(out), name_of(loss)) == ("bfloat16", "float32")
            loss.backward()
            assert all(name_of(p.grad) == "float32" for p in net.parameters())
            optimizer.step()
            losses.append(loss.item())
        results.append(losses)
    np.testing.assert_allclose(results[0], results[1], rtol=0.02, atol=0.01)  # bfloat16 keeps 8 bits


def test_gradients_are_close(torch):
    a, b = np.random.default_rng(0).standard_normal((2, 16, 16)).astype(np.float32)
    grads = []
    for lib in (tg, torch):
        x, w = (lib.tensor(v, requires_grad=True) for v in (a, b))
        with lib.autocast("cpu"):
            ((x @ w).relu() @ w).float().square().mean().backward()
        assert (name_of(x.grad), name_of(w.grad)) == ("float32", "float32")
        grads.append((x.grad.numpy(), w.grad.numpy()))
    for ours, theirs_ in zip(*grads, strict=True):
        np.testing.assert_allclose(ours, theirs_, atol=2**-6 * np.abs(theirs_).max())


def test_custom_functions(torch):
    for lib in (tg, torch):
        seen = []

        class Product(lib.autograd.Function):
            @staticmethod
            @lib.amp.custom_fwd(device_type="cpu")
            def forward(ctx, a, b, seen=seen, lib=lib):
                ctx.save_for_backward(a, b)
                seen.append(lib.is_autocast_enabled("cpu"))
                return a @ b

            @staticmethod
            @lib.amp.custom_bwd(device_type="cpu")
            def backward(ctx, g, seen=seen, lib=lib):
                a, b = ctx.saved_tensors
                seen.append(lib.is_autocast_enabled("cpu"))
                return g @ b.T, a.T @ g

        class InFloat32(lib.autograd.Function):
            @staticmethod
            @lib.amp.custom_fwd(device_type="cpu", cast_inputs=lib.float32)
            def forward(ctx, a, seen=seen, lib=lib):
                seen.append((name_of(a), lib.is_autocast_enabled("cpu")))
                return a @ a

            @staticmethod
            @lib.amp.custom_bwd(device_type="cpu")
            def backward(ctx, g, seen=seen, lib=lib):
                seen.append((name_of(g), lib.is_autocast_enabled("cpu")))
                return g

        a = lib.ones(2, 2, requires_grad=True)
        with lib.autocast("cpu"):
            out = Product.apply(a, a)
            last = InFloat32.apply(out)
        seen += [name_of(out), name_of(last)]
        last.sum().backward()
        seen.append(name_of(a.grad))
        Product.apply(a, a)
        if lib is tg:
            ours = seen
    assert ours == seen


def test_loss_scales(torch):
    gradients = [1.0, 2.0, np.inf, 1.0, 1.0, np.nan, 3.0, 1.0, 1.0, 1.0]
    paths = []
    for lib in (tg, torch):
        p = lib.tensor([1.0, 2.0], requires_grad=True)
        optimizer = lib.optim.SGD([p], lr=0.1, momentum=0.5)
        scaler = lib.amp.GradScaler("cpu", init_scale=1000.0, growth_interval=2, growth_factor=1.7, backoff_factor=0.3)
        path = []
        for i, g in enumerate(gradients):
            optimizer.zero_grad()
            scaler.scale((p * lib.tensor([g, 1.0])).sum()).backward()
            if i % 2:
                scaler.unscale_(optimizer)
                path.append(p.grad.tolist())
            scaler.step(optimizer)
            scaler.update()
            path += [p.tolist(), scaler.get_scale(), scaler.state_dict()]
        other = lib.amp.GradScaler("cpu")
        other.load_state_dict(scaler.state_dict())
        path.append(other.state_dict())
        scaler.update(4.0)
        path.append(scaler.get_scale())
        paths.append(path)
    for here, there in zip(*paths, strict=True):
        if isinstance(here, dict):
            assert list(here) == list(there)
            here, there = list(here.values()), list(there.values())
        np.testing.assert_allclose(here, there, rtol=1e-6)  # NaN equals NaN


@pytest.mark.parametrize("misuse", range(5))
def test_misused_scalers(misuse, torch):
    def run(lib):
        p = lib.ones(2, requires_grad=True)
        optimizer = lib.optim.SGD([p], lr=0.1)
        scaler = lib.amp.GradScaler("cpu")
        if misuse == 0:
            scaler.step(optimizer)
        scaler.scale(p.sum()).backward()
        if misuse == 1:
            scaler.update()
        scaler.unscale_(optimizer)
        if misuse == 2:
            scaler.unscale_(optimizer)
        scaler.step(optimizer)
        scaler.step(optimizer) if misuse == 3 else scaler.unscale_(optimizer)

    errors = []
    for lib in (tg, torch):
        with pytest.raises((AssertionError, RuntimeError)) as caught:
            run(lib)
        errors.append((caught.type, str(caught.value)))
    assert errors[0] == errors[1]
