"""Offers the executors."""

from zu_framework import ExecutorSpec, Register, hookimpl
from zu_plugins.executors.options import ProcessOptions, RayOptions


@hookimpl
def zu_register_executors(register: Register[ExecutorSpec]) -> None:
    """Offer this process, processes of this machine, and a Ray cluster."""
    register(
        ExecutorSpec(
            "local",
            target="zu_plugins.executors.local:execute",
            summary="one cell after the other, in this process",
        )
    )
    register(
        ExecutorSpec(
            "processes",
            target="zu_plugins.executors.processes:execute",
            summary="several cells at a time, in processes of this machine",
            options=ProcessOptions,
            side_by_side=True,
        )
    )
    register(
        ExecutorSpec(
            "ray",
            target="zu_plugins.executors.ray_cluster:execute",
            summary="on an existing Ray cluster (extra ray)",
            options=RayOptions,
            side_by_side=True,
        )
    )
