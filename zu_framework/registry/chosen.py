"""A component that a configuration chose, with its options."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from zu_framework.registry.components import Registered

if TYPE_CHECKING:
    from zu_framework.models import CheckpointInfo


@dataclass(frozen=True)
class Chosen:
    """One component that the configuration chose.

    Args:
        registered: The component and the plugin that offers it.
        options: Its options dataclass.
    """

    registered: Registered
    options: Any

    @property
    def spec(self) -> Any:
        """Its registration."""
        return self.registered.spec

    @property
    def name(self) -> str:
        """Its name."""
        return self.registered.spec.name

    @property
    def needs(self) -> frozenset[str]:
        """What it needs under its options."""
        return self.registered.spec.needs_of(self.options)

    def load(self) -> Any:
        """Return its implementation, imported on first use."""
        return self.registered.load()

    def check(self, model: CheckpointInfo) -> None:
        """Ask its registration's check whether it can work under its options.

        Args:
            model: What the model says of itself.

        Raises:
            ConfigError: It cannot; the message says the way out.
            ModelError: A layer that it names offers no site.
        """
        if self.spec.check:
            self.registered.load(self.spec.check)(self.options, model)

    def remedy(self, need: str) -> str:
        """Return the way out where a need cannot be met, as its registration words it; "" without one."""
        said = self.registered.spec.remedies.get(need, "")
        return f": {said}" if said else ""
