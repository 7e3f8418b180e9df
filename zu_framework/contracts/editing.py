"""What makes an edit: where it is written, what is read, what states are wanted, and what is written."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from torch import Tensor

    from zu_framework.contracts.context import RunContext
    from zu_framework.models import CheckpointInfo, LanguageModel
    from zu_framework.problem import (
        Background,
        EditProblem,
        ReadPlan,
        Representations,
        Request,
        Site,
        TargetStates,
        Update,
    )


class Locator(Protocol):
    """Finds the sites to edit."""

    def __call__(
        self, lm: LanguageModel, requests: Sequence[Request], options: Any, context: RunContext, /
    ) -> list[Site]:
        """Return the sites to edit, shallowest first; leave the model as it was, to the bit.

        Args:
            lm: The model before any write.
            requests: The facts to forget, at least one.
            options: The options dataclass of the registration.
            context: Without backgrounds. Curves and plots are written by `context.keep`.

        Returns:
            At least one site, each a dense linear map of `lm.site(layer)`.

        Raises:
            ConfigError: The options do not fit the model.
        """


class Check(Protocol):
    """Holds a component's options against what a model says of itself; named by the `check` of a registration.

    Asked before weights are loaded, and again once they are, before anything else is done: what cannot work is refused
    before work is done.
    """

    def __call__(self, options: Any, model: CheckpointInfo, /) -> None:
        """Return where the component can work under these options on this model.

        Args:
            options: The options dataclass of the registration.
            model: What the checkpoint says of itself: type, number of layers, width, parameters, which layers offer no
                site. What is not known yet is empty.

        Raises:
            ConfigError: It cannot; the message names the key and says the way out.
            ModelError: By `model.check_site` or `model.check_sites`: a layer, or every layer, offers no site.
        """


class Collector(ABC):
    """Reads keys and values of requests at a site.

    Built with `(options, context)`, once a stage.
    """

    @abstractmethod
    def __init__(self, options: Any, context: RunContext) -> None:
        """Keep the options dataclass of the registration, and the context."""

    @abstractmethod
    def plan(self, lm: LanguageModel, requests: Sequence[Request]) -> ReadPlan:
        """Return which texts are read for each request, and where.

        Runs for the facts to forget, for those to retain and for others that are looked at, before its stage writes.

        Args:
            lm: The model, earlier stages written.
            requests: n facts.

        Returns:
            A plan of n rows with equally many prompts; the first of each row is the bare prompt; weights sum to one.

        Raises:
            DataError: A request has not what is read (a subject).
        """

    @abstractmethod
    def collect(self, lm: LanguageModel, plan: ReadPlan, site: Site) -> Representations:
        """Return what the site reads and gives at the plan's places.

        Runs at each site, after the earlier ones were written.

        Args:
            lm: The model, earlier sites written.
            plan: Of `plan`, or a part of it.
            site: One of the locator's sites.

        Returns:
            keys (i, m) and values (o, m) = W keys, without the bias; m = n where averaged over contexts.
        """

    def retained(self, requests: Sequence[Request], retain: Sequence[Request]) -> list[Request]:
        """Return the facts whose bare keys a solver retains (`retain_keys`); by default the facts to retain.

        Args:
            requests: The facts to forget.
            retain: The facts to retain.

        Returns:
            Facts, of which the bare prompt is read.
        """
        return list(retain)


class TargetBuilder(ABC):
    """Builds what a site's output should become.

    Built with `(options, context)`, once a pass over the requests.
    """

    @abstractmethod
    def __init__(self, options: Any, context: RunContext) -> None:
        """Keep the options dataclass of the registration, and the context with its backgrounds."""

    @abstractmethod
    def prepare(self, lm: LanguageModel, plan: ReadPlan, sites: Sequence[Site]) -> Any:
        """Return the state that `at_site` reads.

        Runs once, before the pass writes anything.

        Args:
            lm: The model before this pass.
            plan: The requests of the pass and their texts.
            sites: All sites of the stage, shallowest first.

        Returns:
            Whatever the builder wants to find again; the core hands it on as it is.
        """

    @abstractmethod
    def at_site(
        self, state: Any, lm: LanguageModel, site: Site, index: int, representations: Representations
    ) -> TargetStates:
        """Return the targets at one site.

        Runs at each site, after the earlier ones were written.

        Args:
            state: What `prepare` returned.
            lm: The model, earlier sites written.
            site: The site, `sites[index]`.
            index: Its place among the sites, from 0.
            representations: What the collector read there.

        Returns:
            targets (o, m) for the m columns of the representations, without the bias; sensitive (o, m) where
            `context.needs` holds "sensitive", else None.
        """


class Solver(Protocol):
    """Solves one site: pure linear algebra, no model, no tokenizer, no file."""

    def __call__(self, problem: EditProblem, options: Any, /) -> Update:
        """Return the update of the site's weight; change none of the inputs.

        Args:
            problem: Carries what the registration needs, and nothing else.
            options: The options dataclass of the registration.

        Returns:
            An update of shape (o, i). Its report holds `residual`, `condition_number`, `rank`, `relative_norm`, and all
            that was added (ridge, jitter, rank cuts).

        Raises:
            SolverError: The problem cannot be solved as asked; the message says the way out.
        """


class PreparedSolver(Protocol):
    """A `Solver` whose registration names a `prepare`: it is handed the factor too."""

    def __call__(self, problem: EditProblem, options: Any, factor: Any, /) -> Update:
        """Return the update of the site's weight, as a `Solver` does.

        Args:
            problem: As a solver's.
            options: As a solver's.
            factor: What `prepare` returned for the site.

        Returns:
            As a solver does.

        Raises:
            SolverError: As a solver's.
        """


class Prepare(Protocol):
    """Computes what every edit of a site is solved with; named by `SolverSpec.prepare`."""

    def __call__(self, background: Background, weight: Tensor, options: Any, /) -> Any:
        """Return the factor of a site.

        It must follow from what the registration lists alone: the core keeps it under a key made of that, of the plugin
        and its version, and of the function's own code.

        Args:
            background: The moments that the solver needs, and no others.
            weight: W (o, i), to be read only where the registration says so.
            options: The options dataclass of the registration, of which those that it lists may be read.

        Returns:
            A tensor, or a frozen dataclass of tensors, numbers and None.

        Raises:
            SolverError: The moments do not give one (they are singular); the message says the way out.
        """


class ModelSolver(Protocol):
    """Solves with the whole model, as gradient methods do.

    Collector and target builder take no part.
    """

    def __call__(
        self,
        lm: LanguageModel,
        requests: Sequence[Request],
        sites: Sequence[Site],
        options: Any,
        context: RunContext,
        /,
    ) -> Iterable[tuple[Site, Update]]:
        """Return an update for each parameter that changes; leave the model as it was, to the bit.

        Args:
            lm: The model. Its parameters may be trained only inside `zu_framework.models.lent`, which puts them back.
            requests: The facts to forget.
            sites: The locator's sites.
            options: The options dataclass of the registration.
            context: `documents` is there where the registration needs it.

        Returns:
            Each parameter at most once, its update of the shape of `lm.weight(site)`.
        """
