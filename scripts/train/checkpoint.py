"""A trained model on disk, in Hugging Face's Mamba layout.

model-0000k-of-0000n.safetensors (at most 16 MiB each, tensors in execution order),
model.safetensors.index.json, config.json, tokenizer.json, tokenizer_config.json,
chat_template.jinja.
The matrices are rounded to bf16; A_log, D, convolutions, biases and norms stay f32.
There is no lm_head: it is tied to the embedding.
"""

import json
import shutil
from pathlib import Path

import torch
from dialogues import CHAT_TEMPLATE
from model import LanguageModel, Sizes
from shards import read_shards, write_shards

MATRICES = ("embeddings.weight", "in_proj.weight", "x_proj.weight", "dt_proj.weight", "out_proj.weight")


def _config(sizes: Sizes) -> dict:
    return {
        "architectures": ["MambaForCausalLM"],
        "model_type": "mamba",
        "vocab_size": sizes.vocab_size,
        "hidden_size": sizes.d_model,
        "num_hidden_layers": sizes.layers,
        "state_size": sizes.d_state,
        "conv_kernel": sizes.d_conv,
        "expand": sizes.expand,
        "intermediate_size": sizes.d_inner,
        "time_step_rank": sizes.dt_rank,
        "hidden_act": "silu",
        "use_bias": False,
        "use_conv_bias": True,
        "residual_in_fp32": True,
        "layer_norm_epsilon": LanguageModel.NORM_EPS,
        "tie_word_embeddings": True,
        "bos_token_id": 0,
        "eos_token_id": 0,
        "pad_token_id": 0,
        # Loads every tensor as f32: what was trained is matrices rounded to bf16 and the rest in f32.
        "dtype": "float32",
    }


def write_model(model: LanguageModel, tokenizer: Path, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {
        name: tensor.detach().cpu().to(torch.bfloat16 if name.endswith(MATRICES) else torch.float32).contiguous()
        for name, tensor in model.state_dict().items()
    }
    write_shards(tensors, folder)
    (folder / "config.json").write_text(json.dumps(_config(model.sizes), indent=1))
    marker = "<|endoftext|>"
    tokenizer_config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": marker,
        "eos_token": marker,
        "pad_token": marker,
        "clean_up_tokenization_spaces": False,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(tokenizer_config, indent=1))
    (folder / "chat_template.jinja").write_text(CHAT_TEMPLATE)
    shutil.copyfile(tokenizer, folder / "tokenizer.json")


def read_model(folder: Path, device: str) -> LanguageModel:
    """The model with f32 parameters that hold the values stored, for inference only."""
    config = json.loads((folder / "config.json").read_text())
    model = LanguageModel(
        Sizes(
            vocab_size=config["vocab_size"],
            d_model=config["hidden_size"],
            layers=config["num_hidden_layers"],
            expand=config["expand"],
            d_state=config["state_size"],
            d_conv=config["conv_kernel"],
        )
    )
    model.load_state_dict({name: tensor.float() for name, tensor in read_shards(folder).items()})
    return model.to(device).requires_grad_(False)
