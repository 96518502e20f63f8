"""Production acted out in one process: what serves and what learns, without Kafka and Redis.

It must not know where events come from: recorded logs and simulated worlds hand them over.
"""
