# SPDX-License-Identifier: MIT
"""openai-whisper's text normalisers, loaded without torch, and the lines that src/score is held against them on."""

from __future__ import annotations

import importlib.util
import random
import sys
import types
from pathlib import Path

SEED = 20250625


def normalizers_folder() -> Path:
    """whisper/normalizers of the installed openai-whisper; ImportError when there is none."""
    found = importlib.util.find_spec("whisper")  # does not run it, so torch is not asked for
    if found is None or not found.submodule_search_locations:
        raise ImportError("no openai-whisper", name="openai-whisper")
    return Path(found.submodule_search_locations[0]) / "normalizers"


def normalisers() -> dict:
    """kind as tools/score.c names it -> function of a line."""
    folder = normalizers_folder()
    package = types.ModuleType("whisper_normalizers")
    package.__path__ = [str(folder)]
    sys.modules["whisper_normalizers"] = package
    basic = importlib.import_module("whisper_normalizers.basic").BasicTextNormalizer
    english = importlib.import_module("whisper_normalizers.english").EnglishTextNormalizer
    return {
        "english": english(),
        "basic": basic(),
        "plain": basic(remove_diacritics=True),
        "split": basic(split_letters=True),
        "plain-split": basic(remove_diacritics=True, split_letters=True),
    }


AWKWARD = r"""
one hundred and twenty|double oh seven|twenty twenty one|one oh one|one oh oh one|nineteen eighty four
two thousand and one|a hundred|hundred|hundreds of thousands|thousandths|three million four hundred thousand and six
nineteen nineteen|nineteen oh five|ten ten|ten eleven twelve|twenty one twenty two|one two three four five
zero|oh|o|oh no|zero zero seven|o o o|0|00|007|0 0|zero hundred|zero thousandth|0 thousand|0 thousandths|zero five
point five|zero point five|0 point five|one point oh one|three point one four one five nine|point|point point
point hundred|three point hundred|three point|five point twenty|five point 20|five point 2.5|five point five point five
1.5 million|1.5 thousand|1.2345 thousand|1.5 hundredths|.5 million|0.001 thousand|1.50 hundred|point five million
one point five million dollars|one point two three four five thousand|1.2.3 thousand|192.168.0.1|one 192 point 168
$20 million|$20 million and five|twenty dollars|twenty dollars and seven cents|$2 and 7 cents|$2 7 cents|$2 ¢7 x
$2 and ¢7|$2 and ¢07|$2 and ¢70|$2 and ¢700|£5 and ¢9s|€9 ¢12|$0.05|$0.50|$0.5|$0.123|$0123|$0 12|$0x12|£0.99 €0.01
two dollars and fifty cents|zero dollars and five cents|five cents|cents|dollars|pound|a pound of flesh|two pounds
three euros|one euro|1 euro and 1 cent|one dollar bill|dollar|£|$|$$5|$-5|-5|+5|- 5|−5|minus five|negative five
plus five|positive five|minus|minus x|minus minus five|minus point five|plus 1.5|minus $5|positive feedback|negative
five minus three|five plus 3|3 plus|three minus|three minus hundred|minus and|minus per|minus percent|plus dollars
fifty percent|50 percent|50%|50 %|% 50|percent|per cent|per|five per cent|five per|five per person|point five percent
5.5%|five point five per cent|a%b|%%|%%%|1%%|1.%|$%|.%.|100% sure|x%|é%|5 %5|three percents
first|second|third|fourth|fifth|ninth|twelfth|twentieth|twenty first|twenty-first|hundredth|one hundredth|thirty third
one hundred and first|nineteenth|ten nineteenth|hundred nineteenth|hundred nineteen|five nineteenth|101 nineteenth
one hundred twentieth|five twentieth|twentieths|ones|twos|one one|sixes|sixs|ones twos|twenty ones|hundred ones
thirties|the thirties|nineteen thirties|nineteen hundred thirties|1930s|1930 s|the 1960's|274th|32nd|1 st|1  nd|5 sth
5 s|5s|5 s.|5 rd.|5 thx|5 st\u00e9|5x5|a1b2c3|abc123def|\u00e95|5\u00e9|x5|1st|2nd|3rd|first second third|tenths
millions|two millions|two million|two millionth|two millionths|million million|thousand million|million thousand
one million thousand|five hundred thousand million|999 thousand|9 hundred 99 thousand|twelve hundred|12 hundred
one decillion|nine hundred decillion|decillionth|999999999999999999999999999 decillion|1 quintillion quintillion
99999999999 thousand|1999999 million|one hundred thousand two hundred|one thousand hundred thousand
double|double five|double ten|double double|triple seven|triple oh|triple x|triple|double trouble|ten double five
double zero|5 double five|0 double 0|zero double zero|double oh oh seven|triple one two|double and|five double
double 5|triple 9|five triple 9|minus double oh seven|point double five|five point double five|double one thousand
two and a half|two and  a  half million|two and a half|x and a half|and a half|and a half and a half|half and a half
one and a half hundred|hundred and a half|million and a half|2 and a half|two. and a half|two,and a half|and a halfs
twenty and a half percent|and a half two|one and a half and a half|stand a half|and a half|5 million and a half
and|and five|five and|five and six|hundred and|hundred and and five|one hundred and x|one hundred and 5|100 and 5
one hundred and a|thousand and one nights|one thousand and one hundred|twenty and one|and and|and point five
hundred and point five|hundred and double|hundred and minus five|hundred and dollars|five and dollars|and percent
won't|can't|let's|ain't|y'all|wanna|gotta|gonna|i'ma|imma|woulda|coulda|shoulda|ma'am|won't can't let's
I'm|I've|you're|he'd|he'd been|he's been|he'd gone|he's gone|he'd done|he's done|he's got|isn't|wasn't|they'll|'twas
'tis|'til|rock 'n' roll|o'clock|o' clock|don 't|don  't|it 's|'s|'d been|'d beens|'s gone's got|n't|can'tx|xcan't
don't've|shouldn't've|y'all'd've|I'd'nt|couldn't’ve|don’t|it’s|‘quoted’|“double”|ma'ams|wannabe|the 'm'|dogs' bone
Mr. Smith|mr|mrs|mrs. jones|st|st. john|1st|21 st|dr|Dr. Who|prof|capt|gov|ald|gen|sen|rep|pres|rev|hon|asst|assoc
lt|col|jr|sr|esq|drs|mrss|Mr Mrs Dr|mr.mrs|st-st|dr'd|jr's|sen_|_sen|gen1|lt. col. jr.|rep's been|St. St
hmm|mm|mhm|mmm|uh|um|uh-huh|umm|hm|um, uh, hmm|uhum|um_|mm5|um'm|mmmm|UM|Uh|a um b|um um um
[noise]|<unk>|(laughs)|a [b] c|a [b> c|a <b] c|a <b c|a [b c|a (b) c|a (b c|a b) c|()|(())|((a))|(a)(b)|a () b (c) d
[[a]]|<<a>>|[a[b]c]|<a>b</a>|[]|<>|[>|<]|]a[|>a<|(a [b) c]|[(a] b)|(\n)|[\n]|<a\nb>c|(a\nb)c|( )|(()|())|((|))|[(|])
analyse|colour|colours|the colour of the theatre|organised|realise|grey|centre|flyer|flier|flyer / flier|manoeuvre
travelling|neighbour's|favourite-colour|COLOUR|catalogue|aeroplane|mould|programme|cheque|storey|tyres|jewellery
well-known|e-mail|a-b-c|x/y|a_b|a\\b|a|b & c|c++|#hash|@at|3D|mp3|h2o|co2|r2-d2|a.b|a. b|a .b|..|...|a...b|. . .|.5
5.|5.5.|5..5|a.5|a. 5|.a|$.5|5.$|x.|x.\n|x.\ny|.\n|end.|e.g. this|U.S.A.|i.e.|3.14|3. 14|3 .14|10.10.10|1,2|1,2,3
1,000|1,000,000|1, 000|1 ,000|,1|1,|1,a|a,1|12,34,5|1,2,3,4,5|\u0661,\u0662|\u0661\u0662|\u0663.\u0665 million
\u0663\u0660 percent|\uff15 dollars|\uff11\uff10\uff10|\u0967\u0968 hundred|\u0967.\u0966|double \u0967|\u0661st|5\u0661
\u00bd|2\u00bd|x\u00b2|\u2167|\u2460 \u2461|\u3007|\u4e00\u767e|\u00b2 million|\u2075|1\u20443|\u2153 cup
caf\u00e9|na\u00efve|r\u00e9sum\u00e9|cafe\u0301|a\u030a\u0301|\u00c5ngstr\u00f6m|\u212b|\u0152uvre|\u0153uf|\u00d8re
\u00e6\u00c6|stra\u00dfe|STRASSE|\u1e9e|\u0111\u0110|\u00f0\u00d0|\u00fe\u00de|\u0142\u0141|\u0130stanbul|I\u0307|\u0131
\u03a3\u03a3|\u039f\u03a3|\u039f\u03a3 \u039f\u03a3|\u039f\u03a3.|\u039f\u03a3a|\u039f\u03a3'a|\u03a3|a\u03a3\u0301|\u0301\u03a3
a\u03a3.b|\u03a3\u0300|\u1d40\u03a3|1\u03a3|a\u00ad\u03a3|\U0001d6ba|a\U0001d6ba|\u03a3\u03a3\u03a3 x
\ufb01ne|\ufb03|\u2122|\u00ae|\u00a9 2020|\u2103|\u33a5|\u3392|\ufdfa|\u210c|\U0001d400\u0307|\U0001d408\u0307|\u01c4\u01c5
\u1100\u1161\u11a8|\uac00|\uac01|\u1100\u1161|\uac00\u11a8|\uac00\u11a7|\u1161\u1100|\u1100\u1100\u1161|\u115f\u1160
\u4f60\u597d\uff0c\u4e16\u754c\u3002|\u3053\u3093\u306b\u3061\u306f|\u304b\u3099|\uff76\uff9e|\u30ac|\u65e5\u672c\u8a9e 123
\ud55c\uad6d\uc5b4 \ubb38\uc7a5|\u0e2a\u0e27\u0e31\u0e2a\u0e14\u0e35|\u0e19\u0e49\u0e33|\u0ea5\u0eb3|\u0928\u092e\u0938\u094d\u0924\u0947|\u0915\u094d\u0937\u093f
\u0645\u0631\u062d\u0628\u0627|\u0645\u064e\u0631\u0652|\u05e9\u05b8\u05dc\u05d5\u05b9\u05dd|\ufb2a|\u041f\u0440\u0438\u0432\u0435\u0442|\u0419\u0418\u0306|\u0451
\u1ebf|\u0065\u0302\u0301|\u0065\u0301\u0302|q\u0307\u0323|q\u0323\u0307|\u1e0b\u0323|\u1e0d\u0307|\u0344|\u0958|\u0915\u093c
\U0001f600|hi \U0001f600 there|\U0001f468\u200d\U0001f469\u200d\U0001f467|\U0001f1fa\U0001f1f8\U0001f1eb|\U0001f44d\U0001f3fd|1\ufe0f\u20e3|\u2764\ufe0f|\u00a9\u200d\u00a9
a\u200db|a\u200cb|\u200b|\u200e\u200f|\ufeff|a\u00adb|\u2028|\u2029|\u0085|\u00a0|a\u00a0b|a\u3000b|a\u1680b|\u180e|\x1c\x1d|a\x1fb
\u0600\u0661|\u0d4ea|\U000110bd\U00011083|a\u0903|\u0e33|\U0001fc00\u200d\U0001fc00|\ue000|\uffff|\U0010ffff|\ufffd|\u0378
a\tb|a\rb|a\r\nb|a\nb|\r\n|\r\r\n\n|\x00|a\x00b|\x0b\x0c|\x7f|  leading|trailing  |  both  |a  b   c| |''|\" "|' '|a ' b
$|$ 5|$5|$5.00|$5.05|$1|$1.1|$1s|1|1s|1 s|11|1.1|0.1|1 1|one|ones|1st|a1|1a|-1|#1|1-1|1/1|21|1,1|€1 and ¢1|$1 and 1 cent
¢|¢5|¢5 ¢5|$5 and ¢5 and ¢5|$5  ¢5|$5 and  ¢5|$5 ¢5x|$5 ¢55x|$5 ¢5_|$5 ¢5é|£3 ¢\u0663|5¢|5$|5€|5£5|€$5|£5.5|£5,500
five-hundred|five–hundred|twenty—five|five/six|9:00|9:00 am|12:30|the 2nd of may 1997|may 2nd, 1997|24/7|7-eleven
one's|two's company|five'd|twenty'll|hundred's|mister one|doctor two|saint three|st 3|3 st|3 dr|dr 3|col. 45|gen 4:5
oh hundred|oh point oh oh|o five|five o|five o clock|o'five|o o7|zeroth|zero zeroth|oh first|five first|5 first|oh tenth
forty two and|forty two point|forty two minus|forty two double|forty hundred|forty thousand forty|ninety nine hundred
six six six|six sixty six|sixty six six|sixty sixty|six hundred sixty six thousand six hundred and sixty sixth|sixty six sixties
twenty five hundredths|five twenty fifth|oh twenty fifth|one twenty five|oh twenty five|o'clock two|twenty ten|twenty eleven
point oh|point zero five|point twelve|point 12|point 1.2|point $5|$5 point 5|$5.5 million|$point five|five point $5|5 point 5.5.5
per cents|five percent and six per cent|percent five|one per cent|one per centimeter|a per cent|five per  cent|five per cent cent
"""


def escaped(text: str) -> str:
    return text.encode("latin-1", "backslashreplace").decode("unicode_escape")


def awkward() -> list[str]:
    """Several hundred lines, each of something that a rule could get wrong."""
    # One entry a "|", except for the one that is itself meant: "a|b" stays as two entries, which does no harm.
    lines = [escaped(entry) for row in AWKWARD.strip().split("\n") for entry in row.split("|")]
    lines += ["", "|", "a|b", "mm " * 500, "nine " * 300, "[" * 300, "(" * 300, "a" * 5000, "9" * 400, "9" * 400 + " hundred"]
    lines += ["9" * 39 + " thousand nine hundred decillion one point five decillions"]
    lines += ["one thousand " * 40, "double oh seven point five million dollars and six cents " * 20, "e\u0301" * 400]
    lines += ["a" + "\u0301\u0323\u0345\u3099" * 40, "\u0301" * 50 + "\u0323" * 50, "q" + "\u0323\u0301" * 20 + "\u0307"]
    return lines


NUMBERS = (
    "o oh zero one two three five six eight nine ten eleven twelve thirteen nineteen ones twos sixes tens first second "
    "third fifth twelfth ninth zeroth twenty thirty forty ninety twenties thirties twentieth ninetieth hundred thousand "
    "million billion trillion decillion hundreds thousands millions hundredth thousandth millionth minus negative plus "
    "positive pound pounds euro euros dollar dollars cent cents per percent and double triple point half a and-a-half"
).split()
FIGURES = (
    "0 1 2 5 7 10 12 20 99 100 101 1000 007 0.5 1.50 .5 5. 1,000 1,2,3 $5 $0.05 £2 €3.50 ¢5 ¢70 $2.07 5% 1st 2nd 3rd "
    "1960s 1.0 0.0 -5 +7 1.2.3 \u0663 \u0661\u0662 \uff15 3.\u0665 \u00bd $ % . , - ' ¢ £ € ( ) [ ] < > s st nd rd th"
).split()
WORDS = (
    "won't can't let's y'all i'ma imma gonna wanna ma'am mr mrs. st. dr prof gen col jr esq he'd she's been gone done got "
    "n't don't they're it's I'll I'm 've 't uh um hmm mm mhm colour analyse theatre grey caf\u00e9 na\u00efve \u0153uf \u0141 "
    "stra\u00dfe \u039f\u03a3 \u0130 \u4f60\u597d \U0001f600 \u304b\u3099 \uac00\u11a8 e\u0301 x the of a.b e.g. don\u2019t [x] (y) <z> _ clock o'clock"
).split()
GLUE = [" "] * 30 + ["", "", "  ", "-", ", ", ". ", "'", " '", "\n", "\t", "\u00a0", "_", "/", "\x1f", "\u200d", "\u0301"]


def composed(count: int, seed: int = SEED) -> list[str]:
    """Lines put together at random: most of number words, some of figures, symbols, contractions and scripts."""
    rng = random.Random(seed)
    lines = []
    for _ in range(count):
        weights = rng.choice([(1, 0, 0), (6, 1, 0), (3, 3, 1), (1, 1, 1), (0, 3, 1), (0, 0, 1)])
        parts = []
        for _ in range(rng.randrange(1, 14)):
            parts.append(rng.choice(rng.choices([NUMBERS, FIGURES, WORDS], weights)[0]).replace("and-a-half", "and a half"))
            parts.append(rng.choice(GLUE))
        line = "".join(parts)
        lines.append(line.upper() if rng.random() < 0.1 else line)
    return lines
