"""One run over the validation data, with nothing trained."""

from __future__ import annotations

from monai.engines import SupervisedEvaluator

from ..slides.readers import watched_readers


class SingleEvaluator(SupervisedEvaluator):
    """MONAI's engine for one run alone: the processes of its loader end with it."""

    def run(self, global_epoch: int = 1) -> None:
        """Run it.

        Args:
            global_epoch: see MONAI's engine.

        Raises:
            InputError: names the slide if a process that read for this one is gone.
        """
        with watched_readers(self.data_loader):
            super().run(global_epoch)
