"""Mistakes in a user's files, models and options, and words of the messages that report them."""

from __future__ import annotations

import gzip
import json

GOOD = [{"prompt": f"Question {i}?"} for i in range(30)]
PAIRS = [{"prompt": f"Question {i}?", "chosen": "Yes.", "rejected": "No."} for i in range(30)]


def lines(*rows, at: int = 3) -> str:
    """Valid prompts with invalid ones among them, the first on line `at`."""
    whole = [*GOOD[: at - 1], *rows, *GOOD[at - 1 :]]
    return "\n".join(row if isinstance(row, str) else json.dumps(row) for row in whole)


def msg(role: str, content: object) -> dict:
    return {"role": role, "content": content}


def _folder(path):
    path.mkdir()
    (path / "x.bin").write_text("x")


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
    "no JSON": ({"p.jsonl": lines("{oops")}, {}, ["p.jsonl line 3: must be JSON", "column 2", "bad_lines=skip"]),
    "two objects on a line": ({"p.jsonl": lines('{"prompt": "a"} {}')}, {}, ["line 3", "must be JSON", "extra data"]),
    "a list for an object": ({"p.jsonl": lines(["x"])}, {}, ["line 3: must be an object with fields, not a list"]),
    "a text for an object": ({"p.jsonl": lines('"x"')}, {}, ["line 3: must be an object with fields, not a text"]),
    "nothing for an object": ({"p.jsonl": lines("null")}, {}, ["line 3: must be an object with fields, not nothing"]),
    "nested too deeply": ({"p.jsonl": lines("[" * 100_000)}, {}, ["line 3: must not be nested so deeply"]),
    "missing field": ({"p.jsonl": lines({"text": "x"})}, {}, ["line 3: field prompt is missing; the row has text"]),
    "no field": ({"p.jsonl": lines({})}, {}, ["line 3: field prompt is missing; the row has no fields"]),
    "another field": ({"p.jsonl": lines()}, {"prompt_field": "question"}, ["field question is missing"]),
    "null": ({"p.jsonl": lines({"prompt": None})}, {}, ["line 3: field prompt must not be empty"]),
    "nan": ({"p.jsonl": lines('{"prompt": NaN}')}, {}, ["line 3: field prompt must not be empty"]),
    "number": ({"p.jsonl": lines({"prompt": 3})}, {}, ["line 3: field prompt must be a text, not a number"]),
    "truth": ({"p.jsonl": lines({"prompt": True})}, {}, ["line 3: field prompt must be a text, not true or false"]),
    "object": ({"p.jsonl": lines({"prompt": {"a": 1}})}, {}, ["line 3: field prompt must be a text, not an object"]),
    "empty text": ({"p.jsonl": lines({"prompt": ""})}, {}, ["line 3: field prompt must not be empty"]),
    "blank text": ({"p.jsonl": lines({"prompt": " \n\u3000"})}, {}, ["line 3: field prompt must not be empty"]),
    "half a surrogate pair": ({"p.jsonl": lines({"prompt": "ab\ud83d"})}, {}, ["line 3", "prompt", "character 3"]),
    "null character": (
        {"p.jsonl": lines({"prompt": "a\0b"})},
        {},
        ["line 3: field prompt must not contain a null character"],
    ),
    "no UTF-8": ({"p.jsonl": lines("#").encode().replace(b"#", b'{"\xff"}')}, {}, ["line 3: must be UTF-8", "byte 3"]),
    "UTF-16": ({"p.jsonl": lines().encode("utf-16")}, {}, ["line 1: must be UTF-8"]),
    "JSON list that ends early": ({"p.json": "[" + json.dumps(GOOD[0]) + ",\n"}, {}, ["p.json line 2: must be JSON"]),
    "JSON list with a number": (
        {"p.json": json.dumps([*GOOD, 7])},
        {},
        ["p.json item 31: must be an object with fields, not a number"],
    ),
    "JSON no UTF-8": ({"p.json": b'[{"prompt":\n "\xe9"}]'}, {}, ["p.json line 2: must be UTF-8"]),
    "CSV row with a missing field": (
        {"p.csv": CSV + "alone\n"},
        {},
        ["p.csv line 32: must have the 2 fields of the header, not 1"],
    ),
    "CSV row with a field too many": (
        {"p.csv": CSV + "a,b,c\n"},
        {},
        ["p.csv line 32: must have the 2 fields of the header, not 3"],
    ),
    "CSV without a header": ({"p.csv": "\n" + CSV}, {}, ["p.csv: must start with a line that names the fields"]),
    "CSV that names a field twice": (
        {"p.csv": "prompt,prompt\na,b\n"},
        {},
        ["p.csv line 1: must name each field once", "prompt twice"],
    ),
    "CSV with an open quote": ({"p.csv": CSV + '"open,a\n'}, {}, ["p.csv line 32: must be CSV (unexpected"]),
    "CSV with text behind a quote": ({"p.csv": CSV + '"a"b,c\n'}, {}, ["p.csv line 32: must be CSV"]),
    "CSV without the field": ({"p.csv": CSV.replace("prompt", "q")}, {}, ["line 2: field prompt is missing", "q, a"]),
    "CSV with an empty field": ({"p.csv": CSV + ",a\n"}, {}, ["p.csv line 32: field prompt must not be empty"]),
    "CSV no UTF-8": ({"p.csv": CSV.encode() + b"caf\xe9,a\n"}, {}, ["p.csv line 32: must be UTF-8"]),
    "TSV with commas": ({"p.tsv": CSV}, {}, ["p.tsv line 2: field prompt is missing; the row has prompt,answer"]),
    "text no UTF-8": ({"p.txt": b"one\ntwo\n\xff\n"}, {}, ["p.txt line 3: must be UTF-8"]),
    "Parquet that is none": ({"p.parquet": "PAR1 or so"}, {}, ["p.parquet: must be Parquet"]),
    "Parquet of numbers": (
        {"p.parquet": _parquet_of_numbers},
        {},
        ["p.parquet row 1: field prompt must be a text, not a number"],
    ),
    "unknown ending": ({"p.xlsx": "x"}, {}, ["prompts=", "p.xlsx: must be .jsonl, .json, .csv"]),
    "no ending": ({"prompts": "x"}, {}, ["prompts: must be .jsonl, .json"]),
    "missing file": ({}, {}, ["prompts=absent: must be an existing file or folder"]),
    "empty file": ({"p.jsonl": ""}, {}, ["prompts=p.jsonl: must contain a prompt"]),
    "empty CSV": ({"p.csv": ""}, {}, ["p.csv: must start with a line that names the fields"]),
    "blank lines only": ({"p.txt": "\n \n\n"}, {}, ["prompts=p.txt: must contain a prompt"]),
    "only bad rows": (
        {"p.jsonl": "{\n{\n"},
        {"bad_lines": "skip"},
        ["2 invalid rows were skipped, the first: p.jsonl line 1"],
    ),
    "a folder that is no dataset": ({"folder": _folder}, {}, ["folder: must be a folder saved by datasets"]),
    "a dataset without train": ({"folder": _no_train_split}, {}, ["must have a split train, not one, two"]),
    "messages with a wrong role": (
        {"p.jsonl": lines({"prompt": [msg("user", "x"), msg("bot", "y")]})},
        {},
        ["line 3: field prompt, message 2 must have the role system, user or assistant, not 'bot'"],
    ),
    "message without content": (
        {"p.jsonl": lines({"prompt": [{"role": "user"}]})},
        {},
        ["message 1 must have role and content"],
    ),
    "message with an image": (
        {"p.jsonl": lines({"prompt": [msg("user", [{"type": "text", "text": "x"}, {"type": "image_url"}])]})},
        {},
        ["line 3: field prompt, message 1 must have parts of the type text alone, not image_url"],
    ),
    "message with a number as content": (
        {"p.jsonl": lines({"prompt": [msg("user", 3)]})},
        {},
        ["line 3: field prompt, message 1 must have a text as content, not a number"],
    ),
    "messages in a cell that are neither JSON nor Python": (
        {"p.jsonl": lines({"prompt": "[{'role': 'user', 'content': 'x' y}]"})},
        {},
        ["line 3: field prompt looks like messages, but is neither JSON nor Python's"],
    ),
    "half a gzip file": (
        {"p.jsonl.gz": gzip.compress(lines().encode())[:-20]},
        {},
        ["p.jsonl.gz: must be a whole gzip file"],
    ),
    "no gzip file": ({"p.csv.gz": CSV}, {}, ["p.csv.gz: must be a whole gzip file"]),
    "Arrow that is none": ({"p.arrow": "ARROW1 or so"}, {}, ["p.arrow: must be an Arrow file"]),
    "a number too long for JSON": ({"p.jsonl": lines('{"prompt": ' + "9" * 5000 + "}")}, {}, ["line 3: must be JSON"]),
    "message with a list as role": (
        {"p.jsonl": lines({"prompt": [msg([], "x")]})},
        {},
        ["message 1 must have the role", "not []"],
    ),
    "message that is a text": (
        {"p.jsonl": lines({"prompt": ["x"]})},
        {},
        ["line 3", "message 1 must have role and content"],
    ),
    "no messages": ({"p.jsonl": lines({"prompt": []})}, {}, ["line 3: field prompt must be a list of messages"]),
    "messages that end with the assistant": (
        {"p.jsonl": lines({"prompt": [msg("user", "x"), msg("assistant", "y")]})},
        {},
        ["line 3: field prompt must end with the user's turn, not with the assistant's"],
    ),
    "such messages as a text": (
        {"p.jsonl": lines({"prompt": json.dumps([msg("assistant", "y")])})},
        {},
        ["line 3", "not with the assistant's"],
    ),
    "too few prompts": (
        {"p.txt": "\n".join(f"q{i}" for i in range(16))},
        {},
        ["more than 16 distinct prompts with curve_prompts=8 and audit_prompts=8, but there are 16"],
    ),
    "too few distinct prompts": ({"p.txt": "the same\n" * 50}, {}, ["but there are 1."]),
    "all too long": (
        {"p.jsonl": lines()},
        {"max_prompt_tokens": "2", "long_prompts": "skip"},
        ["at most max_prompt_tokens=2 tokens, but all 30 have more"],
    ),
    "one too long where these end the study": (
        {"p.jsonl": lines({"prompt": "long " * 300})},
        {"long_prompts": "stop"},
        ["at most max_prompt_tokens=256", "'long long", "long_prompts=cut or skip"],
    ),
}

USER_TURN = [msg("user", "x")]
# (rows, words)
PREFERENCES = {
    "missing chosen": ([PAIRS[0], {"prompt": "x", "rejected": "n"}], ["c.jsonl line 2: field chosen is missing"]),
    "missing prompt": ([PAIRS[0], {"chosen": "y", "rejected": "n"}], ["c.jsonl line 2: field prompt is missing"]),
    "null": ([{**PAIRS[0], "rejected": None}], ["line 1: field rejected must not be empty"]),
    "number": (
        [{**PAIRS[0], "chosen": 1}],
        ["line 1: field chosen must be a text or a list of messages, not a number"],
    ),
    "equal sides": ([*PAIRS[:4], {**PAIRS[0], "chosen": "No."}], ["line 5: fields chosen and rejected must differ"]),
    "blank prompt": ([{**PAIRS[0], "prompt": " "}], ["line 1: field prompt must not be empty"]),
    "null character": ([{**PAIRS[0], "chosen": "a\0"}], ["line 1: field chosen must not contain a null character"]),
    "half a surrogate pair": (
        [{**PAIRS[0], "rejected": "\udc00"}],
        ["line 1: field rejected must not contain half a surrogate"],
    ),
    "two messages beside a prompt": (
        [{"prompt": "x", "chosen": [msg("user", "x"), msg("assistant", "y")], "rejected": [msg("assistant", "n")]}],
        ["line 1: field chosen must be one message of the assistant when the row has a prompt"],
    ),
    "a response of the user's": (
        [{"prompt": "x", "chosen": [msg("assistant", "y")], "rejected": [msg("user", "n")]}],
        ["line 1: field rejected must be one message of the assistant"],
    ),
    "a prompt that ends with the assistant": (
        [{"prompt": [*USER_TURN, msg("assistant", "y")], "chosen": "y", "rejected": "n"}],
        ["field prompt must end with the user's turn"],
    ),
    "conversations that differ early": (
        [{"chosen": [*USER_TURN, msg("assistant", "y")], "rejected": [msg("user", "z"), msg("assistant", "n")]}],
        ["line 1: fields chosen and rejected must be equal before the assistant's last turn"],
    ),
    "a conversation that ends with the user": (
        [
            {
                "chosen": [*USER_TURN, msg("assistant", "y"), msg("user", "z")],
                "rejected": [*USER_TURN, msg("assistant", "n")],
            }
        ],
        ["line 1: field chosen must end with the assistant's turn"],
    ),
    "a conversation without a question": (
        [{"chosen": [msg("assistant", "y")], "rejected": [msg("assistant", "n")]}],
        ["line 1: field chosen must end"],
    ),
    "a conversation beside a text": (
        [{"chosen": [*USER_TURN, msg("assistant", "y")], "rejected": "n"}],
        ["line 1: field prompt is missing"],
    ),
    "no column that says who won": (
        [{"prompt": "q", "response_a": "y", "response_b": "n"}],
        ["c.jsonl: has response_a and response_b, but no column that says which one won. Give preferred=COLUMN."],
    ),
    "two columns that say who won": (
        [{"prompt": "q", "response_a": "y", "response_b": "n", "winner": "a", "label": 1}],
        ["but which of winner, label says which one won. Give preferred=COLUMN."],
    ),
    "a label that could mean either side": (
        [{"prompt": "q", "response_a": "y", "response_b": "n", "label": label} for label in (0, 1, 2)],
        ["0, 1, 2 in label do not say which of response_a and response_b won", "preferred=COLUMN=FIRST/SECOND"],
    ),
    "a winner beside chosen and rejected": (
        [{**PAIRS[0], "winner": winner} for winner in ("a", "b")],
        ["chosen would be chosen in every row, but winner looks as if it says", "Give preferred=winner"],
    ),
    "thumbs up and down": (
        [{"prompt": "q", "completion": "y", "label": True}],
        ["must have the fields prompt, chosen, rejected or be of a kind that docs/files.md lists", "completion, label"],
    ),
    "too few": (PAIRS, ["c.jsonl: must have at least 64 comparisons of 20 prompts", "has 30 of 30"]),
    "many of few prompts": (
        [{**PAIRS[i % 5], "chosen": f"Yes {i}."} for i in range(100)],
        ["has 100 of 5"],
    ),
    "empty file": ("", ["preferences=c.jsonl: must contain a comparison"]),
    "no JSON": ("{", ["c.jsonl line 1: must be JSON"]),
}

# (option, value, words)
CONFIGURATIONS = {
    "remote-code": {
        "model_type": "mine",
        "auto_map": {"AutoConfig": "mine.Config", "AutoModelForCausalLM": "mine.Model"},
    },
    "quantised": {"quantization_config": {"quant_method": "gptq", "bits": 4}},
    "t5": {"model_type": "t5", "is_encoder_decoder": True, "architectures": ["T5ForConditionalGeneration"]},
    "bert": {"model_type": "bert", "architectures": ["BertForMaskedLM"]},
    "xlnet": {"model_type": "xlnet", "summary_activation": "tanh", "architectures": ["XLNetLMHeadModel"]},
    "vit": {"model_type": "vit", "architectures": ["ViTForImageClassification"]},
    "mamba": {"model_type": "mamba", "architectures": ["MambaForCausalLM"]},
}
"""Fields of configurations that no policy, or no reward model, can have; by the name of the folder."""

CHECKPOINTS = {
    "missing policy": ("policy", "./nowhere", ["must be a folder or OWNER/NAME on the"]),
    "a file for a policy": ("policy", "{models}/a-file", ["must be a folder or OWNER/NAME on the"]),
    "an empty folder": ("policy", "{models}/empty", ["must be a Hugging Face model"]),
    "no config": ("policy", "{models}/no-config", ["must be a Hugging Face model"]),
    "corrupt config": ("policy", "{models}/corrupt-config", ["must be a Hugging Face model"]),
    "config without a model type": ("policy", "{models}/no-model-type", ["must be a Hugging Face model"]),
    "unknown model type": ("policy", "{models}/unknown-model", ["must be a Hugging Face model", "perceptron"]),
    "no tokenizer": ("policy", "{models}/no-tokenizer", ["must have a tokenizer"]),
    "corrupt tokenizer": ("policy", "{models}/corrupt-tokenizer", ["must have a tokenizer"]),
    "no end-of-sequence": ("policy", "{models}/no-eos", ["must have an end-of-sequence token. Set eos_token"]),
    "a tokenizer larger than the embeddings": (
        "policy",
        "{models}/small-embeddings",
        ["must have an embedding for each", "resize"],
    ),
    "a reward model for a policy": ("policy", "{models}/gold", ["must be a causal language model, not a reward model"]),
    "missing gold": ("gold", "./nowhere", ["must be a folder or OWNER/NAME on the"]),
    "a language model for gold": ("gold", "{models}/policy", ["must be a reward model", "not a language model"]),
    "gold of two labels": ("gold", "{models}/two-labels", ["must have one label, but has 2", "num_labels=1"]),
    "gold without a tokenizer": ("gold", "{models}/no-gold-tokenizer", ["must have a tokenizer"]),
    "a proxy of two labels": ("rm_sizes", "{models}/two-labels", ["must have one label, but has 2"]),
    "a missing proxy": ("rm_size", "./nowhere", ["must be a folder or OWNER/NAME on the"]),
    "a missing proxy of the search": ("search_rm_sizes", "./nowhere", ["must be a folder or OWNER/NAME on the"]),
    "a missing test RM": ("test_rms", "./nowhere", ["must be a folder or OWNER/NAME on the"]),
    "corrupt weights": ("policy", "{models}/corrupt-weights", ["must have readable weights"]),
    "no weights": ("policy", "{models}/no-weights", ["must have readable weights"]),
    "no head of a policy": ("policy", "{models}/no-lm-head", ["must have the weights lm_head.weight"]),
    "no head of gold": ("gold", "{models}/no-reward-head", ["must have the weights score.weight"]),
    "no head of a proxy": ("rm_sizes", "{models}/no-reward-head", ["must have the weights score.weight"]),
    "no layer": ("rm_size", "{models}/no-layer", ["must have the weights model.layers.0.mlp.up_proj.weight"]),
    "code of its own": ("policy", "{models}/remote-code", ["architecture that transformers contains", "not executed"]),
    "quantised weights": ("policy", "{models}/quantised", ["must not be quantised (gptq)", "float32"]),
    "an encoder-decoder": ("policy", "{models}/t5", ["not an encoder-decoder (t5)"]),
    "an encoder": ("policy", "{models}/bert", ["must be a causal language model", "is_decoder=true"]),
    "predictions from both sides": ("policy", "{models}/xlnet", ["must be a causal language model", "later tokens"]),
    "images": ("policy", "{models}/vit", ["must be a causal language model, but transformers has none"]),
    "no classifier of that architecture": ("rm_sizes", "{models}/mamba", ["has a sequence classifier, unlike mamba"]),
    "an adapter": ("gold", "{models}/adapter", ["must be a whole model, not an adapter", "merge_and_unload"]),
}

# (content of mine.py, value of gold, words)
FUNCTIONS = {
    "no such module": ("", "no_such_module:f", ["must be importable (ModuleNotFoundError", "PACKAGE.MODULE:FUNCTION"]),
    "no such attribute": ("x = 1", "mine:f", ["mine has no f"]),
    "not callable": ("f = 3", "mine:f", ["must be a function of (prompts, responses), not int"]),
    "a module that is not Python": ("def f(:", "mine:f", ["must be importable (SyntaxError"]),
    "a module that fails": ("import os\n{}['key']", "mine:f", ["must be importable (KeyError: 'key')"]),
    "a module that lacks another": ("import nowhere_to_be_found", "mine:f", ["No module named 'nowhere_to_be_found'"]),
    "a module whose own attribute is missing": (
        "import os\nos.no_such",
        "mine:f",
        ["must be importable (AttributeError", "no_such"],
    ),
}

# (options, words)
CONFIGURATION = {
    "no policy": ({"policy": None}, ["policy=", "must be a checkpoint (./FOLDER or OWNER/NAME) when world=files"]),
    "no prompts": ({"prompts": None}, ["prompts=", "must be a file when world=files and preferences is empty"]),
    "gold trained": ({"gold": "trained"}, ["gold=trained", "PACKAGE.MODULE:FUNCTION or none when world=files"]),
    "gold missing": ({"gold": None}, ["gold=trained"]),
    "gold of an unknown form": ({"gold": "mine"}, ["gold=mine", "trained, none, a checkpoint"]),
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
            "gold": "none",
            "preferences": "{models}/preferences.jsonl",
            "gold_size": "13k",
            "test_rms": "same",
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
    "no tokens for a prompt": ({"max_prompt_tokens": "0"}, ["max_prompt_tokens=0", "from 1 to"]),
    "no tokens for a response": ({"max_response_tokens": "0"}, ["max_response_tokens=0", "from 1 to"]),
}
