"""The operator's door: what a `Signoff` tells whoever keeps it running."""

from __future__ import annotations

from langgraph_signoff.batches import Batches
from langgraph_signoff.queues import Queues
from langgraph_signoff.reasons import Reasons
from langgraph_signoff.simulation import Simulations
from langgraph_signoff.worklists import Worklists


class Operating(Worklists, Reasons, Queues, Simulations, Batches):
    """Answers the operator's questions."""
