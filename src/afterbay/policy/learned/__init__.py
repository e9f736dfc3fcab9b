"""What is learned from examples: hashed n-grams of a prompt, linear heads over them, their training. Needs numpy, which
the rest of the data plane does not load."""
