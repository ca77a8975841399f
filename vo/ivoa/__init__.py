"""The Virtual Observatory's protocols: VOSI, SODA, DataLink, SIA2 and DALI examples, siblings below one base URL."""
