"""Networks, as ``torch.nn``: modules, layers and losses, and the functions they are made of."""

from __future__ import annotations

from . import functional as functional, init as init, modules as modules, parameter as parameter, utils as utils
from .modules.activation import *
from .modules.adaptive import *
from .modules.attention import *
from .modules.batchnorm import *
from .modules.container import *
from .modules.conv import *
from .modules.distance import *
from .modules.dropout import *
from .modules.flatten import *
from .modules.fold import *
from .modules.instancenorm import *
from .modules.lazy import *
from .modules.linear import *
from .modules.loss import *
from .modules.margin_loss import *
from .modules.module import *
from .modules.normalization import *
from .modules.padding import *
from .modules.parameter_container import *
from .modules.pixelshuffle import *
from .modules.pooling import *
from .modules.rnn import *
from .modules.rnn_cells import *
from .modules.sparse import *
from .modules.transformer import *
from .modules.upsampling import *
from .parameter import (
    Buffer as Buffer,
    Parameter as Parameter,
    UninitializedBuffer as UninitializedBuffer,
    UninitializedParameter as UninitializedParameter,
)


def __dir__() -> list[str]:
    """The public names."""
    return sorted(name for name in globals() if name[0] != "_" and name not in ("annotations", "old_names"))
