"""Checks the in-context study's models against slow references on the CPU.

    python3 scripts/train/check_icl.py

S4D's convolution against its recurrence in complex f64; every architecture compiled against itself not compiled, and against
itself with more vectors after the ones compared, which must change nothing; Philox against its authors' vectors.
"""

import icl_models
import torch
from icl_models import ARCHITECTURES, InContextModel
from icl_prompts import philox
from icl_s4 import S4D

TOLERANCE = 2e-5


def compare(name: str, got: torch.Tensor, want: torch.Tensor, tolerance: float = TOLERANCE) -> None:
    error = ((got - want).abs().max() / want.abs().max()).item()
    print(f"{name}: {error:.1e}")
    if not error < tolerance:
        raise AssertionError(f"{name}: off by {error}, more than {tolerance}")


def recurrence(layer: S4D, x: torch.Tensor) -> torch.Tensor:
    """h_t = exp(dt A) h_{t−1} + (exp(dt A) − 1)/A x_t, y = 2 Re C h + D x, in f64."""
    kernel = layer.kernel.double()
    A = torch.complex(-torch.exp(kernel.log_A_real), kernel.A_imag)
    step = torch.exp(torch.exp(kernel.log_dt)[:, None] * A)
    C = torch.view_as_complex(kernel.C.contiguous())
    h, ys = torch.zeros_like(x[:, 0, :, None] * A), []
    for t in range(x.shape[1]):
        h = step * h + (step - 1) / A * x[:, t, :, None]
        ys.append(2 * (C * h).sum(-1).real + layer.D * x[:, t])
    return torch.stack(ys, 1)


def outputs(architecture: str, tokens: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """What the model says, and a gradient that has gone through all layers."""
    torch.manual_seed(1)
    model = InContextModel(architecture, 2, tokens.shape[2], 3, tokens.shape[1], 32)
    said = model(tokens)
    (gradient,) = torch.autograd.grad(said.square().sum(), [model._read_in.weight])
    return said.detach(), gradient


def main() -> None:
    if [hex(int(word)) for word in philox(0, 1, 0)[0]] != ["0x6627e8d5", "0xe169c58d", "0xbc57ac4c", "0x9b00dbd8"]:
        raise AssertionError("Philox4x32-10 of zeros is not what its authors give")
    torch.manual_seed(0)
    layer, x = S4D(16), torch.randn(2, 279, 16)
    got = layer(x).detach()
    compare("s4d, 279 steps", got, recurrence(layer, x.double()).detach())
    tokens = torch.randn(2, 21, 5)
    for architecture in ARCHITECTURES:
        said, gradient = outputs(architecture, tokens)
        # Positions have a table of 21 in both: what is cut off may lie behind it only where there is none.
        if architecture not in ("transformer", "standard-hybrid"):
            longer = outputs(architecture, torch.nn.functional.pad(tokens, (0, 0, 0, 3)))[0]
            compare(f"{architecture}, causal", longer[:, :21], said)
        icl_models.compile_layers()
        compiled = outputs(architecture, tokens)
        icl_models.compile_layers(False)
        compare(f"{architecture}, compiled", compiled[0], said)
        compare(f"{architecture}, compiled, gradient", compiled[1], gradient)
        icl_models.attention_type = torch.bfloat16
        compare(f"{architecture}, attention in bf16", outputs(architecture, tokens)[0], said, 2e-2)
        icl_models.attention_type = None


if __name__ == "__main__":
    main()
