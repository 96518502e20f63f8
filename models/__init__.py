"""Pure domain code: events, folds, embeddings, candidates, ranking, training.

It must not know Kafka, Redis, HTTP, the environment or the time: what it needs is handed in.
"""
