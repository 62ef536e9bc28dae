"""How much sound an MPEG audio file holds where its header does not say: its frames are counted, not decoded.

A Xing or Info header in front of the sound tells how many frames follow. Files without one are common (written through
a pipe, cut, recorded from a broadcast), and what libmpg123 makes of their size is a guess: somewhat too long, or, where
the bit rate changes, a fraction of what is there.
"""

from __future__ import annotations

from dataclasses import dataclass

Data = bytes | memoryview
"""A whole file, or a view of one that is mapped."""

_KILOBITS = {
    (1, 1): (32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (1, 2): (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (1, 3): (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (2, 1): (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (2, 2): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (2, 3): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
"""Bit rates by their index from 1 on, for MPEG 1 and 2 (2.5 as well) and each layer."""
_RATES = (44_100, 48_000, 32_000)
_DIVISORS = {3: 1, 2: 2, 0: 4}  # of the rates: MPEG 1, 2, 2.5
_SAME = 0xFFFE0C00  # what is the same in all headers of a stream: sync, version, layer, rate
_LARGEST_JUNK = 1 << 16
_LEAST_FRAMES = 4  # of a recording behind another: headers that count too few, and rubbish, make fewer


@dataclass(frozen=True, slots=True)
class Stream:
    """The frames of a file: bytes `begin` to `end`, the samples of each channel, and a size that a file could not have
    with fewer samples, going by the first frame's bit rate. `headed`: a frame without sound comes before them."""

    begin: int
    end: int
    samples: int
    ample_size: int
    headed: bool


def scan(data: Data) -> Stream | None:
    """What a file holds whose frames have to be counted; None where its header counts them, or nothing is found.

    A frame that breaks off is not counted, nor is a frame that is a header without a count; up to 64 KiB between frames
    are passed over.
    """
    begin = _next(data, tag_size(data), None)
    if begin is None:
        return None
    header = _word(data, begin)
    size, samples = _frame(header)
    counted = _count_in(data, begin, header)
    if counted:
        return None
    begin += 0 if counted is None else size
    at = end = begin
    frames = first_size = 0
    while True:
        size = _size(data, at, header)
        if not size or at + size > len(data):
            found = _next(data, at + 1, header)
            if found is None:
                break
            at = found
            continue
        frames, first_size = frames + 1, first_size or size
        at = end = at + size
    return Stream(begin, end, frames * samples, 2 * frames * first_size, counted == 0) if frames else None


def links(data: Data) -> list[tuple[int, int]]:
    """Where the recordings of a file begin and end in bytes, if it holds several: `cat a.mp3 b.mp3`.

    A header frame in the midst of sound begins another one, and so do frames behind those that a header counts, and
    frames of another layer or rate; without any of these nothing tells two recordings apart, and they are one. Nothing
    is looked at behind the size that a header tells, if no frame follows there.
    """
    at = tag_size(data)
    begin = _next(data, at, None)
    if begin is None:
        return []
    told = _told_end(data, begin)
    if told is not None and (told >= len(data) or _frames_from(data, told) is None):
        return []
    found = []
    while begin is not None:
        end, frames = _walk(data, begin)
        if not found or frames >= _LEAST_FRAMES:
            found.append((begin, end))
        begin = _frames_from(data, end)
    return found if len(found) > 1 else []


def _told_end(data: Data, begin: int) -> int | None:
    """Where a recording ends, going by the size in the Xing or Info header that it begins with; None without one."""
    header = _word(data, begin)
    if not _count_in(data, begin, header):
        return None
    head = bytes(data[begin : begin + 64])
    place = max(head.find(b"Xing"), head.find(b"Info"))
    size = _word(data, begin + place + 12) if head[place + 7] & 3 == 3 else 0
    return begin + size if size else None


def _frames_from(data: Data, at: int) -> int | None:
    """The next frame from a place on, behind tags that stand there."""
    return _next(data, at + tag_size(memoryview(data)[at:]), None)


def _walk(data: Data, begin: int) -> tuple[int, int]:
    """The end of the recording that begins at a place, and its frames."""
    header = _word(data, begin)
    counted = _count_in(data, begin, header)
    at = begin + (0 if counted is None else _frame(header)[0])
    end, frames = at, 0
    while not counted or frames < counted:
        size = _size(data, at, header)
        if not size or at + size > len(data):
            found = _next(data, at + 1, header)
            if found is None or bytes(data[at : at + 3]) == b"ID3":
                break
            at = found
        elif _count_in(data, at, header) is not None:
            break
        else:
            frames, at = frames + 1, at + size
            end = at
    return end, frames


def tag_size(data: Data) -> int:
    """The bytes of the ID3v2 tags that a file begins with."""
    at = 0
    while bytes(data[at : at + 3]) == b"ID3" and len(data) >= at + 10:
        a, b, c, d = data[at + 6 : at + 10]
        at += 10 + (a << 21 | b << 14 | c << 7 | d) + (10 if data[at + 5] & 0x10 else 0)
    return at


def _word(data: Data, at: int) -> int:
    return int.from_bytes(data[at : at + 4], "big")


def _frame(header: int) -> tuple[int, int]:
    """The size of a frame in bytes, with its header, and its samples; (0, 0) for what is no header.

    ISO/IEC 11172-3, 2.4.1.3, and 13818-3. Frames of free format do not tell their size.
    """
    version, layer = header >> 19 & 3, 4 - (header >> 17 & 3)
    index, rate, padding = header >> 12 & 15, header >> 10 & 3, header >> 9 & 1
    if header >> 21 != 0x7FF or version == 1 or layer == 4 or index in (0, 15) or rate == 3:
        return 0, 0
    generation = 1 if version == 3 else 2
    bits = _KILOBITS[generation, layer][index - 1] * 1000
    hertz = _RATES[rate] // _DIVISORS[version]
    if layer == 1:
        return (12 * bits // hertz + padding) * 4, 384
    samples = 576 if layer == 3 and generation == 2 else 1152
    return samples // 8 * bits // hertz + padding, samples


def _size(data: Data, at: int, like: int | None) -> int:
    """The size of the frame at a place; 0 where there is none, or one of another stream than `like`."""
    header = _word(data, at)
    return _frame(header)[0] if like is None or header & _SAME == like & _SAME else 0


def _next(data: Data, at: int, like: int | None) -> int | None:
    """The place of the next frame that another one follows, or the end; None where there is none nearby."""
    for place in range(at, min(at + _LARGEST_JUNK, len(data) - 4)):
        if data[place] == 0xFF and (size := _size(data, place, like)):
            follows = place + size
            if follows == len(data) or (follows < len(data) and _size(data, follows, _word(data, place))):
                return place
    return None


def _count_in(data: Data, begin: int, header: int) -> int | None:
    """The count of frames in a first frame that is a Xing, Info or VBRI header, 0 where it has none that libmpg123
    reads; None for a frame of sound."""
    if header >> 17 & 3 != 1:  # layer III alone has such headers
        return None
    mono, early = header >> 6 & 3 == 3, header >> 19 & 3 == 3
    side = 4 + ((17 if mono else 32) if early else (9 if mono else 17)) + (0 if header >> 16 & 1 else 2)
    for at in (side, side - 2):  # some leave no room for the checksum
        place = begin + at
        if bytes(data[place : place + 4]) in (b"Xing", b"Info"):
            return _word(data, place + 8) if data[place + 7] & 1 else 0
    return 0 if bytes(data[begin + 36 : begin + 40]) == b"VBRI" else None
