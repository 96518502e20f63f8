"""Pure domain code: events, folds, embeddings, candidates, ranking. No I/O, no clock, no environment."""
