"""Starting values: their distributions, and mistakes, beside PyTorch's."""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np
import pytest
from beside_pytorch import arguments

import tapegrad as tg
from tapegrad import nn
from tapegrad.nn import init


@pytest.mark.parametrize(
    ("fill", "std"),
    [
        (lambda t: nn.init.uniform_(t, -1, 3), 4 / math.sqrt(12)),
        (lambda t: nn.init.normal_(t, 1.0, 2.0), 2.0),
        (nn.init.kaiming_uniform_, math.sqrt(2 / 300)),
        (lambda t: nn.init.kaiming_normal_(t, mode="fan_out", nonlinearity="relu"), math.sqrt(2 / 200)),
        (nn.init.xavier_uniform_, math.sqrt(2 / 500)),
        (lambda t: nn.init.xavier_normal_(t, gain=nn.init.calculate_gain("tanh")), 5 / 3 * math.sqrt(2 / 500)),
    ],
)
def test_the_spread_of_each_kind(fill: Any, std: float) -> None:
    tg.manual_seed(1)
    t = tg.empty(200, 300, requires_grad=True)
    assert fill(t) is t  # in place on a leaf that requires grad
    assert t.is_leaf
    assert t.requires_grad
    assert float(t.detach().numpy().std()) == pytest.approx(std, rel=0.02)


def test_constants_and_generator() -> None:
    assert nn.init.constant_(tg.empty(2), 3).tolist() == [3, 3]
    assert nn.init.zeros_(tg.empty(2)).tolist() == [0, 0]
    assert nn.init.ones_(tg.empty(2)).tolist() == [1, 1]
    draw = [
        nn.init.kaiming_uniform_(tg.empty(3, 3), generator=tg.Generator().manual_seed(7)).tolist() for _ in range(2)
    ]
    assert draw[0] == draw[1]


def test_convolution_fans() -> None:
    t = tg.empty(64, 16, 5, 5)  # fan in 16 * 25
    nn.init.kaiming_normal_(t, nonlinearity="linear")
    assert float(t.numpy().std()) == pytest.approx(1 / 20, rel=0.03)


def test_gains() -> None:
    assert nn.init.calculate_gain("linear") == 1
    assert nn.init.calculate_gain("relu") == pytest.approx(math.sqrt(2))
    assert nn.init.calculate_gain("leaky_relu", 0.2) == pytest.approx(math.sqrt(2 / 1.04))


def test_truncated_normal_numbers() -> None:
    tg.manual_seed(0)
    x = init.trunc_normal_(tg.empty(40000, dtype=tg.float64), 1.0, 2.0, -1.0, 2.0).numpy()
    assert -1 <= x.min() < -0.99 and 1.99 < x.max() <= 2

    def density(z: float) -> float:
        return math.exp(-z * z / 2) / math.sqrt(2 * math.pi)

    share = 0.5 * (math.erf(0.5 / math.sqrt(2)) - math.erf(-1 / math.sqrt(2)))
    assert x.mean() == pytest.approx(1 + 2 * (density(-1) - density(0.5)) / share, abs=0.02)
    with pytest.warns(UserWarning, match="mean 9.0 is more than 2 std"):
        init.trunc_normal_(tg.empty(2), 9.0)


@pytest.mark.parametrize("shape", [(3, 5), (5, 3), (4, 3, 2), (6, 2, 2)])
def test_orthogonal_rows_or_columns(shape: tuple[int, ...]) -> None:
    tg.manual_seed(0)
    matrix = init.orthogonal_(nn.Parameter(tg.empty(*shape, dtype=tg.float64)), 2.0).detach().numpy().reshape(shape[0], -1)
    matrix = matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T
    np.testing.assert_allclose(matrix @ matrix.T, 4 * np.eye(len(matrix)), atol=1e-12)


def test_orthogonal_matrices_are_equally_likely() -> None:
    """The angle of the first column of a 2 x 2 matrix is uniform."""
    tg.manual_seed(0)
    angles = [math.atan2(m[1, 0].item(), m[0, 0].item()) for m in (init.orthogonal_(tg.empty(2, 2)) for _ in range(400))]
    counts = np.histogram(angles, 4, (-math.pi, math.pi))[0]
    assert counts.min() > 100 - 4 * math.sqrt(75)


def test_dirac_passes_channels_through() -> None:
    for groups in (1, 2):
        layer = nn.Conv2d(4, 4, 3, padding=1, bias=False, groups=groups)
        init.dirac_(layer.weight, groups)
        x = tg.randn(2, 4, 5, 5)
        np.testing.assert_allclose(layer(x).tolist(), x.tolist(), rtol=1e-6)


def test_sparse_columns_and_the_unit_matrix() -> None:
    tg.manual_seed(0)
    sparse = init.sparse_(nn.Parameter(tg.empty(10, 40)), 0.25).detach().numpy()
    assert ((sparse == 0).sum(0) == 3).all()
    assert len({tuple(column) for column in (sparse == 0).T}) > 10
    assert init.eye_(tg.empty(2, 3)).tolist() == [[1, 0, 0], [0, 1, 0]]


def test_names_of_old_scripts_warn() -> None:
    with pytest.warns(FutureWarning, match="nn.init.xavier_uniform is deprecated; call nn.init.xavier_uniform_"):
        init.xavier_uniform(tg.empty(2, 2))


MISTAKES: list[tuple[str, Any, type[Exception]]] = [
    ("eye_", lambda lib: lib.nn.init.eye_(lib.empty(3)), ValueError),
    ("dirac_", lambda lib: lib.nn.init.dirac_(lib.empty(3, 3)), ValueError),
    ("dirac_", lambda lib: lib.nn.init.dirac_(lib.empty(3, 3, 3), 2), ValueError),
    ("sparse_", lambda lib: lib.nn.init.sparse_(lib.empty(3), 0.5), ValueError),
    ("orthogonal_", lambda lib: lib.nn.init.orthogonal_(lib.empty(3)), ValueError),
    ("uniform_", lambda lib: lib.nn.init.uniform_(lib.empty(3), 2, 1), RuntimeError),
    ("normal_", lambda lib: lib.nn.init.normal_(lib.empty(3), 0, -1), RuntimeError),
    ("fan", lambda lib: lib.nn.init.kaiming_normal_(lib.empty(3)), ValueError),
    ("Mode", lambda lib: lib.nn.init.kaiming_normal_(lib.empty(3, 3), mode="fan"), ValueError),
    ("nonlinearity", lambda lib: lib.nn.init.kaiming_normal_(lib.empty(3, 3), nonlinearity="cube"), ValueError),
    ("negative_slope", lambda lib: lib.nn.init.calculate_gain("leaky_relu", True), ValueError),
]


@pytest.mark.parametrize("message, mistake, error", MISTAKES)
def test_mistakes(message: str, mistake: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match=message):
        mistake(tg)


# ------------------------------------------------------------------------------------------------------- beside PyTorch

LAWS: list[Any] = [
    lambda I, x: I.uniform_(x, -1, 3),
    lambda I, x: I.normal_(x, 1, 2),
    lambda I, x: I.trunc_normal_(x, 0.5, 1.0, -1, 1),
    lambda I, x: I.constant_(x, 0.3),
    lambda I, x: I.ones_(x),
    lambda I, x: I.zeros_(x),
    lambda I, x: I.eye_(x) if x.ndim == 2 else I.dirac_(x, 2),
    lambda I, x: I.xavier_uniform_(x, 2.0),
    lambda I, x: I.xavier_normal_(x),
    *(
        lambda I, x, mode=mode, f=f, kind=kind: getattr(I, f"kaiming_{kind}_")(x, 0.3, mode, f)
        for mode in ("fan_in", "FAN_OUT")
        for f in ("leaky_relu", "relu", "tanh", "selu", "linear")
        for kind in ("uniform", "normal")
    ),
    lambda I, x: I.orthogonal_(x, 3.0),
    lambda I, x: I.sparse_(x, 0.3, 2.0) if x.ndim == 2 else x.fill_(0.0),
]


@pytest.mark.compare
@pytest.mark.parametrize("shape", [(60, 100), (24, 10, 5, 7)])
@pytest.mark.parametrize("law", LAWS)
def test_laws_like_torch(law: Any, shape: tuple[int, ...], torch: Any) -> None:
    tg.manual_seed(0)
    torch.manual_seed(0)
    ours = law(init, tg.empty(*shape, dtype=tg.float64)).numpy()
    theirs = law(torch.nn.init, torch.empty(*shape, dtype=torch.float64)).numpy()
    error = 7 / math.sqrt(ours.size)
    assert ours.mean() == pytest.approx(theirs.mean(), abs=error * theirs.std())
    assert ours.std() == pytest.approx(theirs.std(), rel=error)
    for quantile in (0.01, 0.1, 0.5, 0.9, 0.99):
        assert np.quantile(ours, quantile) == pytest.approx(np.quantile(theirs, quantile), abs=0.2 * theirs.std())
    if np.abs(theirs - theirs.mean()).max() < 1.8 * theirs.std():  # uniform: the bounds
        assert (ours.min(), ours.max()) == pytest.approx((theirs.min(), theirs.max()), rel=0.01, abs=0.01 * theirs.std())
    assert (ours == 0).mean() == (theirs == 0).mean()


@pytest.mark.compare
@pytest.mark.parametrize("message, mistake, error", MISTAKES)
def test_mistakes_like_torch(message: str, mistake: Any, error: type[Exception], torch: Any) -> None:
    with pytest.raises(error):
        mistake(torch)


@pytest.mark.compare
def test_gains_like_torch(torch: Any) -> None:
    for name in ("linear", "conv2d", "sigmoid", "tanh", "relu", "leaky_relu", "selu"):
        assert nn.init.calculate_gain(name) == torch.nn.init.calculate_gain(name)
    for shape in ((4, 6), (3, 5, 2), (2, 3, 4, 5)):
        fans = torch.nn.init._calculate_fan_in_and_fan_out(torch.empty(shape))
        assert nn.init._fans(tg.empty(shape)) == fans


@pytest.mark.compare
def test_everything_like_torch(torch: Any) -> None:
    public = [name for name, value in vars(torch.nn.init).items() if callable(value) and name[0] != "_" and value.__module__ == torch.nn.init.__name__]
    for name in public:
        ours, theirs = getattr(init, name), getattr(torch.nn.init, name)
        if name.endswith("_") or name == "calculate_gain":
            assert arguments(ours) == arguments(theirs), name
    for lib in (tg, torch):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            lib.nn.init.kaiming_uniform_(lib.empty(3, 0))
            lib.nn.init.kaiming_normal(lib.empty(3, 2))
            lib.nn.init.trunc_normal_(lib.empty(3), 9.0)
        assert [w.category for w in caught] == [UserWarning, FutureWarning, UserWarning]
