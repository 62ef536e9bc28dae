"""Duolect: large language models for speech recognition, integrated or combined, compared on your own data."""

__version__ = "0.1.0"
