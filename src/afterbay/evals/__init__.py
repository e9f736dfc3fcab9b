"""Protocols that score a part on rows of data, the way its figures in docs/benchmarks.md were made. They read rows and
return figures; `afterbay router` and its like print them."""
