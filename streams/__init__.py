"""The agents, the topics that join them, and the commands that start them."""
