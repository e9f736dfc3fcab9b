"""Training of the weights that ship: reads prompts written for it and permissively licensed sets, writes the same bytes."""
