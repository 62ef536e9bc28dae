"""How much sound a FLAC file holds whose header does not say: its last frame knows its place (RFC 9639).

Programs that write FLAC to a pipe leave 0 as the number of samples.
"""

from __future__ import annotations

from dataclasses import dataclass

from duolect.audio.mpeg import Data, tag_size

_INFO = 42  # bytes: the mark fLaC, and the first block of metadata
_TAIL = 1 << 20  # larger than any two frames
_ID3_END = 128
_BEGINNING = b"fLaC\0\0\0\x22"  # the mark, and a first block of metadata that is not the last
_WINDOW = 1 << 16
_STRAY = 0.25  # of all samples: by how much a frame may lie elsewhere than its bytes do
_SIZES = {1: 192, 2: 576, 3: 1152, 4: 2304, 5: 4608} | {n: 256 << (n - 8) for n in range(8, 16)}
_RATE_BYTES = {12: 1, 13: 2, 14: 2}


@dataclass(frozen=True, slots=True)
class Length:
    """The samples of each channel, whether the file breaks off after them, and a beginning for it that says so.

    `head` stands for the first `skip` bytes of the file.
    """

    samples: int
    broken: bool
    skip: int
    head: bytes


def scan(data: Data) -> Length | None:
    """The length of a FLAC file, going by its last whole frame; None where there is none in its last MiB."""
    begin = tag_size(data)
    if bytes(data[begin : begin + 4]) != b"fLaC" or len(data) < begin + _INFO:
        return None
    info = bytes(data[begin : begin + _INFO])
    end = len(data) - (_ID3_END if bytes(data[-_ID3_END:][:3]) == b"TAG" else 0)
    tail = bytes(data[max(begin + _INFO, end - _TAIL) : end])
    found = _last_frame(tail, int.from_bytes(info[10:12], "big"))
    if found is None:
        return None
    samples, broken = found
    packed = int.from_bytes(info[18:26], "big") >> 36 << 36 | samples
    return Length(samples, broken, begin + _INFO, info[:18] + packed.to_bytes(8, "big") + info[26:])


def links(data: Data) -> list[tuple[int, int]]:
    """Where the recordings of a file begin and end in bytes, if it holds several: `cat a.flac b.flac`.

    The whole file is searched for further beginnings only where its last frame, or one in its midst, is not where the
    header lets it be expected, or the header does not say how long it is.
    """
    begin = tag_size(data)
    if bytes(data[begin : begin + 4]) != b"fLaC" or len(data) < begin + _INFO:
        return []
    info = bytes(data[begin : begin + _INFO])
    total, block = int.from_bytes(info[18:26], "big") & (1 << 36) - 1, int.from_bytes(info[10:12], "big")
    if total and _as_expected(data, begin + _INFO, total, block):
        return []
    starts, at = [begin], begin + _INFO
    while at < len(data):
        window = bytes(data[at : at + _TAIL])
        place = window.find(_BEGINNING)
        if place < 0:
            at += max(1, len(window) - len(_BEGINNING) + 1)
            continue
        starts.append(at + place)
        at += place + _INFO
    ends = [*starts[1:], len(data)]
    return list(zip(starts, ends, strict=True)) if len(starts) > 1 else []


def _as_expected(data: Data, begin: int, total: int, block: int) -> bool:
    """Whether the last frame ends with the last of `total` samples, and others lie about where their bytes do."""
    size = len(data) - begin
    tail = bytes(data[max(begin, len(data) - _WINDOW) :])
    at, ends = len(tail), False
    while not ends and (at := _sync(tail, 0, at)) >= 0:
        ends = _header(tail, at, block) == total
    if not ends or size < 4 * _WINDOW:
        return ends and _BEGINNING not in bytes(data[begin:])
    for share in (1 / 2, 1 / 3):
        place = begin + int(share * size)
        window = bytes(data[place : place + _WINDOW])
        # From the end of the window on back, the last one found is the first in it.
        at, found, lies = len(window), None, 0
        while (at := _sync(window, 0, at)) >= 0:
            if (position := _header(window, at, block)) is not None:
                found, lies = position, place + at - begin
        if found is None or abs(found / total - lies / size) > _STRAY:
            return False
    return True


def _sync(data: bytes, begin: int, end: int) -> int:
    return max(data.rfind(b"\xff\xf8", begin, end), data.rfind(b"\xff\xf9", begin, end))


def _last_frame(tail: bytes, block: int) -> tuple[int, bool] | None:
    """Where the last whole frame ends, in samples, and whether more bytes follow that are none."""
    starts = []
    at = len(tail)
    while (at := _sync(tail, 0, at)) >= 0:
        if (frame := _header(tail, at, block)) is None:
            continue
        ends, crc = {*starts, len(tail)}, 0
        for place in range(at, len(tail)):
            crc = crc << 8 & 0xFFFF ^ _CRC16[crc >> 8 ^ tail[place]]
            if not crc and place + 1 in ends:  # a checksum that is behind its bytes makes 0 of them
                return frame, place + 1 < len(tail)
        starts.append(at)
    return None


def _header(tail: bytes, at: int, block: int) -> int | None:
    """Where the frame at a place ends, in samples, going by its header; None where there is no header."""
    if len(tail) < at + 6:
        return None
    size, rate = tail[at + 2] >> 4, tail[at + 2] & 15
    if not size or rate == 15 or tail[at + 3] & 1:
        return None
    # The number is coded like a character of UTF-8, of up to 7 bytes.
    ones = 8 - (tail[at + 4] ^ 0xFF).bit_length()
    if ones in (1, 8):
        return None
    number, after = tail[at + 4] & 0x7F >> ones, at + 5 + max(0, ones - 1)
    for byte in tail[at + 5 : after]:
        number = number << 6 | byte & 0x3F
    count = _SIZES.get(size, 0)
    if not count:
        width = size - 5
        count, after = int.from_bytes(tail[after : after + width], "big") + 1, after + width
    after += _RATE_BYTES.get(rate, 0)
    crc = 0
    for byte in tail[at : after + 1]:
        crc = _CRC8[crc ^ byte]
    if crc or len(tail) <= after:
        return None
    return (number if tail[at + 1] & 1 else number * block) + count


def _table(bits: int, polynomial: int) -> tuple[int, ...]:
    table = []
    for value in range(256):
        crc = value << (bits - 8)
        for _ in range(8):
            crc = crc << 1 ^ (polynomial if crc >> (bits - 1) & 1 else 0)
        table.append(crc & (1 << bits) - 1)
    return tuple(table)


_CRC8, _CRC16 = _table(8, 0x07), _table(16, 0x8005)
