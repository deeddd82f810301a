"""Chat templates as makers of models write them, and tiny tokenizers with them.

Each has its own way to end a turn: a line break or nothing behind the end, an end that is not the tokenizer's
end-of-sequence, a generation prompt that is not the beginning of what it prompts, texts that are trimmed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast


@dataclass(frozen=True)
class Chat:
    """A template with its special tokens.

    Attributes:
        template: Jinja.
        eos: the tokenizer's end-of-sequence.
        end: the token that ends an assistant's turn.
        bos: beginning of sequence; empty for none.
        pad: padding; empty for none.
        others: further special tokens.
        has_system: whether it accepts a system message.
    """

    template: str
    eos: str
    end: str
    bos: str = ""
    pad: str = "<pad>"
    others: tuple[str, ...] = ()
    has_system: bool = True


def _turns(turn: str, opening: str, start: str = "") -> str:
    return f"{start}{{% for m in messages %}}{turn}{{% endfor %}}{{% if add_generation_prompt %}}{opening}{{% endif %}}"


_LLAMA_2 = (
    "{% for m in messages %}{% if m.role == 'assistant' %}{{ ' ' + m.content | trim + ' ' + eos_token }}"
    "{% else %}{{ bos_token + '[INST] ' + m.content | trim + ' [/INST]' }}{% endif %}{% endfor %}"
)
_ZEPHYR = _turns(
    "{{ '<|' + m.role + '|>\\n' + m.content + eos_token }}"
    "{% if loop.last and add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}{{ '\\n' }}",
    "",
)
_GEMMA = _turns(
    "{% if m.role == 'system' %}{{ raise_exception('no system role') }}{% endif %}{{ '<start_of_turn>' + "
    "('model' if m.role == 'assistant' else m.role) + '\\n' + m.content | trim + '<end_of_turn>\\n' }}",
    "{{ '<start_of_turn>model\\n' }}",
    "{{ bos_token }}",
)
_LLAMA_3 = _turns(
    "{{ '<|header|>' + m.role + '<|/header|>\\n\\n' + m.content | trim + '<|eot_id|>' }}",
    "{{ '<|header|>assistant<|/header|>\\n\\n' }}",
    "{{ bos_token }}",
)
_CHATML = _turns(
    "{{ '<|im_start|>' + m.role + '\\n' + m.content + '<|im_end|>\\n' }}", "{{ '<|im_start|>assistant\\n' }}"
)
_THINKING = _turns(
    "{{ '<|im_start|>' + m.role + '\\n' }}"
    "{% if m.role == 'assistant' and loop.last %}{{ '<think>\\n\\n</think>\\n\\n' }}"
    "{% endif %}{{ m.content.split('</think>')[-1] + '<|im_end|>\\n' }}",
    "{{ '<|im_start|>assistant\\n' }}",
)
_PHI = _turns("{{ '<|' + m.role + '|>' + m.content + '<|end|>' }}", "{{ '<|assistant|>' }}") + (
    "{% if not add_generation_prompt %}{{ eos_token }}{% endif %}"
)
_WORDS = _turns("{{ m.role + ': ' + m.content + '\\n' }}", "{{ 'assistant: ' }}")

CHATS = {
    "ChatML": Chat(_CHATML, "<|im_end|>", "<|im_end|>", others=("<|im_start|>",)),
    "ChatML, another end-of-sequence": Chat(_CHATML, "<|endoftext|>", "<|im_end|>", others=("<|im_start|>",)),
    "ChatML that thinks": Chat(_THINKING, "<|im_end|>", "<|im_end|>", others=("<|im_start|>", "<think>", "</think>")),
    "Gemma": Chat(_GEMMA, "<eos>", "<end_of_turn>", "<bos>", others=("<start_of_turn>",), has_system=False),
    "Zephyr": Chat(_ZEPHYR, "</s>", "</s>", "<s>"),
    "Zephyr, padding is the end": Chat(_ZEPHYR, "</s>", "</s>", "<s>", pad="</s>"),
    "Llama 3": Chat(_LLAMA_3, "<|eot_id|>", "<|eot_id|>", "<|begin|>", others=("<|header|>", "<|/header|>")),
    "Llama 3, no padding": Chat(_LLAMA_3, "<|eot_id|>", "<|eot_id|>", "<|begin|>", "", ("<|header|>", "<|/header|>")),
    "Llama 3, another end-of-sequence": Chat(
        _LLAMA_3, "<|end_of_text|>", "<|eot_id|>", "<|begin|>", others=("<|header|>", "<|/header|>")
    ),
    "Llama 2, Mistral": Chat(_LLAMA_2, "</s>", "</s>", "<s>"),
    "Phi, an end behind the end": Chat(_PHI, "<|endoftext|>", "<|end|>", others=("<|user|>", "<|assistant|>")),
    "words only": Chat(_WORDS, "</s>", "</s>"),
}
FIVE = ("ChatML", "Gemma", "Zephyr", "Llama 3", "Llama 2, Mistral")


def chat_tokenizer(
    name: str | None, vocabulary: int = 360, *, adds_bos: bool = False, adds_eos: bool = False
) -> PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer with one of `CHATS`, or without a template.

    Args:
        name: a key of `CHATS`; None for a tokenizer without a chat template, with `<s>`, `</s>` and `<pad>`.
        vocabulary: its approximate size.
        adds_bos: whether it puts a beginning of sequence before every text by itself.
        adds_eos: whether it puts an end-of-sequence behind every text by itself.
    """
    from tests.support.checkpoints import TEXTS
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    chat = CHATS[name] if name else Chat("", "</s>", "</s>", "<s>")
    specials = list(dict.fromkeys(filter(None, (chat.bos, chat.eos, chat.end, chat.pad, *chat.others))))
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary, special_tokens=specials, initial_alphabet=alphabet, show_progress=False
    )
    backend.train_from_iterator(TEXTS, trainer)
    if adds_bos or adds_eos:
        single = f"{chat.bos + ' ' if adds_bos else ''}$A{' ' + chat.eos if adds_eos else ''}"
        numbered = [(token, backend.token_to_id(token)) for token in (chat.bos, chat.eos)]
        backend.post_processor = processors.TemplateProcessing(single=single, special_tokens=numbered)
    named = {"bos_token": chat.bos, "eos_token": chat.eos, "pad_token": chat.pad}
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend, **{key: value for key, value in named.items() if value}
    )
    if name:
        tokenizer.chat_template = chat.template
    return tokenizer
