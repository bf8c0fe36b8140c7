#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Debian packages of the build: what is in them, and what they ask for. SOTTO_BIN is the build's bin/,
SOTTO_SOURCE the source tree."""

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
PACKAGES = {"libsotto0", "libsotto-dev", "sotto", "sottod"}


def run(*command, **options):
    return subprocess.run([str(c) for c in command], check=True, capture_output=True, text=True, **options).stdout


def sanitized():
    cache = (BUILD / "CMakeCache.txt").read_text()
    return re.search(r"^SOTTO_SANITIZE:\w+=.+$", cache, re.MULTILINE)


def needed(path):
    return set(re.findall(r"^\s+NEEDED\s+(\S+)", run("objdump", "-p", path), re.MULTILINE))


def owner(library):
    """The package that has this shared library here."""
    for folder in ("/usr/lib/x86_64-linux-gnu", "/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu"):
        found = subprocess.run(["dpkg", "-S", f"{folder}/{library}"], capture_output=True, text=True)
        if found.returncode == 0:
            return found.stdout.split(":")[0]
    return None


@unittest.skipIf(sanitized(), "packages are made of builds without sanitizers")
@unittest.skipUnless(shutil.which("dpkg-deb"), "not a Debian system")
class Packages(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.work = Path(cls.folder.name)
        run("cpack", "-G", "DEB", "--config", BUILD / "CPackConfig.cmake", "-B", cls.work, cwd=BUILD, umask=0o077)
        cls.files = {run("dpkg-deb", "-f", deb, "Package").strip(): deb for deb in cls.work.glob("*.deb")}
        cls.roots = {}
        for name, deb in cls.files.items():
            cls.roots[name] = cls.work / "root" / name
            cls.roots[name].mkdir(parents=True)
            run("dpkg-deb", "-x", deb, cls.roots[name])

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()

    def test_all_are_there(self):
        self.assertEqual(set(self.files), PACKAGES)

    def test_no_file_in_two(self):
        seen = {}
        for name, root in self.roots.items():
            for path in root.rglob("*"):
                if path.is_dir() and not path.is_symlink():
                    continue
                self.assertNotIn(path.relative_to(root), seen, name)
                seen[path.relative_to(root)] = name
        homes = {str(path): name for path, name in seen.items()}
        self.assertEqual(homes["usr/bin/sottod"], "sottod")
        self.assertEqual(homes["usr/bin/sotto"], "sotto")
        self.assertEqual(homes["usr/include/sotto.h"], "libsotto-dev")
        self.assertEqual(homes["usr/lib/systemd/system/sottod.service"], "sottod")
        self.assertTrue(all(path.startswith("usr/") for path in homes), homes)

    def test_everyone_may_read_it(self):
        for name, deb in self.files.items():
            for line in run("dpkg-deb", "-c", deb).splitlines():
                self.assertRegex(line, r"^(drwxr-xr-x|-rw[x-]r-[x-]r-[x-]|lrwxrwxrwx) root/root ", name)

    def test_no_path_of_the_build(self):
        """Or the same commit would be other bytes in another folder; all of make test-reproducible is minutes."""
        for program in (BIN / "sotto", BIN / "sottod"):
            paths = re.findall(r"^\s+RUNPATH\s+(\S+)", run("objdump", "-p", program), re.MULTILINE)
            self.assertEqual([path.rstrip(":") for path in paths], ["$ORIGIN/../lib"], program)

    def test_unit_names_the_installed_daemon(self):
        unit = (self.roots["sottod"] / "usr/lib/systemd/system/sottod.service").read_text()
        self.assertIn("\nExecStart=/usr/bin/sottod\n", unit)
        self.assertNotIn("@", unit.replace("@system-service", "").replace("@privileged", "").replace("@resources", ""))

    def test_depends_are_what_is_linked(self):
        for name in ("libsotto0", "sotto", "sottod"):
            depends = run("dpkg-deb", "-f", self.files[name], "Depends")
            asked = {re.split(r"[ (]", d.strip())[0] for one in depends.split(",") for d in one.split("|")}
            linked = set()
            for path in self.roots[name].rglob("*"):
                if path.is_file() and not path.is_symlink() and path.read_bytes()[:4] == b"\x7fELF":
                    linked |= needed(path)
            self.assertTrue(linked)
            for library in linked:
                if library == "libsotto.so.0":
                    self.assertIn("libsotto0", asked)
                elif library.startswith("libopenblas"):
                    self.assertIn("libopenblas0-pthread", asked)
                elif package := owner(library):
                    self.assertIn(package, asked, f"{name} is linked with {library}")

    def test_programs_run_from_the_packages(self):
        root = self.work / "together"
        root.mkdir()
        for name in ("libsotto0", "sotto", "sottod"):
            run("dpkg-deb", "-x", self.files[name], root)
        for program in ("sotto", "sottod"):
            said = run(root / "usr/bin" / program, "--version")
            self.assertIn(run("dpkg-deb", "-f", self.files[program], "Version").strip(), said)
            maps = run("ldd", root / "usr/bin" / program)
            self.assertRegex(maps, rf"libsotto\.so\.0 => {re.escape(str(root))}/")

    def test_scripts_are_shell(self):
        for script in (ROOT / "packaging/debian/sottod").iterdir():
            run("sh", "-n", script)


if __name__ == "__main__":
    unittest.main()
