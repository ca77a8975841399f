"""The services: HTTP text in, a question to the core, a document or an image out."""
