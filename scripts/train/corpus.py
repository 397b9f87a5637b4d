"""Text and dialogue files to token arrays.

A text file holds documents that end with `<|endoftext|>`. A document is what lies between two
of these markers, stripped of white space at both ends; empty ones are dropped. A dialogue file
holds one dialogue a line (dialogues.py). Training and evaluation read files through this module
alone, so the rule is the same for both.
"""

import lzma
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
from dialogues import DIALOGUE_FILES, read_dialogues, render, training_texts
from overlap import sequences, without_overlap
from tokenizers import Tokenizer

END_OF_TEXT = "<|endoftext|>"
END_OF_TEXT_ID = 0
# How often each file is read per epoch: the small files would be lost among the books.
PROSE_FILES = {"books": 1, "books_more": 1, "fairytales": 1, "kids": 1}
TRAINING_FILES = PROSE_FILES | DIALOGUE_FILES
VALIDATION_FILES = ("books_val.txt", "fairytales_val.txt", "sgd_val.jsonl.xz")


def read_documents(path: Path) -> list[str]:
    """The documents of a text file, or a dialogue file's dialogues in the chat template."""
    if ".jsonl" in path.suffixes:
        return [render(messages) for messages in read_dialogues(path)]
    opener = lzma.open if path.suffix == ".xz" else open
    with opener(path, "rt", encoding="utf-8") as file:
        return [text for piece in file.read().split(END_OF_TEXT) if (text := piece.strip())]


def training_documents(data: Path, name: str) -> list[str] | None:
    """The documents of one of TRAINING_FILES, evaluation texts left out; None when the file is not in `data`."""
    if name in DIALOGUE_FILES:
        path = data / f"{name}.jsonl.xz"
        return training_texts(path) if path.exists() else None
    path = data / f"{name}.txt.xz"
    if not path.exists():
        return None
    known = sequences([text for file in data.glob("*_val.txt") for text in read_documents(file)])
    documents = []
    for text in read_documents(path):
        rest, dropped = without_overlap(text, known)
        if dropped:
            print(f"{name}: left out {dropped} paragraphs ({len(text) - len(rest)} characters) of «{text[:40]!r}»", flush=True)
        documents += [rest] if rest.strip() else []
    return documents


def _encode(job: tuple[str, list[str]]) -> list[np.ndarray]:
    tokenizer = Tokenizer.from_file(job[0])
    return [np.array(tokenizer.encode(text).ids, np.uint16) for text in job[1]]


def encode_documents(documents: list[str], tokenizer_path: Path, workers: int = 16) -> list[np.ndarray]:
    """One uint16 array per document, in order, without `<|endoftext|>`."""
    # Longest first and in small jobs, or one worker ends up with the longest books.
    order = sorted(range(len(documents)), key=lambda i: -len(documents[i]))
    count = min(len(documents), 4 * workers + len(documents) // 64)
    jobs = [order[i::count] for i in range(count)]
    encoded: list[np.ndarray] = [np.empty(0, np.uint16)] * len(documents)
    with ProcessPoolExecutor(workers) as pool:
        inputs = [(str(tokenizer_path), [documents[i] for i in job]) for job in jobs]
        for job, arrays in zip(jobs, pool.map(_encode, inputs)):
            for i, array in zip(job, arrays):
                encoded[i] = array
    return encoded


def write_tokens(documents: list[str], tokenizer_path: Path, out: Path, shuffle: bool = False) -> int:
    """Writes every document as `<|endoftext|>` and its tokens, one after the other."""
    encoded = encode_documents(documents, tokenizer_path)
    if shuffle:
        encoded = [encoded[i] for i in np.random.default_rng(0).permutation(len(encoded))]
    pieces = []
    for tokens in encoded:
        pieces += [np.array([END_OF_TEXT_ID], np.uint16), tokens]
    stream = np.concatenate(pieces)
    np.save(out, stream)
    return len(stream)


def load_training_stream(folder: Path) -> np.ndarray:
    """The token files of `folder`, each repeated as TRAINING_FILES says, and a closing marker."""
    pieces = []
    for name, repeats in TRAINING_FILES.items():
        path = folder / f"{name}.npy"
        if path.exists():
            pieces += [np.load(path)] * repeats
    if not pieces:
        raise FileNotFoundError(f"no token files in {folder}: run tokenize_corpus.py first")
    return np.concatenate([*pieces, np.array([END_OF_TEXT_ID], np.uint16)])


def load_validation(folder: Path) -> dict[str, np.ndarray]:
    """The token files of the evaluation texts in `folder`, by name."""
    names = [name.split(".")[0] for name in VALIDATION_FILES]
    return {name: np.load(folder / f"{name}.npy") for name in names if (folder / f"{name}.npy").exists()}
