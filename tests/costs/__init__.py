"""What recorded exchanges cost: `python -m costs` writes the table in docs/costs.md anew."""
