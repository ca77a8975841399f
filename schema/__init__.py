"""The formal specification: JSON Schemas of the configuration and of v1's JSON requests."""
