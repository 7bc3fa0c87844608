"""AgentDojo's suites as a workload: its environments, tasks and checks; our graph and gate.

The package is not called `agentdojo`: pytest puts `tests/` on the import path, and the name would hide the real one.
"""
