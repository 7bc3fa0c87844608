"""The tool by which an agent proposes a plan: what it says is checked at once, and a mistake is answered to the model."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal

from langchain_core.tools import BaseTool
from langchain_core.tools import tool as create_tool
from pydantic import AfterValidator, Field, PrivateAttr, create_model

from langgraph_signoff import law
from langgraph_signoff.desk import Desk
from langgraph_signoff.errors import GraphRefused, UngatedCall
from langgraph_signoff.law import Case, Plan, Step
from langgraph_signoff.nodes.heart import CURRENT
from langgraph_signoff.nodes.schema import ToolSchema
from langgraph_signoff.render import time_text
from langgraph_signoff.vocabulary import Json, Kind

_DESCRIPTION = (
    "Has a list of later tool calls approved by a person at once. Once it is approved, calls that fit a step run without "
    "asking, as often as the step says; every other call is asked about as usual. Name in each step every argument that the "
    "call will have."
)


class PlanTool(BaseTool):
    """Tells the agent that its plan stands. It runs only behind the gate, which never lets it without a person."""

    signoff_kind: ClassVar[Kind] = "plan"

    name: str = law.PLAN_TOOL
    description: str = _DESCRIPTION
    _desk: Desk = PrivateAttr()

    def _run(self, **plan: Any) -> str:  # noqa: ARG002  # what was approved is on the ticket
        about = CURRENT.get()
        if about is None:
            raise UngatedCall(f"{self.name} runs only behind the gate; give it to a tool node of `Signoff.tool_node`")
        return _told(self._desk.case(about.ticket_id))


def _told(case: Case) -> str:
    plan, end = law.plan_of(case), law.until(case)
    if plan is None or end is None:
        return "The plan does not stand: what it was about has been erased."
    order = "one step after the other, each when the one before has succeeded" if plan.ordered else "in any order"
    return (
        f"The plan stands until {time_text(end)}. Its calls run without asking, {order}, each as often as it says. "
        "Any other call is asked about."
    )


def plan_tool(tools: Sequence[Any], desk: Desk) -> PlanTool:
    """A tool whose plans can have steps of these tools. Raises GraphRefused for one that no step can call."""
    found = [tool if isinstance(tool, BaseTool) else create_tool(tool) for tool in tools]
    schemas = {tool.name: ToolSchema(tool) for tool in found}
    for name, schema in schemas.items():
        if schema.kind != "tool":
            raise GraphRefused(f"{name} always asks a person, so it can be no step of a plan; leave it out")
    if not schemas:
        raise GraphRefused("a plan needs tools that its steps can call; name them")
    made = PlanTool(args_schema=_schema(schemas))
    made._desk = desk
    return made


def _schema(schemas: Mapping[str, ToolSchema]) -> type[Plan]:
    names: Any = Literal[tuple(schemas)]
    step: Any = create_model("Step", __base__=Step, tool=(names, Field(description="The tool to be called.")))
    steps = tuple[Annotated[step, AfterValidator(_completing(schemas))], ...]
    field = Field(min_length=1, max_length=50, description="The calls, in their order.")
    return create_model(law.PLAN_TOOL, __base__=Plan, __doc__=_DESCRIPTION, steps=(steps, field))


def _completing(schemas: Mapping[str, ToolSchema]) -> Callable[[Step], Step]:
    def complete(step: Step) -> Step:
        schema = schemas[step.tool]
        _check_known(step, schema)
        whole = _parsed if step.exact is not None and not schema.is_dynamic else _filled
        return step.model_copy(update={"args": whole(step, schema)})

    return complete


def _parsed(step: Step, schema: ToolSchema) -> dict[str, Json]:
    """The arguments of a step that describes one call, as the call's own will be."""
    try:
        parsed = schema.parse(step.exact or {})
    except Exception as error:
        raise ValueError(f"{step.tool} does not take these arguments: {error}") from error
    return {name: law.exactly(value) for name, value in parsed.items()}


def _filled(step: Step, schema: ToolSchema) -> dict[str, Json]:
    """The patterns of a step, and the defaults that its calls will have."""
    args = {**{name: law.exactly(value) for name, value in schema.defaults.items()}, **step.args}
    if missing := sorted(schema.always - args.keys()):
        raise ValueError(f"{step.tool} needs {', '.join(missing)}; say of each argument what it will be")
    return args


def _check_known(step: Step, schema: ToolSchema) -> None:
    known = schema.json_schema.get("properties")
    if known is None or schema.json_schema.get("additionalProperties"):
        return
    if unknown := sorted(set(step.args) - set(known)):
        raise ValueError(f"{step.tool} takes no {', '.join(unknown)}; it takes {', '.join(known) or 'no argument'}")
