"""A file with other bytes before or after it than it has on disk, for libraries that want to read and seek."""

from __future__ import annotations

import io
from typing import Any, BinaryIO


class Spliced(io.RawIOBase):
    """`head`, then bytes `begin` to `end` of `file`, then as many zeros as it takes to be `size` bytes."""

    def __init__(self, file: BinaryIO, begin: int, end: int, *, head: bytes = b"", size: int = 0) -> None:
        self.file, self.begin, self.head = file, begin, head
        self.middle = len(head) + end - begin
        self.size, self.at = max(size, self.middle), 0

    def readable(self) -> bool:
        """True."""
        return True

    def seekable(self) -> bool:
        """True."""
        return True

    def tell(self) -> int:
        """The place in bytes."""
        return self.at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """To a place counted from the beginning, from here, or from the end."""
        self.at = max(0, offset + {io.SEEK_SET: 0, io.SEEK_CUR: self.at, io.SEEK_END: self.size}[whence])
        return self.at

    def readinto(self, buffer: Any) -> int:
        """Fill `buffer`, or less of it at the end; how many bytes that are."""
        view = memoryview(buffer).cast("B")
        stop, done = min(self.size, self.at + len(view)), 0
        while self.at < stop:
            if self.at < len(self.head):
                part = self.head[self.at : stop]
            elif self.at < self.middle:
                self.file.seek(self.begin + self.at - len(self.head))
                part = self.file.read(min(stop, self.middle) - self.at)
            else:
                part = bytes(stop - self.at)
            if not part:  # the file has become shorter
                break
            view[done : done + len(part)] = part
            done, self.at = done + len(part), self.at + len(part)
        return done
