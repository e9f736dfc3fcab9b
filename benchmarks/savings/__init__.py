"""A fleet of a cheap local model and a dear strong one, and what routing between them saves: see `__main__`."""
