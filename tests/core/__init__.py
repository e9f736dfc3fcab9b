"""Behaviour of the terms that everything else is built of."""
