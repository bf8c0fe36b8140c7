#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Writes tests/unit/data/{tokenizer_tiny.en,tokenizer_base,utf8,rules}.json: what openai-whisper's tokenizer, CPython's
UTF-8 decoder and whisper.decoding's logit filters answer. Needs openai-whisper (and with it tiktoken and torch), no
model files. The output depends on nothing but this file and those libraries.

    python3 tests/reference/make_tokenizer_cases.py
"""

import json
import random
import string
from pathlib import Path

import numpy as np
import torch
from whisper.decoding import ApplyTimestampRules, SuppressBlank, SuppressTokens
from whisper.tokenizer import LANGUAGES, TO_LANGUAGE_CODE, get_tokenizer

OUT = Path(__file__).resolve().parent.parent / "unit" / "data"

SENTENCES = {
    "en": "And so, my fellow Americans: ask not what your country can do for you — ask what you can do for your country.",
    "zh": "今天天气很好，我们去公园散步吧。",
    "de": "Zwölf Boxkämpfer jagen Viktor quer über den großen Sylter Deich.",
    "es": "¿Dónde está la biblioteca? ¡Qué niño más pequeño!",
    "ru": "Съешь же ещё этих мягких французских булок, да выпей чаю.",
    "ko": "안녕하세요, 만나서 반갑습니다. 오늘은 날씨가 좋네요.",
    "fr": "L'été dernier, j'ai aperçu un garçon à l'œil bleu près de l'hôpital.",
    "ja": "吾輩は猫である。名前はまだ無い。「カタカナ」もあります。",
    "pt": "À noite, vovô Kowalsky vê o ímã cair no pé do pinguim queixoso.",
    "tr": "Pijamalı hasta yağız şoföre çabucak güvendi. İstanbul'da ılık.",
    "pl": "Zażółć gęślą jaźń, pchnąć w tę łódź jeża lub ośm skrzyń fig.",
    "ca": "Jove xef, porti whisky amb quinze glaçons d'hidrogen, coi!",
    "nl": "Pa's wijze lynx bezag vroom het fikse aquaduct.",
    "ar": "صِف خَلقَ خَودِ كَمِثلِ الشَمسِ إِذ بَزَغَت",
    "sv": "Flygande bäckasiner söka hwila på mjuka tuvor.",
    "hi": "नमस्ते दुनिया, आप कैसे हैं? मैं ठीक हूँ।",
    "vi": "Tôi có thể ăn thủy tinh mà không hại gì.",
    "he": "דג סקרן שט בים מאוכזב ולפתע מצא לו חברה",
    "uk": "Чуєш їх, доцю, га? Кумедна ж ти, прощайся без ґольфів!",
    "el": "Ξεσκεπάζω την ψυχοφθόρα βδελυγμία.",
    "cs": "Příliš žluťoučký kůň úpěl ďábelské ódy.",
    "hu": "Árvíztűrő tükörfúrógép.",
    "ta": "யாமறிந்த மொழிகளிலே தமிழ்மொழி போல் இனிதாவது எங்கும் காணோம்",
    "th": "เป็นมนุษย์สุดประเสริฐเลิศคุณค่า",
    "bn": "আমার সোনার বাংলা, আমি তোমায় ভালোবাসি।",
    "te": "తెలుగు భాష చాలా మధురమైనది",
    "fa": "بنی‌آدم اعضای یک پیکرند",
    "ka": "ვეპხის ტყაოსანი შოთა რუსთაველი",
    "hy": "Բարեւ աշխարհ, ինչպե՞ս ես։",
    "am": "ሰማይ አይታረስ ንጉሥ አይከሰስ።",
    "km": "ខ្ញុំអាចញុំកញ្ចក់បាន ដោយគ្មានបញ្ហា",
    "lo": "ຂອ້ຍກິນແກ້ວໄດ້ໂດຍທີ່ມັນບໍ່ໄດ້ເຮັດໃຫ້ຂອ້ຍເຈັບ",
    "my": "က္ယ္ဝန္‌တော္‌၊ မြန်မာစာ မှန်စားနိုင်သည်။",
    "bo": "ཤེལ་སྒོ་ཟ་ནས་ང་ན་གི་མ་རེད།",
    "si": "මට වීදුරු කෑමට හැකියි",
    "yi": "איך קען עסן גלאָז און עס טוט מיר נישט װײ",
    "haw": "Hiki iaʻu ke ʻai i ke aniani; ʻaʻole nō lā au e ʻeha.",
    "is": "Kæmi ný öxi hér, ykist þjófum nú bæði víl og ádrepa.",
    "yue": "我哋今日去邊度食飯呀？唔知喎。",
}

ODD = [
    " ", "  ", "   ", "\n", "\n\n", "\t", " \n ", "\r\n", "a ", " a", "  a", "   a  b", "a\n\nb", "a \n b", "\u00a0", "\u00a0a",
    "a\u00a0\u00a0b", "\u3000日本\u3000", "\u2003x", "\u200bx", "\u200d", "\x85x", "\x1c\x1dx", "\x0b\x0c", "\u180ex", "\ufeffx",
    "it's we're I've I'm they'll he'd don't", "IT'S WE'RE I'VE", "'s", "'t", "'re", "'", "''s", " 's", "'s's", "x's'll've", "'S",
    "rock 'n' roll", "'tis", "o'clock", "’s it’s",
    "1", "12345678901234567890", "3.14159", "1,000,000", "2024-01-31 12:59:59.5", "½ ² Ⅷ ٣٤٥ ५६ ⑦", "$5.99 £3 €20 ¥100", "50%", "1st 2nd",
    "()[]{}<>", "...", "…", "--", "---", "!?!?", "«»", "“quoted”", "#hashtag @user", "a_b", "a-b", "a/b\\c", "C++ C#", "~`^|",
    "(music) [laughter] ♪♪ la la ♪♪♪ ♩♫♬♭♮♯", "「」『』", "<<>>", "-[", "(\"",
    "<|endoftext|>", "<|startoftranscript|> <|en|>", "<|0.00|>",
    "int main(void)\n{\n    return 0;\n}\n", "for (i = 0; i < n; ++i) x[i] += y[i] * 2.0f;", "def f(x):\n\treturn x**2  # square\n",
    "SELECT * FROM t WHERE a != 'b';", "https://example.com/a?b=c&d=%20#e", "user.name+tag@example.org", "{\"a\": [1, 2, null]}",
    "😀", "😀😀😀", "👩‍👩‍👧‍👦 family", "🇩🇪🇫🇷", "👍🏽", "🎵 music 🎶", "a😀b", " 😀", "❤️", "✓✗", "\U0001f9ff\U0001faf6",
    "e\u0301a\u0300", "é", "ﬁ ligature", "Ａｂｃ１２３", "ǅ Ǆ ǆ", "ª º", "ʰʱ", "\u0345", "a\u0301b", "नि", "\U00020000\U0002a6d6", "\U00010400\U00010428",
    "\U0001d400\U0001d7ce", "\ue000", "\uffff", "\ufffd", "a\ufffdb", "\U0010ffff", "\x00", "a\x00b", "\x01\x02\x7f",
    "a" * 50, "a" * 1000, " " * 33, " " * 1000, "ab" * 300, "-" * 100, "=" * 65, "é" * 200, "한" * 100, "ha" * 40, "no " * 60, ". " * 40,
    "\n" * 30, "\t" * 20 + "x", "Supercalifragilisticexpialidocious", "antidisestablishmentarianism", "pneumonoultramicroscopicsilicovolcanoconiosis",
    " SolidGoldMagikarp", "ÃÂÃÂÃÂÃÂ", "oreAndOnline", "The Quick BROWN fOx", "don't—stop", "well-known", "U.S.A.", "Mr. O'Neill's", "naïve café",
]  # fmt: skip

INVALID = [
    b"\xff", b"\x80", b"\xc0\x80", b"\xc1\xbf", b"\xc2", b"\xc2a", b"\xe0\x80\x80", b"\xe0\xa0", b"\xe0\xa0a", b"\xe1\x80", b"\xed\xa0\x80",
    b"\xed\x9f\xbf", b"\xed\xbf\xbf", b"\xee\x80", b"\xf0\x80\x80\x80", b"\xf0\x90\x80", b"\xf0\x90", b"\xf0", b"\xf4\x8f\xbf\xbf",
    b"\xf4\x90\x80\x80", b"\xf5\x80\x80\x80", b"\xf0\x9f\x98", b"\xf0\x9f\x98\xf0\x9f\x98\x80", b"\xe3\x81\xe3\x81\x82", b"a\xffb", b"\xff\xfe",
    b"\xe4\xbd", b"\xe4\xbd\xa0\xe5\xa5", b" \xff \xff", b"caf\xe9 au lait", b"\xc3\xa9\xc3", b"\xef\xbf\xbd", b"\xef\xbf", b"\xfc\x80\x80\x80\x80\x80",
]  # fmt: skip


def random_texts(rng, n):
    pool = [chr(c) for c in range(32, 127)] * 2 + list(
        "éüßñçøłžыяжאבمनकกあア漢字한글😀🎶　  ½²٣'’“”—…\n\t\u00a0\u200b\u0301"
    )
    pool += ["'s", "'ll", "n't", "  ", "   ", " the", "ing", "tion", " a"]
    return ["".join(rng.choices(pool, k=rng.randrange(1, 24))) for _ in range(n)]


def random_bytes(rng, n):
    pool = [
        0x41,
        0x20,
        0x80,
        0x81,
        0x8F,
        0x90,
        0x9F,
        0xA0,
        0xBF,
        0xC2,
        0xE0,
        0xE3,
        0xED,
        0xF0,
        0xF4,
        0xFF,
    ]
    return [bytes(rng.choices(pool, k=rng.randrange(1, 10))) for _ in range(n)]


def specials(tok):
    names = [
        "eot",
        "sot",
        "translate",
        "transcribe",
        "sot_lm",
        "sot_prev",
        "no_speech",
        "no_timestamps",
        "timestamp_begin",
    ]
    return {name: getattr(tok, name) for name in names} | {"language_begin": tok.sot + 1}


def tokenizer_cases(multilingual):
    rng = random.Random(7)
    tok = get_tokenizer(multilingual, num_languages=99, language="en")
    texts = (
        [t for s in SENTENCES.values() for t in (s, " " + s)] + ODD + [" " + t for t in ODD[60:130]]
    )
    texts += random_texts(rng, 150)
    encode = [[t, tok.encoding.encode_ordinary(t)] for t in texts]
    for raw in INVALID + random_bytes(rng, 40):
        encode.append(
            [{"hex": raw.hex()}, tok.encoding.encode_ordinary(raw.decode("utf-8", "replace"))]
        )

    ids = [list(x[1]) for x in encode[: 2 * len(SENTENCES)]]
    decode = [
        x[: rng.randrange(1, len(x) + 1)] for x in ids
    ]  # cut anywhere: through characters too
    decode += [[rng.randrange(50256) for _ in range(rng.randrange(1, 9))] for _ in range(60)]
    decode += [[rng.randrange(256) for _ in range(rng.randrange(1, 9))] for _ in range(60)]
    decode = [[x, tok.decode(x)] for x in decode]

    words = []
    samples = list(zip([code for code in SENTENCES for _ in (0, 1)], ids))
    samples += [("en", tok.encoding.encode_ordinary(t)) for t in ODD if len(t) < 60]
    samples += [
        (rng.choice(["en", "ja"]), tok.encoding.encode_ordinary(t)) for t in random_texts(rng, 60)
    ]
    samples += [
        (rng.choice(["en", "zh"]), [rng.randrange(256) for _ in range(8)]) for _ in range(40)
    ]
    samples += [
        (rng.choice(["en", "my"]), [rng.randrange(50256) for _ in range(8)]) for _ in range(40)
    ]
    for code, tokens in samples:
        tok.language = code if multilingual else None
        got, groups = tok.split_to_word_tokens(tokens + [tok.eot])
        if groups and groups[-1] == [
            tok.eot
        ]:  # ours has no text; bytes that are no text can lose it in the reference
            got[-1] = ""
        words.append([code, tokens + [tok.eot], got, [len(g) for g in groups]])
    tok.language = "en" if multilingual else None
    return {
        "n_vocab": tok.encoding.n_vocab,
        "specials": specials(tok),
        "non_speech": tok.non_speech_tokens,
        "encode": encode,
        "decode": decode,
        "words": words,
    }


def utf8_cases():
    rng = random.Random(11)
    raws = INVALID + random_bytes(rng, 300)
    return {
        "replace": [[raw.hex(), raw.decode("utf-8", "replace")] for raw in raws],
        "strip": [cp for cp in range(0x110000) if chr(cp).isspace()],
    }


def logit_row(seed, n_vocab, timestamp_begin, boost):
    """The same exact values in tests/unit/test_rules.c."""
    x = seed
    row = np.empty(n_vocab, dtype=np.float32)
    for i in range(n_vocab):
        x = (x * 1664525 + 1013904223) & 0xFFFFFFFF
        row[i] = ((x >> 16) % 2048) / 64 - 16 + (boost if i >= timestamp_begin else 0)
    return row


def ranges(mask):
    edges = np.flatnonzero(np.diff(np.concatenate([[0], mask.astype(np.int8), [0]])))
    return edges.reshape(-1, 2).tolist()


def rules_cases():
    vocabularies = [
        get_tokenizer(False),
        get_tokenizer(True, num_languages=99),
        get_tokenizer(True, num_languages=100),
    ]
    cases = []
    for which, tok in enumerate(vocabularies):
        t = tok.timestamp_begin
        samples = [[], [t], [t + 5], [t, 400], [t, 400, 500], [t, 400, t + 50], [t, 400, t + 50, t + 50], [400], [400, 500],
                   [400, t + 3], [t, 400, t + 50, t + 50, 700], [t, t], [t, 400, t + 1500], [t, 400, t + 1500, t + 1500, 8],
                   [t, tok.eot], [t, 400, t + 9, 500], [tok.no_timestamps, t + 1]]  # fmt: skip
        for k, sampled in enumerate(samples):
            for boost in (-30, -3.875, 0):
                if which == 2 and k % 4:
                    continue
                limit = [50, 0, None][k % 3] if not sampled else 50
                blank, timed = k % 5 != 4, (k, boost) not in {(0, -30), (6, 0), (13, 0)}
                suppressed = (
                    []
                    if k % 4 == 3
                    else [1, 2, 7, 220, 50256 if which else 50255, tok.sot, tok.no_speech]
                )
                row = logit_row(1 + k, tok.encoding.n_vocab, t, boost)
                logits = torch.from_numpy(row.copy())[None]
                tokens = torch.tensor([[tok.sot] + sampled])
                filters = [SuppressBlank(tok, 1)] if blank else []
                filters += [SuppressTokens(suppressed)] if suppressed else []
                filters += [ApplyTimestampRules(tok, 1, limit)] if timed else []
                for f in filters:
                    f.apply(logits, tokens)
                masked = torch.isneginf(logits[0]).numpy()
                assert (logits[0].numpy()[~masked] == row[~masked]).all()
                cases.append({"n_vocab": tok.encoding.n_vocab, "seed": 1 + k, "boost": boost, "sampled": sampled,
                              "blank": blank, "timestamps": timed, "limit": -1 if limit is None else limit,
                              "suppressed": suppressed, "masked": ranges(masked)})  # fmt: skip
    return {
        "specials": [{"n_vocab": tok.encoding.n_vocab} | specials(tok) for tok in vocabularies],
        "languages": list(LANGUAGES.items()),
        "aliases": list(TO_LANGUAGE_CODE.items()),
        "cases": cases,
    }


def write(name, data):
    text = json.dumps(data, ensure_ascii=True, separators=(",", ":"))
    for key in (
        '"encode":',
        '"decode":',
        '"words":',
        '"non_speech":',
        '"cases":',
        '"aliases":',
        '"strip":',
    ):
        text = text.replace(key, "\n" + key)
    OUT.mkdir(parents=True, exist_ok=True)
    (OUT / f"{name}.json").write_text(
        text.replace("],[", "],\n[").replace("},{", "},\n{") + "\n", encoding="ascii"
    )


if __name__ == "__main__":
    assert string.punctuation == r"""!"#$%&'()*+,-./:;<=>?@[\]^_`{|}~"""
    write("tokenizer_tiny.en", tokenizer_cases(False))
    write("tokenizer_base", tokenizer_cases(True))
    write("utf8", utf8_cases())
    write("rules", rules_cases())
