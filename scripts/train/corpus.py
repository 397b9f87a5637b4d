"""Text files to token arrays.

A text file holds documents that end with `<|endoftext|>`. A document is what lies
between two of these markers, stripped of white space at both ends; empty ones are
dropped. Training and evaluation read files through this module alone, so the rule
is the same for both.
"""

import lzma
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer

END_OF_TEXT = "<|endoftext|>"
END_OF_TEXT_ID = 0
# How often each file is read per epoch: the small files would be lost among the books.
TRAINING_FILES = {"books": 1, "books_more": 1, "fairytales": 2, "kids": 1}


def read_documents(path: Path) -> list[str]:
    opener = lzma.open if path.suffix == ".xz" else open
    with opener(path, "rt", encoding="utf-8") as file:
        return [text for piece in file.read().split(END_OF_TEXT) if (text := piece.strip())]


def _encode(job: tuple[str, list[str]]) -> list[np.ndarray]:
    tokenizer = Tokenizer.from_file(job[0])
    return [np.array(tokenizer.encode(text).ids, np.uint16) for text in job[1]]


def encode_documents(documents: list[str], tokenizer_path: Path, workers: int = 16) -> list[np.ndarray]:
    """One uint16 array per document, in order, without `<|endoftext|>`."""
    # Longest first and in small jobs, or one worker ends up with the longest books.
    order = sorted(range(len(documents)), key=lambda i: -len(documents[i]))
    jobs = [order[i::len(order) // 4 + 1] for i in range(len(order) // 4 + 1)]
    encoded: list[np.ndarray] = [np.empty(0, np.uint16)] * len(documents)
    with ProcessPoolExecutor(workers) as pool:
        inputs = [(str(tokenizer_path), [documents[i] for i in job]) for job in jobs]
        for job, arrays in zip(jobs, pool.map(_encode, inputs)):
            for i, array in zip(job, arrays):
                encoded[i] = array
    return encoded


def tokenize_file(path: Path, tokenizer_path: Path, out: Path) -> int:
    """Writes every document as `<|endoftext|>` and its tokens, one after the other."""
    pieces = []
    for tokens in encode_documents(read_documents(path), tokenizer_path):
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
