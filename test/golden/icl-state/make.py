"""Makes the files beside it, as the official repository's training leaves them:

    PYTHONPATH=scripts/train python3 test/golden/icl-state/make.py

state.pt: weights, Adam's state and the step, by torch.save. wrapped.pt: the same weights of a model that torch.compile and
DataParallel have wrapped. config.yaml: the run's settings. golden.json: the model's predictions in float64.
"""

import json
from pathlib import Path

import torch
from icl_models import InContextModel

POINTS, INPUTS = 6, 3
HERE = Path(__file__).parent

torch.manual_seed(0)
model = InContextModel("mambaformer", 2, INPUTS, 1, 2 * POINTS - 1, width=8)
optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
model(torch.randn(4, 2 * POINTS - 1, INPUTS)).square().mean().backward()
optimizer.step()

state = {"model_state_dict": model.state_dict(), "optimizer_state_dict": optimizer.state_dict(), "train_step": 500}
torch.save(state, HERE / "state.pt")
torch.save(torch.compile(torch.nn.DataParallel(model)).state_dict(), HERE / "wrapped.pt")
(HERE / "config.yaml").write_text(
    f"""model:
  family: tf-mamba
  interleave: true
  mixed_attn: mambaformer
  n_dims: {INPUTS}
  n_embd: 8
  n_head: 8
  n_layer: 2
  n_positions: 101
  vocab_size: -1
"""
)

model = model.double()
cases = []
for _ in range(2):
    xs, ys = torch.randn(POINTS, INPUTS, dtype=torch.float64), torch.randn(POINTS, dtype=torch.float64)
    vectors = torch.zeros(2 * POINTS - 1, INPUTS, dtype=torch.float64)
    vectors[0::2], vectors[1::2, 0] = xs, ys[:-1]
    with torch.no_grad():
        predictions = model(vectors[None])[0, ::2, 0]
    cases.append({"xs": xs.tolist(), "ys": ys.tolist(), "predictions": predictions.tolist()})
golden = {"kind": "in-context-learning", "source": f"PyTorch {torch.__version__} float64", "cases": cases}
(HERE / "golden.json").write_text(json.dumps(golden))
