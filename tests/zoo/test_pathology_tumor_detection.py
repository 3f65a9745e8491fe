# Unit tests in the form of the model zoo's CI: copied to ci/unit_tests/, they run from the zoo's top folder, beside
# models/pathology_tumor_detection, by `python ci/unit_tests/runner.py --b pathology_tumor_detection`. Here,
# tests/integration/test_round_trip.py runs them so. The slides are synthetic, drawn by the bundle itself: nothing is
# downloaded.

import os
import shutil
import sys
import tempfile
import unittest

from monai.bundle import ConfigWorkflow
from parameterized import parameterized

BUNDLE_ROOT = "models/pathology_tumor_detection"
sys.path.append(os.path.abspath(BUNDLE_ROOT))

TEST_CASE_TRAIN = [{"bundle_root": BUNDLE_ROOT, "epochs": 1, "batch_size": 2, "num_workers": 0}]

TEST_CASE_INFER = [{"bundle_root": BUNDLE_ROOT, "stride": 512, "mode": "sliding", "num_workers": 0}]


class TestTumorDetection(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        from scripts.labels.loclabel import generate_loclabels
        from scripts.synthetic.cohort import write_cohort

        cls.folder = tempfile.mkdtemp()
        cohort = write_cohort(cls.folder, 2, 1, shape=(1201, 1603), num_train_regions=2, num_valid_regions=2)
        cls.train_dir, cls.test_dir = (os.path.dirname(slides[0]) for slides in (cohort.training, cohort.testing))
        cls.labels = {}
        for name, coords in (("training_file", cohort.train_coords), ("validation_file", cohort.valid_coords)):
            cls.labels[name] = os.path.join(cls.folder, f"{name}.csv")
            generate_loclabels(coords, cohort.annotations_dir, cls.labels[name])

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.folder)

    def check(self, workflow):
        workflow.initialize()
        self.assertEqual(workflow.check_properties(), [])
        workflow.run()
        workflow.finalize()

    @parameterized.expand([TEST_CASE_TRAIN])
    def test_train_config(self, override):
        output_dir = os.path.join(self.folder, "run")
        workflow = ConfigWorkflow(
            workflow_type="train",
            config_file=os.path.join(BUNDLE_ROOT, "configs/train.json"),
            logging_file=os.path.join(BUNDLE_ROOT, "configs/logging.conf"),
            meta_file=os.path.join(BUNDLE_ROOT, "configs/metadata.json"),
            **{**override, "dataset_dir": self.train_dir, "output_dir": output_dir, **self.labels},
        )
        self.check(workflow)
        self.assertTrue(os.path.isfile(os.path.join(output_dir, "model.pt")))

    @parameterized.expand([TEST_CASE_INFER])
    def test_infer_config(self, override):
        output_dir = os.path.join(self.folder, "maps")
        workflow = ConfigWorkflow(
            workflow_type="infer",
            config_file=os.path.join(BUNDLE_ROOT, "configs/inference.json"),
            logging_file=os.path.join(BUNDLE_ROOT, "configs/logging.conf"),
            meta_file=os.path.join(BUNDLE_ROOT, "configs/metadata.json"),
            **{**override, "dataset_dir": self.test_dir, "output_dir": output_dir},
        )
        self.check(workflow)
        self.assertTrue(os.path.isfile(os.path.join(output_dir, "test_001.npy")))


if __name__ == "__main__":
    unittest.main()
