"""S4D (Gu et al. 2022), a diagonal linear state-space model, as a convolution."""

import math

import torch
import torch.nn.functional as F
from torch import nn

Tensor = torch.Tensor
S4_STATE = 32  # complex states a channel
if torch.cuda.is_available():
    import long_conv  # noqa: F401, registers its operator

exact = False  # Fourier transforms in f32 on a GPU too; otherwise TF32, or bf16 where that comes in


class S4Kernel(nn.Module):
    def __init__(self, channels: int):
        super().__init__()
        self.log_dt = nn.Parameter(torch.rand(channels) * math.log(100) + math.log(1e-3))
        self.log_A_real = nn.Parameter(torch.full((channels, S4_STATE), math.log(0.5)))
        self.A_imag = nn.Parameter(math.pi * torch.arange(S4_STATE).float().repeat(channels, 1))
        self.C = nn.Parameter(torch.randn(channels, S4_STATE, 2) * math.sqrt(0.5))

    def forward(self, T: int) -> Tensor:
        """The convolution's kernel 2·Re Σ_n C_n (exp(dt A_n) − 1) / A_n · exp(dt A_n t), (channels, T), without complex numbers."""
        dt = torch.exp(self.log_dt)[:, None]
        real, imag = -torch.exp(self.log_A_real), self.A_imag
        size, angle = torch.exp(dt * real), dt * imag
        # (exp(dt A) − 1) / A
        over, across = size * torch.cos(angle) - 1, size * torch.sin(angle)
        square = real * real + imag * imag
        b_real, b_imag = (over * real + across * imag) / square, (across * real - over * imag) / square
        c_real, c_imag = self.C[..., 0], self.C[..., 1]
        c_real, c_imag = c_real * b_real - c_imag * b_imag, c_real * b_imag + c_imag * b_real
        t = torch.arange(T, device=real.device, dtype=real.dtype)
        size, angle = torch.exp((dt * real)[..., None] * t), (dt * imag)[..., None] * t
        return 2 * (size * (c_real[..., None] * torch.cos(angle) - c_imag[..., None] * torch.sin(angle))).sum(1)


def fft_size(least: int) -> int:
    """The next number without a prime above 5: with a large one the transform takes several times as long."""
    size = least
    while True:
        rest = size
        for prime in (2, 3, 5):
            while rest % prime == 0:
                rest //= prime
        if rest == 1:
            return size
        size += 1


def fourier_conv(x: Tensor, k: Tensor) -> Tensor:
    """x (B, channels, T) convolved with k (channels, T), causally."""
    T, n = x.shape[2], fft_size(2 * x.shape[2])
    return torch.fft.irfft(torch.fft.rfft(x, n=n) * torch.fft.rfft(k, n=n), n=n)[..., :T]


class S4D(nn.Module):
    """y = kernel * x + D x, x (B, T, channels)."""

    def __init__(self, channels: int):
        super().__init__()
        self.D = nn.Parameter(torch.randn(channels))
        self.kernel = S4Kernel(channels)

    def forward(self, x: Tensor) -> Tensor:
        k, rows = self.kernel(x.shape[1]), x.transpose(1, 2)
        # A transform in bf16 does not exist.
        y = torch.ops.icl.long_conv(rows, k) if x.is_cuda and not exact else fourier_conv(rows.float(), k)
        return y.transpose(1, 2) + self.D * x


class S4DMixer(nn.Module):
    def __init__(self, d: int, layers: int):
        super().__init__()
        self.s4 = S4D(d)
        self.s4.output_linear = nn.Sequential(nn.Conv1d(d, 2 * d, 1), nn.GLU(1))

    def forward(self, h: Tensor) -> Tensor:
        wide = self.s4.output_linear[0]  # one position wide: a linear layer, with its channels last
        return F.glu(F.linear(F.gelu(self.s4(h)), wide.weight.squeeze(2), wide.bias))
