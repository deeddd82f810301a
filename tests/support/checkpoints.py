"""What a stranger brings: tiny checkpoints of several architectures, two tokenizers, prompts and comparisons.

Weights are random: what is tested is that everything fits together, not what the models have learned.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor
    from transformers import PretrainedConfig, PreTrainedTokenizerFast

TEXTS = [
    "How do I restart my phone?",
    "Το τηλέφωνό μου δεν ανάβει. Τι να κάνω;",
    "我的手机坏了,怎么办?",
    "Mon écran est noir 😱, que faire ?",
    "Please write a short answer about cables, routers and other things that break.",
]
CHAT_TEMPLATE = (
    "{% for message in messages %}<|{{ message['role'] }}|>{{ message['content'] }}<|end|>{{ '\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


def byte_tokenizer(vocabulary: int, *, chat: bool) -> PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer of about the given vocabulary size, with a chat template or without."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    specials = ["<|end|>", "<|user|>", "<|assistant|>", "<|pad|>"] if chat else ["<|endoftext|>"]
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=specials,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    backend.train_from_iterator(TEXTS, trainer)
    named = {"eos_token": specials[0], "pad_token": "<|pad|>"} if chat else {"eos_token": specials[0]}
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, **named)
    if chat:
        tokenizer.chat_template = CHAT_TEMPLATE
    return tokenizer


def bert_tokenizer() -> PreTrainedTokenizerFast:
    """An encoder's tokenizer: words and characters, `[CLS] prompt [SEP] response [SEP]`."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    specials = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    normalizer, splitter = normalizers.BertNormalizer(lowercase=True), pre_tokenizers.BertPreTokenizer()
    words = {word for text in TEXTS for word, _ in splitter.pre_tokenize_str(normalizer.normalize_str(text))}
    letters = set("".join(words)) | set("abcdefghijklmnopqrstuvwxyz")
    tokens = [*specials, *sorted(words | letters), *sorted("##" + letter for letter in letters)]
    vocabulary = {word: number for number, word in enumerate(tokens)}
    backend = Tokenizer(models.WordPiece(vocab=vocabulary, unk_token="[UNK]"))
    backend.normalizer, backend.pre_tokenizer = normalizer, splitter
    backend.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    named = dict(zip(("pad_token", "unk_token", "cls_token", "sep_token"), specials, strict=True))
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, model_input_names=["input_ids", "token_type_ids", "attention_mask"], **named
    )


def configuration(architecture: str, vocabulary: int) -> PretrainedConfig:
    """A tiny model of an architecture: `gpt2`, `llama`, `gpt_neox` or `bert`."""
    from transformers import BertConfig, GPT2Config, GPTNeoXConfig, LlamaConfig

    shape = {"vocab_size": vocabulary, "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    if architecture == "gpt2":
        return GPT2Config(vocab_size=vocabulary, n_embd=16, n_layer=1, n_head=2, n_positions=256)
    if architecture == "llama":
        return LlamaConfig(**shape, intermediate_size=32, max_position_embeddings=256)
    if architecture == "bert":
        return BertConfig(**shape, intermediate_size=32, max_position_embeddings=256)
    return GPTNeoXConfig(**shape, intermediate_size=32, max_position_embeddings=256)


def save_checkpoint(
    folder: Path, architecture: str, tokenizer: PreTrainedTokenizerFast, *, reward: bool, seed: int = 0, labels: int = 1
) -> Path:
    """Write a checkpoint as its owner would have saved it: no padding token is named where the tokenizer has none."""
    import torch
    from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification

    config = configuration(architecture, len(tokenizer))
    config.eos_token_id, config.pad_token_id = tokenizer.eos_token_id, tokenizer.pad_token_id
    config.bos_token_id = tokenizer.bos_token_id
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        if reward:
            config.num_labels = labels
            model = AutoModelForSequenceClassification.from_config(config)
            with torch.no_grad():  # so that scores differ by more than rounding
                list(model.children())[-1].weight.mul_(50)
                for weight in (p for p in model.base_model.parameters() if architecture == "bert" and p.dim() == 2):
                    weight.mul_(8)
        else:
            model = AutoModelForCausalLM.from_config(config)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def change_weights(folder: Path, change: Callable[[dict[str, Tensor]], object]) -> Path:
    """Rewrite a checkpoint's weights; `change` alters them in place."""
    from safetensors.torch import load_file, save_file

    weights = load_file(folder / "model.safetensors")
    change(weights)
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    return folder


def write_prompts(path: Path, count: int = 60) -> Path:
    """Prompts in several scripts, one of them far too long, among blank lines."""
    rows = [json.dumps({"prompt": f"{TEXTS[i % len(TEXTS)]} ({i})"}, ensure_ascii=i % 2 == 0) for i in range(count)]
    rows.insert(3, "")
    rows.insert(7, json.dumps({"prompt": "And again. " * 200}))
    rows.insert(9, json.dumps({"prompt": [{"role": "user", "content": "As a message: where is the cable?"}]}))
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return path


def write_preferences(path: Path, count: int = 120) -> Path:
    """Comparisons in the three forms that are common: texts, messages, whole conversations."""
    rows: list[dict] = []
    for i in range(count):
        prompt, good, bad = f"{TEXTS[i % len(TEXTS)]} [{i}]", f"Restart it {i}.", "no " * (1 + i % 5)
        responses = {
            name: [{"role": "assistant", "content": text}] for name, text in (("chosen", good), ("rejected", bad))
        }
        user = [{"role": "user", "content": prompt}]
        rows.append(
            {"prompt": prompt, "chosen": good, "rejected": bad}
            if i % 3 == 0
            else {"prompt": user, **responses}
            if i % 3 == 1
            else {name: [*user, *messages] for name, messages in responses.items()}
        )
    path.write_text("\n".join(json.dumps(row, ensure_ascii=False) for row in rows), encoding="utf-8")
    return path


def word_count(prompts: list[str], responses: list[str]) -> list[float]:
    """A user's gold function: many different letters are good, length is bad."""
    return [len(set(response)) - 0.2 * len(response) for response in responses]


def write_all(folder: Path) -> dict[str, Path]:
    """The whole set-up, by name: two policies, reward models of two architectures and tokenizers, a base, a gold."""
    plain, chat = byte_tokenizer(300, chat=False), byte_tokenizer(340, chat=True)
    made = {
        "policy": save_checkpoint(folder / "policy", "gpt2", plain, reward=False),
        "chat_policy": save_checkpoint(folder / "chat-policy", "llama", chat, reward=False, seed=5),
        "neox_rm": save_checkpoint(folder / "neox-rm", "gpt_neox", plain, reward=True, seed=1),
        "llama_rm": save_checkpoint(folder / "llama-rm", "llama", chat, reward=True, seed=2),
        "llama_base": save_checkpoint(folder / "llama-base", "llama", chat, reward=False, seed=3),
        "gold": save_checkpoint(folder / "gold", "llama", chat, reward=True, seed=4),
        "prompts": write_prompts(folder / "prompts.jsonl"),
        "preferences": write_preferences(folder / "preferences.jsonl"),
    }
    return {name: path.resolve() for name, path in made.items()}
