"""Adapters to the world: Kafka, Redis, HTTP, files, processes, metrics.

It must not know who uses it: no agent, no role and no command.
"""
