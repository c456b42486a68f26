"""How much a decoded text looks like one that somebody wrote: 0 for noise, near 1 for a language. Pure; tables of frequent letters."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable

_SIMPLIFIED = frozenset(
    "的一是不了在人有我他这个们中来上大为和国地到以说时要就出会可也你对生能而子那得于着下自之年过发后作里用道行所然家种事成方多经么去法学如都"
    "同现当没动面起看定天分还进好小部其些主样理心她本前开但因只从想实日军者意无力它与长把机十民第公此已工使情明性知全三又关点正业外将两高间由"
    "问很最重并物手应战向头文体政美相见被利什二等产或新己制身果加西斯月话合回特代内信表化老给世位次度门任常先海通教儿原东声提立及比员解水名真"
    "论处走义各入几口认条平系气题活尔更别打女变四神总何电数安少报才结反受目太量再感建务做接必场件计管期市直德资命山金指克许统区保至队形社便空"
    "决治展马科司五基眼书非则听白却界达光放强即像难且权思王象完设式色路记南品住告类求据程北边死张该交规万取拉格望觉术领共确传师观清今切院让识"
    "候带导争运股份限公司贸易技有集团商店客户联系备注电话邮箱地址省县镇街号楼室企业服务科技信息网络软件材料机械设备制药食品广州京深圳杭苏成都武汉"
    "李王张刘陈杨赵黄周吴徐孙胡朱高林何郭马罗梁宋郑谢韩唐冯于董萧程曹袁邓许傅沈曾彭吕苏卢蒋蔡贾丁魏薛叶阎余潘杜戴夏钟汪田任姜范方石姚谭廖邹熊陆郝孔白崔康"
)
_TRADITIONAL = frozenset(
    "的一是不了在人有我他這個們中來上大為和國地到以說時要就出會可也你對生能而子那得於著下自之年過發後作裡裏用道行所然家種事成方多經麼去法學如都"
    "同現當沒動面起看定天分還進好小部其些主樣理心她本前開但因只從想實日軍者意無力它與長把機十民第公此已工使情明性知全三又關點正業外將兩高間由"
    "問很最重並物手應戰向頭文體政美相見被利什二等產或新己制製身果加西斯月話合回特代內信表化老給世位次度門任常先海通教兒原東聲提立及比員解水名真"
    "論處走義各入幾口認條平系係繫氣題活爾更別打女變四神總何電數安少報才結反受目太量再感建務做接必場件計管期市直德資命山金指克許統區保至隊形社便空"
    "決治展馬科司五基眼書非則聽白卻界達光放強即像難且權思王象完設式色路記南品住告類求據程北邊死張該交規萬取拉格望覺術領共確傳師觀清今切院讓識"
    "候帶導爭運股份限公司貿易技有集團商店客戶聯繫絡備註電話郵箱地址省縣鎮街號樓室企業服務科技資訊網路軟體材料機械設備藥食廣京臺台灣北香港繁簡城具瓦"
    "李王張劉陳楊趙黃周吳徐孫胡朱高林何郭馬羅梁宋鄭謝韓唐馮于董蕭程曹袁鄧許傅沈曾彭呂蘇盧蔣蔡賈丁魏薛葉閻余潘杜戴夏鍾汪田任姜范方石姚譚廖鄒熊陸郝孔白崔康"
)
_JAPANESE = frozenset(
    "一七万三上下中九二五人今休何先入八六円出分前北十千午半南友右名四国土外大天女子学小山川左年後日時書月木本来東校母毎気水火父生男白百聞行西見話語読車金長間雨電食高"
    "株式会社有限合同営業部課長社員担当者様御中備考電話番号住所都道府県市区町村丁目田中村鈴木佐藤高橋伊藤渡辺山本小林加吉松井清斎野原森池橋阿岡石川島商事工業産製作所販売株式東京大阪名古屋横浜神戸福岡札幌"
)
_HANGUL = frozenset(
    "이다는의에을가를한고하지은로사기도서자아인시리어나대있해들정수일보부그라구전제상조주과만오우장여원비동국스치내소신공세성관면문음모적게년학방미개선경"
    "영생안무저되연회무것할중으강당러까김박최윤임한식업객비고메모서울산시구동길번지전화"
)
_CYRILLIC = frozenset("оеаинтсрвлкмдпуя")
# The letters of each language; the west is often mixed in one list of names, its rivals speak one at a time.
_WESTERN = {
    "cp1252": ("áàâäãåæçéèêëíìîïñóòôöõøœúùûüýß",),
    "cp1250": ("áčďéěíňóřšťúůýž", "áäčďéíĺľňóôŕšťúýž", "ąćęłńóśźż", "áéíóöőúüű", "ăâîşţ", "čćđšž"),
    "cp1254": ("âçğıîöşûü",),
}
_SYMBOLS = frozenset("€‚„…‘’“”•–—™ ¡£§©ª«®°²³´·º»¼½¾¿×±")
_WORD = re.compile(r"[^\W\d_]+")


def judge(encoding: str, text: str) -> float:
    """How likely this text was meant; 0 where it holds control characters or places that no character has."""
    foreign = [letter for letter in text if letter > "\x7f"]
    if not foreign or any(
        "\x80" <= letter <= "\x9f" or unicodedata.category(letter) in ("Cn", "Co", "Cs", "Cc") for letter in set(foreign)
    ):
        return 0.0
    return _JUDGES[encoding](encoding, text, foreign)


def _east(encoding: str, _: str, foreign: list[str]) -> float:
    return sum(map(_WEIGHTS[encoding], foreign)) / len(foreign)


def _mark(letter: str) -> float | None:
    """What every eastern script has: its punctuation and wide forms."""
    return 0.5 if "\u3000" <= letter <= "\u3020" or "\uff01" <= letter <= "\uff5e" or letter in "“”‘’…—·" else None


def _han(letter: str, common: frozenset[str], codec: str, last: int) -> float:
    """1 for a frequent character, a half for one of the first level of its standard, which has all that are in daily use."""
    if letter in common:
        return 1.0
    if (mark := _mark(letter)) is not None:
        return mark
    if not "\u4e00" <= letter <= "\u9fff":
        return 0.0
    code = letter.encode(codec, "ignore")
    return 0.5 if len(code) == 2 and code[0] <= last else 0.0


def _simplified(letter: str) -> float:
    return max(_han(letter, _SIMPLIFIED, "gb2312", 0xD7), 1.0 if letter in _TRADITIONAL else 0.0)


def _japanese(letter: str) -> float:
    if "\u3041" <= letter <= "\u3096" or "\u30a1" <= letter <= "\u30fc":
        return 1.0
    return _han(letter, _JAPANESE, "cp932", 0x98)


def _korean(letter: str) -> float:
    if letter in _HANGUL:
        return 1.0
    return 0.5 if "\uac00" <= letter <= "\ud7a3" else (_mark(letter) or 0.0)


_WEIGHTS: dict[str, Callable[[str], float]] = {
    "gb18030": _simplified,
    "big5": lambda letter: _han(letter, _TRADITIONAL, "big5", 0xC6),
    "shift_jis": _japanese,
    "euc_kr": _korean,
}


def _cyrillic(_: str, text: str, foreign: list[str]) -> float:
    """Whole words of one script, capitals at their beginning or all through, of letters that are frequent."""
    found = 0.0
    words = [word for word in _WORD.findall(text) if all("\u0410" <= letter <= "\u044f" or letter in "Ёё" for letter in word)]
    if not any(len(word) > 3 for word in words):
        return 0.0
    for word in words:
        if len(word) == 1 and word.lower() not in "авиксоуя":
            continue
        if word[1:].islower() or word.isupper() or len(word) == 1:
            found += sum(1.0 if letter in _CYRILLIC else 0.6 for letter in word.lower())
    return (found + sum(0.7 for letter in foreign if letter in "№«»—–“”„…")) / len(foreign)


def _western(encoding: str, text: str, foreign: list[str]) -> float:
    """Words that are Latin but for a letter here and there which languages of the region have."""
    words = [word for word in _WORD.findall(text) if not word.isascii()]
    strange = "".join(letter for word in words if _latin(word) for letter in word.lower() if letter > "\x7f")
    if not strange:
        return 0.0
    symbols = sum(letter in _SYMBOLS for letter in foreign) * 0.8
    return max(symbols + sum(strange.count(letter) for letter in alphabet) for alphabet in _WESTERN[encoding]) / len(foreign)


def _latin(word: str) -> bool:
    plain = sum(letter <= "\x7f" for letter in word)
    return plain >= len(word) - plain and (word[1:].islower() or word.isupper() or plain > 1)


_JUDGES: dict[str, Callable[[str, str, list[str]], float]] = {
    **dict.fromkeys(_WEIGHTS, _east), **dict.fromkeys(("cp1251", "koi8_r", "cp866"), _cyrillic), **dict.fromkeys(_WESTERN, _western),
}  # fmt: skip
