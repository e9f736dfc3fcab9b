"""Wire dialects: bytes and JSON on one side, canonical types on the other. Pure: no clock, no randomness, no I/O."""
