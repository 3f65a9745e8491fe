"""What ``camelyon16.json`` runs: all stages, or the plan of them."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from ..errors import InputError, few
from ..files import make_output_dir
from ..folders.lock import FolderLock
from .engine import Stage, run_stages
from .graph import stages_from
from .layout import Layout
from .ledger import Ledger
from .planning import write_plan

logger = logging.getLogger(__name__)


class Challenge:
    """A run of the challenge.

    Args:
        layout: where files lie.
        stages: in order.
        plan: say what a run would do, and do nothing.
        begin_at: the stage to begin anew, with all after it; None goes on where the last run ended.
    """

    def __init__(
        self, layout: Layout, stages: Sequence[Stage], plan: bool = False, begin_at: str | None = None
    ) -> None:
        self.layout, self.stages = layout, stages
        self.plan, self.begin_at = plan, begin_at

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
                names = [stage.name for stage in self.stages if stage.left_out() is None]
                print("\n".join(write_plan(self.stages, ledger, self.layout, stages_from(names, self.begin_at))))
                return
            set_aside = run_stages(self.stages, ledger, self.layout, self.begin_at)
        finally:
            lock.release()
        if set_aside:
            reasons = [f"{name} ({reason})" for name, reason in set_aside.items()]
            raise InputError(
                f"{len(set_aside)} slides were set aside, all others are done: {few(list(set_aside))}; mend them and "
                f"run again; first: {reasons[0]}"
            )
