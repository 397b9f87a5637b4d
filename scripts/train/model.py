"""A Mamba-1 language model whose parameters carry the names of Hugging Face's MambaForCausalLM.

The residual stream is f32; matrices are used in the type given to `forward`.
"""

import math
from dataclasses import dataclass

import torch
from add_norm import AddNorm
from mixer import Mixer
from torch import nn

# Per layer: (the last K−1 inputs of the convolution (batch, K−1, DI), h (batch, DI, N)).
State = list[tuple[torch.Tensor, torch.Tensor]]


@dataclass
class Sizes:
    vocab_size: int = 8192
    d_model: int = 512
    layers: int = 16
    expand: int = 2
    d_state: int = 16
    d_conv: int = 4

    @property
    def d_inner(self) -> int:
        return self.expand * self.d_model

    @property
    def dt_rank(self) -> int:
        return math.ceil(self.d_model / 16)


class MixerParameters(nn.Module):
    def __init__(self, sizes: Sizes):
        super().__init__()
        di, n, r = sizes.d_inner, sizes.d_state, sizes.dt_rank
        self.in_proj = nn.Linear(sizes.d_model, 2 * di, bias=False)
        self.conv1d = nn.Conv1d(di, di, sizes.d_conv, groups=di)
        self.x_proj = nn.Linear(di, r + 2 * n, bias=False)
        self.dt_proj = nn.Linear(r, di)
        self.A_log = nn.Parameter(torch.log(torch.arange(1, n + 1).float()).repeat(di, 1))
        self.D = nn.Parameter(torch.ones(di))
        self.out_proj = nn.Linear(di, sizes.d_model, bias=False)

        nn.init.normal_(self.in_proj.weight, std=0.02)
        nn.init.normal_(self.x_proj.weight, std=0.02)
        nn.init.normal_(self.out_proj.weight, std=0.02 / math.sqrt(sizes.layers))
        nn.init.zeros_(self.conv1d.bias)
        # Step sizes start log-uniform in [0.001, 0.1]: softplus(bias) is the step size (Mamba, 3.6).
        nn.init.uniform_(self.dt_proj.weight, -(r**-0.5), r**-0.5)
        dt = torch.exp(torch.empty(di).uniform_(math.log(0.001), math.log(0.1)))
        self.dt_proj.bias.data = dt + torch.log(-torch.expm1(-dt))

    def forward(self, h, batch, state):
        delta, tail, h_last = Mixer.apply(
            h, self.in_proj.weight, self.conv1d.weight, self.conv1d.bias, self.x_proj.weight,
            self.dt_proj.weight, self.dt_proj.bias, self.A_log, self.D, self.out_proj.weight,
            batch, state,
        )  # fmt: skip
        return delta, (tail, h_last)


class Block(nn.Module):
    def __init__(self, sizes: Sizes):
        super().__init__()
        self.norm = nn.RMSNorm(sizes.d_model)
        self.mixer = MixerParameters(sizes)


class Backbone(nn.Module):
    def __init__(self, sizes: Sizes):
        super().__init__()
        self.embeddings = nn.Embedding(sizes.vocab_size, sizes.d_model)
        nn.init.normal_(self.embeddings.weight, std=0.02)
        self.layers = nn.ModuleList(Block(sizes) for _ in range(sizes.layers))
        self.norm_f = nn.RMSNorm(sizes.d_model)


class LanguageModel(nn.Module):
    NORM_EPS = 1e-5

    def __init__(self, sizes: Sizes):
        super().__init__()
        self.sizes = sizes
        self.backbone = Backbone(sizes)

    def forward(self, tokens: torch.Tensor, state: State | None = None, dtype=torch.bfloat16):
        """tokens (batch, L) → the final norm's output (batch·L, DM) and the state after the last token."""
        batch = tokens.shape[0]
        x = self.backbone.embeddings(tokens.flatten())
        delta, new_state = None, []
        for i, block in enumerate(self.backbone.layers):
            x, h = AddNorm.apply(x, delta, block.norm.weight, self.NORM_EPS, dtype)
            delta, layer_state = block.mixer(h, batch, state[i] if state else None)
            new_state.append(layer_state)
        _, h = AddNorm.apply(x, delta, self.backbone.norm_f.weight, self.NORM_EPS, dtype)
        return h, new_state
