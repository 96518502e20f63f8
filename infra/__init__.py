"""Adapters to the world: Kafka, Redis, HTTP, files, processes, metrics."""
