"""What ``camelyon16.json`` runs: all stages, or the plan of them."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from ..errors import InputError, counted, few
from ..files import make_output_dir
from ..folders.lock import FolderLock
from .acquisition import Download, Offer
from .cohort import TEST, TRAINING
from .costs import Probe
from .engine import Stage, run_stages
from .graph import stages_from
from .layout import Layout
from .ledger import Ledger
from .planning import write_plan
from .verification import Verify

logger = logging.getLogger(__name__)


class Challenge:
    """A run of the challenge.

    Args:
        layout: where files lie.
        stages: in order.
        plan: say what a run would do, and do nothing.
        begin_at: the stage to begin anew, with all after it; None goes on where the last run ended.
        backend: see `slides.slide.open_slide`, for the plan.
        stride: level-0 pixels per map pixel, for the plan.
    """

    def __init__(
        self,
        layout: Layout,
        stages: Sequence[Stage],
        plan: bool = False,
        begin_at: str | None = None,
        backend: str = "auto",
        stride: int = 64,
    ) -> None:
        self.layout, self.stages = layout, stages
        self.plan, self.begin_at = plan, begin_at
        self.backend, self.stride = backend, stride

    def run(self) -> None:
        """Run the stages, and name the slides that were set aside.

        Raises:
            InputError: if a stage fails; or at the end, if slides were set aside.
        """
        output = make_output_dir(self.layout.output)
        lock = FolderLock(output)
        lock.acquire()
        try:
            ledger = Ledger(output)
            if self.plan:
                self._print_plan(ledger)
                return
            set_aside = run_stages(self.stages, ledger, self.layout, self.begin_at)
        finally:
            lock.release()
        if set_aside:
            reasons = [f"{name} ({reason})" for name, reason in set_aside.items()]
            raise InputError(
                f"{counted(len(set_aside), 'slide was', 'slides were')} set aside, all others are done: "
                f"{few(list(set_aside))}; mend them and "
                f"run again; first: {reasons[0]}"
            )

    def _print_plan(self, ledger: Ledger) -> None:
        wanted = [stage for stage in self.stages if stage.left_out() is None]
        for stage in wanted:
            stage.check()
        again = stages_from([stage.name for stage in wanted], self.begin_at)
        lines = write_plan(self.stages, ledger, self.layout, again, self._make_probe())
        print("\n".join(lines))

    def _make_probe(self) -> Probe:
        """Measures on the slides that verify found or would look at; the plan is for those that the bucket has, too."""
        found = [member for part in (TRAINING, TEST) for member in self.layout.members(part)]
        verify = next((stage for stage in self.stages if isinstance(stage, Verify)), None)
        download = next((stage for stage in self.stages if isinstance(stage, Download)), None)
        offer = Offer() if download is None or download.left_out() is not None else download.offer
        if not found and verify is not None:
            try:
                found = verify.candidates().members
            except InputError as error:
                if not offer.members:  # else the slides are still to come
                    logger.warning("%s", error)
        there = {member.name: member for member in found}
        members = [there.get(member.name, member) for member in offer.members] or found
        return Probe(self.layout, members, self.backend, self.stride, offer.sizes)
