"""The generic framework: it knows no dataset and no HTTP."""
