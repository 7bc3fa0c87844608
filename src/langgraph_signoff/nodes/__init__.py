"""LangGraph: the gate around tools, and the one heart behind every door to it.

From the door inwards: `tool_node` (a turn of calls), `gated_tool` (the claim around one tool), `heart` (rule, open, wait,
claim, run, record) as `steps` that run sync or async. Beside them: `turn` (naming calls), `schema` and `as_json` (what a call
parses to), `messages` and `payload` (what the model and the reviewer get), `checks` (graphs that would break a promise),
`internals` (LangGraph's private names).
"""
