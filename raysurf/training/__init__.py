"""The one training loop and its plugs, evaluation and batch-norm statistics."""
