"""What a customer is found by: Chinese substrings, pinyin, words, telephone, mail and tax number."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chassis.kernel.terms import CODE, LETTERS, MAIL, MOST_NEEDS, MOST_TERMS, NAME, PHONE, TEXT, normalized, of_question, of_text

CHINESE = st.text(st.characters(min_codepoint=0x4E00, max_codepoint=0x9FA5), min_size=2, max_size=24)


KINDS = {"name": NAME, "phone": PHONE, "email": MAIL, "tax_number": CODE, "number": CODE, "body": TEXT}


def finds(question: str, **record: str) -> bool:
    """What a store's query means: every need of a way by one of its alternatives, as the beginning of a stored term."""
    country = record.get("country_code", "")
    stored = {name: of_text(KINDS[name], value, country=country) for name, value in record.items() if name in KINDS}

    def has(term: str) -> bool:
        return any(term[0] in LETTERS[KINDS[name]] and one.startswith(term) for name, terms in stored.items() for one in terms)

    return any(all(any(map(has, need)) for need in way) for way in of_question(question))


@given(CHINESE, st.data())
@settings(max_examples=200, deadline=None)
def test_any_part_of_a_chinese_name_finds_it(name: str, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(name) - 2))
    end = data.draw(st.integers(start + 2, len(name)))
    assert finds(name[start:end], name=name)


@given(CHINESE, CHINESE)
@settings(max_examples=100, deadline=None)
def test_other_characters_do_not_find_it(name: str, other: str) -> None:
    if other[:12] not in name:
        assert not finds(other, name=name)


@given(st.text(min_size=1, max_size=60))
@settings(max_examples=200, deadline=None)
def test_any_text_can_be_stored_and_asked(text: str) -> None:
    assert all(len(of_text(kind, text)) <= MOST_TERMS for kind in (NAME, PHONE, MAIL, CODE))
    assert all(len(way) <= MOST_NEEDS for way in of_question(text))


@pytest.mark.parametrize(
    "question", ["上海远景", "远景贸易", "贸易", "shanghai", "shanghaiyuanjing", "yuanjing", "yuanj", "shyj", "yjmy", "YJMY", "shyjmy"]
)
def test_characters_full_pinyin_and_initials_find_a_name(question: str) -> None:
    assert finds(question, name="上海远景贸易")


@pytest.mark.parametrize("question", ["上景", "海上", "yuanhai", "xyz", "jingyuan"])
def test_what_is_not_in_the_name_does_not_find_it(question: str) -> None:
    assert not finds(question, name="上海远景贸易")


@pytest.mark.parametrize(
    ("name", "question"),
    [
        ("重庆机械", "chongqing"),
        ("中国银行", "zhongguoyinhang"),
        ("长沙建材", "changsha"),
        ("厦门航空", "xiamen"),
        ("长城汽车", "changcheng"),
        ("重庆机械", "cqjx"),
    ],
)
def test_pinyin_follows_the_reading_of_the_word(name: str, question: str) -> None:
    assert finds(question, name=name)


def test_the_full_pinyin_of_an_ordinary_company_name_finds_it() -> None:
    assert finds("beijingxietongkejiyouxiangongsi", name="北京协同科技有限公司")


def test_initials_of_an_ordinary_company_name_find_it() -> None:
    assert finds("bjxtkjyxgs", name="北京协同科技有限公司")


@pytest.mark.parametrize("question", ["tencent", "Tencent", "腾讯", "科技", "腾讯Tencent", "Tencent科技"])
def test_latin_words_beside_characters_find_a_mixed_name(question: str) -> None:
    assert finds(question, name="腾讯Tencent科技")


def test_a_latin_word_beside_characters_narrows_the_search() -> None:
    assert not finds("腾讯Alibaba", name="腾讯Tencent科技")


@pytest.mark.parametrize("question", ["acme", "ACM", "widgets", "acme wid", "Wid Acme", "muller", "Müller", "MÜLLER"])
def test_beginnings_of_words_find_an_international_name(question: str) -> None:
    assert finds(question, name="Acme Widgets Müller GmbH")


@pytest.mark.parametrize("question", ["cme", "acme gadgets", "widgetss"])
def test_middles_of_words_do_not(question: str) -> None:
    assert not finds(question, name="Acme Widgets Müller GmbH")


@pytest.mark.parametrize(
    "question", ["13812345678", "138 1234 5678", "+86 138-1234-5678", "0086 13812345678", "1381234", "12345678", "5678"]
)
def test_a_telephone_number_is_found_however_it_is_written(question: str) -> None:
    assert finds(question, name="x", phone="+86 138 1234 5678")
    assert finds(question, name="x", phone="13812345678")


@pytest.mark.parametrize("question", ["13812345679", "5679", "99999999"])
def test_another_telephone_number_is_not_found(question: str) -> None:
    assert not finds(question, name="x", phone="13812345678")


@pytest.mark.parametrize("question", ["info@example.com", "INFO@Example.com", "@example.com", "info@exam", "info"])
def test_a_mail_address_is_found_whole_by_its_beginning_and_by_its_domain(question: str) -> None:
    assert finds(question, name="x", email="Info@Example.com")


def test_a_mail_address_with_a_dot_is_found_by_what_stands_before_the_at() -> None:
    assert finds("li.wei", name="x", email="li.wei@example.com")


@pytest.mark.parametrize("question", ["91310000MA1FL5X0X1", "91310000ma1fl5", "913100006073451234", "9131"])
def test_a_tax_number_is_found_whole_and_by_its_beginning(question: str) -> None:
    number = "913100006073451234" if question.isdigit() and len(question) > 4 else "91310000MA1FL5X0X1"
    assert finds(question, name="x", tax_number=number)


def test_a_long_name_does_not_push_out_telephone_mail_and_tax_number() -> None:
    customer = {
        "name": "中国石油天然气股份有限公司 新疆维吾尔自治区油田销售分公司", "phone": "13812345678", "email": "oil@example.com",
        "tax_number": "91310000MA1FL5X0X1",
    }  # fmt: skip
    for question in ("13812345678", "oil@example.com", "91310000MA1FL5X0X1", "油田销售分公司"):
        assert finds(question, **customer), question


def test_any_part_of_a_very_long_name_finds_it() -> None:
    name = "深圳前海新时代互联网金融信息技术服务股份有限公司第三分公司"
    assert finds("第三分公司", name=name)


@pytest.mark.parametrize("question", ["", " ", "!?", "。，", "@"])
def test_a_question_without_words_asks_for_nothing(question: str) -> None:
    assert not finds(question, name="甲乙")


def test_texts_are_compared_without_case_width_and_accents() -> None:
    assert normalized("ＡＢＣ Ünï") == "abc uni"


@pytest.mark.parametrize(
    ("name", "questions"),
    [
        ("曾国藩", ["zeng", "zengguofan", "zgf", "cengguofan"]),
        ("解晓东", ["xie", "xiexiaodong", "jiexiaodong"]),
        ("单雄信", ["shan", "shanxiongxin", "sxx"]),
        ("李解放", ["lijiefang", "jiefang"]),
        ("尉迟恭", ["yuchi", "yuchigong"]),
        ("仇英", ["qiu", "qiuying"]),
        ("行云科技", ["xingyun", "hangyun"]),
        ("朱乐", ["zhule", "zhuyue"]),
    ],
)
def test_every_common_reading_finds_a_name_the_surnames_first(name: str, questions: list[str]) -> None:
    for question in questions:
        assert finds(question, name=name), question


@pytest.mark.parametrize("question", ["lv", "lu", "lyu", "lvbu", "lubu", "lyubu", "nvlang"])
def test_a_syllable_with_umlaut_is_typed_in_three_ways(question: str) -> None:
    assert finds(question, name="女郎" if question.startswith("n") else "吕布")


@pytest.mark.parametrize(
    ("name", "question"), [("臺灣大哥大", "台湾"), ("台湾大哥大", "臺灣"), ("後街男孩", "后街"), ("Ｔaipei 發展", "发展")]
)
def test_traditional_and_simplified_characters_meet(name: str, question: str) -> None:
    assert finds(question, name=name)


@pytest.mark.parametrize(
    ("name", "question"),
    [("O’Brien Ltd", "obrien"), ("O'Brien Ltd", "O’Brien"), ("OBrien Ltd", "o'brien"), ("Ørsted", "orsted"), ("Łódź", "lodz"),
     ("Straße", "strasse"), ("Müller", "mueller"), ("Mueller", "mueller"), ("Café\u0301", "cafe"), ("ﬁnance", "finance")],
)  # fmt: skip
def test_words_are_found_without_apostrophes_accents_and_odd_letters(name: str, question: str) -> None:
    assert finds(question, name=name)


@pytest.mark.parametrize(
    ("phone", "country", "questions"),
    [
        (
            "+86 10 6234 5671",
            "",
            ["010-62345671", "(010) 6234 5671", "+86 10 62345671", "62345671", "0086 10 62345671", "０１０－６２３４５６７１"],
        ),
        ("+49 (0)30 12345675", "", ["030 12345675", "+49 30 12345675", "004930 12345675", "30 12345675", "12345675"]),
        ("030 12345675", "DE", ["+49 30 12345675", "030 12345675"]),
        ("0755-8888666 转 801", "", ["0755-8888666", "07558888666", "0755-8888666转801", "+86 755 8888666"]),
        ("(021)6288-0000-801", "", ["021-62880000", "62880000"]),
        ("13800138077, 13900139077", "", ["13800138077", "139 0013 9077", "+8613900139077"]),
        ("021-62880000/021-62880011", "", ["02162880011"]),
        ("+1 415 555 0100 ext. 22", "", ["(415) 555-0100", "+14155550100", "5550100"]),
        ("+39 06 1234 5678", "", ["06 1234 5678", "+390612345678"]),
        ("400-810-8888", "", ["4008108888"]),
    ],
)
def test_a_number_is_found_with_and_without_country_trunk_zero_extension_and_beside_others(
    phone: str, country: str, questions: list[str]
) -> None:
    for question in questions:
        assert finds(question, name="x", phone=phone, country_code=country), question


@given(st.text("1234567890", min_size=4, max_size=11), st.sampled_from(["", "0", "+86 ", "0086", "+49 (0)"]), st.data())
@settings(max_examples=150, deadline=None)
def test_a_number_is_found_as_it_was_written_with_any_separators(number: str, before: str, data: st.DataObject) -> None:
    def spelled() -> str:
        return before + "".join(digit + data.draw(st.sampled_from(["", "", " ", "-", "."])) for digit in number).rstrip(" -.")

    assert finds(spelled(), name="x", phone=before + number)


@pytest.mark.parametrize("number", ["0001", "0000", "00861", "0049", "00 12345"])
def test_what_is_no_number_of_any_country_is_found_as_it_was_typed(number: str) -> None:
    assert finds(number, name="x", phone=number)
