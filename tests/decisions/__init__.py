"""Random decisions, judged by rules that are written down a second time. `make decisions` runs ten million."""
