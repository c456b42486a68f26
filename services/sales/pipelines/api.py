"""PipelineService."""

from __future__ import annotations

from functools import partial

from chassis.rpc.noun import Noun
from chassis.rpc.service import Service
from services.sales.pipelines import actions, model
from services.sales.pipelines.store import Pipelines


def service(pipelines: Pipelines) -> Service:
    """The handlers of pipelines."""
    return Noun(pipelines, model.check, partial(actions.keep_consistent, pipelines)).serve(
        ArchivePipeline=partial(actions.archive, pipelines)
    )
