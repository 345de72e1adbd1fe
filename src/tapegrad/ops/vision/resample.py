"""The one operation behind average pooling, padding with existing elements, and interpolation: a linear map along each axis."""

from __future__ import annotations

from ...kernels.axis_maps import Axis
from ...registry import Op, register
from ...samples import Input, Sample

_WINDOW = Axis("window", 5, 3, (3, 2, 1, 1, "padded"))
_LINEAR = Axis("linear", 3, 5, (False, None))
_ADAPTIVE = Axis("adaptive", 5, 3, (True,))
_LONG = Axis("adaptive", 5, 1, (True,))
_REFLECT = Axis("reflect", 4, 7, (1,))

resample = register(
    Op(
        "resample",
        ("input",),
        lambda B, x, *, maps, transposed: B.resample(x, maps, transposed),
        {"input": lambda K, g, maps, transposed: K.resample(g, maps=maps, transposed=not transposed)},
        method=False,
        samples=[
            Sample((Input((2, 3, 5)),), {"maps": (_LINEAR, _WINDOW), "transposed": False}),
            Sample((Input((2, 5, 3)),), {"maps": (_LINEAR, _WINDOW), "transposed": True}),
            Sample((Input((5, 2, 4)),), {"maps": (_ADAPTIVE, None, _REFLECT), "transposed": False}),
            Sample((Input((3, 2, 7)),), {"maps": (_ADAPTIVE, None, _REFLECT), "transposed": True}),
            Sample((Input((2, 5)),), {"maps": (_LONG,), "transposed": False}),
            Sample((Input((2, 1)),), {"maps": (_LONG,), "transposed": True}),
            Sample((Input((0, 5)),), {"maps": (_ADAPTIVE,), "transposed": False}),
        ],
        reference="window_references.resample",
        kinds="fc",
    )
)
