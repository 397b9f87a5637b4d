"""The six architectures of the in-context-learning study, in the official repository's names: a state dict is a checkpoint.

Transformer (GPT-2), Mamba, S4D, S4-Mamba, Standard Hybrid (positions, then attention and Mamba in turns) and MambaFormer (no
positions, a Mamba block, then the same turns). Mamba's mixer is mixer.py on a GPU; without one a step-by-step scan.

Under autocast the layers' matrices, scans and convolutions run in its type; the residual stream, norms and both ends stay f32.
"""

import math

import torch
import torch.nn.functional as F
from icl_s4 import S4D, S4DMixer
from torch import nn

Tensor = torch.Tensor
ARCHITECTURES = ("transformer", "mamba", "s4d", "s4-mamba", "standard-hybrid", "mambaformer")
HEADS = 8
D_STATE, D_CONV, DT_RANK = 16, 4, 16  # DT_RANK is what gate.py's tiles take at least
CHUNK = 8  # the scan's: sequences are padded to a multiple
WIDTH = {name: 128 for name in ARCHITECTURES} | {"s4d": 256}


class Conv1D(nn.Module):
    """GPT-2's linear layer: weight (inputs, outputs).

    It begins with deviation 1/√inputs. GPT-2's 0.02 is meant for widths of a thousand: at 128 all that attention and MLPs add is then
    nearly nothing beside the stream, and the plateau before anything is learned is longer.
    """

    def __init__(self, inputs: int, outputs: int, scale: float = 1.0):
        super().__init__()
        self.weight = nn.Parameter(scale / math.sqrt(inputs) * torch.randn(inputs, outputs))
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(self, x: Tensor) -> Tensor:
        return torch.addmm(self.bias, x.flatten(0, -2), self.weight).unflatten(0, x.shape[:-1])


attention_type: torch.dtype | None = None  # what attention is computed in; None: what comes in


def attend(qkv: Tensor) -> Tensor:
    """Causal attention: qkv (B, T, 3d) → (B, T, d). In f32 PyTorch's kernels took half of a step of the Transformer on an H100."""
    given = qkv.dtype
    qkv = qkv.to(attention_type or given)
    q, k, v = (part.unflatten(-1, (HEADS, -1)).transpose(1, 2) for part in qkv.chunk(3, -1))
    return F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).flatten(2).to(given)


class Gpt2Attention(nn.Module):
    def __init__(self, d: int, layers: int):
        super().__init__()
        self.c_attn, self.c_proj = Conv1D(d, 3 * d), Conv1D(d, d, 1 / math.sqrt(2 * layers))

    def forward(self, x: Tensor) -> Tensor:
        return self.c_proj(attend(self.c_attn(x)))


class Gpt2Mlp(nn.Module):
    def __init__(self, d: int, layers: int):
        super().__init__()
        self.c_fc, self.c_proj = Conv1D(d, 4 * d), Conv1D(4 * d, d, 1 / math.sqrt(2 * layers))

    def forward(self, x: Tensor) -> Tensor:
        return self.c_proj(F.gelu(self.c_fc(x), approximate="tanh"))


class Gpt2Block(nn.Module):
    def __init__(self, d: int, layers: int):
        super().__init__()
        self.ln_1, self.attn = nn.LayerNorm(d), Gpt2Attention(d, layers)
        self.ln_2, self.mlp = nn.LayerNorm(d), Gpt2Mlp(d, layers)

    def forward(self, u: Tensor, delta: Tensor) -> tuple[Tensor, Tensor]:
        u = u + delta
        u = u + self.attn(self.ln_1(u))
        return u, self.mlp(self.ln_2(u))


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
        # Four products and not conv1d(x): Inductor fuses them with what is around, and the gradient of a depthwise convolution is slow.
        taps = self.conv1d.weight[:, 0].unbind(1)
        shifted = [F.pad(x, (0, 0, D_CONV - 1 - k, 0))[:, : h.shape[1]] for k in range(D_CONV)]
        return F.silu(sum((part * tap for part, tap in zip(shifted, taps)), self.conv1d.bias)), z


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
        delta, _, _ = Mixer.apply(
            h.flatten(0, 1), self.in_proj.weight, self.conv1d.weight, self.conv1d.bias, self.x_proj.weight,
            self.dt_proj.weight, self.dt_proj.bias, self.A_log, self.D, self.out_proj.weight, batch, None,
        )  # fmt: skip
        return delta.view(batch, T, d)

    def slow(self, h: Tensor) -> Tensor:
        x, z = self.split(h)
        low, B, C = self.x_proj(x).split([DT_RANK, D_STATE, D_STATE], -1)
        dt, A = F.softplus(self.dt_proj(low)), -torch.exp(self.A_log)
        state, ys = x.new_zeros(*x.shape[::2], D_STATE), []
        for t in range(h.shape[1]):
            state = torch.exp(dt[:, t, :, None] * A) * state + (dt[:, t] * x[:, t])[..., None] * B[:, t, None]
            ys.append((state * C[:, t, None]).sum(2))
        return self.out_proj((torch.stack(ys, 1) + self.D * x) * F.silu(z))


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

    def forward(self, u: Tensor, delta: Tensor) -> tuple[Tensor, Tensor]:
        u, h = add_norm(u, delta, self.norm.weight, self.norm.bias)
        return u, self.mixer(h)


def add_norm(u: Tensor, delta: Tensor, weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
    u = u + delta
    h = F.layer_norm(u, weight.shape, weight, bias)
    kind = u.device.type
    return u, h.to(torch.get_autocast_dtype(kind)) if torch.is_autocast_enabled(kind) else h


def run_layer(layer: nn.Module, u: Tensor, delta: Tensor) -> tuple[Tensor, Tensor]:
    return layer(u, delta)


EAGER = add_norm, run_layer


def compile_layers(compiled: bool = True) -> None:
    """From here on every layer runs as Inductor's kernels, compiled once for each architecture and length; Mamba's mixer is Triton already."""
    global add_norm, run_layer
    add_norm, run_layer = EAGER
    if compiled:
        import torch._dynamo

        torch._dynamo.config.recompile_limit = 64  # one for each kind of layer and length
        add_norm, run_layer = torch.compile(add_norm, dynamic=False), torch.compile(run_layer, dynamic=False)


def positions_table(length: int, d: int, std: float | None) -> nn.Embedding:
    """Learned positions that begin as sinusoids of Vaswani et al. 2017, or as GPT-2's noise of that deviation.

    With noise of 0.02 beside inputs of deviation 0.6 a head must first grow the table before it can look at the vector before,
    which is what pairing x with its y takes.
    """
    table = nn.Embedding(length, d)
    with torch.no_grad():
        if std is not None:
            table.weight.normal_(std=std)
        else:
            angle = torch.arange(length)[:, None] * torch.exp(torch.arange(0, d, 2) * (-math.log(10_000) / d))
            table.weight.copy_(torch.stack([torch.sin(angle), torch.cos(angle)], 2).flatten(1) * 0.5)
    return table


class InContextModel(nn.Module):
    """tokens (B, T, inputs) → (B, T, outputs)."""

    def __init__(
        self, architecture: str, depth: int, inputs: int, outputs: int, length: int, width: int | None = None, noise: float | None = None
    ):  # fmt: skip
        """noise: deviation of the learned positions at the start; sinusoids without it."""
        super().__init__()
        d = width or WIDTH[architecture]
        self.architecture, self.depth, self.length = architecture, depth, length
        self._read_in, self._read_out = nn.Linear(inputs, d), nn.Linear(d, outputs)
        self._backbone = nn.Module()
        if architecture == "transformer":
            self._backbone.wpe = positions_table(length, d, noise)
            self._backbone.h = nn.ModuleList(Gpt2Block(d, depth) for _ in range(depth))
            self._backbone.ln_f = nn.LayerNorm(d)
            return
        mixers = {
            "mamba": [Mamba] * depth,
            "s4d": [S4DMixer] * depth,
            "s4-mamba": [S4Mamba] * depth,
            "standard-hybrid": [Attention, Mamba] * (depth // 2),
            "mambaformer": [Mamba] + [Attention, Mamba] * (depth // 2),
        }[architecture]
        if architecture == "standard-hybrid":
            self.wpe = positions_table(length, d, noise)
        self._backbone.layers = nn.ModuleList(Layer(mixer, d, len(mixers)) for mixer in mixers)
        self._backbone.norm_f = nn.LayerNorm(d)

    @property
    def layers(self) -> nn.ModuleList:
        return self._backbone.h if self.architecture == "transformer" else self._backbone.layers

    @property
    def has_scan(self) -> bool:
        return any(isinstance(module, Mamba) for module in self.modules())

    def forward(self, tokens: Tensor) -> Tensor:
        T = tokens.shape[1]
        if tokens.is_cuda and self.has_scan:
            # Once here and not in every layer. Nothing before sees what comes after it.
            tokens = F.pad(tokens, (0, 0, 0, -T % CHUNK))
        kind = tokens.device.type
        with torch.autocast(kind, enabled=False):
            u = self._read_in(tokens)
        positions = self._backbone.wpe if self.architecture == "transformer" else getattr(self, "wpe", None)
        delta = torch.zeros_like(u[:1])
        if positions is not None:
            delta = F.pad(positions.weight[:T], (0, 0, 0, tokens.shape[1] - T)).expand_as(u)
        for layer in self.layers:
            if isinstance(getattr(layer, "mixer", None), Mamba):
                u, delta = layer(u, delta)
            else:
                u, delta = run_layer(layer, u, delta)
        norm = self._backbone.ln_f if self.architecture == "transformer" else self._backbone.norm_f
        with torch.autocast(kind, enabled=False):
            return self._read_out(norm((u + delta)[:, :T]))

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
