"""Running an operation: who asks, what it may cost, its document, its answer."""
