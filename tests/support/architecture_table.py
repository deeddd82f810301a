"""Tries a tiny model of each architecture, and makes docs/architectures.md of what happened.

python -m tests.support.architecture_table > docs/architectures.md
"""

from __future__ import annotations

import random
import tempfile
from pathlib import Path
from typing import Any

from tests.support.architectures import PAD, VOCABULARY, tiny_model
from tests.support.checkpoints import byte_tokenizer

POLICIES = (
    "afmoe", "apertus", "arcee", "bamba", "bart", "bert", "biogpt", "bitnet", "bloom", "codegen", "cohere",
    "cohere2", "cpmant", "ctrl", "deepseek_v2", "deepseek_v3", "diffllama", "doge", "ernie4_5", "ernie4_5_moe",
    "exaone4", "falcon", "falcon_h1", "falcon_mamba", "gemma", "gemma2", "gemma3_text", "gemma4_text", "glm",
    "glm4", "glm4_moe", "gpt2", "gpt_bigcode", "gpt_neo", "gpt_neox", "gpt_oss", "gptj", "granite",
    "granitemoehybrid", "helium", "hunyuan_v1_dense", "jamba", "jetmoe", "kimi_linear", "lfm2", "llama",
    "llama4_text", "longcat_flash", "mamba", "mamba2", "minicpm3", "minimax", "ministral", "mistral", "mixtral",
    "modernbert-decoder", "moshi", "mpt", "nemotron", "nemotron_h", "olmo", "olmo2", "olmo3", "olmo_hybrid",
    "olmoe", "openai-gpt", "opt", "persimmon", "phi", "phi3", "phimoe", "prophetnet", "qwen2", "qwen2_moe",
    "qwen3", "qwen3_5_text", "qwen3_moe", "qwen3_next", "recurrent_gemma", "reformer", "roberta", "rwkv",
    "seed_oss", "smollm3", "stablelm", "starcoder2", "t5", "vaultgemma", "xglm", "xlm", "xlnet", "xlstm", "zamba2",
)  # fmt: skip
REWARD_MODELS = (
    "albert", "bart", "bert", "biogpt", "bloom", "canine", "convbert", "ctrl", "deberta", "deberta-v2",
    "deepseek_v3", "distilbert", "electra", "ernie", "falcon", "fnet", "funnel", "gemma", "gemma2", "gemma3_text",
    "glm4", "gpt2", "gpt_neo", "gpt_neox", "gpt_oss", "gptj", "jamba", "llama", "longformer", "mamba", "minimax",
    "mistral", "mixtral", "modernbert", "mpnet", "mpt", "nystromformer", "olmo2", "openai-gpt", "opt", "phi3",
    "qwen2", "qwen3", "qwen3_5_text", "qwen3_moe", "qwen3_next", "roberta", "smollm3", "squeezebert", "stablelm",
    "t5", "xlm-roberta", "xlnet", "yoso", "zamba2",
)  # fmt: skip

_HEADER = """# Architectures

Any causal language model of transformers can be a policy, and any sequence classifier a reward model. This table is
made by `python -m tests.support.architecture_table`: it builds a tiny model of each architecture, saves it, loads it as
a study does, and compares each log-probability or score with a reading of that sequence alone, without padding and
cache. A slow test compares the table with the installed transformers; a few architectures are compared in every run of
the tests.

How a model can be read is found out by trying it on a few tokens when it is first used. So an architecture that is not
listed works too, or is refused in one line.

- **together**: prompts of different lengths are read in one batch, each once for all its samples.
- **by length**: padding would change predictions or scores, so each length is read apart. Slower for many lengths.
- **again**: the model has no cache that can be repeated, so all tokens are read again for each further one: a response
  of n tokens costs about n times as much as with a cache.
"""


def tried_policy(model_type: str) -> str:
    """How a tiny policy of an architecture is read, or why it is refused.

    Raises:
        AssertionError: if it is read, but log-probabilities are not those of each sequence alone.
    """
    import torch
    import transformers

    from mlproject.errors import UserError
    from mlproject.models.checkpoints import load_policy_checkpoint
    from mlproject.models.decoding import decoding_of
    from mlproject.models.generation import sample
    from mlproject.models.inspection import inspect_policy
    from mlproject.models.log_probs import log_probs_of
    from mlproject.models.sequences import prompts_from_rows

    with tempfile.TemporaryDirectory() as folder:
        try:
            _save(transformers.AutoModelForCausalLM, model_type, folder)
            policy, _ = load_policy_checkpoint(inspect_policy(folder, "policy"), "policy")
            how = decoding_of(policy)
        except UserError as error:
            return _refusal(str(error), folder)
    words = random.Random(1)
    rows = [[words.randrange(3, VOCABULARY) for _ in range(length)] for length in (9, 5, 12)]
    samples = sample(
        policy, prompts_from_rows(rows, PAD), max_new_tokens=6, generator=torch.Generator().manual_seed(0),
        samples_per_prompt=2,
    )  # fmt: skip
    with torch.no_grad():
        read_BR = log_probs_of(policy, samples.sequences)
    for row in range(len(samples.sequences)):
        start, end = int(samples.sequences.starts_B[row]), int(samples.sequences.ends_B[row])
        ids = samples.sequences.ids_BT[row, :end]
        with torch.no_grad():
            alone_TV = policy(input_ids=ids[None], use_cache=False).logits[0].double().log_softmax(-1)
        expected = alone_TV[start - 1 : end - 1].gather(1, ids[start:, None]).squeeze(1)
        for measured_BR in (samples.log_probs_BR, read_BR):
            worst = float((measured_BR[row, : end - start] - expected).abs().max())
            assert worst < 1e-4, f"{model_type}: a log-probability is {worst:.1g} nats off"
    return "again" if how.cache_argument is None else "together" if how.pads_prompts else "by length"


def tried_reward_model(model_type: str) -> str:
    """How a tiny reward model of an architecture is read, or why it is refused.

    Raises:
        AssertionError: if it is read, but scores are not those of each sequence alone.
    """
    import torch
    import transformers

    from mlproject.errors import UserError
    from mlproject.models.checkpoints import load_reward_checkpoint
    from mlproject.models.inspection import inspect_reward_model
    from mlproject.models.reward_model import RewardModel
    from mlproject.models.scoring import inputs, is_causal, scoring_of
    from mlproject.models.sequences import sequences_from_rows

    with tempfile.TemporaryDirectory() as folder:
        try:
            _save(transformers.AutoModelForSequenceClassification, model_type, folder)
            model, _ = load_reward_checkpoint(inspect_reward_model(folder, "gold"), "gold")
            how = scoring_of(model)
        except UserError as error:
            return _refusal(str(error), folder)
    words = random.Random(1)
    prompt = [words.randrange(3, VOCABULARY) for _ in range(5)]
    rows = [[*prompt, *(words.randrange(3, VOCABULARY) for _ in range(1 + i % 5))] for i in range(66)]
    rows += [[words.randrange(3, VOCABULARY) for _ in range(length)] for length in (6, 13, 9)]
    sequences = sequences_from_rows(rows, [5] * len(rows), PAD)
    scores = RewardModel(model).raw_scores(sequences)
    for row in range(len(rows)):
        alone = sequences.select(torch.tensor([row]))
        with torch.no_grad():
            expected = model(**inputs(alone, model.config, is_causal(model))).logits
        worst = float((scores[row] - expected[0, 0]).abs() / (1e-3 + scores.std()))
        assert worst < 1e-3, f"{model_type}: a score is {worst:.1g} standard deviations off"
    return "together" if how.pads else "by length"


def markdown() -> str:
    """The page docs/architectures.md."""
    policies = {model_type: tried_policy(model_type) for model_type in POLICIES}
    reward_models = {model_type: tried_reward_model(model_type) for model_type in REWARD_MODELS}
    parts = [_HEADER]
    for title, tried in (("Policies", policies), ("Reward models", reward_models)):
        works = sum(not outcome.startswith("refused") for outcome in tried.values())
        parts.append(f"## {title}\n\n{works} of {len(tried)} work.\n\n| architecture | read |\n|---|---|")
        parts.append("\n".join(f"| `{model_type}` | {outcome} |" for model_type, outcome in tried.items()) + "\n")
    return "\n".join(parts)


def _save(auto: Any, model_type: str, folder: str) -> None:
    """Write a checkpoint as its owner would; of an architecture of which `auto` has no model, the base model."""
    import transformers

    labels = {} if auto is transformers.AutoModelForCausalLM else {"num_labels": 1}
    try:
        model = tiny_model(auto, model_type, **labels)
    except ValueError:
        model = tiny_model(transformers.AutoModel, model_type, **labels)
    model.save_pretrained(folder)
    tokenizer = byte_tokenizer(280, chat=False)
    tokenizer.save_pretrained(folder)


def _refusal(message: str, folder: str) -> str:
    reason = message.split(": ", 1)[1].replace(str(Path(folder).resolve()), "").replace(folder, "")
    return f"refused: {reason}"


if __name__ == "__main__":
    import os

    os.environ["HF_HUB_OFFLINE"] = "1"
    print(markdown(), end="")
