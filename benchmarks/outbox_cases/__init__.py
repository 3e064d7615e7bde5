"""The parts of :mod:`benchmarks.outbox`: what is measured, where, and what it has to show."""
