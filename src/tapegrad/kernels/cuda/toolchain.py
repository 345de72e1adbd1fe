"""numba-cuda, imported in one place: beside a NumPy newer than it knows, and with NVIDIA's compiler where only a CUDA toolkit has it."""

from __future__ import annotations

import ctypes
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path

_RENAMED = {"row_stack": "vstack"}  # names that numba-cuda mentions when it is imported, and NumPy 2.5 has no more
_TOOLKITS = ("/usr/local/cuda", "/opt/cuda")
_LIBRARIES = ("nvvm/lib64/libnvvm.so.4", "lib/libnvvm.so.4")  # the second in one made of wheels


@contextmanager
def _older_numpy() -> Iterator[None]:
    """Names that NumPy dropped are there meanwhile, and its warnings about numba-cuda's own code are not a user's."""
    import numpy as np

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        lacking = [name for name in _RENAMED if not hasattr(np, name)]
        for name in lacking:
            setattr(np, name, getattr(np, _RENAMED[name]))
        try:
            yield
        finally:
            for name in lacking:
                delattr(np, name)


def _find_compiler() -> None:
    """Load libnvvm from a toolkit that neither a package, the linker nor an environment variable knows; numba-cuda finds it loaded.

    Raises:
        RuntimeError: when there is none.
    """
    from cuda.pathfinder import load_nvidia_dynamic_lib

    try:
        load_nvidia_dynamic_lib("nvvm")
        return
    except RuntimeError as error:
        why = str(error).splitlines()[0]
    for toolkit in _TOOLKITS:
        for library in _LIBRARIES:
            path = Path(toolkit, library)
            if path.exists():
                ctypes.CDLL(str(path), os.RTLD_NOW | os.RTLD_GLOBAL)
                return
    raise RuntimeError(
        "NVIDIA's compiler (libnvvm) is missing; pip install 'tapegrad[cuda13]' (or [cuda12]) brings it, "
        f"or set CUDA_HOME to a CUDA toolkit that has nvvm/ ({why})"
    )


try:
    with _older_numpy():
        from numba import cuda as cuda, types as types
        from numba.core import cgutils as cgutils
        from numba.cuda import dispatcher as dispatcher
        from numba.cuda.extending import intrinsic as intrinsic
        from numba.cuda.np import arrayobj  # noqa: F401  (mentions them)
except (AttributeError, ImportError) as error:
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in ("numba-cuda", "numba", "numpy"))
    raise ImportError(f"these do not work together: {versions} ({error}); pip install --upgrade numba numba-cuda") from error
_find_compiler()
