"""Puts a human decision in front of the actions a LangGraph agent must not take alone."""
