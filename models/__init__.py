"""Pure domain code: events, folds, embeddings, candidates, ranking. No I/O and no clock."""
