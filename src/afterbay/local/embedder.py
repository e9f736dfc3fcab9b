"""Sentence embeddings in this process: an ONNX model by onnxruntime, its tokenizer by tokenizers, no torch.

Mean of the token vectors under the attention mask, then length 1, as the model card of all-MiniLM-L6-v2 describes.
A text longer than the window (256 word pieces) is cut there, which is what sentence-transformers does for this model;
which ones were cut is reported, and a caller may have them refused instead.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

BATCH = 32
"""Texts run together: bounds the memory, and the time until the next request of another client gets its turn."""


class Embedded(msgspec.Struct, frozen=True):
    """Vectors as little-endian float32 bytes, in order; tokens read; numbers of the texts that were cut."""

    vectors: tuple[bytes, ...]
    tokens: int
    cut: tuple[int, ...]


class Embedder:
    """One loaded model. Blocking: call it in a thread."""

    def __init__(self, model_path: str, tokenizer_path: str, window: int, threads: int) -> None:
        import onnxruntime
        from tokenizers import Tokenizer

        self.window = window
        self._tokenizer: Any = Tokenizer.from_file(tokenizer_path)
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # an idle worker uses no processor
        options.enable_cpu_mem_arena = False  # the arena would keep the peak of the largest batch for good
        self._session: Any = onnxruntime.InferenceSession(model_path, options, providers=["CPUExecutionProvider"])

    def lengths(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text before any cut, start and end mark included."""
        return [len(encoding.ids) for encoding in self._tokenizer.encode_batch(list(texts))]

    def embed(self, texts: Sequence[str]) -> Embedded:
        """Embeds a batch of at most BATCH texts."""
        import numpy as np

        encodings = self._tokenizer.encode_batch(list(texts))
        cut = tuple(number for number, encoding in enumerate(encodings) if len(encoding.ids) > self.window)
        for number in cut:
            encodings[number].truncate(self.window)
        rows = [self._marked(encoding.ids) for encoding in encodings]
        width = max(len(row) for row in rows)
        ids, mask = np.zeros((len(rows), width), np.int64), np.zeros((len(rows), width), np.int64)
        for number, row in enumerate(rows):
            ids[number, : len(row)], mask[number, : len(row)] = row, 1
        feed = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
        hidden = self._session.run(None, feed)[0]
        mean = (hidden * mask[..., None]).sum(1) / mask.sum(1, keepdims=True)
        vectors = (mean / np.linalg.norm(mean, axis=1, keepdims=True)).astype("<f4")
        return Embedded(tuple(vector.tobytes() for vector in vectors), int(mask.sum()), cut)

    def _marked(self, ids: list[int]) -> list[int]:
        """Ids ending in the end mark, also where the cut took it away."""
        return ids if len(ids) < self.window else [*ids[: self.window - 1], self._end_mark()]

    def _end_mark(self) -> int:
        mark = self._tokenizer.token_to_id("[SEP]")
        return int(mark)
