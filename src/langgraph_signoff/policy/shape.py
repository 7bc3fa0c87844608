"""Puts a policy's data into the model, and says in plain words what does not fit."""

from __future__ import annotations

import copy
import difflib
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from langgraph_signoff.policy.channels import Channel, Hearing, LinkTerms
from langgraph_signoff.policy.document import Budget, Document, Otherwise, Person, Queue, Rule, Sample, Tool
from langgraph_signoff.policy.loading import Path, Source
from langgraph_signoff.vocabulary import Fallback, OnFlag, Risk

_PUT_RIGHT = {"then": "review", "version": 1}


def shaped(source: Source) -> Document | None:
    """The document; what does not fit is noted in the source and left out, so that the meaning of the rest can be checked."""
    if not isinstance(source.data, dict):
        source.blame((), "is not a mapping; begin with `version: 1`")
        return None
    data = copy.deepcopy(source.data)
    while True:
        try:
            return Document.model_validate(data)
        except ValidationError as error:
            problems = error.errors(include_url=False, include_input=False)
        for problem in problems:
            _blame(source, problem)
        cuts = [_cut_out(data, problem["loc"]) for problem in problems]
        if not any(cuts):
            return None


def _blame(source: Source, problem: ErrorDetails) -> None:
    path, kind = problem["loc"], problem["type"]
    message = problem["msg"].removeprefix("Value error, ").replace("Input should", "should")
    if path[-1:] == ("[key]",):
        source.blame(path[:-1], f"as a name it {message.replace('String should', 'should')}", key=True)
    elif kind == "extra_forbidden":
        close = difflib.get_close_matches(str(path[-1]), _written_keys(_model_at(path[:-1])), n=1)
        source.blame(path, "unknown key" + (f"; did you mean {close[0]}?" if close else ""), key=True)
    elif kind == "missing":
        source.blame(path, "is missing")
    elif kind in ("model_type", "dict_type"):
        source.blame(path, "should be a mapping")
    else:
        source.blame(path, message.replace("String should", "should"))


def _model_at(path: Path) -> type[BaseModel]:
    match path:
        case ("people", _):
            return Person
        case ("budgets", _):
            return Budget
        case ("queues", _):
            return Queue
        case ("channels", _):
            return Channel
        case ("notify", _) | ("queues", _, "notify", _):
            return Hearing
        case ("links",):
            return LinkTerms
        case ("tools" | "nodes" | "questions", _):
            return Tool
        case ("tools" | "nodes" | "questions", _, "risk"):
            return Risk
        case ("tools" | "nodes" | "questions", _, "otherwise"):
            return Otherwise
        case ("tools" | "nodes" | "questions", _, "rules", _):
            return Rule
        case (*_, "sample"):
            return Sample
        case (*_, "on_timeout"):
            return Fallback
        case (*_, "on_flag"):
            return OnFlag
    return Document


def _written_keys(model: type[BaseModel]) -> list[str]:
    return [field.alias or name for name, field in model.model_fields.items()]


def _cut_out(data: dict[str, Any], path: Path) -> bool:
    """Takes away what stands at `path`, of a list the whole, so that nothing else moves. False when nothing was there."""
    path = path[:-1] if path[-1] == "[key]" else path
    holder, name, inside = data, path[0], data
    for key in path:
        if isinstance(inside, dict):
            holder, name = inside, key
        try:
            inside = inside[key]  # type: ignore[index]  # the path came from the model, the data may have lost it
        except (KeyError, IndexError, TypeError):
            break
    if name in _PUT_RIGHT and holder.get(str(name)) != _PUT_RIGHT[str(name)]:
        holder[str(name)] = _PUT_RIGHT[str(name)]
        return True
    return holder.pop(str(name), data) is not data
