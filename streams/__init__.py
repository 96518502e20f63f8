"""The agents, the topics that join them, and the commands that start them.

It must not know how anything is computed, which is :mod:`models`, nor what stands behind the ports
of :mod:`infra`. Agents must not know each other: topics join them.
"""
