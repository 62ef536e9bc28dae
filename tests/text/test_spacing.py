import pytest

from duolect.text.chunks import is_whole_text
from duolect.text.spacing import join_parts, single_spaces


@pytest.mark.parametrize(
    ("parts", "whole"),
    [
        (["we went", " to", "", "the house "], "we went to the house"),
        (["我们去了", "老房子。", "很好"], "我们去了老房子。很好"),
        (["我们去了", "IBM", "大楼"], "我们去了 IBM 大楼"),
        (["我们 去了", "老 房子"], "我们 去了 老 房子"),
        (["これは", "ペンです"], "これはペンです"),
        (["昔の人々", "は"], "昔の人々は"),
        (["二〇", "二〇年", "〆切"], "二〇二〇年〆切"),
        (["ｱｲｽ", "ﾞｰ", "ｸﾘｰﾑ｡", "です"], "ｱｲｽﾞｰｸﾘｰﾑ｡です"),
        (["〳", "〵の", "〻"], "〳〵の〻"),
        (["人々 は", "人々"], "人々 は 人々"),
        (["ﾃｽﾄ", "test"], "ﾃｽﾄ test"),
        (["ฉันไป", "ตลาด"], "ฉันไปตลาด"),
        (["우리는", "갔다"], "우리는 갔다"),
        (["schön", "ärgerlich"], "schön ärgerlich"),
        ([], ""),
        (["", " "], ""),
    ],
)
def test_a_space_parts_words_where_the_script_has_some(parts: list[str], whole: str) -> None:
    assert join_parts(parts) == whole


def test_single_spaces() -> None:
    assert single_spaces("  a  b c ") == "a b c"
    assert single_spaces(" ") == ""


def test_parts_with_the_text_of_the_whole_are_told_from_parts_that_happen_to_be_alike() -> None:
    whole = "we went to the old house by the river"
    assert is_whole_text([whole, f" {whole}".replace(" ", "  "), whole])
    for parts in ([whole], [whole, f"{whole} too"], ["yes thank you", "yes thank you"], ["", ""], []):
        assert not is_whole_text(parts)
