"""One case or more of every layer: how it is made, and the shapes of its inputs."""

from __future__ import annotations

from typing import Any

import numpy as np


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


def prepared(case: Case, inputs: list[Any]) -> list[Any]:
    """What the layer is called with: no leaves, since it may write in place."""
    made = [t * 1 if t.is_floating_point() else t for t in inputs]
    return [made[0].log_softmax(-1), *made[1:]] if case.logs else made
