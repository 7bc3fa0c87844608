"""`python -m langgraph_signoff.cli`."""

from langgraph_signoff.cli import main

main()
