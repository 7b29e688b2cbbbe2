"""Data to learn from and to be judged on: readers of published layouts, the split, and what the converter carries."""

from converter.data.contents import PICTURES, modality
from converter.data.dataset import SENSED, Dataset, open_data
from converter.data.listing import Skipped
from converter.data.sides import Item, Role

__all__ = ["PICTURES", "SENSED", "Dataset", "Item", "Role", "Skipped", "modality", "open_data"]
