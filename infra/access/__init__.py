"""Who may ask: keys, tokens of single viewers, and how much of it at once.

Nothing here knows HTTP: :mod:`infra.http.door` asks these for each request.
"""
