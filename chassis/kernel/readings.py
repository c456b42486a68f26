"""Every reading by which somebody may ask for Chinese characters, and every way to type it. Pure."""

from __future__ import annotations

from pypinyin import Style, lazy_pinyin, pinyin

MOST_READINGS = 4
# Surnames that are read otherwise than the same character inside a text (GB/T 28039 and common usage); these readings come first.
SURNAMES = {
    "单": "shan", "曾": "zeng", "解": "xie", "仇": "qiu", "任": "ren", "查": "zha", "朴": "piao", "区": "ou", "缪": "miao", "翟": "zhai", "盖": "ge",
    "乐": "yue", "覃": "qin", "冼": "xian", "洗": "xian", "员": "yun", "秘": "bi", "折": "she", "黑": "he", "燕": "yan", "纪": "ji", "宁": "ning",
    "华": "hua", "那": "na", "曲": "qu", "谌": "chen", "隗": "wei", "郇": "xun", "种": "chong", "重": "chong", "繁": "po", "召": "shao", "牟": "mu",
    "尉": "wei", "葛": "ge", "应": "ying", "於": "yu", "车": "che", "石": "shi", "贾": "jia", "阚": "kan", "长": "chang", "柏": "bai", "哈": "ha",
    "盛": "sheng", "沈": "shen", "俞": "yu", "便": "bian", "藏": "zang", "臧": "zang", "晟": "cheng", "粘": "nian", "祭": "zhai", "适": "kuo",
}  # fmt: skip
_DOUBLE = {"尉迟": ["yu", "chi"], "万俟": ["mo", "qi"], "长孙": ["zhang", "sun"], "澹台": ["tan", "tai"], "令狐": ["ling", "hu"]}


def readings(run: str) -> list[list[str]]:
    """Every common way to read a run of characters, as syllables without tones, the likeliest first; ü is v.

    A reading is taken from the whole run, for it depends on the neighbours (重庆, 银行); then with the surname's reading in front; then with
    each character that has several readings read in each of them.
    """
    plain: list[str] = lazy_pinyin(run, style=Style.NORMAL)
    if len(plain) != len(run):  # characters outside the tables come as they are, several together
        return [plain]
    found = [plain]
    double = _DOUBLE.get(run[:2])
    if double:
        found.append([*double, *plain[len(double) :]])
    elif run[0] in SURNAMES:
        found.append([SURNAMES[run[0]], *plain[1:]])
    for index, several in enumerate(pinyin(run, style=Style.NORMAL, heteronym=True)[: len(run)]):
        found += [[*plain[:index], other, *plain[index + 1 :]] for other in several[:MOST_READINGS] if other != plain[index]]
    return [list(one) for one in dict.fromkeys(map(tuple, found))]


def spellings(syllables: list[str]) -> list[str]:
    """The ways to type syllables: ü as v, u and yu (吕 lv, lu, lyu)."""
    text = "".join(syllables)
    if "v" not in text:
        return [text]
    return [text, text.replace("v", "u"), text.replace("v", "yu")]
