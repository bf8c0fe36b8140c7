# SPDX-License-Identifier: MIT
"""docs/API.md is what tools/api_reference makes of server/openapi.json, and each of its links within the page leads somewhere."""

import re
import subprocess
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


class Reference(unittest.TestCase):
    def test_is_up_to_date(self):
        page = (ROOT / "docs" / "API.md").read_text(encoding="utf-8")
        made = subprocess.run([ROOT / "tools" / "api_reference"], capture_output=True, text=True, check=True).stdout
        self.assertEqual(page, made, "run tools/api_reference >docs/API.md")
        heads = {head.lower() for head in re.findall(r"^## (\S+)$", page, re.M)}
        self.assertGreater(len(heads), 5)
        self.assertEqual(set(re.findall(r"\]\(#([^)]*)\)", page)) - heads, set())


if __name__ == "__main__":
    unittest.main()
