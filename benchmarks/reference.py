"""The reference of the benchmarks: MONAI's classes as the published bundle's inference.json wires them.

MaskedPatchWSIDataset with cuCIM reads one patch after the other, 400 make a batch, SupervisedEvaluator runs the
network, ProbMapProducer writes the map. Mended only as far as it takes to run, and no further:

1. Of the foreground only a square is run, since all of it would take too long. `COUNT` tells ProbMapProducer so, which
   writes its map when that many are in.
2. ProbMapProducer assigns an array of one element to an element of its map. numpy refuses since 2.4 where the array
   has axes; the postprocessing drops them.
3. `amp` is off, for float32. On a CPU it has no effect: MONAI's autocast is that of CUDA.
4. 8 workers of the loader become as many as there are cores, if fewer.
5. Weights are loaded into the network, in place of a CheckpointLoader that wants a file of another form.
6. cuCIM is imported as `scripts.slides.cucim_backend` does: after torch it hangs on some kernels.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from monai.bundle import ConfigParser
from monai.data import DataLoader, MaskedPatchWSIDataset
from monai.engines import SupervisedEvaluator
from monai.handlers import ProbMapProducer
from monai.inferers import SimpleInferer
from monai.transforms import (
    Activationsd,
    CastToTyped,
    Compose,
    EnsureTyped,
    Lambdad,
    ScaleIntensityRanged,
    ToNumpyd,
    ToTensord,
)
from monai.utils.enums import ProbMapKeys

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "bundle"))

from scripts.network.activations import keep_tops  # noqa: E402
from scripts.network.network import load_weights  # noqa: E402
from scripts.network.processors import count_processors  # noqa: E402
from scripts.network.purpose import read_purpose  # noqa: E402
from scripts.slides.cucim_backend import import_cucim  # noqa: E402

BATCH_SIZE = 400
NUM_WORKERS = 8


def shipped_network() -> torch.nn.Module:
    """The network of inference.json with the shipped weights, on the CPU, in evaluation mode."""
    config = ConfigParser(ConfigParser.load_config_file(ROOT / "bundle" / "configs" / "inference.json"))
    weights = ROOT / "bundle" / "models" / "model.pt"
    network, purpose = load_weights(config.get_parsed_content("network_def"), weights), read_purpose(weights)
    keep_tops(network, None if purpose is None else purpose.activations)
    return network.eval()


class Reference:
    """Patch by patch inference on a part of one slide.

    Args:
        slide: a pyramidal TIFF whose level ``mask_level`` has one pixel per stride.
        mask_level: the level that the foreground is found on.
        network: gives logits; on its device already, and not channels-last, as published.
        output_dir: where ProbMapProducer writes the map.
        count: how many positions; all if there are fewer.
        center: (row, col) on the mask, around which they lie; by default the middle of the foreground.

    Attributes:
        mask: (rows, cols) bool, the positions that are run.
    """

    def __init__(
        self,
        slide: Path,
        mask_level: int,
        network: torch.nn.Module,
        output_dir: Path,
        count: int,
        center: tuple[float, float] | None = None,
    ) -> None:
        import_cucim()
        preprocessing = Compose(
            [
                CastToTyped(keys="image", dtype="float32"),
                ScaleIntensityRanged(keys="image", a_min=0.0, a_max=255.0, b_min=-1.0, b_max=1.0),
                ToTensord(keys="image"),
            ]
        )
        self.dataset = MaskedPatchWSIDataset(
            data=[{"image": str(slide)}],
            mask_level=mask_level,
            patch_size=(224, 224),
            transform=preprocessing,
            reader="cuCIM",
        )
        self.mask = self._keep_part(count, center)
        self.loader = DataLoader(
            self.dataset,
            batch_size=BATCH_SIZE,
            shuffle=False,
            num_workers=min(NUM_WORKERS, count_processors()),
        )
        self.network = network
        self.output_dir = output_dir

    def run(self) -> npt.NDArray[np.float64]:
        """Run the evaluator once.

        Returns:
            (rows, cols) float64 probabilities, 0 where nothing was run.
        """
        postprocessing = Compose(
            [
                EnsureTyped(keys="pred"),
                Activationsd(keys="pred", sigmoid=True),
                ToNumpyd(keys="pred"),
                Lambdad(keys="pred", func=np.ravel),
            ]
        )
        evaluator = SupervisedEvaluator(
            device=next(self.network.parameters()).device,
            val_data_loader=self.loader,
            network=self.network,
            inferer=SimpleInferer(),
            postprocessing=postprocessing,
            val_handlers=[ProbMapProducer(output_dir=str(self.output_dir))],
            amp=False,
            decollate=False,
        )
        evaluator.run()
        (written,) = self.output_dir.rglob("*.npy")
        found: npt.NDArray[np.float64] = np.load(written)
        return found

    def _keep_part(self, count: int, center: tuple[float, float] | None) -> npt.NDArray[np.bool_]:
        """Keep so many of the dataset's positions, those in a square around a center."""
        (sample,) = self.dataset.image_data
        locations = np.array([item[ProbMapKeys.LOCATION] for item in self.dataset.data])
        distance = np.abs(locations - (np.median(locations, axis=0) if center is None else center)).max(axis=1)
        chosen = np.sort(np.argsort(distance, kind="stable")[:count])
        self.dataset.data = [self.dataset.data[index] for index in chosen]
        sample[ProbMapKeys.COUNT] = len(chosen)
        mask = np.zeros(sample[ProbMapKeys.SIZE], dtype=bool)
        mask[tuple(locations[chosen].T)] = True
        return mask
