"""Numpy gets one thread in tests: matrices are small, and threads that wait for each other are slow."""

from __future__ import annotations

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
