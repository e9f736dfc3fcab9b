"""afterbay: one endpoint in front of many language models."""

__version__ = "0.1.0"
