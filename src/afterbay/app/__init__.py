"""The composition root: the only place that builds objects and knows which implementation stands behind a port."""
