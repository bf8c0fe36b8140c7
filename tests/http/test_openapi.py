# SPDX-License-Identifier: MIT
"""The OpenAPI document: served as committed, complete, and kept to when schemathesis makes up requests.

SOTTO_FUZZ_SECONDS sets how long that goes on; 20 by default."""

import importlib.util
import json
import os
import re
import subprocess
import sys
import tempfile
import unittest

from daemon import SOURCE, Daemon, need_model

DOCUMENT = SOURCE / "server/openapi.json"
SECONDS = int(os.environ.get("SOTTO_FUZZ_SECONDS", "20"))


def c_strings(path, pattern):
    text = re.sub(r"/\*.*?\*/", "", (SOURCE / path).read_text(encoding="utf-8"), flags=re.DOTALL)
    return re.findall(pattern, text)


class OpenApi(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        state = tempfile.TemporaryDirectory(prefix="sottod-state-")
        cls.addClassCleanup(state.cleanup)
        cls.d = Daemon("--state-dir", state.name)
        cls.addClassCleanup(cls.d.finish)
        cls.document = json.loads(DOCUMENT.read_text(encoding="utf-8"))

    def fields(self, path):
        content = self.document["paths"][path]["post"]["requestBody"]["content"]
        names = content["multipart/form-data"]["schema"]["properties"]
        return {name.removesuffix("[]") for name in names}

    def test_served_as_committed(self):
        a = self.d.get("/openapi.json")
        self.assertEqual((a.status, a.headers["Content-Type"]), (200, "application/json"))
        self.assertEqual(a.body, DOCUMENT.read_bytes())

    def test_every_route_is_there(self):
        routes = set()
        for file in (SOURCE / "server").glob("route_*.c"):
            for method, path, tail, ends in re.findall(
                r'\.method = "(\w+)",\s+\.path = "([^"]+)"(, \.tail = true)?(?:, \.ends = "([^"]+)")?',
                file.read_text(encoding="utf-8"),
            ):
                routes.add((method.lower(), path + ("{id}" if tail else "") + ends))
        self.assertGreater(len(routes), 10)
        said = {(method, path) for path, item in self.document["paths"].items() for method in item}
        self.assertEqual(said, routes)

    def test_every_field_is_there(self):
        decode = c_strings("common/decode_options.def", r'DECODE\(\w+, \w+, "[^"]*",\s*"([^"]*)"')
        form = c_strings("server/form.c", r'\{"(\w+)", USE_(\w+)\}')
        taken = {name for name, use in form if use != "REFUSE"} | {*decode, "file"}
        self.assertGreater(len(taken), 25)
        self.assertEqual(self.fields("/v1/audio/transcriptions"), taken)
        self.assertEqual(self.fields("/v1/audio/translations"), taken)
        whisper_cpp = c_strings("server/whisper_cpp.c", r'\{"(\w+)", USE_\w+|(?:OPTION_FIELD_OF|NUMBER_FIELD)\("(\w+)"')
        self.assertEqual(self.fields("/inference"), {a or b for a, b in whisper_cpp} | {"file"})

    def test_schemathesis(self):
        """No answer of 500 or above but the 501 that are in the document, and none that the document does not have."""
        if not importlib.util.find_spec("schemathesis"):
            self.skipTest("the schemathesis package is not installed")
        checks = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"
        command = [
            sys.executable, "-c", "from schemathesis.cli import schemathesis; schemathesis()", "run",
            self.d.url + "/openapi.json", "--url", self.d.url, "--checks", checks, "--phases", "examples,coverage,fuzzing",
            "--max-time", str(SECONDS), "--seed", "1", "--generation-database", "none", "--no-color",
            "--suppress-health-check", "all",
        ]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS + 600, cwd=self.d.spool.name)
        self.assertEqual(done.returncode, 0, done.stdout[-6000:] + done.stderr[-2000:])
        self.assertRegex(done.stdout, r"\d+ generated")


if __name__ == "__main__":
    need_model("tiny.en")
    unittest.main()
