"""Averages of weights along training."""

from __future__ import annotations

import copy

import numpy as np
import pytest

import tapegrad as tg
from tapegrad import nn, optim
from tapegrad.optim.swa_utils import SWALR, AveragedModel, get_ema_avg_fn, get_ema_multi_avg_fn, get_swa_multi_avg_fn, update_bn


def models(lib, count=4):
    """A model at several moments of its training, the same for PyTorch and tapegrad."""
    rng = np.random.default_rng(0)
    made = []
    for k in range(count):
        model = lib.nn.Sequential(lib.nn.Linear(3, 4), lib.nn.BatchNorm1d(4)).to(lib.float64)
        with lib.no_grad():
            for p in model.parameters():
                p.copy_(lib.tensor(rng.normal(size=tuple(p.shape))))
            model[1].running_mean.fill_(k)
            model[1].num_batches_tracked.fill_(10 * k)
        made.append(model)
    return made


def averaged(lib, **options):
    first, *others = models(lib)
    average = lib.optim.swa_utils.AveragedModel(first, **options)
    for model in (first, *others):
        average.update_parameters(model)
    return average


def test_the_default_is_the_mean_of_parameters_and_the_last_buffers():
    seen = models(tg)
    for average in (averaged(tg), averaged(tg, multi_avg_fn=get_swa_multi_avg_fn())):
        check_mean(average, seen)


def check_mean(average, seen):
    for name, p in average.module.named_parameters():
        expected = np.mean([m.get_parameter(name).detach().numpy() for m in seen], axis=0)
        np.testing.assert_allclose(p.detach().numpy(), expected, rtol=1e-14)
    assert average.module[1].running_mean.tolist() == [3.0] * 4 and average.n_averaged.item() == 4
    x = tg.ones(2, 3, dtype=tg.float64)
    assert tg.equal(average.eval()(x), average.module(x))
    assert all(p.requires_grad and p.grad is None for p in average.parameters())


def test_exponential_averages_follow_their_formula():
    seen, weights = models(tg), np.array([0.9**3, 0.1 * 0.81, 0.1 * 0.9, 0.1])
    expected = sum(w * m[0].weight.detach().numpy() for w, m in zip(weights, seen, strict=True))
    for options in ({"avg_fn": get_ema_avg_fn(0.9)}, {"multi_avg_fn": get_ema_multi_avg_fn(0.9)}):
        np.testing.assert_allclose(averaged(tg, **options).module[0].weight.detach().numpy(), expected, rtol=1e-14)


def test_buffers_can_be_averaged():
    average = averaged(tg, use_buffers=True)
    assert average.module[1].running_mean.tolist() == [1.5] * 4 and average.module[1].num_batches_tracked.dtype is tg.int64


def test_the_average_is_a_copy_and_its_state_loads():
    (model,) = models(tg, 1)
    average = AveragedModel(model)
    average.update_parameters(model)
    with tg.no_grad():
        model[0].weight.zero_()
    assert average.module[0].weight.abs().sum() > 0
    other = AveragedModel(copy.deepcopy(model))
    other.load_state_dict(average.state_dict())
    assert other.n_averaged.item() == 1 and tg.equal(other.module[0].weight, average.module[0].weight)


def test_update_bn_computes_the_statistics_of_the_loader():
    (model,) = models(tg, 1)
    model.eval()
    batches = [[tg.randn(5, 3, dtype=tg.float64), tg.zeros(5)] for _ in range(3)]
    update_bn(batches, model)
    h = np.stack([model[0](x).detach().numpy() for x, _ in batches])
    np.testing.assert_allclose(model[1].running_mean.numpy(), h.mean(axis=(0, 1)), rtol=1e-12)
    np.testing.assert_allclose(model[1].running_var.numpy(), h.var(axis=1, ddof=1).mean(axis=0), rtol=1e-12)
    assert model[1].momentum == 0.1 and not model.training
    update_bn(batches, model[0])  # without batch normalisation there is nothing to do


def test_the_learning_rate_moves_to_its_end_and_stays():
    optimizer = optim.SGD([nn.Parameter(tg.ones(1))], lr=1.0)
    scheduler = SWALR(optimizer, swa_lr=0.5, anneal_epochs=2, anneal_strategy="linear")
    rates = []
    for _ in range(4):
        rates += scheduler.get_last_lr()
        optimizer.step()
        scheduler.step()
    assert rates == [1.0, 0.75, 0.5, 0.5]
    assert "optimizer" not in scheduler.state_dict()


def test_mistakes():
    model, optimizer = nn.Linear(1, 1), optim.SGD([nn.Parameter(tg.ones(1))], lr=1.0)
    with pytest.raises(AssertionError, match="Only one of avg_fn and multi_avg_fn"):
        AveragedModel(model, avg_fn=get_ema_avg_fn(), multi_avg_fn=get_ema_multi_avg_fn())
    with pytest.raises(ValueError, match="Invalid decay value 1.5"):
        get_ema_avg_fn(1.5)
    with pytest.raises(ValueError, match="'cos' or 'linear', instead got exp"):
        SWALR(optimizer, 0.1, anneal_strategy="exp")
    with pytest.raises(ValueError, match="anneal_epochs must be equal or greater than 0, got -1"):
        SWALR(optimizer, 0.1, anneal_epochs=-1)
    with pytest.raises(ValueError, match="swa_lr has 2 values, param_groups has 1"):
        SWALR(optimizer, [0.1, 0.2])


@pytest.mark.compare
@pytest.mark.parametrize("use_buffers", [False, True])
@pytest.mark.parametrize("average", [None, "get_ema_avg_fn", "get_ema_multi_avg_fn"])
def test_averages_like_torch(torch, average, use_buffers):
    def state(lib):
        options = {}
        if average is not None:
            options["multi_avg_fn" if "multi" in average else "avg_fn"] = getattr(lib.optim.swa_utils, average)(0.8)
        return averaged(lib, use_buffers=use_buffers, **options).state_dict()

    mine, theirs = state(tg), state(torch)
    assert list(mine) == list(theirs)
    for name, value in theirs.items():
        np.testing.assert_allclose(mine[name].numpy(), value.numpy(), rtol=1e-13, err_msg=name)


@pytest.mark.compare
@pytest.mark.parametrize("epochs", [0, 1, 5])
@pytest.mark.parametrize("strategy", ["cos", "linear"])
def test_learning_rates_like_torch(torch, strategy, epochs):
    def rates(lib):
        groups = [{"params": [lib.nn.Parameter(lib.ones(1))], "lr": lr} for lr in (0.1, 0.5)]
        optimizer = lib.optim.SGD(groups)
        usual = lib.optim.lr_scheduler.ExponentialLR(optimizer, 0.9)
        swa = lib.optim.swa_utils.SWALR(optimizer, [0.05, 0.7], epochs, strategy)
        found = []
        for step in range(12):
            optimizer.step()
            (usual if step < 4 else swa).step()
            found += [group["lr"] for group in optimizer.param_groups]
        return found

    np.testing.assert_allclose(rates(tg), rates(torch), rtol=1e-13)
