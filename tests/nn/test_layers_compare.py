"""Every layer beside PyTorch's: signature, repr, parameters from a safetensors file, outputs, gradients and running statistics."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from beside_pytorch import arguments

import tapegrad as tg
from tapegrad import nn

pytestmark = [pytest.mark.compare, pytest.mark.filterwarnings("ignore")]

Build = Callable[[Any], Any]  # of a module, from either library's nn
ints = np.int64


class Case:
    """A layer, and the shapes (floats), (shape, number) (integers below it) or arrays of its inputs."""

    def __init__(self, text: str, *inputs: Any, modes: str = "te", positive: bool = False, logs: bool = False) -> None:
        self.text, self.inputs, self.modes, self.positive = text, inputs, modes, positive
        self.logs = logs  # whether the first input passes log_softmax, as PyTorch's gradient assumes
        self.rtol = 1e-7 if "Hardsigmoid" in text else 1e-9  # PyTorch's 1/6 is rounded to float32

    def build(self, lib: Any) -> Any:
        """The layer of a library; ``nn`` and ``lib`` in the text are its."""
        return eval(f"lambda nn, lib: {self.text}")(lib.nn, lib)

    def arrays(self) -> list[Any]:
        rng = np.random.default_rng(3)
        found = []
        for spec in self.inputs:
            if isinstance(spec, np.ndarray):
                found.append(spec)
            elif len(spec) == 2 and isinstance(spec[0], tuple):
                found.append(rng.integers(0, spec[1], spec[0]))
            else:
                found.append(rng.random(spec) * 0.8 + 0.1 if self.positive else rng.standard_normal(spec))
        return found


IMAGE, LINE, SPACE = (2, 4, 6, 5), (2, 4, 9), (2, 4, 5, 4, 6)
SIGNS = np.array([1.0, -1.0, 1.0])
CASES = [
    # linear
    Case("nn.Identity(3, a=1)", LINE),
    Case("nn.Linear(5, 3)", (2, 4, 5)),
    Case("nn.Linear(5, 3, bias=False)", (5,)),
    Case("nn.Bilinear(3, 4, 2)", (5, 3), (5, 4)),
    Case("nn.Bilinear(3, 4, 2, bias=False)", (5, 3), (5, 4)),
    Case("nn.LazyLinear(3)", (2, 5)),
    Case("nn.LazyLinear(3, bias=False)", (2, 5)),
    # convolutions
    Case("nn.Conv1d(4, 6, 3)", LINE),
    Case("nn.Conv1d(4, 6, 3, 2, 1, 2, 2, False)", LINE),
    Case("nn.Conv1d(4, 6, 4, padding='same', dilation=2, padding_mode='circular')", LINE),
    Case("nn.Conv2d(4, 6, 3)", IMAGE),
    Case("nn.Conv2d(4, 6, (3, 2), (2, 1), (1, 2), (1, 2), 2)", IMAGE),
    Case("nn.Conv2d(4, 6, 3, padding='same')", (4, 6, 5)),
    Case("nn.Conv2d(4, 6, (4, 3), padding='same', padding_mode='reflect')", IMAGE),
    Case("nn.Conv2d(4, 6, 3, padding='valid', padding_mode='replicate')", IMAGE),
    Case("nn.Conv2d(4, 6, 3, padding=(2, 1), padding_mode='replicate')", IMAGE),
    Case("nn.Conv3d(4, 2, 2, padding=1, bias=False)", SPACE),
    Case("nn.Conv3d(4, 2, (1, 2, 3), padding=(0, 1, 2), padding_mode='circular')", SPACE),
    Case("nn.ConvTranspose1d(4, 6, 3, 2, 1, 1, 2)", LINE),
    Case("nn.ConvTranspose2d(4, 6, 3)", IMAGE),
    Case("nn.ConvTranspose2d(4, 6, (3, 2), (2, 3), (1, 0), (1, 2), 2, False, 1)", IMAGE),
    Case("nn.ConvTranspose2d(4, 6, 3, dilation=2)", IMAGE),
    Case("nn.ConvTranspose3d(4, 2, 2, 2)", SPACE),
    *(Case(f"nn.LazyConv{d}d(6, 3, 2, groups=2)", shape) for d, shape in ((1, LINE), (2, IMAGE), (3, SPACE))),
    *(Case(f"nn.LazyConvTranspose{d}d(6, 3, 2, bias=False)", shape) for d, shape in ((1, LINE), (2, IMAGE), (3, SPACE))),
    # pooling
    *(Case(f"nn.MaxPool{d}d(2)", shape) for d, shape in ((1, LINE), (2, IMAGE), (3, SPACE))),
    Case("nn.MaxPool2d((3, 2), (2, 1), (1, 0), (1, 2), return_indices=True, ceil_mode=True)", IMAGE),
    *(Case(f"nn.MaxUnpool{d}d(2)", shape, at) for d, shape, at in (
        (1, (1, 1, 2), np.array([[[1, 2]]])),
        (2, (1, 1, 2, 2), np.array([[[[0, 3], [9, 14]]]])),
        (3, (1, 1, 1, 1, 2), np.array([[[[[1, 6]]]]])),
    )),
    Case("nn.MaxUnpool2d((2, 3), (2, 1), 0)", (1, 1, 2, 2), np.array([[[[0, 3], [9, 14]]]])),
    *(Case(f"nn.AvgPool{d}d(2)", shape) for d, shape in ((1, LINE), (2, IMAGE), (3, SPACE))),
    Case("nn.AvgPool1d(3, 2, 1, True, False)", LINE),
    Case("nn.AvgPool2d((3, 2), 2, 1, True, False, 3)", IMAGE),
    *(Case(f"nn.LPPool{d}d(2, 2)", shape, positive=True) for d, shape in ((1, LINE), (2, IMAGE), (3, SPACE))),
    Case("nn.LPPool2d(3, (2, 1), stride=2, ceil_mode=True)", IMAGE, positive=True),
    *(Case(f"nn.AdaptiveAvgPool{d}d(3)", shape) for d, shape in ((1, LINE), (2, IMAGE), (3, SPACE))),
    Case("nn.AdaptiveAvgPool2d((None, 2))", IMAGE),
    *(Case(f"nn.AdaptiveMaxPool{d}d(3)", shape) for d, shape in ((1, LINE), (2, IMAGE), (3, SPACE))),
    Case("nn.AdaptiveMaxPool2d((2, None), return_indices=True)", IMAGE),
    Case("nn.FractionalMaxPool2d(2, output_size=(3, 2), _random_samples=lib.full((2, 4, 2), 0.4, dtype=lib.float64))", IMAGE),
    Case("nn.FractionalMaxPool3d(2, output_ratio=0.5, return_indices=True, _random_samples=lib.full((2, 4, 3), 0.4, dtype=lib.float64))", SPACE),
    # padding
    *(
        Case(f"nn.{kind}Pad{d}d({amount})", shape)
        for kind in ("Zero", "Reflection", "Replication", "Circular")
        for d, shape in ((1, LINE), (2, IMAGE), (3, SPACE))
        for amount in (1, tuple(range(1, 2 * d + 1)) if d < 3 else (1, 0, 2, 1, 0, 2))
    ),
    *(Case(f"nn.ConstantPad{d}d(2, 3.5)", shape) for d, shape in ((1, LINE), (2, IMAGE), (3, SPACE))),
    Case("nn.ZeroPad2d((-1, 1, 0, -2))", IMAGE),
    # normalization
    *(
        Case(f"nn.{kind}BatchNorm{d}d({args})", shape)
        for d, shape in ((1, (6, 4)), (1, LINE), (2, IMAGE), (3, SPACE))
        for kind, args in (("", "4"), ("Lazy", ""))
    ),
    Case("nn.BatchNorm2d(4, 1e-3, None)", IMAGE),
    Case("nn.BatchNorm2d(4, momentum=0.3, affine=False)", IMAGE),
    Case("nn.BatchNorm2d(4, track_running_stats=False)", IMAGE),
    Case("nn.BatchNorm2d(4, bias=False)", IMAGE),
    *(Case(f"nn.InstanceNorm{d}d(4)", shape) for d, shape in ((1, LINE), (2, IMAGE), (3, SPACE))),
    *(Case(f"nn.LazyInstanceNorm{d}d()", shape) for d, shape in ((1, LINE), (2, IMAGE), (3, SPACE))),
    Case("nn.InstanceNorm2d(4, 1e-3, 0.3, True, True)", IMAGE),
    Case("nn.InstanceNorm2d(4, affine=True)", (4, 6, 5)),
    Case("nn.GroupNorm(2, 4)", IMAGE),
    Case("nn.GroupNorm(4, 4, 1e-3, affine=False)", LINE),
    Case("nn.GroupNorm(1, 4, bias=False)", LINE),
    Case("nn.LayerNorm(9)", LINE),
    Case("nn.LayerNorm((6, 5), 1e-3)", IMAGE),
    Case("nn.LayerNorm([6, 5], bias=False)", IMAGE),
    Case("nn.LayerNorm(9, elementwise_affine=False)", LINE),
    Case("nn.RMSNorm(9)", LINE),
    Case("nn.RMSNorm((6, 5), 1e-3, False)", IMAGE),
    Case("nn.LocalResponseNorm(3, 0.1, 0.5, 2.0)", IMAGE),
    # activations
    *(
        Case(f"nn.{name}({args})", (3, 4))
        for name in ("CELU", "ELU", "Hardsigmoid", "Hardswish", "LeakyReLU", "Mish", "ReLU", "ReLU6", "SELU", "SiLU", "Hardtanh")
        for args in ("", "inplace=True")
    ),
    *(Case(f"nn.{name}()", (3, 4)) for name in ("GELU", "Hardshrink", "LogSigmoid", "Sigmoid", "Softplus", "Softshrink", "Softsign", "Tanh", "Tanhshrink", "GLU", "PReLU")),
    Case("nn.ELU(0.5, True)", (3, 4)),
    Case("nn.CELU(0.5)", (3, 4)),
    Case("nn.GELU('tanh')", (3, 4)),
    Case("nn.GLU(0)", (4, 3)),
    Case("nn.Hardshrink(0.2)", (3, 4)),
    Case("nn.Hardtanh(-0.5, 0.3, True)", (3, 4)),
    Case("nn.Hardtanh(min_value=-0.5, max_value=0.3)", (3, 4)),
    Case("nn.LeakyReLU(0.2, True)", (3, 4)),
    Case("nn.PReLU(4, 0.1)", IMAGE),
    Case("nn.RReLU(0.1, 0.2)", (3, 4), modes="e"),
    Case("nn.RReLU(inplace=True)", (3, 4), modes="e"),
    Case("nn.Softplus(2.0, 1.0)", (3, 4)),
    Case("nn.Softshrink(0.2)", (3, 4)),
    Case("nn.Threshold(0.1, 2.0)", (3, 4)),
    Case("nn.Threshold(0.1, 2.0, True)", (3, 4)),
    *(Case(f"nn.{name}({args})", (3, 4)) for name in ("Softmax", "Softmin", "LogSoftmax") for args in ("", "1", "dim=0")),
    Case("nn.Softmax2d()", IMAGE),
    Case("nn.Softmax2d()", (4, 6, 5)),
    # dropout
    *(Case(f"nn.{name}({args})", LINE, modes="e") for name in ("Dropout", "Dropout1d", "Dropout2d", "AlphaDropout", "FeatureAlphaDropout") for args in ("", "0.2, True")),
    Case("nn.Dropout3d(0.1)", SPACE, modes="e"),
    Case("nn.Dropout(0)", LINE),
    Case("nn.Dropout(1)", LINE),
    # tables
    Case("nn.Embedding(7, 3)", ((2, 4), 7)),
    Case("nn.Embedding(7, 3, -2, scale_grad_by_freq=True)", ((2, 4), 7)),
    Case("nn.Embedding(7, 3, 2, 0.7, 1.0)", ((2, 4), 7)),
    Case("nn.Embedding.from_pretrained(lib.ones(7, 3), freeze=False, padding_idx=1)", ((2, 4), 7)),
    *(Case(f"nn.EmbeddingBag(7, 3, mode='{mode}')", ((2, 4), 7)) for mode in ("sum", "mean", "max")),
    Case("nn.EmbeddingBag(7, 3, 0.7, 1.0, mode='sum', padding_idx=3)", ((9,), 7), np.array([0, 2, 2])),
    Case("nn.EmbeddingBag(7, 3, mode='mean', include_last_offset=True)", ((9,), 7), np.array([0, 2, 5, 9])),
    Case("nn.EmbeddingBag.from_pretrained(lib.ones(7, 3), False, mode='max')", ((2, 4), 7)),
    # sizes and places
    Case("nn.Flatten()", IMAGE),
    Case("nn.Flatten(0, 2)", IMAGE),
    Case("nn.Unflatten(1, (2, -1))", IMAGE),
    Case("nn.Upsample(4)", LINE),
    Case("nn.Upsample(scale_factor=2, mode='linear')", LINE),
    Case("nn.Upsample((7, 9), mode='bilinear', align_corners=True)", IMAGE),
    Case("nn.Upsample(scale_factor=(1.5, 2), mode='bicubic', align_corners=False, recompute_scale_factor=True)", IMAGE),
    Case("nn.Upsample(scale_factor=1.5, mode='nearest-exact')", IMAGE),
    Case("nn.Upsample(scale_factor=2, mode='trilinear')", SPACE),
    Case("nn.UpsamplingNearest2d(scale_factor=2)", IMAGE),
    Case("nn.UpsamplingBilinear2d(size=(3, 8))", IMAGE),
    Case("nn.PixelShuffle(2)", IMAGE),
    Case("nn.PixelUnshuffle(3)", (2, 1, 6, 3)),
    Case("nn.ChannelShuffle(2)", IMAGE),
    Case("nn.Unfold((2, 3), 1, (1, 0), 2)", IMAGE),
    Case("nn.Fold((4, 5), 2, 1, 0, 1)", (2, 8, 12)),
    Case("nn.CosineSimilarity()", (3, 4), (3, 4)),
    Case("nn.CosineSimilarity(0, 1e-3)", (3, 4), (3, 4)),
    Case("nn.PairwiseDistance()", (3, 4), (3, 4)),
    Case("nn.PairwiseDistance(3.0, 1e-3, True)", (3, 4), (3, 4)),
    # losses
    *(Case(f"nn.{name}({args})", (3, 4), (3, 4)) for name in ("L1Loss", "MSELoss", "SmoothL1Loss", "HuberLoss") for args in ("", "reduction='sum'", "reduction='none'")),
    Case("nn.MSELoss(size_average=False)", (3, 4), (3, 4)),
    Case("nn.L1Loss(reduce=False)", (3, 4), (3, 4)),
    Case("nn.SmoothL1Loss(beta=0.3)", (3, 4), (3, 4)),
    Case("nn.HuberLoss('mean', 0.3)", (3, 4), (3, 4)),
    Case("nn.PoissonNLLLoss()", (3, 4), (3, 4), positive=True),
    Case("nn.PoissonNLLLoss(False, True, reduction='sum')", (3, 4), (3, 4), positive=True),
    Case("nn.GaussianNLLLoss(full=True)", (3, 4), (3, 4), (3, 4), positive=True),
    Case("nn.KLDivLoss(reduction='batchmean')", (3, 4), (3, 4), positive=True),
    Case("nn.KLDivLoss(reduction='sum', log_target=True)", (3, 4), (3, 4)),
    Case("nn.CrossEntropyLoss()", (3, 4), ((3,), 4)),
    Case("nn.CrossEntropyLoss(lib.arange(1, 5).double(), ignore_index=2, label_smoothing=0.1)", (3, 4, 5), ((3, 5), 4)),
    Case("nn.CrossEntropyLoss(reduction='none')", (3, 4), (3, 4)),
    Case("nn.NLLLoss(lib.arange(1, 5).double())", (3, 4), ((3,), 4)),
    Case("nn.NLLLoss(ignore_index=0, reduction='sum')", (3, 4), ((3,), 4)),
    Case("nn.BCELoss()", (3, 4), (3, 4), positive=True),
    Case("nn.BCELoss(lib.arange(1, 5).double(), reduction='sum')", (3, 4), (3, 4), positive=True),
    Case("nn.BCEWithLogitsLoss()", (3, 4), (3, 4)),
    Case("nn.BCEWithLogitsLoss(lib.arange(1, 5).double(), pos_weight=lib.arange(4).double())", (3, 4), (3, 4)),
    Case("nn.MultiLabelSoftMarginLoss(lib.arange(1, 5).double())", (3, 4), (3, 4)),
    Case("nn.CTCLoss()", (6, 2, 5), np.array([[1, 2], [3, 3]]), np.array([6, 5]), np.array([2, 2]), logs=True),
    Case("nn.CTCLoss(4, 'sum', True)", (6, 2, 5), np.array([[1, 2], [3, 3]]), np.array([6, 2]), np.array([2, 2]), logs=True),
    Case("nn.SoftMarginLoss()", (3,), SIGNS),
    Case("nn.HingeEmbeddingLoss(0.5)", (3,), SIGNS),
    Case("nn.CosineEmbeddingLoss(0.2)", (3, 4), (3, 4), SIGNS),
    Case("nn.MarginRankingLoss(0.2, reduction='sum')", (3,), (3,), SIGNS),
    Case("nn.MultiMarginLoss(2, 0.5, lib.arange(1, 5).double())", (3, 4), ((3,), 4)),
    Case("nn.MultiLabelMarginLoss()", (2, 4), np.array([[3, 0, -1, 1], [2, -1, 0, 0]])),
    Case("nn.TripletMarginLoss(0.5, 3.0, 1e-3, True)", (3, 4), (3, 4), (3, 4)),
    Case("nn.TripletMarginWithDistanceLoss()", (3, 4), (3, 4), (3, 4)),
    Case("nn.TripletMarginWithDistanceLoss(distance_function=nn.CosineSimilarity(), margin=0.3, swap=True)", (3, 4), (3, 4), (3, 4)),
    Case("nn.AdaptiveLogSoftmaxWithLoss(8, 12, [3, 6], 2.0)", (5, 8), ((5,), 12)),
    Case("nn.AdaptiveLogSoftmaxWithLoss(8, 12, [3, 6], 2.0, head_bias=True)", (8,), np.array(7)),
    # containers
    Case("nn.Sequential(nn.Conv2d(4, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(12, 2))", IMAGE),
]  # fmt: skip


def close(a: Any, b: Any, what: str, rtol: float = 1e-9) -> None:
    """Equal values, shapes and dtypes of a tapegrad and a PyTorch result, whatever it is made of."""
    if isinstance(b, (tuple, list)):
        assert len(a) == len(b), what
        for x, y in zip(a, b, strict=True):
            close(x, y, what, rtol)
        return
    if b is None:
        assert a is None, what
        return
    x, y = a.detach().numpy(), b.detach().numpy()
    assert (x.dtype, x.shape) == (y.dtype, y.shape), what
    np.testing.assert_allclose(x, y, rtol=rtol, atol=1e-11, err_msg=what)


def total(output: Any, lib: Any) -> Any:
    """A number that depends on all elements of the floating-point outputs, each in its own way."""
    parts = output if isinstance(output, tuple) else (output,)
    floating = [p for p in parts if p.is_floating_point()]
    return sum((p * lib.arange(1, p.numel() + 1, dtype=lib.float64).reshape(p.shape).cos()).sum() for p in floating)


def prepared(case: Case, inputs: list[Any]) -> list[Any]:
    """What the layer is called with: no leaves, since it may write in place."""
    made = [t * 1 if t.is_floating_point() else t for t in inputs]
    return [made[0].log_softmax(-1), *made[1:]] if case.logs else made


@pytest.mark.parametrize("case", CASES, ids=[c.text for c in CASES])
def test_layer(case: Case, tmp_path: Any, torch: Any) -> None:
    from safetensors.torch import save_file

    torch.manual_seed(0)
    ours, theirs = case.build(tg), case.build(torch)
    assert repr(ours) == repr(theirs)
    if "Lazy" in case.text:
        sample = case.arrays()[0]
        ours(tg.tensor(sample, dtype=tg.float32)), theirs(torch.tensor(sample, dtype=torch.float32))
        assert repr(ours) == repr(theirs)
    theirs.double()
    assert ours.double() is ours
    state = theirs.state_dict()
    assert [(k, tuple(v.shape)) for k, v in ours.state_dict().items()] == [(k, tuple(v.shape)) for k, v in state.items()]
    assert [k for k, _ in ours.named_parameters()] == [k for k, _ in theirs.named_parameters()]
    assert [k for k, _ in ours.named_modules()] == [k for k, _ in theirs.named_modules()]
    save_file({k: v.contiguous() for k, v in state.items()}, tmp_path / "layer.safetensors")
    ours.load_state_dict(tg.load(tmp_path / "layer.safetensors", foreign=True))
    for mode in case.modes:
        ours.train(mode == "t"), theirs.train(mode == "t")
        arrays = case.arrays()
        x = [tg.tensor(a) for a in arrays]
        y = [torch.tensor(a) for a in arrays]
        for i in range(len(arrays) if not isinstance(theirs, torch.nn.modules.loss._Loss) else 1):
            if arrays[i].dtype.kind == "f":
                x[i].requires_grad_(), y[i].requires_grad_()
        a, b = ours(*prepared(case, x)), theirs(*prepared(case, y))
        close(a, b, "output")
        ours.zero_grad(), theirs.zero_grad()
        s, t = total(a, tg), total(b, torch)
        assert s.requires_grad == t.requires_grad
        if t.requires_grad:
            s.backward(), t.backward()
        for (name, p), q in zip(ours.named_parameters(), theirs.parameters(), strict=True):
            close(p.grad, q.grad, f"{mode}: gradient of {name}")
        for p, q in zip(x, y, strict=True):
            close(p.grad, q.grad, f"{mode}: gradient of an input", case.rtol)
    for (name, p), q in zip(ours.state_dict().items(), theirs.state_dict().values(), strict=True):
        close(p, q, name)


LARGE = [
    "nn.Linear(300, 200)", "nn.Bilinear(30, 20, 50)", "nn.Conv1d(60, 80, 5, groups=2)", "nn.Conv2d(30, 40, 3)", "nn.ConvTranspose2d(30, 40, 3)",
    "nn.Embedding(200, 100, padding_idx=3)", "nn.EmbeddingBag(200, 100)", "nn.PReLU(5)", "nn.BatchNorm2d(5)", "nn.LayerNorm(5)", "nn.GroupNorm(1, 5)",
    "nn.InstanceNorm2d(5, affine=True)", "nn.RMSNorm(5)", "nn.AdaptiveLogSoftmaxWithLoss(200, 600, [100, 300], 2.0)",
]  # fmt: skip


@pytest.mark.parametrize("text", LARGE)
def test_start(text: str, torch: Any) -> None:
    """Parameters and buffers start from the same laws: equal mean, spread and bounds, within what chance allows."""
    torch.manual_seed(0)
    ours, theirs = Case(text).build(tg), Case(text).build(torch)
    for (name, p), q in zip(ours.state_dict().items(), theirs.state_dict().values(), strict=True):
        a, b = p.numpy().astype(float), q.numpy().astype(float)
        spread = b.std()
        chance = 6 * spread / np.sqrt(b.size)
        assert abs(a.mean() - b.mean()) <= 2 * chance, name
        assert abs(a.std() - spread) <= 2 * chance, name
        if "Embedding" not in text:  # normal numbers have no bounds
            assert abs(np.abs(a).max() - np.abs(b).max()) <= max(chance, 0.05 * spread), name


# What PyTorch has beyond this library.
NOT_HERE = {"Container", "CrossMapLRN2d", "DataParallel", "LinearCrossEntropyLoss", "LinearCrossEntropyOptions", "NLLLoss2d", "SyncBatchNorm"}  # fmt: skip
# Explicit here, where PyTorch has ``*args``.
EXPLICIT = {"GRU", "LSTM", "RNN", "RNNBase"}
CLASSES = [n for n, c in vars(nn).items() if inspect.isclass(c) and n not in EXPLICIT]


def test_no_class_is_missing(torch: Any) -> None:
    theirs = {n for n, c in vars(torch.nn).items() if inspect.isclass(c)}
    assert theirs - NOT_HERE == {n for n, c in vars(nn).items() if inspect.isclass(c)}


@pytest.mark.parametrize("name", CLASSES)
def test_signature(name: str, torch: Any) -> None:
    ours, theirs = getattr(nn, name), getattr(torch.nn, name)
    assert arguments(ours) == arguments(theirs)
    if issubclass(ours, nn.Module):
        assert arguments(ours.forward) == arguments(theirs.forward)
        for method in ("from_pretrained", "log_prob", "predict", "reset_parameters"):
            if hasattr(theirs, method):
                assert arguments(getattr(ours, method)) == arguments(getattr(theirs, method))
    assert ours.__doc__


# Machinery that this library does without; ``to`` is explicit here.
NO_METHODS = {"T_destination", "dump_patches", "compile", "share_memory", "ipu", "mtia", "xpu", "to"}


def test_methods_of_module(torch: Any) -> None:
    theirs = {n: m for n, m in vars(torch.nn.Module).items() if n[0] != "_" and n not in NO_METHODS}
    for name, method in theirs.items():
        assert hasattr(nn.Module, name), name
        if callable(method):
            assert arguments(getattr(nn.Module, name)) == arguments(getattr(torch.nn.Module, name)), name


@pytest.mark.parametrize("name", ["Sequential", "ModuleList", "ModuleDict", "ParameterList", "ParameterDict"])
def test_methods_of_containers(name: str, torch: Any) -> None:
    theirs = {n for n, m in vars(getattr(torch.nn, name)).items() if callable(m) and (n[0] != "_" or n[:2] == "__")}
    assert not {n for n in theirs if not hasattr(getattr(nn, name), n)}
