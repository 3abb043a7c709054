"""Derives models, schemas and topology from `contracts/`; needs the package's `generate` extra."""
