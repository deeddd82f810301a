"""What somebody's own files, models and options can get wrong, and the words in which they are told so."""

from __future__ import annotations

import json

GOOD = [{"prompt": f"Question {i}?"} for i in range(30)]
PAIRS = [{"prompt": f"Question {i}?", "chosen": "Yes.", "rejected": "No."} for i in range(30)]


def lines(*rows, at: int = 3) -> str:
    """Good prompts with wrong ones among them, the first on line `at`."""
    whole = [*GOOD[: at - 1], *rows, *GOOD[at - 1 :]]
    return "\n".join(row if isinstance(row, str) else json.dumps(row) for row in whole)


def say(role: str, content: object) -> dict:
    return {"role": role, "content": content}


def _folder(path):
    path.mkdir()
    (path / "x.txt").write_text("x")


def _no_train_split(path):
    import datasets

    each = datasets.Dataset.from_list(GOOD)
    datasets.DatasetDict({"one": each, "two": each}).save_to_disk(path)


def _parquet_of_numbers(path):
    import pandas as pd

    pd.DataFrame({"prompt": [1.5] * 30}).to_parquet(path)


CSV = "prompt,answer\n" + "".join(f"Question {i}?,a\n" for i in range(30))

# (files, options, words)
PROMPTS = {
    "no JSON": ({"p.jsonl": lines("{oops")}, {}, ["p.jsonl line 3: is not JSON", "column 2", "bad_lines=skip"]),
    "two objects on a line": ({"p.jsonl": lines('{"prompt": "a"} {}')}, {}, ["line 3", "not JSON", "extra data"]),
    "a list for an object": ({"p.jsonl": lines(["x"])}, {}, ["line 3: holds a list; allowed is an object"]),
    "a text for an object": ({"p.jsonl": lines('"x"')}, {}, ["line 3: holds a text; allowed is an object"]),
    "nothing for an object": ({"p.jsonl": lines("null")}, {}, ["line 3: holds nothing"]),
    "nested too deeply": ({"p.jsonl": lines("[" * 100_000)}, {}, ["line 3: is nested too deeply"]),
    "missing field": ({"p.jsonl": lines({"text": "x"})}, {}, ["line 3: field prompt: missing; there are text"]),
    "no field": ({"p.jsonl": lines({})}, {}, ["line 3: field prompt: missing; there are none"]),
    "other field asked for": ({"p.jsonl": lines()}, {"prompt_field": "question"}, ["field question: missing"]),
    "null": ({"p.jsonl": lines({"prompt": None})}, {}, ["line 3: field prompt: is empty"]),
    "nan": ({"p.jsonl": lines('{"prompt": NaN}')}, {}, ["line 3: field prompt: is empty"]),
    "number": ({"p.jsonl": lines({"prompt": 3})}, {}, ["line 3: field prompt: holds a number; allowed is a text"]),
    "truth": ({"p.jsonl": lines({"prompt": True})}, {}, ["line 3: field prompt: holds true or false"]),
    "object": ({"p.jsonl": lines({"prompt": {"a": 1}})}, {}, ["line 3: field prompt: holds an object"]),
    "empty text": ({"p.jsonl": lines({"prompt": ""})}, {}, ["line 3: field prompt: is empty"]),
    "blank text": ({"p.jsonl": lines({"prompt": " \n\u3000"})}, {}, ["line 3: field prompt: is empty"]),
    "half a surrogate pair": ({"p.jsonl": lines({"prompt": "ab\ud83d"})}, {}, ["line 3", "prompt", "character 3"]),
    "null character": ({"p.jsonl": lines({"prompt": "a\0b"})}, {}, ["line 3: field prompt: holds a null character"]),
    "no UTF-8": ({"p.jsonl": lines("#").encode().replace(b"#", b'{"\xff"}')}, {}, ["line 3: is not UTF-8", "byte 3"]),
    "UTF-16": ({"p.jsonl": lines().encode("utf-16")}, {}, ["line 1: is not UTF-8"]),
    "JSON list that ends early": ({"p.json": "[" + json.dumps(GOOD[0]) + ",\n"}, {}, ["p.json line 2: is not JSON"]),
    "JSON list with a number": ({"p.json": json.dumps([*GOOD, 7])}, {}, ["p.json item 31: holds a number"]),
    "JSON no UTF-8": ({"p.json": b'[{"prompt":\n "\xe9"}]'}, {}, ["p.json line 2: is not UTF-8"]),
    "CSV row with a missing field": ({"p.csv": CSV + "alone\n"}, {}, ["p.csv line 32: has 1 fields, the header 2"]),
    "CSV row with a field too many": ({"p.csv": CSV + "a,b,c\n"}, {}, ["p.csv line 32: has 3 fields, the header 2"]),
    "CSV without a header": ({"p.csv": "\n" + CSV}, {}, ["p.csv: has no header"]),
    "CSV that names a field twice": ({"p.csv": "prompt,prompt\na,b\n"}, {}, ["p.csv line 1: names field prompt twice"]),
    "CSV with an open quote": ({"p.csv": CSV + '"open,a\n'}, {}, ["p.csv line 32: is not CSV (unexpected"]),
    "CSV with text behind a quote": ({"p.csv": CSV + '"a"b,c\n'}, {}, ["p.csv line 32: is not CSV"]),
    "CSV without the field": ({"p.csv": CSV.replace("prompt", "q")}, {}, ["line 2: field prompt: missing", "q, a"]),
    "CSV with an empty field": ({"p.csv": CSV + ",a\n"}, {}, ["p.csv line 32: field prompt: is empty"]),
    "CSV no UTF-8": ({"p.csv": CSV.encode() + b"caf\xe9,a\n"}, {}, ["p.csv line 32: is not UTF-8"]),
    "TSV with commas": ({"p.tsv": CSV}, {}, ["p.tsv line 2: field prompt: missing; there are prompt,answer"]),
    "text no UTF-8": ({"p.txt": b"one\ntwo\n\xff\n"}, {}, ["p.txt line 3: is not UTF-8"]),
    "Parquet that is none": ({"p.parquet": "PAR1 or so"}, {}, ["p.parquet: is not Parquet"]),
    "Parquet of numbers": ({"p.parquet": _parquet_of_numbers}, {}, ["p.parquet row 1: field prompt: holds a number"]),
    "unknown ending": ({"p.xlsx": "x"}, {}, ["prompts=", "p.xlsx: unknown kind .xlsx", ".jsonl, .json, .csv"]),
    "no ending": ({"prompts": "x"}, {}, ["unknown kind (no ending)"]),
    "missing file": ({}, {}, ["prompts=absent: no such file or folder"]),
    "empty file": ({"p.jsonl": ""}, {}, ["prompts=p.jsonl: holds no prompt"]),
    "empty CSV": ({"p.csv": ""}, {}, ["p.csv: has no header"]),
    "blank lines only": ({"p.txt": "\n \n\n"}, {}, ["prompts=p.txt: holds no prompt"]),
    "only bad rows": ({"p.jsonl": "{\n{\n"}, {"bad_lines": "skip"}, ["2 bad rows", "first: p.jsonl line 1"]),
    "a folder that is no dataset": ({"folder": _folder}, {}, ["folder: is no folder saved by datasets"]),
    "a dataset without train": ({"folder": _no_train_split}, {}, ["holds the splits one, two, none called"]),
    "messages with a wrong role": (
        {"p.jsonl": lines({"prompt": [say("user", "x"), say("bot", "y")]})}, {},
        ["line 3: field prompt, message 2: has the role 'bot'; allowed are system, user, assistant"],
    ),
    "message without content": ({"p.jsonl": lines({"prompt": [{"role": "user"}]})}, {}, ["message 1: needs role and"]),
    "message with a list as content": (
        {"p.jsonl": lines({"prompt": [say("user", [{"type": "text", "text": "x"}])]})}, {},
        ["line 3: field prompt, message 1: has no text as its content"],
    ),
    "message with a list as role": ({"p.jsonl": lines({"prompt": [say([], "x")]})}, {}, ["message 1: has the role []"]),
    "message that is a text": ({"p.jsonl": lines({"prompt": ["x"]})}, {}, ["line 3", "message 1: needs role and"]),
    "no messages": ({"p.jsonl": lines({"prompt": []})}, {}, ["line 3: field prompt: holds no message"]),
    "messages that end with the assistant": (
        {"p.jsonl": lines({"prompt": [say("user", "x"), say("assistant", "y")]})}, {},
        ["line 3: field prompt: ends with the assistant's turn; a prompt ends with the user's"],
    ),
    "such messages as a text": (
        {"p.jsonl": lines({"prompt": json.dumps([say("assistant", "y")])})}, {}, ["line 3", "ends with the assistant"],
    ),
    "too few prompts": (
        {"p.txt": "\n".join(f"q{i}" for i in range(16))}, {},
        ["16 distinct ones, and curve_prompts=8 and audit_prompts=8 leave none"],
    ),
    "too few distinct prompts": ({"p.txt": "the same\n" * 50}, {}, ["1 distinct ones"]),
    "all too long": (
        {"p.jsonl": lines()}, {"max_prompt_tokens": "2", "long_prompts": "skip"},
        ["all 30 are longer than max_prompt_tokens=2"],
    ),
    "one too long where these end the study": (
        {"p.jsonl": lines({"prompt": "long " * 300})}, {"long_prompts": "stop"},
        ["more than max_prompt_tokens=256", "'long long", "long_prompts=cut or skip"],
    ),
}  # fmt: skip

ASKED = [say("user", "x")]
# (rows, words)
PREFERENCES = {
    "missing chosen": ([PAIRS[0], {"prompt": "x", "rejected": "n"}], ["c.jsonl line 2: field chosen: missing"]),
    "missing prompt": ([PAIRS[0], {"chosen": "y", "rejected": "n"}], ["c.jsonl line 2: field prompt: missing"]),
    "null": ([{**PAIRS[0], "rejected": None}], ["line 1: field rejected: is empty"]),
    "number": ([{**PAIRS[0], "chosen": 1}], ["line 1: field chosen: holds a number; allowed is a text or a list"]),
    "equal sides": ([*PAIRS[:4], {**PAIRS[0], "chosen": "No."}], ["line 5: fields chosen and rejected: are equal"]),
    "blank prompt": ([{**PAIRS[0], "prompt": " "}], ["line 1: field prompt: is empty"]),
    "null character": ([{**PAIRS[0], "chosen": "a\0"}], ["line 1: field chosen: holds a null character"]),
    "half a surrogate pair": ([{**PAIRS[0], "rejected": "\udc00"}], ["line 1: field rejected: holds half a surrogate"]),
    "two messages beside a prompt": (
        [{"prompt": "x", "chosen": [say("user", "x"), say("assistant", "y")], "rejected": [say("assistant", "n")]}],
        ["line 1: field chosen: beside a prompt it must hold one message of the assistant's"],
    ),
    "a response of the user's": (
        [{"prompt": "x", "chosen": [say("assistant", "y")], "rejected": [say("user", "n")]}],
        ["line 1: field rejected: beside a prompt"],
    ),
    "a prompt that ends with the assistant": (
        [{"prompt": [*ASKED, say("assistant", "y")], "chosen": "y", "rejected": "n"}], ["field prompt: ends with"],
    ),
    "conversations that differ early": (
        [{"chosen": [*ASKED, say("assistant", "y")], "rejected": [say("user", "z"), say("assistant", "n")]}],
        ["line 1: fields chosen and rejected: differ before the assistant's last turn"],
    ),
    "a conversation that ends with the user": (
        [{"chosen": [*ASKED, say("assistant", "y"), say("user", "z")], "rejected": [*ASKED, say("assistant", "n")]}],
        ["line 1: field chosen: must end with the assistant's turn"],
    ),
    "a conversation without a question": (
        [{"chosen": [say("assistant", "y")], "rejected": [say("assistant", "n")]}], ["line 1: field chosen: must end"],
    ),
    "a conversation beside a text": (
        [{"chosen": [*ASKED, say("assistant", "y")], "rejected": "n"}], ["line 1: field prompt: missing"],
    ),
    "too few": (PAIRS, ["c.jsonl: must hold at least 64 comparisons of 20 prompts", "and holds 30 of 30"]),
    "many of few prompts": (
        [{**PAIRS[i % 5], "chosen": f"Yes {i}."} for i in range(100)], ["and holds 100 of 5"],
    ),
    "empty file": ("", ["preferences=c.jsonl: holds no comparison"]),
    "no JSON": ("{", ["c.jsonl line 1: is not JSON"]),
}  # fmt: skip

# (option, value, words)
CHECKPOINTS = {
    "missing policy": ("policy", "./nowhere", ["is no folder"]),
    "a file for a policy": ("policy", "{models}/a-file", ["is no folder"]),
    "an empty folder": ("policy", "{models}/empty", ["no model there"]),
    "no config": ("policy", "{models}/no-config", ["no model there"]),
    "corrupt config": ("policy", "{models}/corrupt-config", ["no model there"]),
    "config without a model type": ("policy", "{models}/no-model-type", ["no model there"]),
    "unknown model type": ("policy", "{models}/unknown-model", ["no model there", "perceptron"]),
    "no tokenizer": ("policy", "{models}/no-tokenizer", ["no tokenizer there"]),
    "corrupt tokenizer": ("policy", "{models}/corrupt-tokenizer", ["no tokenizer there"]),
    "no end-of-sequence": ("policy", "{models}/no-eos", ["no end-of-sequence token; set eos_token"]),
    "a tokenizer larger than the embeddings": ("policy", "{models}/small-embeddings", ["tokens, its model", "resize"]),
    "a reward model for a policy": ("policy", "{models}/gold", ["is a reward model; a policy is a causal"]),
    "missing gold": ("gold", "./nowhere", ["is no folder"]),
    "a language model for gold": ("gold", "{models}/policy", ["is a language model; give a reward model"]),
    "gold of two labels": ("gold", "{models}/two-labels", ["has 2 labels; a reward model has 1 (num_labels=1)"]),
    "gold without a tokenizer": ("gold", "{models}/no-gold-tokenizer", ["no tokenizer there"]),
    "a proxy of two labels": ("rm_sizes", "{models}/two-labels", ["has 2 labels"]),
    "a missing proxy": ("rm_size", "./nowhere", ["is no folder"]),
    "a missing proxy of the search": ("search_rm_sizes", "./nowhere", ["is no folder"]),
    "a missing test RM": ("test_rms", "./nowhere", ["is no folder"]),
}

# (content of mine.py, value of gold, words)
FUNCTIONS = {
    "no such module": ("", "no_such_module:f", ["cannot be imported (ModuleNotFoundError", "package.module:function"]),
    "no such attribute": ("x = 1", "mine:f", ["mine has no f"]),
    "not callable": ("f = 3", "mine:f", ["is a int; give a function of (prompts, responses)"]),
    "a module that is no Python": ("def f(:", "mine:f", ["cannot be imported (SyntaxError"]),
    "a module that fails": ("import os\n{}['key']", "mine:f", ["cannot be imported (KeyError: 'key')"]),
    "a module that lacks another": ("import nowhere_to_be_found", "mine:f", ["No module named 'nowhere_to_be_found'"]),
    "a module whose own attribute is missing": (
        "import os\nos.no_such", "mine:f", ["cannot be imported (AttributeError", "no_such"],
    ),
}  # fmt: skip

# (options, words)
CONFIGURATION = {
    "no policy": ({"policy": None}, ["policy=", "must be a checkpoint (./FOLDER or OWNER/NAME) when world=files"]),
    "no prompts": ({"prompts": None}, ["prompts=", "must be a file when world=files and preferences is empty"]),
    "gold trained": ({"gold": "trained"}, ["gold=trained", "PACKAGE.MODULE:FUNCTION or none when world=files"]),
    "gold not said": ({"gold": None}, ["gold=trained"]),
    "gold of no form": ({"gold": "mine"}, ["gold=mine", "trained, none, a checkpoint"]),
    "gold of two colons": ({"gold": "a:b:c"}, ["gold=a:b:c", "PACKAGE.MODULE:FUNCTION"]),
    "gold with an empty name": ({"gold": "mine:"}, ["gold=mine:", "PACKAGE.MODULE:FUNCTION"]),
    "no gold and no comparisons": ({"gold": "none"}, ["preferences=", "must be a file when world=files and gold=none"]),
    "no gold and several rounds": (
        {"gold": "none", "preferences": "{models}/preferences.jsonl", "rounds": "2"},
        ["rounds=2", "must be 1 when gold=none"],
    ),
    "comparisons in the embedded world": (
        {"world": "helpdesk", "policy": None, "prompts": None, "gold": None, "preferences": "c.jsonl"},
        ["preferences=c.jsonl", "must be empty when world=helpdesk", "use world=files"],
    ),
    "prompts in the embedded world": (
        {"world": "helpdesk", "policy": None, "gold": None},
        ["prompts=", "must be empty when world=helpdesk", "use world=files"],
    ),
    "policy in the embedded world": (
        {"world": "helpdesk", "prompts": None, "gold": None},
        ["policy=", "must be empty when world=helpdesk", "use world=files"],
    ),
    "a test RM that plays gold already": (
        {
            "gold": "none", "preferences": "{models}/preferences.jsonl", "gold_size": "13k", "test_rms": "same",
            "rm_size": "13k",
        },
        ["test_rms=same", "must not include gold_size=13k when gold=none"],
    ),
    "two fields of a comparison": ({"preference_fields": "chosen,rejected"}, ["preference_fields", "three names"]),
    "another policy for reward models": (
        {"rm_policy_size": "25k"},
        ["rm_policy_size=25k: must be 'same' when world=files. Remove the option or use world=helpdesk."],
    ),
    "gold_size a checkpoint beside gold": ({"gold_size": "{models}/gold"}, ["gold_size=", "unless world=files"]),
    "unknown rule for long prompts": ({"long_prompts": "drop"}, ["long_prompts=drop", "cut, skip, stop"]),
    "unknown rule for bad lines": ({"bad_lines": "ignore"}, ["bad_lines=ignore", "stop, skip"]),
    "no tokens for a prompt": ({"max_prompt_tokens": "0"}, ["max_prompt_tokens=0", "at least 1"]),
    "no tokens for a response": ({"max_response_tokens": "0"}, ["max_response_tokens=0", "at least 1"]),
}  # fmt: skip
