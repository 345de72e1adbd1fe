# What kernels are written in has no types.
from typing import Any

SIMULATED: bool
BLOCK: int

def words() -> dict[str, Any]: ...
def __getattr__(name: str) -> Any: ...
