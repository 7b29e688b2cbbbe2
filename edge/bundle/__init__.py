"""The contract between converter and device: a folder that one writes and the other only reads. See FORMAT.md."""

from edge.bundle.manifest import MAX_OUTLIERS, SCHEMA, Exit, FileRecord, Manifest, Segment, Tower
from edge.bundle.models import RUNTIMES, Model, Variant
from edge.bundle.policies import SCALE, Bank, Calibration, Policies, Policy, PolicySetting, Predictor
from edge.bundle.preprocess import ImagePreprocess, TextPreprocess
from edge.bundle.reader import MANIFEST, Bundle, checksum

__all__ = [
    "MANIFEST",
    "MAX_OUTLIERS",
    "RUNTIMES",
    "SCALE",
    "SCHEMA",
    "Bank",
    "Bundle",
    "Calibration",
    "Exit",
    "FileRecord",
    "ImagePreprocess",
    "Manifest",
    "Model",
    "Policies",
    "Policy",
    "PolicySetting",
    "Predictor",
    "Segment",
    "TextPreprocess",
    "Tower",
    "Variant",
    "checksum",
]
