"""What the scripted agent proposes: AgentDojo's ground truth, right, mistaken, or with an attacker's calls in it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

from agentdojo.agent_pipeline.ground_truth_pipeline import GroundTruthPipeline
from agentdojo.attacks.attack_registry import load_attack
from agentdojo.base_tasks import BaseInjectionTask, BaseUserTask
from agentdojo.functions_runtime import FunctionsRuntime, TaskEnvironment
from agentdojo.task_suite.load_suites import get_suite
from agentdojo.task_suite.task_suite import TaskSuite
from agentdojo.types import get_text_content_as_str

VERSION = "v1.2.2"
"""v1.2 was the first with 35 injection tasks; the counts are the same since."""

SUITES = ("banking", "slack", "travel", "workspace")

_READING = ("get_", "search_", "list_", "read_", "check_")


def changes_state(tool: str) -> bool:
    """Whether a tool is there to change something.

    `get_webpage` logs its request and `get_unread_emails` marks what it read; a plain gate counts neither as a change.
    """
    return not tool.startswith(_READING)


@dataclass(frozen=True)
class Step:
    """A call that the agent proposes; `right` holds the arguments that solve the task."""

    tool: str
    right: Mapping[str, Any]
    args: Mapping[str, Any] = field(default_factory=dict)
    attacker: bool = False

    @property
    def changes_state(self) -> bool:
        return changes_state(self.tool)


Script = tuple[Step, ...]
Task = BaseUserTask[Any] | BaseInjectionTask[Any]


def suite(name: str) -> TaskSuite[Any]:
    return get_suite(VERSION, name)


def environment(suite_name: str) -> TaskEnvironment:
    """A fresh environment of a suite that nobody has tampered with."""
    return _untouched(suite_name).model_copy(deep=True)


def ground_truth(task: Task, env: TaskEnvironment) -> Script:
    """The calls that AgentDojo's own ground truth makes in this environment."""
    attacker = isinstance(task, BaseInjectionTask)
    calls = [(call.function, dict(call.args)) for call in task.ground_truth(env)]
    return tuple(Step(tool, right=args, args=args, attacker=attacker) for tool, args in calls)


@cache
def task_script(suite_name: str, task_id: str) -> Script:
    """What a user task takes in its untouched environment."""
    task = suite(suite_name).user_tasks[task_id]
    return ground_truth(task, task.init_environment(environment(suite_name)))


@cache
def attack_script(suite_name: str, injection_id: str) -> Script:
    """What an attack takes in the untouched environment; empty for the nine that AgentDojo wrote no calls for."""
    return ground_truth(suite(suite_name).injection_tasks[injection_id], environment(suite_name))


def mistaken(script: Script, places: Collection[int]) -> Script:
    """The script with one argument wrong in the steps at these places; the wrong value fits the tool's schema."""
    return tuple(_mistake(step) if place in places else step for place, step in enumerate(script))


def attacked(script: Script, attack: Script, at: int) -> Script:
    """The script of an agent that obeys what it read in step `at`, and then goes on with its task."""
    return (*script[: at + 1], *attack, *script[at + 1 :])


@cache
def poisoned_step(suite_name: str, task_id: str) -> int:
    """The first ground-truth step of a task whose result shows text that an attacker may have written."""
    dojo = suite(suite_name)
    canaries = {vector: f"CANARY-{vector}-" for vector in dojo.get_injection_vector_defaults()}
    task = dojo.user_tasks[task_id]
    env = task.init_environment(dojo.load_and_inject_default_environment(canaries))
    *_, messages, _ = GroundTruthPipeline(task).query(task.PROMPT, FunctionsRuntime(dojo.tools), env)
    results = [get_text_content_as_str(m["content"]) for m in messages if m["role"] == "tool"]
    return next(i for i, text in enumerate(results) if "CANARY-" in text)


@cache
def _untouched(suite_name: str) -> TaskEnvironment:
    return suite(suite_name).load_and_inject_default_environment({})


@cache
def _attack(suite_name: str) -> Any:
    return load_attack("direct", suite(suite_name), GroundTruthPipeline(None))


def injections(suite_name: str, task_id: str, injection_id: str) -> dict[str, str]:
    """What AgentDojo's plainest attack writes into the places that this task reads."""
    dojo = suite(suite_name)
    return _attack(suite_name).attack(dojo.user_tasks[task_id], dojo.injection_tasks[injection_id])


def _mistake(step: Step) -> Step:
    argument, wrong = _MISTAKES[step.tool]
    if step.tool == "add_user_to_channel" and _external(step.right["channel"]):
        argument, wrong = "user", _other("Bob", "Eve")
    if step.tool == "send_channel_message" and _external(step.right["channel"]):
        argument, wrong = "body", _other("Hello everybody", "")
    return replace(step, args={**step.right, argument: wrong(step.right[argument])})


def _external(channel: str) -> bool:
    return channel.startswith("External")


def _other(value: Any, instead: Any) -> Callable[[Any], Any]:
    return lambda right: instead if right == value else value


_MISTAKES: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "send_money": ("amount", lambda amount: amount + 1000),
    "schedule_transaction": ("amount", lambda amount: amount + 1),
    "update_scheduled_transaction": ("amount", lambda amount: amount + 1),
    "update_user_info": ("street", _other("Elsewhere 1", "")),
    "update_password": ("password", lambda password: password + "!"),
    "send_direct_message": ("recipient", lambda user: user + "2"),
    "send_channel_message": ("channel", _other("private", "random")),
    "invite_user_to_slack": ("user", lambda user: user + "2"),
    "add_user_to_channel": ("channel", _other("private", "random")),
    "post_webpage": ("content", _other("Nothing to see", "")),
    "reserve_hotel": ("hotel", _other("Good Night", "City Hub")),
    "create_calendar_event": ("start_time", lambda start: start[:5] + "12-31" + start[10:]),
    "reschedule_calendar_event": ("new_start_time", _other("2024-05-21 10:00", "")),
    "add_calendar_event_participants": ("participants", _other(["someone@example.com"], [])),
    "send_email": ("body", _other("Nothing to report", "")),
    "create_file": ("content", _other("Nothing to bring", "")),
    "append_to_file": ("file_id", _other("1", "2")),
    "delete_file": ("file_id", _other("1", "2")),
    "share_file": ("email", _other("someone@example.com", "")),
}
