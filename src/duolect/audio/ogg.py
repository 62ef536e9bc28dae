"""What an Ogg file holds, page by page: recordings one after the other, up to where pages are missing or damaged.

Decoders are silent about a gap: they go on behind it, or jump where they should read on, and so give sound twice, or
at the wrong time. Each page has a checksum, its number in its stream, and the place in the sound that it ends at
(RFC 3533, RFC 7845, the Vorbis I specification).
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field
from typing import Literal

from duolect.audio.mpeg import Data

Fault = Literal["truncated", "damaged"]

_HEADER = 27  # bytes of a page before its table of segments
_CONTINUED, _FIRST, _LAST = 1, 2, 4
_WINDOW = 1 << 16
_HEADERS = {b"\x01vorbis": 3, b"OpusHead": 2}  # packets before the sound
# Ogg's checksum is the one of zlib with all bits in the other order.
_TURNED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))
_OPUS_HERTZ = 48_000
_OPUS_SLACK = _OPUS_HERTZ // 8  # programs that copy from containers that count in milliseconds round the places
_SILK, _HYBRID, _CELT = (480, 960, 1920, 2880), (480, 960), (120, 240, 480, 960)


@dataclass(frozen=True, slots=True)
class Link:
    """One recording: bytes `begin` to `end`, and the samples (of Opus at 48 kHz) that its last page adds."""

    begin: int
    end: int
    last_page: int
    alone: bool
    """Whether it has no stream but that of the sound (a video has)."""


@dataclass(frozen=True, slots=True)
class Pages:
    """The recordings of a file, the last one up to its `fault`, if there is one; `whole`: one that fills the file."""

    links: tuple[Link, ...]
    fault: Fault | None

    @property
    def whole(self) -> bool:
        """Whether a decoder can be given the file as it is."""
        return len(self.links) == 1 and self.fault is None


def scan(data: Data) -> Pages:
    """Go through all pages of a file.

    A recording is whole where its last page says so, or another recording follows. "truncated": nothing can be read
    behind its end; "damaged": pages are missing, or are no pages, and others follow. What stands before and behind all
    pages does not matter.
    """
    links: list[_Walk] = []
    fault: Fault | None = None
    at = _find(data, 0)
    while at is not None and at < len(data):
        page, walk = _page(data, at), links[-1] if links else None
        ended = walk is None or walk.ended
        if page is None:
            at = _find(data, at + 1)
            if at is not None and (not ended or not data[at + 5] & _FIRST):
                fault = "damaged"
                break
            continue
        if page.flags & _FIRST and (walk is None or walk.begun):
            walk = _Walk(page.begin, page.begin)
            links.append(walk)
        if walk is None or not walk.add(page):
            fault = "damaged"
            break
        at = page.end
    if links and fault is None and not links[-1].ended:
        fault = "truncated"
    found = (Link(walk.begin, walk.end, walk.last_page, alone=walk.streams == {walk.serial}) for walk in links)
    return Pages(tuple(found), fault)


@dataclass(frozen=True, slots=True)
class _Page:
    begin: int
    end: int
    flags: int
    granule: int
    serial: int
    number: int
    table: bytes
    body: bytes = field(repr=False)

    @property
    def packets(self) -> int:
        """How many packets end on it."""
        return len(self.table) - self.table.count(255)


def _page(data: Data, at: int) -> _Page | None:
    """The page at a place; None where there is none, or not all of it, or not as it was written."""
    head = bytes(data[at : at + _HEADER])
    if len(head) < _HEADER or not head.startswith(b"OggS\0"):
        return None
    table = bytes(data[at + _HEADER : at + _HEADER + head[26]])
    size = _HEADER + len(table) + sum(table)
    page = bytes(data[at : at + size])
    if len(page) < size or len(table) < head[26]:
        return None
    turned = page.translate(_TURNED)
    found = zlib.crc32(turned[26:], zlib.crc32(bytes(4), zlib.crc32(turned[:22], 0xFFFF_FFFF)))
    if found ^ 0xFFFF_FFFF != int.from_bytes(turned[22:26], "big"):
        return None
    granule = int.from_bytes(head[6:14], "little", signed=True)
    serial, number = int.from_bytes(head[14:18], "little"), int.from_bytes(head[18:22], "little")
    return _Page(at, at + size, head[5], granule, serial, number, table, page[_HEADER + len(table) :])


def _find(data: Data, at: int) -> int | None:
    """The next page from a place on."""
    while at < len(data):
        window = bytes(data[at : at + _WINDOW])
        place = window.find(b"OggS")
        if place < 0:
            at += max(1, len(window) - 3)
        elif _page(data, at + place) is not None:
            return at + place
        else:
            at += place + 1
    return None


@dataclass(slots=True)
class _Walk:
    """One recording while its pages are gone through."""

    begin: int
    end: int
    begun: bool = False  # pages that are not the first of a stream have come
    ended: bool = False
    streams: set[int] = field(default_factory=set)
    serial: int | None = None  # of the stream of sound
    codec: bytes = b""
    headers: int = 0  # packets that are still to come before the sound
    longest: int = 0  # samples a packet of Vorbis can have
    number: int | None = None
    granule: int | None = None
    last_page: int = 0
    carried: int = 0  # samples of a packet of Opus that goes on on the next page
    ahead: int = 0  # by how much the pages' places are ahead of the packets of Opus

    def add(self, page: _Page) -> bool:
        """Take the next page; False where it is not the next one."""
        if page.flags & _FIRST:
            self.streams.add(page.serial)
            codec = next((codec for codec in _HEADERS if page.body.startswith(codec)), None)
            if codec is not None and self.serial is None and len(page.body) > 28 - (codec == b"OpusHead") * 10:
                self.serial, self.codec, self.headers = page.serial, codec, _HEADERS[codec]
                self.longest = 1 << (page.body[28] >> 4) >> 1 if codec == b"\x01vorbis" else 0
        else:
            self.begun = True
        if page.serial not in self.streams or (page.serial == self.serial and not self._follows(page)):
            return False
        if page.flags & _LAST and self.serial in (None, page.serial):
            self.ended = True
        self.end = page.end
        return True

    def _follows(self, page: _Page) -> bool:
        sound, next_number = not self.headers, self.number
        self.number = page.number + 1 & 0xFFFF_FFFF
        if not sound:
            self.headers = max(0, self.headers - page.packets)
            # What was recorded from a broadcast has its headers, and then pages from the middle.
            if not self.headers:
                self.number = None
        if next_number is not None and page.number != next_number:
            return False
        return not sound or self._fits(page)

    def _fits(self, page: _Page) -> bool:
        """Whether the place of a page in the sound can be true."""
        opus = self.codec == b"OpusHead"
        before = self.granule
        if opus and self._plain(page):
            samples = page.packets * _opus_packet(page.body[:2])
            if before is None or page.granule - before != samples:
                samples = self._opus_samples(page)
        else:
            samples = self._opus_samples(page) if opus else (page.packets + 1) * self.longest
        if page.granule == -1:  # no packet ends on it
            return True
        self.granule = page.granule
        self.last_page = page.granule - (before or 0)
        if before is None:
            return True
        if page.granule < before:
            return bool(page.flags & _LAST)
        if not opus:
            return page.granule - before <= samples
        self.ahead += page.granule - before - samples
        return self.ahead <= _OPUS_SLACK

    @staticmethod
    def _plain(page: _Page) -> bool:
        """Whether all packets begin and end on a page: they mostly have the same length then, which saves time."""
        return not page.flags & _CONTINUED and page.table[-1:] < b"\xff" and bool(page.body)

    def _opus_samples(self, page: _Page) -> int:
        """The samples at 48 kHz of the packets that end on a page."""
        total, at, begins = 0, 0, not page.flags & _CONTINUED
        for size in page.table:
            if begins:
                self.carried = _opus_packet(page.body[at : at + min(size, 2)])
            at, begins = at + size, size < 255
            if begins:
                total, self.carried = total + self.carried, 0
        return total


def _opus_packet(start: bytes) -> int:
    """The samples at 48 kHz of a packet, going by its first two bytes (RFC 6716, 3.1)."""
    if not start:
        return 0
    config, code = start[0] >> 3, start[0] & 3
    frame = _SILK[config & 3] if config < 12 else _HYBRID[config & 1] if config < 16 else _CELT[config & 3]
    return frame * (1 if code == 0 else 2 if code < 3 else start[1] & 63 if len(start) > 1 else 0)
