# As test_pathology_tumor_detection.py, for several processes: `torchrun ci/unit_tests/runner.py --b
# pathology_tumor_detection --dist True`. Without two GPUs, two CPU processes do.

import os
import shutil
import subprocess
import sys
import tempfile
import unittest

import torch
from monai.bundle import ConfigParser
from parameterized import parameterized

BUNDLE_ROOT = "models/pathology_tumor_detection"
sys.path.append(os.path.abspath(BUNDLE_ROOT))

TEST_CASE_TRAIN = [{"bundle_root": BUNDLE_ROOT, "epochs": 1, "batch_size": 2, "num_workers": 0}]

TEST_CASE_INFER = [{"bundle_root": BUNDLE_ROOT, "stride": 512, "mode": "sliding", "num_workers": 0}]


class TestTumorDetectionMGPU(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        from scripts.labels.loclabel import generate_loclabels
        from scripts.synthetic.cohort import write_cohort

        cls.folder = tempfile.mkdtemp()
        cohort = write_cohort(cls.folder, 2, 2, shape=(1201, 1603), num_train_regions=2, num_valid_regions=2)
        cls.train_dir, cls.test_dir = (os.path.dirname(slides[0]) for slides in (cohort.training, cohort.testing))
        cls.labels = {}
        for name, coords in (("training_file", cohort.train_coords), ("validation_file", cohort.valid_coords)):
            cls.labels[name] = os.path.join(cls.folder, f"{name}.csv")
            generate_loclabels(coords, cohort.annotations_dir, cls.labels[name])
        cls.config = os.path.join(BUNDLE_ROOT, "configs", "overridden.json")

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.folder)
        if os.path.exists(cls.config):
            os.remove(cls.config)

    def run_config(self, names, override):
        parser = ConfigParser()
        parser.read_config([os.path.join(BUNDLE_ROOT, "configs", name) for name in names])
        parser.update(pairs=override)
        ConfigParser.export_config_file(parser.config, self.config, indent=2)
        files = ["--config_file", self.config, "--meta_file", os.path.join(BUNDLE_ROOT, "configs/metadata.json")]
        files += ["--logging_file", os.path.join(BUNDLE_ROOT, "configs/logging.conf")]
        processes = max(2, torch.cuda.device_count())
        start = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={processes}"]
        subprocess.check_call([*start, "-m", "monai.bundle", "run", *files])

    @parameterized.expand([TEST_CASE_TRAIN])
    def test_train_mgpu_config(self, override):
        output_dir = os.path.join(self.folder, "run")
        override = {**override, "dataset_dir": self.train_dir, "output_dir": output_dir, **self.labels}
        self.run_config(["train.json", "multi_gpu_train.json"], override)
        self.assertTrue(os.path.isfile(os.path.join(output_dir, "model.pt")))

    @parameterized.expand([TEST_CASE_INFER])
    def test_infer_mgpu_config(self, override):
        output_dir = os.path.join(self.folder, "maps")
        override = {**override, "dataset_dir": self.test_dir, "output_dir": output_dir}
        self.run_config(["inference.json", "multi_gpu_inference.json"], override)
        for name in ("test_001.npy", "test_002.npy"):
            self.assertTrue(os.path.isfile(os.path.join(output_dir, name)))


if __name__ == "__main__":
    unittest.main()
