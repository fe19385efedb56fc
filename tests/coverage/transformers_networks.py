"""Tiny random networks of transformers: configurations as tables."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

VOCABULARY = 96
TEXT = {
    "vocab_size": VOCABULARY,
    "hidden_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 80,
    "pad_token_id": 0,
}
GROUPED = TEXT | {"num_key_value_heads": 2, "head_dim": 12}
SHORT = {"vocab_size": VOCABULARY, "n_embd": 48, "n_layer": 2, "n_head": 4, "pad_token_id": 0}
PAIR = {
    "vocab_size": VOCABULARY,
    "d_model": 48,
    "encoder_layers": 2,
    "decoder_layers": 2,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 4,
    "encoder_ffn_dim": 80,
    "decoder_ffn_dim": 80,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "decoder_start_token_id": 3,
}
IMAGE = {
    "hidden_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 80,
    "image_size": 32,
    "patch_size": 8,
}
STAGES = {"depths": [1, 1, 1, 1], "hidden_sizes": [16, 24, 32, 48]}
SOUND = {
    "hidden_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 80,
    "conv_dim": (24,) * 7,
}
WINDOWS = {
    "image_size": 32,
    "patch_size": 2,
    "embed_dim": 16,
    "depths": [2, 2],
    "num_heads": [2, 4],
    "window_size": 4,
}


def tokens() -> torch.Tensor:
    return torch.randint(4, VOCABULARY, (1, 10))


INPUTS: dict[str, Callable[[], dict[str, Any]]] = {
    "text": lambda: {"input_ids": tokens()},
    "pair": lambda: {"input_ids": tokens(), "decoder_input_ids": tokens()},
    "image": lambda: {"pixel_values": torch.rand(1, 3, 32, 32)},
    "picture": lambda: {"pixel_values": torch.rand(1, 3, 64, 64)},
    "sound": lambda: {"input_values": torch.rand(1, 4000)},
}

TABLE: dict[str, tuple[str, str, str, dict[str, Any]]] = {
    "bert": ("Bert", "ForSequenceClassification", "text", TEXT),
    "roberta": ("Roberta", "ForSequenceClassification", "text", TEXT),
    "mpnet": ("MPNet", "ForSequenceClassification", "text", TEXT),
    "albert": ("Albert", "ForMaskedLM", "text", TEXT | {"embedding_size": 24}),
    "electra": ("Electra", "ForSequenceClassification", "text", TEXT | {"embedding_size": 24}),
    "deberta_v2": ("DebertaV2", "ForSequenceClassification", "text", TEXT),
    "fnet": ("FNet", "ForSequenceClassification", "text", TEXT),
    "modernbert": ("ModernBert", "ForSequenceClassification", "text", TEXT),
    "distilbert": (
        "DistilBert", "ForSequenceClassification", "text",
        {"vocab_size": VOCABULARY, "dim": 48, "n_layers": 2, "n_heads": 4, "hidden_dim": 80},
    ),
    "gpt2": ("GPT2", "LMHeadModel", "text", SHORT),
    "gptj": ("GPTJ", "ForCausalLM", "text", SHORT | {"rotary_dim": 4}),
    "codegen": ("CodeGen", "ForCausalLM", "text", SHORT | {"rotary_dim": 4}),
    "gpt_neox": ("GPTNeoX", "ForCausalLM", "text", TEXT),
    "bloom": (
        "Bloom", "ForCausalLM", "text",
        {"vocab_size": VOCABULARY, "hidden_size": 48, "n_layer": 2, "n_head": 4},
    ),
    "opt": (
        "OPT", "ForCausalLM", "text",
        {k: v for k, v in TEXT.items() if k != "intermediate_size"}
        | {"ffn_dim": 80, "word_embed_proj_dim": 48},
    ),
    "falcon": (
        "Falcon", "ForCausalLM", "text",
        {k: v for k, v in TEXT.items() if k != "intermediate_size"},
    ),
    "llama": ("Llama", "ForCausalLM", "text", GROUPED),
    "llama_mqa": ("Llama", "ForCausalLM", "text", GROUPED | {"num_key_value_heads": 1}),
    "mistral": ("Mistral", "ForCausalLM", "text", GROUPED),
    "qwen2": ("Qwen2", "ForCausalLM", "text", TEXT | {"num_key_value_heads": 2}),
    "qwen3": ("Qwen3", "ForCausalLM", "text", GROUPED),
    "gemma": ("Gemma", "ForCausalLM", "text", GROUPED),
    "gemma3": ("Gemma3", "ForCausalLM", "text", GROUPED),
    "olmo2": ("Olmo2", "ForCausalLM", "text", TEXT | {"num_key_value_heads": 2}),
    "phi": ("Phi", "ForCausalLM", "text", TEXT),
    "phi3": ("Phi3", "ForCausalLM", "text", TEXT | {"num_key_value_heads": 2}),
    "stablelm": (
        "StableLm", "ForCausalLM", "text",
        TEXT | {"num_attention_heads": 3, "num_key_value_heads": 3},
    ),
    "cohere": ("Cohere", "ForCausalLM", "text", TEXT | {"num_key_value_heads": 2}),
    "mixtral": ("Mixtral", "ForCausalLM", "text", GROUPED | {"num_local_experts": 4}),
    "deepseek_v3": (
        "DeepseekV3", "ForCausalLM", "text",
        TEXT | {
            "num_key_value_heads": 4, "q_lora_rank": 16, "kv_lora_rank": 16,
            "qk_nope_head_dim": 8, "qk_rope_head_dim": 4, "v_head_dim": 12,
            "n_routed_experts": 4, "n_group": 2, "topk_group": 1, "num_experts_per_tok": 2,
            "moe_intermediate_size": 24, "first_k_dense_replace": 1,
        },
    ),
    "mamba": (
        "Mamba", "ForCausalLM", "text",
        {"vocab_size": VOCABULARY, "hidden_size": 48, "num_hidden_layers": 2, "state_size": 6},
    ),
    "t5": (
        "T5", "ForConditionalGeneration", "pair",
        {
            "vocab_size": VOCABULARY, "d_model": 48, "d_kv": 12, "d_ff": 80, "num_layers": 2,
            "num_heads": 4, "decoder_start_token_id": 0,
        },
    ),
    "bart": ("Bart", "ForConditionalGeneration", "pair", PAIR),
    "marian": ("Marian", "MTModel", "pair", PAIR),
    "pegasus": ("Pegasus", "ForConditionalGeneration", "pair", PAIR),
    "wav2vec2": ("Wav2Vec2", "ForCTC", "sound", SOUND),
    "wavlm": ("WavLM", "ForCTC", "sound", SOUND),
    "vit": ("ViT", "ForImageClassification", "image", IMAGE),
    "deit": ("DeiT", "ForImageClassification", "image", IMAGE),
    "dinov2": ("Dinov2", "ForImageClassification", "image", IMAGE),
    "beit": ("Beit", "ForImageClassification", "image", IMAGE),
    "siglip_vision": ("SiglipVision", "Model", "image", IMAGE),
    "clip_vision": ("CLIPVision", "Model", "image", IMAGE),
    "swin": ("Swin", "ForImageClassification", "image", WINDOWS),
    "swinv2": ("Swinv2", "ForImageClassification", "image", WINDOWS),
    "convnext": ("ConvNext", "ForImageClassification", "picture", STAGES),
    "convnextv2": ("ConvNextV2", "ForImageClassification", "picture", STAGES),
    "resnet": ("ResNet", "ForImageClassification", "picture", STAGES | {"embedding_size": 16}),
    "regnet": (
        "RegNet", "ForImageClassification", "picture",
        STAGES | {"embedding_size": 16, "groups_width": 8},
    ),
    "poolformer": ("PoolFormer", "ForImageClassification", "picture", STAGES),
    "segformer": (
        "Segformer", "ForSemanticSegmentation", "picture",
        STAGES | {"num_attention_heads": [1, 2, 2, 4], "decoder_hidden_size": 32},
    ),
    "mobilevit": (
        "MobileViT", "ForImageClassification", "picture",
        {
            "hidden_sizes": [24, 32, 40], "neck_hidden_sizes": [8, 16, 16, 24, 24, 32, 40],
            "image_size": 64,
        },
    ),
}  # fmt: skip

NAMES = list(TABLE)


def build(name: str) -> tuple[nn.Module, Any]:
    """A network and its example input."""
    import transformers

    family, suffix, kind, settings = TABLE[name]
    configs = (f"{family}{variant}Config" for variant in ("Text", ""))
    config = next(getattr(transformers, c) for c in configs if hasattr(transformers, c))(**settings)
    config.use_cache = False
    config._attn_implementation = "eager"
    return getattr(transformers, family + suffix)(config), INPUTS[kind]()
