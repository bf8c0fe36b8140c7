#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""tools/sbom: valid SPDX, complete, and the same each time. SOTTO_BIN is the build's bin/."""

import json
import os
import re
import shutil
import subprocess
import tempfile
import unittest
from pathlib import Path

BIN = Path(os.environ["SOTTO_BIN"])
ROOT = Path(os.environ.get("SOTTO_SOURCE") or Path(__file__).resolve().parents[2])
BUILD = BIN.parent


def run(*command, **env):
    return subprocess.run([str(c) for c in command], check=True, capture_output=True, text=True, env=os.environ | env).stdout


@unittest.skipUnless(shutil.which("dpkg"), "not a Debian system")
class Bill(unittest.TestCase):
    def test_valid_and_complete(self):
        from spdx_tools.spdx.parser.parse_anything import parse_file
        from spdx_tools.spdx.validation.document_validator import validate_full_spdx_document

        text = run(ROOT / "tools" / "sbom", BUILD, SOURCE_DATE_EPOCH="1700000000")
        self.assertEqual(text, run(ROOT / "tools" / "sbom", BUILD, SOURCE_DATE_EPOCH="1700000000"))
        with tempfile.NamedTemporaryFile("w", suffix=".spdx.json") as f:
            f.write(text)
            f.flush()
            self.assertEqual(validate_full_spdx_document(parse_file(f.name)), [])
        document = json.loads(text)
        libraries = " ".join(p.get("comment", "") for p in document["packages"])
        for binary in BIN / "sotto", BIN / "sottod":
            for library in re.findall(r"^\s+NEEDED\s+(\S+)", run("objdump", "-p", binary), re.MULTILINE):
                if not library.startswith("libsotto"):
                    self.assertIn(library, libraries)
        self.assertEqual({f["fileName"].split("/")[-1].split(".")[0] for f in document["files"]}, {"sotto", "sottod", "libsotto"})
        self.assertEqual(document["creationInfo"]["created"], "2023-11-14T22:13:20Z")


if __name__ == "__main__":
    unittest.main()
