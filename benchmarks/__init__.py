"""How fast the handwritten pass is, side by side with its peers: `python -m benchmarks`."""
