"""VMamba v2 ("v05_noz", one state a channel) in the official repository's names: a state dict is a checkpoint.

Activations are (batch, H, W, channels). The cross-scan is cross_scan.py on a GPU and plain_cross_scan.py elsewhere.
"""

import math
from dataclasses import asdict, dataclass

import torch
import torch.nn.functional as F
from plain_cross_scan import plain_cross_scan
from torch import nn

Tensor = torch.Tensor
DT_MIN, DT_MAX = 1e-3, 0.1


@dataclass
class Sizes:
    depths: tuple[int, ...] = (2, 2, 5, 2)
    dims: int = 48  # of the first stage; each later one has twice as many
    ssm_ratio: float = 1.0
    mlp_ratio: float = 4.0
    num_classes: int = 10

    def config(self) -> dict:
        """The arguments of the official constructor."""
        fixed = {"patch_size": 4, "in_chans": 3, "ssm_d_state": 1, "ssm_dt_rank": "auto", "ssm_act_layer": "silu", "ssm_conv": 3}
        fixed |= {"ssm_conv_bias": False, "ssm_init": "v0", "forward_type": "v05_noz", "patch_norm": True, "drop_path_rate": 0.0}
        fixed |= {"norm_layer": "ln2d", "downsample_version": "v3", "patchembed_version": "v2", "posembed": False}
        return fixed | asdict(self) | {"depths": list(self.depths)}


class Conv(nn.Conv2d):
    """3×3 over channels that lie last: the permuted view is what PyTorch calls channels_last."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)


class SS2D(nn.Module):
    """in_proj → depthwise 3×3 → SiLU → cross-scan → norm → out_proj."""

    def __init__(self, d: int, ratio: float):
        super().__init__()
        di, r = int(ratio * d), math.ceil(d / 16)
        self.rank = r
        self.in_proj = nn.Linear(d, di, bias=False)
        self.conv2d = Conv(di, di, 3, padding=1, groups=di, bias=False)
        self.x_proj = nn.Linear(di, 4 * (r + 2), bias=False)  # of each direction: dt, B, C
        self.dt_projs = nn.Linear(r, 4 * di, bias=False)
        self.A_logs = nn.Parameter(torch.zeros(4 * di, 1))
        self.Ds = nn.Parameter(torch.ones(4 * di))
        self.out_norm = nn.LayerNorm(di)
        self.out_proj = nn.Linear(di, d, bias=False)
        nn.init.uniform_(self.dt_projs.weight, -(r**-0.5), r**-0.5)
        dt = torch.exp(torch.empty(4, di).uniform_(math.log(DT_MIN), math.log(DT_MAX)))
        self.dt_projs_bias = nn.Parameter(dt + torch.log(-torch.expm1(-dt)))  # softplus of it is dt

    def forward(self, x: Tensor) -> Tensor:
        batch, height, width, _ = x.shape
        u = F.silu(self.conv2d(self.in_proj(x))).reshape(batch, height * width, -1)
        projected = self.x_proj(u).view(batch * height * width, 4, self.rank + 2)
        low, BC = projected.split([self.rank, 2], 2)
        raw = torch.bmm(low.transpose(0, 1), self.dt_projs.weight.view(4, -1, self.rank).transpose(1, 2))
        A, D = -torch.exp(self.A_logs).view(4, -1), self.Ds.view(4, -1)
        arguments = (u, raw, BC.contiguous(), A, D, self.dt_projs_bias, height, width)
        if u.is_cuda:
            from cross_scan import cross_scan  # Triton

            y, _ = cross_scan(*arguments)
        else:
            y = plain_cross_scan(*arguments)
        return self.out_proj(self.out_norm(y)).view(x.shape)


class Mlp(nn.Module):
    def __init__(self, d: int, hidden: int):
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(d, hidden), nn.Linear(hidden, d)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(F.gelu(self.fc1(x)))


class Block(nn.Module):
    def __init__(self, d: int, sizes: Sizes):
        super().__init__()
        self.norm, self.op = nn.LayerNorm(d), SS2D(d, sizes.ssm_ratio)
        self.norm2, self.mlp = nn.LayerNorm(d), Mlp(d, int(sizes.mlp_ratio * d))

    def forward(self, x: Tensor, keep: Tensor | None) -> Tensor:
        """keep (2, batch): what the two branches are multiplied with."""
        branch = self.op(self.norm(x))
        x = x + (branch if keep is None else branch * keep[0, :, None, None, None])
        branch = self.mlp(self.norm2(x))
        return x + (branch if keep is None else branch * keep[1, :, None, None, None])


def _downsample(inputs: int, outputs: int) -> nn.Sequential:
    # The official modules 0 and 2 change the order of the axes.
    return nn.Sequential(nn.Identity(), Conv(inputs, outputs, 3, 2, 1), nn.Identity(), nn.LayerNorm(outputs))


class Stage(nn.Module):
    def __init__(self, d: int, depth: int, sizes: Sizes, last: bool):
        super().__init__()
        self.blocks = nn.ModuleList(Block(d, sizes) for _ in range(depth))
        self.downsample = nn.Identity() if last else _downsample(d, 2 * d)


class Classifier(nn.Module):
    def __init__(self, d: int, classes: int):
        super().__init__()
        self.norm, self.head = nn.LayerNorm(d), nn.Linear(d, classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.norm(x).mean((1, 2)))


class VMamba(nn.Module):
    def __init__(self, sizes: Sizes):
        super().__init__()
        self.sizes = sizes
        d, stages = sizes.dims, len(sizes.depths)
        self.patch_embed = nn.Sequential(
            Conv(3, d // 2, 3, 2, 1), nn.Identity(), nn.LayerNorm(d // 2), nn.Identity(), nn.GELU(),
            Conv(d // 2, d, 3, 2, 1), nn.Identity(), nn.LayerNorm(d),
        )  # fmt: skip
        self.layers = nn.ModuleList(
            Stage(d * 2**i, depth, sizes, last=i == stages - 1) for i, depth in enumerate(sizes.depths)
        )
        self.classifier = Classifier(d * 2 ** (stages - 1), sizes.num_classes)
        for name, parameter in self.named_parameters():
            if parameter.ndim == 2 and name.endswith("weight") and "dt_projs" not in name:
                nn.init.trunc_normal_(parameter, std=0.02)

    def forward(self, pixels: Tensor, keep: Tensor | None = None) -> Tensor:
        """pixels (batch, H, W, 3), normalised; keep (blocks, 2, batch) or None → logits (batch, classes)."""
        x, block = self.patch_embed(pixels), 0
        for stage in self.layers:
            for module in stage.blocks:
                x = module(x, None if keep is None else keep[block])
                block += 1
            x = stage.downsample(x)
        return self.classifier(x)
