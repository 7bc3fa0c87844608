"""One AgentDojo run through a LangGraph graph: the world outside the graph's state, the agent, the tools, the judge."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agentdojo.agent_pipeline.base_pipeline_element import BasePipelineElement
from agentdojo.agent_pipeline.tool_execution import tool_result_to_str
from agentdojo.functions_runtime import EmptyEnv, FunctionCall, FunctionsRuntime, TaskEnvironment
from agentdojo.types import ChatAssistantMessage, ChatMessage, text_content_block_from_string
from langchain_core.messages import AIMessage
from langchain_core.tools import BaseTool, StructuredTool, ToolException
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.graph.state import CompiledStateGraph
from langgraph.prebuilt import tools_condition

from .scripts import Script, Step, Task, attacked, environment, ground_truth, injections, poisoned_step, suite


@dataclass
class World:
    """A stateful environment, what the agent will propose in it, and what really ran; kept in `file`, if given."""

    suite: str
    env: TaskEnvironment
    script: Script
    prompt: str
    output: str
    file: Path | None = None
    turn: int = -1
    at_proposal: str = ""
    asked: list[int] = field(default_factory=list)
    hashes: list[set[str]] = field(default_factory=list)
    ran: list[FunctionCall] = field(default_factory=list)

    @property
    def step(self) -> Step:
        """The step that was proposed last."""
        return self.script[self.turn]

    @property
    def was_still(self) -> bool:
        """Whether the environment was, at every pause, what it had been when the call was proposed."""
        return all(len(found) == 1 for found in self.hashes)

    def propose(self, turn: int) -> AIMessage:
        """The agent's message of this turn: the next call, or its final answer."""
        self.turn, self.at_proposal = turn, self.fingerprint()
        self.keep()
        if turn == len(self.script):
            return AIMessage(self.output, id=f"answer-{turn}")
        call = {"name": self.step.tool, "args": dict(self.step.args), "id": f"call-{turn}"}
        return AIMessage("", id=f"proposal-{turn}", tool_calls=[call])

    def run(self, tool: str, args: dict[str, Any]) -> str:
        """Runs one of AgentDojo's functions on the environment; what it raises is the tool's error."""
        self.ran.append(FunctionCall(function=tool, args=args))
        self.log(tool)
        result, error = FunctionsRuntime(suite(self.suite).tools).run_function(self.env, tool, args)
        self.keep()
        if error:
            raise ToolException(error)
        return tool_result_to_str(result)

    def paused(self) -> None:
        """Notes a pause, and the environment's hash when the call was proposed and now."""
        self.asked.append(self.turn)
        self.hashes.append({self.at_proposal, self.fingerprint()})

    def decided(self) -> None:
        """Notes the environment's hash after the decision, before anybody resumes."""
        self.hashes[-1].add(self.fingerprint())

    def fingerprint(self) -> str:
        """A hash of the whole environment."""
        state = json.dumps(self.env.model_dump(mode="json"), sort_keys=True)
        return hashlib.sha256(state.encode()).hexdigest()

    def keep(self) -> None:
        """Writes the world to its file. Pickled: AgentDojo's models validate JSON back to their initial state."""
        if self.file:
            self.file.write_bytes(pickle.dumps(self))

    def log(self, did: str) -> None:
        """Adds a line to the log beside the world's file, if it has one: which process did what."""
        if self.file:
            with self.file.with_name("log").open("a") as log:
                print(os.getpid(), did, file=log)

    def messages(self) -> list[ChatMessage]:
        """The trace that AgentDojo judges: the calls that ran, then the answer. A refused call is not an act."""
        said = [ChatAssistantMessage(role="assistant", content=None, tool_calls=[call]) for call in self.ran]
        answer = [text_content_block_from_string(self.output)]
        return [*said, ChatAssistantMessage(role="assistant", content=answer, tool_calls=None)]


def tools(world: World) -> list[BaseTool]:
    """AgentDojo's functions as LangChain tools over this world."""
    return [_tool(world, function) for function in suite(world.suite).tools]


def _tool(world: World, function: Any) -> BaseTool:
    return StructuredTool(
        name=function.name,
        description=function.description,
        args_schema=function.parameters,
        func=lambda **args: world.run(function.name, args),
        handle_tool_error=True,
    )


def graph(world: World, tool_node: Any, saver: BaseCheckpointSaver[Any]) -> CompiledStateGraph[Any, Any, Any, Any]:
    """An agent that proposes the world's script, one call a turn, and the node that runs its calls."""

    def agent(state: MessagesState) -> dict[str, Any]:
        turn = sum(isinstance(message, AIMessage) for message in state["messages"])
        return {"messages": [world.propose(turn)]}

    builder = StateGraph(MessagesState)
    builder.add_node("agent", agent)
    builder.add_node("tools", tool_node)
    builder.add_edge(START, "agent")
    builder.add_conditional_edges("agent", tools_condition)
    builder.add_edge("tools", "agent")
    return builder.compile(checkpointer=saver)


Play = Callable[[World], World]
"""Plays a world to its end through some gate, and gives it back (another process may have held it)."""


@dataclass(frozen=True)
class Case:
    """A user task of a suite, alone or while an injection task attacks it."""

    suite: str
    task: str
    injection: str | None = None

    def __str__(self) -> str:
        return "-".join(filter(None, (self.suite, self.task, self.injection)))


@dataclass(frozen=True)
class Verdict:
    """What AgentDojo's own checks say of a run, and the world as it ended."""

    useful: bool
    harmed: bool
    world: World


def replay(case: Case, play: Play, edit: Callable[[Script], Script] = lambda script: script) -> Verdict:
    """Lets AgentDojo run a case with a scripted agent, and judge it; `edit` changes the user task's script."""
    dojo, agent = suite(case.suite), _ScriptedAgent(case, play, edit)
    attack = dojo.injection_tasks[case.injection] if case.injection else None
    useful, harmed = dojo.run_task_with_pipeline(
        agent, dojo.user_tasks[case.task], attack, injections={}, environment=_environment(case)
    )
    return Verdict(useful, bool(attack) and harmed, agent.world)


class _ScriptedAgent(BasePipelineElement):
    def __init__(self, case: Case, play: Play, edit: Callable[[Script], Script]) -> None:
        self.case, self.play, self.edit = case, play, edit

    def query(
        self,
        query: str,
        runtime: FunctionsRuntime,
        env: TaskEnvironment = EmptyEnv(),  # noqa: B008  # AgentDojo's signature
        messages: Sequence[ChatMessage] = (),
        extra_args: dict[str, Any] | None = None,
    ) -> tuple[str, FunctionsRuntime, TaskEnvironment, Sequence[ChatMessage], dict[str, Any]]:
        task = suite(self.case.suite).user_tasks[self.case.task]
        world = World(self.case.suite, env, self._script(task, env), query, task.GROUND_TRUTH_OUTPUT)
        self.world = self.play(world)
        return query, runtime, self.world.env, self.world.messages(), extra_args or {}

    def _script(self, task: Task, env: TaskEnvironment) -> Script:
        script = self.edit(ground_truth(task, env))
        if self.case.injection is None:
            return script
        attack = ground_truth(suite(self.case.suite).injection_tasks[self.case.injection], env)
        return attacked(script, attack, at=poisoned_step(self.case.suite, self.case.task))


def _environment(case: Case) -> TaskEnvironment:
    if case.injection is None:
        return environment(case.suite)
    texts = injections(case.suite, case.task, case.injection)
    return suite(case.suite).load_and_inject_default_environment(texts)
