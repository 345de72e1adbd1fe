"""The forms of dropout that draw."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import tapegrad as tg
from tapegrad.nn import functional as F


@pytest.mark.parametrize(
    ("function", "shape", "leading"),
    [
        (F.dropout1d, (200, 5, 7), 2),
        (F.dropout1d, (500, 7), 1),
        (F.dropout2d, (200, 5, 3, 2), 2),
        (F.dropout2d, (200, 5, 7), 2),
        (F.dropout3d, (200, 5, 2, 3, 2), 2),
        (F.dropout3d, (500, 2, 3, 2), 1),
    ],
)
def test_whole_channels_are_dropped(function: Any, shape: tuple[int, ...], leading: int) -> None:
    tg.manual_seed(0)
    x = tg.ones(*shape, requires_grad=True)
    y = function(x, 0.25)
    y.sum().backward()
    assert x.grad is not None
    np.testing.assert_array_equal(x.grad.numpy(), y.detach().numpy())  # the same factor for both
    channels = y.detach().numpy().reshape(*shape[:leading], -1)
    assert (channels == channels[..., :1]).all()
    kept = channels[..., 0] != 0
    np.testing.assert_allclose(channels[..., 0][kept], 4 / 3, rtol=1e-6)
    assert abs(kept.mean() - 0.75) < 4 * math.sqrt(0.75 * 0.25 / kept.size)


def test_alpha_dropout_keeps_mean_and_variance() -> None:
    tg.manual_seed(0)
    x = tg.randn(200_000, dtype=tg.float64, requires_grad=True)
    y = F.alpha_dropout(x, 0.3, training=True)
    values = y.detach().numpy()
    assert abs(values.mean()) < 0.015
    assert abs(values.std() - 1) < 0.015
    y.sum().backward()
    assert x.grad is not None
    dropped = x.grad.numpy() == 0
    assert abs(dropped.mean() - 0.3) < 0.005
    assert np.unique(values[dropped]).size == 1
    scale = np.unique(x.grad.numpy()[~dropped])
    np.testing.assert_allclose(scale, (0.7 * (1 + 0.3 * 1.7580993408473766**2)) ** -0.5)


def test_feature_alpha_dropout_replaces_whole_channels() -> None:
    tg.manual_seed(0)
    y = F.feature_alpha_dropout(tg.randn(50, 20, 6), 0.5, training=True).numpy()
    constant = (y == y[..., :1]).all(-1)
    assert 0.4 < constant.mean() < 0.6
    assert np.unique(y[constant]).size == 1


@pytest.mark.parametrize("function", [F.dropout1d, F.dropout2d, F.alpha_dropout, F.feature_alpha_dropout])
def test_in_place_equals_out_of_place(function: Any) -> None:
    x = tg.randn(4, 5, 6)
    tg.manual_seed(3)
    expected = function(x, 0.5, True)
    tg.manual_seed(3)
    assert function(x, 0.5, True, inplace=True) is x
    assert x.tolist() == expected.tolist()


def test_everything_dropped() -> None:
    x = tg.full((2, 3), 2.0, requires_grad=True)
    y = F.alpha_dropout(x, 1.0, training=True)
    assert y.tolist() == [[0.0] * 3] * 2
    assert F.alpha_dropout(x, 0.5) is x


@pytest.mark.parametrize(("drop", "shape"), [("dropout2d", (2, 3)), ("dropout2d", (2, 3, 2, 2, 2)), ("dropout3d", (2, 3, 4))])
def test_features_of_other_shapes_are_taken_as_channels_with_a_warning(drop: str, shape: tuple[int, ...]) -> None:
    with pytest.warns(UserWarning, match=rf"{drop}: an input of {len(shape)} dimensions, .* is taken as \(n, c, \.\.\.\)"):
        y = getattr(F, drop)(tg.ones(shape), 0.5)
    of_channel = y.numpy().reshape(*shape[:2], -1)
    assert y.shape == shape
    assert (of_channel == of_channel[..., :1]).all()
