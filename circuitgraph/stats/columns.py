"""Text columns of tables with millions of rows, at one or two bytes a row."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd


def coded(codes: np.ndarray, names: Sequence[str]) -> pd.Categorical:
    """``names[codes]`` as a categorical column with the categories in the order of ``names``."""
    small = codes.astype(np.min_scalar_type(-max(len(names), 1)))
    return pd.Categorical.from_codes(small, categories=pd.Index(list(names), dtype="str"))


def constant(text: str, length: int) -> pd.Categorical:
    """One text in every row."""
    return coded(np.zeros(length, np.int8), [text])


def texts(values: Sequence[str]) -> pd.Categorical:
    """Texts as a categorical column with the categories in order of first appearance."""
    place: dict[str, int] = {}
    codes = np.array([place.setdefault(value, len(place)) for value in values], dtype=int)
    return coded(codes, list(place))
