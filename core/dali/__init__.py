"""DALI: parameters, literals, content negotiation, and the documents that every VO service answers with."""
