"""How Python functions become native code, and native code that the interpreter calls: what the backends stand on."""
