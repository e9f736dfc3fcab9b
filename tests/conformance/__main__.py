"""python -m tests.conformance > docs/conformance.md"""

from __future__ import annotations

import sys

from .page import page

sys.stdout.write(page())
