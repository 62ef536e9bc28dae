"""The processor that a record names."""

import platform
from collections.abc import Iterator
from pathlib import Path

import pytest

from duolect.evaluation import processor_name, speed


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    processor_name.cache_clear()
    yield
    processor_name.cache_clear()


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ("processor\t: 0\nmodel name\t: Some Maker 7 \nprocessor\t: 1\nmodel name\t: Other\n", "Some Maker 7"),
        ("processor\t: 0\nCPU implementer\t: 0x41\n", platform.processor() or platform.machine()),  # as on Arm
        (None, platform.processor() or platform.machine()),
    ],
)
def test_it_has_its_makers_name_where_the_system_tells_it(
    told: str | None, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if told is not None:
        (tmp_path / "cpuinfo").write_text(told)
    monkeypatch.setattr(speed, "_PROCESSOR", tmp_path / "cpuinfo")
    assert processor_name() == expected
