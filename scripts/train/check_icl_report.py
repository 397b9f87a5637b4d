"""Checks icl_report.py on results that are not whole: without baselines, of one architecture, without a curriculum, with none trained.

    python3 scripts/train/check_icl_report.py
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

REPORT = Path(__file__).parent / "icl_report.py"
SCORE = {"final": 0.5, "low": 0.4, "high": 0.6, "curve": [1.0, 0.75, 0.5]}


def trained(task: str, architecture: str = "mamba", **more) -> dict:
    return {"task": task, "architecture": architecture, "seed": 0, "lr": 1e-3, "steps": 12, "short": True, "curriculum": True, **SCORE, **more}


def baseline(task: str, name: str) -> dict:
    return {"task": task, "architecture": name, "prompts": 8, **SCORE}


def report(*lines: dict) -> tuple[int, list[list[str]], dict[str, str], str]:
    """Exit code, the tables' rows by cell, the files by name, and what it said of errors."""
    with tempfile.TemporaryDirectory() as folder:
        results, out = Path(folder) / "results.jsonl", Path(folder) / "out"
        results.write_text("".join(json.dumps(line) + "\n" for line in lines))
        command = [sys.executable, str(REPORT), "--results", str(results), "--out", str(out)]
        done = subprocess.run(command, capture_output=True, text=True)
        files = {file.name: file.read_text() for file in out.iterdir()} if out.exists() else {}
        return done.returncode, [row.strip("| ").split(" | ") for row in done.stdout.splitlines()], files, done.stderr


def equal(what: str, got: object, want: object) -> None:
    print(what)
    if got != want:
        raise AssertionError(f"{what}: {got}, not {want}")


def main() -> None:
    paper = "paper: Transformer, Mamba, MambaFormer"
    code, rows, files, said = report(trained("linear"))
    equal("one architecture alone is a table of it", rows[0], ["task", "Mamba", paper])
    equal("without baselines there is one table", (code, len(rows), said), (0, 3, ""))
    equal("a plot and the study", sorted(files), ["linear.svg", "study.json"])
    study = json.loads(files["study.json"])["tasks"]
    equal("of what is there", [(t["task"], [m["name"] for m in t["models"]], t["baselines"]) for t in study], [("linear", ["mamba"], [])])

    code, rows, files, _ = report(trained("retrieval", curriculum=False), baseline("retrieval", "lasso"), baseline("linear", "lasso"))
    equal("a task trained without a curriculum alone", (code, rows[2][0]), (0, "retrieval no curriculum"))
    equal("keeps its baselines, and only its own", rows[4:], [["task", "lasso"], ["---", "---"], ["retrieval", "0.5000 (0.4000–0.6000)"]])
    equal("and its own files", sorted(files), ["retrieval-no-curriculum.svg", "study.json"])

    code, rows, _, _ = report(trained("linear", final=0.7), trained("linear", tag="again"), trained("linear", search=True, final=0.1))
    equal("of attempts the best, without the search's", rows[2][1], "0.5000 (0.4000–0.6000), best of 2, short: 12 steps")

    counts = list(range(24))
    least = {**baseline("linear", "least squares"), "examples": counts, "curve": [1.0] * 20 + [0.0] * 4}
    late = trained("linear", curve=[1.0] * 22 + [0.02, 0.019])
    never = trained("linear", "s4d", curve=[1.0] * 22 + [0.01, 0.021])
    _, _, files, _ = report(late, never, trained("linear", "transformer", curve=[1.0] * 21 + [0.02] * 3), least)
    found = json.loads(files["study.json"])["tasks"][0]["withinFrom"]
    equal("from when on it is as good as least squares", found, {"transformer": 21, "mamba": 22})

    _, _, files, _ = report(trained("mixture", curve=[4.0, 3.0, 2.5]))
    equal("densities are no errors, also without baselines", "mixture: −ln p by the number of examples" in files["mixture.svg"], True)

    for what, lines in (("nothing", []), ("baselines", [baseline("linear", "lasso")]), ("a search", [trained("linear", search=True)])):
        code, rows, files, said = report(*lines)
        equal(f"{what} alone is an error", (code, rows, files, "holds no trained cells yet" in said), (2, [], {}, True))


if __name__ == "__main__":
    main()
