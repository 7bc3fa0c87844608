"""Telling people: what is owed in the outbox leaves by the channels of the policy, at least once, and never twice without a crash."""

from langgraph_signoff.notify.delivery import Notifier

__all__ = ["Notifier"]
