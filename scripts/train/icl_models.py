"""The six architectures of the in-context-learning study, in the official repository's names: a state dict is a checkpoint.

Transformer (GPT-2), Mamba, S4D, S4-Mamba, Standard Hybrid (positions, then attention and Mamba in turns) and MambaFormer (no
positions, a Mamba block, then the same turns). Mamba's mixer is mixer.py on a GPU; without one a step-by-step scan.
"""

import math

import torch
import torch.nn.functional as F
from torch import nn

Tensor = torch.Tensor
ARCHITECTURES = ("transformer", "mamba", "s4d", "s4-mamba", "standard-hybrid", "mambaformer")
HEADS = 8
D_STATE, D_CONV, DT_RANK = 16, 4, 16  # DT_RANK is what gate.py's tiles take at least
S4_STATE = 32  # complex states a channel
CHUNK = 8  # the scan's: sequences are padded to a multiple
WIDTH = {name: 128 for name in ARCHITECTURES} | {"s4d": 256}


class Conv1D(nn.Module):
    """GPT-2's linear layer: weight (inputs, outputs)."""

    def __init__(self, inputs: int, outputs: int, std: float = 0.02):
        super().__init__()
        self.weight = nn.Parameter(std * torch.randn(inputs, outputs))
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.weight + self.bias


def attend(qkv: Tensor) -> Tensor:
    """Causal attention: qkv (B, T, 3d) → (B, T, d)."""
    q, k, v = (part.unflatten(-1, (HEADS, -1)).transpose(1, 2) for part in qkv.chunk(3, -1))
    return F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).flatten(2)


class Gpt2Attention(nn.Module):
    def __init__(self, d: int, layers: int):
        super().__init__()
        self.c_attn, self.c_proj = Conv1D(d, 3 * d), Conv1D(d, d, 0.02 / math.sqrt(2 * layers))

    def forward(self, x: Tensor) -> Tensor:
        return self.c_proj(attend(self.c_attn(x)))


class Gpt2Mlp(nn.Module):
    def __init__(self, d: int, layers: int):
        super().__init__()
        self.c_fc, self.c_proj = Conv1D(d, 4 * d), Conv1D(4 * d, d, 0.02 / math.sqrt(2 * layers))

    def forward(self, x: Tensor) -> Tensor:
        return self.c_proj(F.gelu(self.c_fc(x), approximate="tanh"))


class Gpt2Block(nn.Module):
    def __init__(self, d: int, layers: int):
        super().__init__()
        self.ln_1, self.attn = nn.LayerNorm(d), Gpt2Attention(d, layers)
        self.ln_2, self.mlp = nn.LayerNorm(d), Gpt2Mlp(d, layers)

    def forward(self, u: Tensor) -> Tensor:
        u = u + self.attn(self.ln_1(u))
        return u + self.mlp(self.ln_2(u))


class Attention(nn.Module):
    def __init__(self, d: int, layers: int):
        super().__init__()
        self.c_attn, self.c_proj = nn.Linear(d, 3 * d), nn.Linear(d, d)
        with torch.no_grad():
            self.c_proj.weight.div_(math.sqrt(layers))

    def forward(self, h: Tensor) -> Tensor:
        return self.c_proj(attend(self.c_attn(h)))


class GatedConv(nn.Module):
    """What Mamba and S4-Mamba share: x, z = in_proj(h), x = SiLU(conv(x)), out_proj."""

    def __init__(self, d: int, layers: int):
        super().__init__()
        self.inner = 2 * d
        self.in_proj = nn.Linear(d, 2 * self.inner, bias=False)
        self.conv1d = nn.Conv1d(self.inner, self.inner, D_CONV, groups=self.inner, padding=D_CONV - 1)
        self.out_proj = nn.Linear(self.inner, d, bias=False)
        with torch.no_grad():
            self.out_proj.weight.div_(math.sqrt(layers))

    def split(self, h: Tensor) -> tuple[Tensor, Tensor]:
        x, z = self.in_proj(h).chunk(2, -1)
        x = self.conv1d(x.transpose(1, 2))[..., : h.shape[1]].transpose(1, 2)
        return F.silu(x), z


class Mamba(GatedConv):
    def __init__(self, d: int, layers: int):
        super().__init__(d, layers)
        inner = self.inner
        self.x_proj = nn.Linear(inner, DT_RANK + 2 * D_STATE, bias=False)
        self.dt_proj = nn.Linear(DT_RANK, inner)
        self.A_log = nn.Parameter(torch.arange(1.0, D_STATE + 1).log().repeat(inner, 1))
        self.D = nn.Parameter(torch.ones(inner))
        with torch.no_grad():
            self.dt_proj.weight.uniform_(-(DT_RANK**-0.5), DT_RANK**-0.5)
            dt = torch.exp(torch.rand(inner) * math.log(100) + math.log(1e-3))
            self.dt_proj.bias.copy_(dt + torch.log(-torch.expm1(-dt)))  # softplus of it is dt

    def forward(self, h: Tensor) -> Tensor:
        if not h.is_cuda:
            return self.slow(h)
        from mixer import Mixer  # Triton

        batch, T, d = h.shape
        padded = F.pad(h, (0, 0, 0, -T % CHUNK))
        delta, _, _ = Mixer.apply(
            padded.flatten(0, 1), self.in_proj.weight, self.conv1d.weight, self.conv1d.bias, self.x_proj.weight,
            self.dt_proj.weight, self.dt_proj.bias, self.A_log, self.D, self.out_proj.weight, batch, None,
        )  # fmt: skip
        return delta.view(batch, -1, d)[:, :T]

    def slow(self, h: Tensor) -> Tensor:
        x, z = self.split(h)
        low, B, C = self.x_proj(x).split([DT_RANK, D_STATE, D_STATE], -1)
        dt, A = F.softplus(self.dt_proj(low)), -torch.exp(self.A_log)
        state, ys = x.new_zeros(*x.shape[::2], D_STATE), []
        for t in range(h.shape[1]):
            state = torch.exp(dt[:, t, :, None] * A) * state + (dt[:, t] * x[:, t])[..., None] * B[:, t, None]
            ys.append((state * C[:, t, None]).sum(2))
        return self.out_proj((torch.stack(ys, 1) + self.D * x) * F.silu(z))


class S4Kernel(nn.Module):
    def __init__(self, channels: int):
        super().__init__()
        self.log_dt = nn.Parameter(torch.rand(channels) * math.log(100) + math.log(1e-3))
        self.log_A_real = nn.Parameter(torch.full((channels, S4_STATE), math.log(0.5)))
        self.A_imag = nn.Parameter(math.pi * torch.arange(S4_STATE).float().repeat(channels, 1))
        self.C = nn.Parameter(torch.randn(channels, S4_STATE, 2) * math.sqrt(0.5))

    def forward(self, T: int) -> Tensor:
        """The convolution's kernel (channels, T)."""
        A = torch.complex(-torch.exp(self.log_A_real), self.A_imag)
        dtA = A * torch.exp(self.log_dt)[:, None]
        C = torch.view_as_complex(self.C) * (torch.exp(dtA) - 1) / A
        powers = torch.exp(dtA[..., None] * torch.arange(T, device=A.device))
        return 2 * torch.einsum("hn,hnt->ht", C, powers).real


class S4D(nn.Module):
    """y = kernel * x + D x, x (B, T, channels)."""

    def __init__(self, channels: int):
        super().__init__()
        self.D = nn.Parameter(torch.randn(channels))
        self.kernel = S4Kernel(channels)

    def forward(self, x: Tensor) -> Tensor:
        T = x.shape[1]
        k = torch.fft.rfft(self.kernel(T), n=2 * T)
        y = torch.fft.irfft(torch.fft.rfft(x.transpose(1, 2), n=2 * T) * k, n=2 * T)[..., :T]
        return y.transpose(1, 2) + self.D * x


class S4DMixer(nn.Module):
    def __init__(self, d: int, layers: int):
        super().__init__()
        self.s4 = S4D(d)
        self.s4.output_linear = nn.Sequential(nn.Conv1d(d, 2 * d, 1), nn.GLU(1))

    def forward(self, h: Tensor) -> Tensor:
        return self.s4.output_linear(F.gelu(self.s4(h)).transpose(1, 2)).transpose(1, 2)


class S4Mamba(GatedConv):
    def __init__(self, d: int, layers: int):
        super().__init__(d, layers)
        self.S4DMamba = S4D(self.inner)

    def forward(self, h: Tensor) -> Tensor:
        x, z = self.split(h)
        return self.out_proj(self.S4DMamba(x) * z)


class Layer(nn.Module):
    def __init__(self, mixer: type[nn.Module], d: int, layers: int):
        super().__init__()
        self.norm, self.mixer = nn.LayerNorm(d), mixer(d, layers)

    def forward(self, u: Tensor) -> Tensor:
        return u + self.mixer(self.norm(u))


class InContextModel(nn.Module):
    """tokens (B, T, inputs) → (B, T, outputs)."""

    def __init__(self, architecture: str, depth: int, inputs: int, outputs: int, length: int, width: int | None = None):
        super().__init__()
        d = width or WIDTH[architecture]
        self.architecture, self.depth, self.length = architecture, depth, length
        self._read_in, self._read_out = nn.Linear(inputs, d), nn.Linear(d, outputs)
        self._backbone = nn.Module()
        if architecture == "transformer":
            self._backbone.wpe = nn.Embedding(length, d)
            self._backbone.h = nn.ModuleList(Gpt2Block(d, depth) for _ in range(depth))
            self._backbone.ln_f = nn.LayerNorm(d)
            nn.init.normal_(self._backbone.wpe.weight, std=0.02)
            return
        mixers = {
            "mamba": [Mamba] * depth,
            "s4d": [S4DMixer] * depth,
            "s4-mamba": [S4Mamba] * depth,
            "standard-hybrid": [Attention, Mamba] * (depth // 2),
            "mambaformer": [Mamba] + [Attention, Mamba] * (depth // 2),
        }[architecture]
        if architecture == "standard-hybrid":
            self.wpe = nn.Embedding(length, d)
            nn.init.normal_(self.wpe.weight, std=0.02)
        self._backbone.layers = nn.ModuleList(Layer(mixer, d, len(mixers)) for mixer in mixers)
        self._backbone.norm_f = nn.LayerNorm(d)

    def forward(self, tokens: Tensor) -> Tensor:
        u = self._read_in(tokens)
        positions = self._backbone.wpe if self.architecture == "transformer" else getattr(self, "wpe", None)
        if positions is not None:
            u = u + positions.weight[: u.shape[1]]
        gpt2 = self.architecture == "transformer"
        for layer in self._backbone.h if gpt2 else self._backbone.layers:
            u = layer(u)
        return self._read_out((self._backbone.ln_f if gpt2 else self._backbone.norm_f)(u))

    def config(self) -> dict:
        """Beside the weights as config.json: what the engine cannot see from the tensors."""
        return {
            "family": self.architecture,
            "n_dims": self._read_in.in_features,
            "n_embd": self._read_in.out_features,
            "n_positions": (self.length + 1) // 2,
            "n_head": HEADS,
        }


def parameters(model: nn.Module) -> int:
    """Of the layers and norms. Tables of positions, and the two ends, are the task's and not the architecture's size."""
    return sum(p.numel() for name, p in model.named_parameters() if "_read_" not in name and "wpe" not in name)


def matched_depth(architecture: str, target: int) -> int:
    """The depth whose parameters are nearest to the target; they must be within 7.5 % of it, so that any two are within 15 %."""
    step = 2 if architecture in ("standard-hybrid", "mambaformer") else 1
    with torch.device("meta"):
        one, two = (parameters(InContextModel(architecture, n * step, 2, 1, 8)) for n in (1, 2))
    steps = 1 + max(0, round((target - one) / (two - one)))
    size = one + (steps - 1) * (two - one)
    if abs(size / target - 1) > 0.075:
        raise ValueError(f"no depth of {architecture} comes within 7.5 % of {target} parameters; the nearest has {size}")
    return steps * step
