"""The HTTP API: one file a concern, each with its routes and the port behind them.

It must not know what is behind a port: no store, no topic, no ranker.
"""
