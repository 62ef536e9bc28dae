"""Tables line by line: what is wrong with one of them is no loss of others."""

from pathlib import Path

import pytest

from duolect.data.corpora.rows import read_rows


def _read(
    path: Path, *lines: str, end: str = "\n", delimiter: str | None = None
) -> list[tuple[int, str | None, str | None]]:
    path.write_bytes(end.join(lines).encode() + end.encode())
    found = read_rows(path, delimiter=delimiter)
    return [(row.line, row.values.get("text"), row.fault) for row in found]


OPEN = "has a quotation mark that is not closed"


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_quote_that_is_not_closed_costs_its_line_alone(end: str, tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    found = _read(
        path, "path,text", "1.wav,one", '2.wav,"two', "3.wav,three", '"4.wav","four, or so"', "5.wav,5", end=end
    )
    assert found == [(2, "one", None), (3, None, OPEN), (4, "three", None), (5, "four, or so", None), (6, "5", None)]
    found = _read(path, "path,text", '1.wav,"one', *(f"{n}.wav,x" for n in range(2, 700)), end=end)
    assert found[0] == (2, None, OPEN)
    assert found[1:] == [(n + 1, "x", None) for n in range(2, 700)]
    found = _read(path, "path,text", "1.wav,one", '2.wav,"two', end=end)
    assert found == [(2, "one", None), (3, None, OPEN)]


def test_two_open_quotes_do_not_swallow_what_is_between_them(tmp_path: Path) -> None:
    found = _read(tmp_path / "a.csv", "path,text", '1.wav,"one', "2.wav,two", "3.wav,three", '4.wav,four "', "5.wav,5")
    assert [(line, text) for line, text, fault in found if not fault] == [
        (3, "two"),
        (4, "three"),
        (5, 'four "'),
        (6, "5"),
    ]
    assert [line for line, _, fault in found if fault] == [2]


def test_line_feeds_in_quotes_and_quotes_in_words_are_kept(tmp_path: Path) -> None:
    found = _read(
        tmp_path / "a.csv",
        "path,text",
        '1.wav,"first line',
        "",
        'and ""third"" one, the last"',
        '2.wav,a 5" disk',
        '3.wav,"he said ""so"""',
        '"4.wav",""',
    )
    assert found == [
        (2, 'first line\n\nand "third" one, the last', None),
        (5, 'a 5" disk', None),
        (6, 'he said "so"', None),
        (7, "", None),
    ]


@pytest.mark.parametrize("mark", [";", "\t"])
def test_in_csv_quotes_group_whatever_parts_the_columns(mark: str, tmp_path: Path) -> None:
    said = f"Yes, {mark} good"
    table = [f"path{mark}text", f'1.wav{mark}"{said}"', f'2.wav{mark}"he said ""no"""', f'3.wav{mark}"open']
    found = _read(tmp_path / "a.csv", *table, f"4.wav{mark}four", delimiter=mark)
    assert found == [(2, said, None), (3, 'he said "no"', None), (4, None, OPEN), (5, "four", None)]
    found = _read(tmp_path / "a.txt", f"path{mark}text", f'1.wav{mark}"open', delimiter=mark)
    assert found == [(2, '"open', None)]


def test_bars_know_no_quotes(tmp_path: Path) -> None:
    """Texts of LJ Speech begin with quotes that end elsewhere, or nowhere."""
    found = _read(tmp_path / "metadata.csv", "path|text", '1|"Yes," he said', '2|"No', delimiter="|")
    assert found == [(2, '"Yes," he said', None), (3, '"No', None)]


def test_tabs_know_no_quotes(tmp_path: Path) -> None:
    assert _read(tmp_path / "a.tsv", "path\ttext", '1.wav\t"one', '2.wav\ttwo"') == [
        (2, '"one', None),
        (3, 'two"', None),
    ]
