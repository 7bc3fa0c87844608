"""LangGraph: the gate around tools, and the one heart behind every door to it."""
