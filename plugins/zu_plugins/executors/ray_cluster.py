"""`ray`: jobs as tasks of a Ray cluster, which looks after machines, cores and GPUs."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from zu_framework import ConfigError, Finished, PluginError
from zu_plugins.executors.options import RayOptions

Work = Callable[[Mapping[str, Any]], Mapping[str, Any]]


def execute(work: Work, jobs: Sequence[Mapping[str, Any]], options: RayOptions) -> Iterator[Finished]:
    """Submit all jobs and yield each as it ends.

    A task whose worker died is lost, not tried again. Machines of the cluster must have this package installed and see
    the same folders: models, data, the bench's own.

    Raises:
        PluginError: ray is not installed.
        ConfigError: No cluster is found at the address.
    """
    try:
        import ray
    except ImportError as cause:
        raise PluginError("executor 'ray' needs the extra ray: pip install 'zu_framework[ray]'") from cause
    mine = not ray.is_initialized()
    here = options.address == "local"
    if mine:
        try:
            ray.init(
                address=options.address,
                logging_level=logging.ERROR,
                log_to_driver=False,
                include_dashboard=False if here else None,
            )
        except (ConnectionError, ValueError, RuntimeError, TimeoutError) as cause:
            raise ConfigError(
                f"executor.address {options.address!r}: no Ray cluster answers there ({cause}); start one with "
                "`ray start --head`, or leave --ray out"
            ) from cause
    task = ray.remote(num_cpus=options.cpus, num_gpus=options.gpus, max_retries=0)(work)
    running: dict[Any, int] = {}
    try:
        running = {task.remote(dict(job)): index for index, job in enumerate(jobs)}
        while running:
            ended, _ = ray.wait(list(running), num_returns=1)
            for reference in ended:
                index = running.pop(reference)
                try:
                    yield Finished(index, ray.get(reference))
                except ray.exceptions.RayError as cause:
                    lines = str(cause).strip().splitlines() or [type(cause).__name__]
                    yield Finished(index, lost=f"its Ray worker was lost: {lines[0]}")
    finally:
        for reference in running:
            ray.cancel(reference)  # as Ctrl-C would: the task removes what it had half-written
        if mine:
            ray.shutdown()
