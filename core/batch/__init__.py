"""Batches: what a job computes, from its parameters and uploads to files in its folder.

It knows no job engine and no HTTP. Whoever runs a batch makes it, runs its steps
in order, and finishes it; a process that was killed is followed by another
one, which makes the batch again and goes on with the first step that was not done.
"""

from .batch import Batch
from .finding import Admits
from .outcome import BatchLimits, Done, Estimate, Outcome, ResultFile

__all__ = ["Admits", "Batch", "BatchLimits", "Done", "Estimate", "Outcome", "ResultFile"]
