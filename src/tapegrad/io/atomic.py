"""Replacing a file in one step: whatever happens, its name leads to the whole old content or the whole new one."""

from __future__ import annotations

import errno
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import FileIO
from typing import BinaryIO

__all__ = ["replacing", "write_all"]


@contextmanager
def replacing(path: str) -> Iterator[FileIO]:
    """Yield a new, unbuffered file that takes the place of ``path`` when the block ends without an exception.

    The file is a temporary in the same folder, flushed to the disk and then renamed; the folder is flushed, too. After
    any exception the temporary is removed and ``path`` is as before. A symbolic link is followed. An existing file's
    permissions are kept, a new file's follow the umask.

    Raises:
        OSError: with ``path`` as its ``filename``. If only flushing the folder failed, the new file is in place.
    """
    target = os.path.realpath(path)
    folder = os.path.dirname(target)
    temporary = os.path.join(folder, f".tapegrad-{secrets.token_hex(8)}.tmp")
    try:
        old_mode = _mode_of_replaced(target)
        # A private file stays private while its successor is being written.
        mode = 0o666 if old_mode is None else 0o600
        with _flushed(folder):
            try:
                with open(temporary, "xb", buffering=0, opener=lambda name, flags: os.open(name, flags, mode)) as file:
                    yield file
                    if old_mode is not None:
                        os.chmod(temporary, old_mode)
                    os.fsync(file.fileno())
                os.replace(temporary, target)
            except BaseException:
                with suppress(OSError):
                    os.unlink(temporary)
                raise
    except OSError as error:
        # A failed write names no file, and the temporary's name would puzzle the reader.
        error.filename = path
        del error.filename2
        raise


def write_all(file: FileIO | BinaryIO, data: bytes | memoryview) -> None:
    """Write all of ``data``; one call of an unbuffered ``write`` may write less."""
    left = memoryview(data)
    while left:
        left = left[file.write(left) :]


def _mode_of_replaced(target: str) -> int | None:
    """The permission bits of the file about to be replaced, None if there is none.

    Renaming asks for no right on the old file, so what ``open(path, "wb")`` would refuse is refused here.
    """
    try:
        mode = os.stat(target).st_mode
    except FileNotFoundError:
        return None
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, "not a regular file")
    if not os.access(target, os.W_OK, effective_ids=os.access in os.supports_effective_ids):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    return stat.S_IMODE(mode) & 0o777


@contextmanager
def _flushed(folder: str) -> Iterator[None]:
    """Flush the folder's entries to the disk at the end; a folder that cannot be opened fails at the beginning."""
    if os.name != "posix":  # elsewhere folders cannot be opened
        yield
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        yield
        try:
            os.fsync(handle)
        except OSError as error:
            if error.errno != errno.EINVAL:  # a file system that has no flush for folders
                raise
    finally:
        os.close(handle)
