"""Training of the weights that ship: from prompts written for it and permissively licensed sets, to the same bytes."""
