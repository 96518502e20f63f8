"""Benchmarks: commands that measure and print one JSON line; nothing is asserted."""
