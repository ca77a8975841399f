"""The benchmark suite: ``python -m benchmarks``. No part of the package, nor of its tests; see README.md."""
