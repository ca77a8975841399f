"""Pages for people, written from the declarations by which requests are read; nothing in them comes from elsewhere."""
