"""Makes the files beside it; needs numpy, and torch to save with:

    python3 test/golden/icl-biases/make.py

A Mamba, an attention and an S4-Mamba layer in the official layout with each bias switched to what the official models have not:
in_proj and out_proj have one, conv1d, c_attn and c_proj have none. golden.json is computed here, in float64, by the formulas alone.
"""

import json
from pathlib import Path

import numpy as np
import torch

HERE = Path(__file__).parent
D, DI, N, R, K, HEADS, INPUTS, POINTS = 16, 32, 5, 3, 4, 8, 3, 12
random = np.random.default_rng(7)
weights: dict[str, np.ndarray] = {}


def put(name: str, value: np.ndarray) -> None:
    weights[name] = np.asarray(value).astype(np.float32).astype(np.float64)


def matrix(name: str, rows: int, cols: int, bias: bool) -> None:
    put(f"{name}.weight", random.standard_normal((rows, cols)) / cols**0.5)
    if bias:
        put(f"{name}.bias", random.standard_normal(rows))


def norm(name: str) -> None:
    put(f"{name}.weight", 1 + 0.3 * random.standard_normal(D))
    put(f"{name}.bias", 0.3 * random.standard_normal(D))


def gated(name: str) -> None:
    matrix(f"{name}.in_proj", 2 * DI, D, bias=True)
    put(f"{name}.conv1d.weight", random.standard_normal((DI, 1, K)))
    matrix(f"{name}.out_proj", D, DI, bias=True)


L0, L1, L2 = (f"_backbone.layers.{i}" for i in range(3))
matrix("_read_in", D, INPUTS, bias=True)
for layer in (L0, L1, L2):
    norm(f"{layer}.norm")
gated(f"{L0}.mixer")
matrix(f"{L0}.mixer.x_proj", R + 2 * N, DI, bias=False)
matrix(f"{L0}.mixer.dt_proj", DI, R, bias=True)
put(f"{L0}.mixer.A_log", random.uniform(0, 1.5, (DI, N)))
put(f"{L0}.mixer.D", random.standard_normal(DI))
matrix(f"{L1}.mixer.c_attn", 3 * D, D, bias=False)
matrix(f"{L1}.mixer.c_proj", D, D, bias=False)
gated(f"{L2}.mixer")
S4 = f"{L2}.mixer.S4DMamba"
put(f"{S4}.D", random.standard_normal(DI))
put(f"{S4}.kernel.log_dt", random.uniform(-5, -2, DI))
put(f"{S4}.kernel.log_A_real", random.uniform(-1, 0, (DI, N)))
put(f"{S4}.kernel.A_imag", np.pi * np.arange(N) * np.ones((DI, 1)))
put(f"{S4}.kernel.C", random.standard_normal((DI, N, 2)))
norm("_backbone.norm_f")
matrix("_read_out", 1, D, bias=True)


def linear(x, name):
    return x @ weights[f"{name}.weight"].T + weights.get(f"{name}.bias", 0)


def layer_norm(x, name):
    x = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5)
    return x * weights[f"{name}.weight"] + weights[f"{name}.bias"]


def silu(x):
    return x / (1 + np.exp(-x))


def convolved(u, name):
    x, z = np.split(linear(u, f"{name}.in_proj"), 2, -1)
    padded = np.concatenate([np.zeros((K - 1, DI)), x])
    return silu(sum(padded[k : k + len(x)] * weights[f"{name}.conv1d.weight"][:, 0, k] for k in range(K))), z


def mamba(u, name):
    x, z = convolved(u, name)
    dt, B, C = np.split(linear(x, f"{name}.x_proj"), [R, R + N], -1)
    dt, A, h, y = np.logaddexp(0, linear(dt, f"{name}.dt_proj")), -np.exp(weights[f"{name}.A_log"]), 0, []
    for t in range(len(x)):
        h = np.exp(dt[t, :, None] * A) * h + (dt[t] * x[t])[:, None] * B[t]
        y.append(h @ C[t] + weights[f"{name}.D"] * x[t])
    return linear(np.array(y) * silu(z), f"{name}.out_proj")


def attention(u, name):
    T = len(u)
    q, k, v = (a.reshape(T, HEADS, -1).swapaxes(0, 1) for a in np.split(linear(u, f"{name}.c_attn"), 3, -1))
    a = np.exp(q @ k.swapaxes(1, 2) / (D / HEADS) ** 0.5) * np.tri(T)
    return linear((a / a.sum(-1, keepdims=True) @ v).swapaxes(0, 1).reshape(T, D), f"{name}.c_proj")


def s4_mamba(u, name):
    x, z = convolved(u, name)
    C = weights[f"{S4}.kernel.C"] @ [1, 1j]
    A = -np.exp(weights[f"{S4}.kernel.log_A_real"]) + 1j * weights[f"{S4}.kernel.A_imag"]
    step = A * np.exp(weights[f"{S4}.kernel.log_dt"])[:, None]
    kernel = 2 * np.einsum("cn,cnt->tc", C * (np.exp(step) - 1) / A, np.exp(step[..., None] * np.arange(len(x)))).real
    y = np.array([(kernel[t::-1] * x[: t + 1]).sum(0) for t in range(len(x))]) + weights[f"{S4}.D"] * x
    return linear(y * z, f"{name}.out_proj")


cases = []
for _ in range(2):
    xs, ys = random.standard_normal((POINTS, INPUTS)), random.standard_normal(POINTS)
    u = np.zeros((2 * POINTS - 1, INPUTS))
    u[::2], u[1::2, 0] = xs, ys[:-1]
    u = linear(u, "_read_in")
    for layer, mixer in ((L0, mamba), (L1, attention), (L2, s4_mamba)):
        u = u + mixer(layer_norm(u, f"{layer}.norm"), f"{layer}.mixer")
    predictions = linear(layer_norm(u, "_backbone.norm_f"), "_read_out")[::2, 0]
    cases.append({"xs": xs.tolist(), "ys": ys.tolist(), "predictions": predictions.tolist()})
torch.save({name: torch.tensor(value, dtype=torch.float32) for name, value in weights.items()}, HERE / "model.pt")
config = {"family": "tf-mamba", "n_dims": INPUTS, "n_embd": D, "n_layer": 2, "n_positions": 101}
(HERE / "config.json").write_text(json.dumps(config))
golden = {"kind": "in-context-learning", "source": "NumPy float64 (make.py)", "cases": cases}
(HERE / "golden.json").write_text(json.dumps(golden))
