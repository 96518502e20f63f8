"""The queries that come with the package, as text."""
