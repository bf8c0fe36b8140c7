# SPDX-License-Identifier: MIT
"""Word error rate of one text, by tests/wer/wer.py: Whisper's English normaliser on both sides."""

import importlib.machinery
import importlib.util
import sys
import types
from pathlib import Path

from peers import ROOT


def load():
    """wer.py, with the package whisper cut down to its normalisers: the whole of it would need torch."""
    if "whisper" not in sys.modules:
        found = importlib.machinery.PathFinder.find_spec("whisper")
        package = types.ModuleType("whisper")
        package.__path__ = list(found.submodule_search_locations)
        sys.modules["whisper"] = package
    spec = importlib.util.spec_from_file_location("wer", ROOT / "tests" / "wer" / "wer.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["wer"] = module
    spec.loader.exec_module(module)
    return module


def wer(reference, text):
    """Percent."""
    module = sys.modules.get("wer") or load()
    edits, words = module.score([module.Item("", "en", 0.0, reference, Path(), text)])
    return 100 * edits / max(words, 1)
