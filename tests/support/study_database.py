# SPDX-License-Identifier: MIT
"""A made-up study: its database, with the schema of `sotto study run`. Run as a program: study_database.py FILE"""

import json
import random
import sqlite3
import sys

SCHEMA = """
CREATE TABLE meta(key TEXT PRIMARY KEY, value TEXT);
CREATE TABLE sets(name TEXT PRIMARY KEY, path TEXT, utterances INT, audio_seconds REAL, reference_words INT);
CREATE TABLE utterances(set_name TEXT, id TEXT, speaker TEXT, language TEXT, seconds REAL, reference TEXT, words INT,
  characters INT, half TEXT, PRIMARY KEY(set_name, id));
CREATE TABLE configurations(id INTEGER PRIMARY KEY, model TEXT, spec TEXT, parameters INT, nonzero INT, bits INT,
  file_bytes INT, resident_bytes INT, shrink_seconds REAL, load_seconds REAL, shrink_report TEXT, error TEXT,
  UNIQUE(model, spec));
CREATE TABLE runs(configuration INT, set_name TEXT, finished INT, wall_seconds REAL, encoder_seconds REAL,
  decoder_seconds REAL, audio_seconds REAL, multiply_adds INT, encoder_multiply_adds INT, decoder_multiply_adds INT,
  decoder_steps INT, tokens INT, windows INT, peak_rss_bytes INT, energy_joules REAL, by_part TEXT,
  machine TEXT, build TEXT, cpu_seconds REAL, PRIMARY KEY(configuration, set_name));
CREATE TABLE speeds(configuration INT, set_name TEXT, machine TEXT, build TEXT, wall_seconds REAL, cpu_seconds REAL,
  audio_seconds REAL, PRIMARY KEY(configuration, set_name, machine));
CREATE TABLE results(configuration INT, set_name TEXT, utterance TEXT, text TEXT, words INT, substitutions INT,
  deletions INT, insertions INT, characters INT, character_edits INT, audio_seconds REAL,
  PRIMARY KEY(configuration, set_name, utterance));
"""

# tiny.en's and base's dimensions: width, layers, vocabulary
MODELS = {"tiny.en": (384, 4, 51864), "base": (512, 6, 51865)}
MACHINES = "a made-up machine", "another machine"  # the second heard the unshrunken models on dev only
AUDIO_POSITIONS, TEXT_POSITIONS, MELS = 1500, 448, 80


def tensors(model):
    """(name, part, shape) of every tensor, as openai-whisper stores them, norms and biases of blocks left out."""
    d, layers, vocabulary = MODELS[model]
    yield "encoder.conv1.weight", "conv", [d, MELS, 3]
    yield "encoder.conv1.bias", "conv", [d]
    yield "encoder.conv2.weight", "conv", [d, d, 3]
    yield "encoder.conv2.bias", "conv", [d]
    yield "encoder.positional_embedding", "encoder_positions", [AUDIO_POSITIONS, d]
    yield "decoder.token_embedding.weight", "token_embedding", [vocabulary, d]
    yield "decoder.positional_embedding", "decoder_positions", [TEXT_POSITIONS, d]
    for side in "encoder", "decoder":
        for layer in range(layers):
            for kind, part in (("attn", "attention"), ("cross_attn", "cross_attention")):
                if kind == "cross_attn" and side == "encoder":
                    continue
                name = f"{side}_{'self_' if side == 'decoder' and kind == 'attn' else ''}{part}"
                for one in "query", "key", "value", "out":
                    yield f"{side}.blocks.{layer}.{kind}.{one}.weight", name, [d, d]
            yield f"{side}.blocks.{layer}.mlp.0.weight", f"{side}_mlp", [4 * d, d]
            yield f"{side}.blocks.{layer}.mlp.2.weight", f"{side}_mlp", [d, 4 * d]


def size(shape):
    product = 1
    for n in shape:
        product *= n
    return product


def specs(model):
    """(spec, parameters kept, non-zero of those, bits a parameter, more errors: shares) in made-up proportions."""
    layers = MODELS[model][1]
    yield "none", 1, 1, 16, 0
    for bits, harm in ((8, 0.0), (6, 0.001), (5, 0.004), (4, 0.012), (3, 0.09), (2, 0.6)):
        yield f"int{bits}:g64", 1, 1, bits + 0.25, harm
        yield f"vocab=en,int{bits}:g64:gptq", 0.8, 1, bits + 0.25, 0.6 * harm
    for share, harm in ((0.1, 0.002), (0.3, 0.02), (0.5, 0.3)):
        yield f"prune={share}:wanda", 1, 1 - share, 16, harm
    yield "vocab=en", 0.8, 1, 16, 0.0005
    yield "rank=0.5", 0.7, 1, 16, 0.08
    yield "ctx=1000", 0.99, 1, 16, 0.004
    for k in range(1, layers):
        yield f"layers=dec:-{k}", 1 - 0.04 * k, 1, 16, 0.05 * k * k
        yield f"layers=enc:-{k}", 1 - 0.03 * k, 1, 16, 0.2 * k
    for layer in range(layers):
        yield f"layers=enc:drop={layer}", 0.97, 1, 16, 0.2 + 0.1 * abs(layer - 2)
        yield f"layers=dec:drop={layer}", 0.96, 1, 16, 0.03 * (layer + 1)
        for side in "encoder", "decoder":
            for part in "attention", "mlp":
                yield f"int3:g64@{side}.{layer}.{part}", 1, 1, 15.5, 0.004 * (layer + 1) + 0.002 * (part == "mlp")
                yield f"prune=0.5@{side}.{layer}.{part}", 1, 0.97, 16, 0.008 * (layer + 1)
    yield "int3:g64@embedding", 1, 1, 9, 0.03
    yield "int3:g64@conv", 1, 1, 15.9, 0.006
    yield "int3:g64@rare", 1, 1, 12, 0.001


def of(name, bits, spec):
    """Bits a value of a tensor: 16 where the spec does not round it. Half the embedding has 3 bits with "@rare"."""
    method, _, scope = spec.partition("@")
    if not method.startswith("int"):
        return 16
    few = int(method[3]) + 0.25
    if scope == "rare":
        return (16 + few) / 2 if "token_embedding" in name else 16
    words = {"embedding": "token_embedding", "attention": ".attn", "mlp": ".mlp", "cross": "cross"}
    return few if all(words.get(w, w) in name.replace(".blocks", "") for w in scope.split(".") if w) else 16


def recordings(rng):
    """set -> [(id, speaker, language, seconds, words, characters, half)]"""
    dev = []
    for k, speaker in enumerate((1998, 2033, 2609, 3005, 3331)):  # of LibriSpeech test-other
        dev += [(f"{speaker}-15444-{i:04}", str(speaker), "choose" if k % 2 else "report") for i in range(10)]
    dev += [(f"{s}-121119-0000", str(s), "choose" if s % 2 else "report") for s in range(9001, 9041)]
    dev += [(f"LJ001-{i:04}", "LJ", "choose") for i in range(1, 16)]
    noises = [f"{noise}_snr{snr}" for noise in ("babble", "fan") for snr in (10, 5, 0)]
    noisy = [(f"{id}_{noises[i % 6]}", speaker, half) for i, (id, speaker, half) in enumerate(dev[:50])]
    for name, rows in (("dev", dev), ("noisy", noisy)):
        out = []
        for id, speaker, half in rows:
            words = rng.randint(6, 40)
            out.append((id, speaker, "en", words / 2.5, words, 5 * words, half))
        yield name, out


def fill(path, seed=1, chosen=None):
    """Writes the database. `chosen`: spec -> bool, to leave some out."""
    rng = random.Random(seed)
    db = sqlite3.connect(path)
    db.executescript(SCHEMA)
    db.executemany("INSERT INTO meta VALUES(?,?)", [("schema_version", "2"), ("plan", "made up"), ("seed", "1"),
                                                   ("machine", MACHINES[0]), ("sotto_version", "0.0")])  # fmt: skip
    sets = dict(recordings(rng))
    for name, rows in sets.items():
        db.execute("INSERT INTO sets VALUES(?,?,?,?,?)",
                   (name, name, len(rows), sum(r[3] for r in rows), sum(r[4] for r in rows)))  # fmt: skip
        db.executemany("INSERT INTO utterances VALUES(?,?,?,?,?,'',?,?,?)", [(name, *r) for r in rows])
    number = 0
    for model in MODELS:
        whole = [(name, part, shape, size(shape)) for name, part, shape in tensors(model)]
        total = sum(n for *_, n in whole)
        for spec, kept, dense, bits, harm in specs(model):
            if chosen and not chosen(spec):
                continue
            number += 1
            parameters = round(total * kept)
            nonzero = round(parameters * dense)
            report = {"spec": spec, "tensors": [{"name": n, "part": p, "shape": s, "parameters": k, "nonzero": k, "bits": round(of(n, bits, spec) * k), "bytes": round(of(n, bits, spec) * k / 8)}
                                                for n, p, s, k in whole]}  # fmt: skip
            db.execute("INSERT INTO configurations VALUES(?,?,?,?,?,?,?,?,?,?,?,NULL)",
                       (number, model, spec, parameters, nonzero, round(bits * parameters), round(bits * parameters / 8 * dense) + 9000,
                        4 * parameters, 1.5, 0.02, json.dumps(report)))  # fmt: skip
            for set_name, rows in sets.items():
                run(db, rng, number, set_name, rows, whole, spec, kept, 0.05 + 0.1 * (set_name == "noisy") - 0.01 * (model == "base") + harm)
    db.execute("INSERT INTO configurations(id, model, spec, error) VALUES(?,?,?,?)",
               (number + 1, "base", "rank=7", "rank=7: a share between 0 and 1 was expected"))  # fmt: skip
    db.commit()
    db.close()


def run(db, rng, number, set_name, rows, whole, spec, kept, rate):
    seconds = sum(r[3] for r in rows)
    steps = round(3 * seconds)
    by_part = {}
    for _, part, _, n in whole:
        one = by_part.setdefault(part, {"parameters": 0, "multiply_adds": 0})
        one["parameters"] += n
        one["multiply_adds"] += round(n * (seconds * 50 if part == "conv" or part.startswith("encoder") else steps) * kept)
    encoder = sum(v["multiply_adds"] for k, v in by_part.items() if k == "conv" or k.startswith("encoder"))
    decoder = sum(v["multiply_adds"] for v in by_part.values()) - encoder
    mix = encoder // 5
    wall = seconds / rng.uniform(40, 60)
    db.execute("INSERT INTO runs VALUES(?,?,1,?,?,?,?,?,?,?,?,?,?,?,NULL,?,?,'made up',?)",
               (number, set_name, wall, 1.0, 2.0, seconds, encoder + mix + decoder, encoder + mix, decoder,
                steps, steps - 5, len(rows), 200_000_000, json.dumps(by_part), MACHINES[spec == "int4:g64" or "layers" in spec], 1.9 * wall))  # fmt: skip
    if spec == "none" and set_name == "dev":
        db.execute("INSERT INTO speeds VALUES(?,?,?,'made up',?,?,?)", (number, set_name, MACHINES[1], 2 * wall, 3 * wall, seconds))
    for id, _, _, s, words, characters, _ in rows:
        wrong = sum(rng.random() < rate for _ in range(words))
        substitutions = rng.randint(0, wrong)
        deletions = rng.randint(0, wrong - substitutions)
        db.execute("INSERT INTO results VALUES(?,?,?,'',?,?,?,?,?,?,?)",
                   (number, set_name, id, words, substitutions, deletions, wrong - substitutions - deletions, characters, 2 * wrong, s))  # fmt: skip


def to_version_1(db):
    """The database as the first version had it: one machine, in meta."""
    for column in "machine", "build", "cpu_seconds":
        db.execute(f"ALTER TABLE runs DROP COLUMN {column}")
    db.execute("DROP TABLE speeds")
    db.execute("UPDATE meta SET value = '1' WHERE key = 'schema_version'")


if __name__ == "__main__":
    fill(sys.argv[1])
