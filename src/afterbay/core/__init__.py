"""The nouns of the product: messages, requests, events, usage, decisions, errors. Imports nothing of the house."""
