"""PipelineService."""

from __future__ import annotations

from functools import partial

from crm.sales.v1 import pipeline_events_pb2, pipeline_service_pb2

from chassis.rpc.noun import Noun
from chassis.rpc.service import Service
from services.sales.pipelines import actions, model
from services.sales.pipelines.store import Pipelines


def service(pipelines: Pipelines) -> Service:
    """The handlers of pipelines."""
    descriptor = pipeline_service_pb2.DESCRIPTOR.services_by_name["PipelineService"]
    return Noun(pipelines, descriptor, pipeline_events_pb2, model.check, partial(actions.keep_consistent, pipelines)).serve(
        ArchivePipeline=partial(actions.archive, pipelines)
    )
