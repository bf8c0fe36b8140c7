#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What `cmake --install` leaves serves others: the build is installed into an empty prefix, and programs that know
nothing but that prefix are built against it and run. SOTTO_BIN is the build's bin/, SOTTO_SOURCE the source tree."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

BIN = Path(os.environ["SOTTO_BIN"])
ROOT = Path(os.environ.get("SOTTO_SOURCE") or Path(__file__).resolve().parents[2])
BUILD = BIN.parent

CMAKE_CONSUMER = """
cmake_minimum_required(VERSION 3.25)
project(consumer C CXX)
find_package(sotto {version} REQUIRED)
add_executable(in_c consumer.c)
target_link_libraries(in_c PRIVATE sotto::sotto)
add_executable(in_cxx consumer.cc)
target_link_libraries(in_cxx PRIVATE sotto::sotto)
"""


def example():
    """The program in the comment that opens sotto.h."""
    text = (ROOT / "include" / "sotto.h").read_text(encoding="utf-8")
    lines = [line[7:] for line in text.split("*/")[0].splitlines() if line.startswith(" *     ")]
    return "\n".join(lines) + "\n"


def cached(name):
    match = re.search(rf"^{name}:\w+=(.*)$", (BUILD / "CMakeCache.txt").read_text(), re.MULTILINE)
    return match.group(1) if match else ""


class Install(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.work = Path(cls.folder.name)
        cls.prefix = cls.work / "prefix"
        subprocess.run(
            ["cmake", "--install", BUILD, "--prefix", cls.prefix], check=True, stdout=subprocess.DEVNULL
        )
        cls.pc = next(cls.prefix.rglob("sotto.pc"), None)
        # A sanitizer build's library can only be used by programs built with the same sanitizers.
        cls.flags = [f"-fsanitize={cached('SOTTO_SANITIZE')}"] if cached("SOTTO_SANITIZE") else []
        (cls.work / "consumer.c").write_text(example(), encoding="utf-8")
        # C++ has no implicit conversion from int, which the example does not use: the same text must compile.
        shutil.copy(cls.work / "consumer.c", cls.work / "consumer.cc")

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()

    def run_in(self, *command, **kwargs):
        result = subprocess.run(command, cwd=self.work, capture_output=True, text=True, check=False, **kwargs)
        self.assertEqual(result.returncode, 0, f"{command}\n{result.stdout}{result.stderr}")
        return result.stdout

    def pkg_config(self, *arguments):
        env = {**os.environ, "PKG_CONFIG_PATH": str(self.pc.parent)}
        return self.run_in("pkg-config", *arguments, "sotto", env=env).split()

    def test_manual_pages_and_completions(self):
        share = self.prefix / "share"
        for file, begins in {
            "man/man1/sotto.1": '.TH SOTTO 1 "',
            "man/man8/sottod.8": '.TH SOTTOD 8 "',
            "bash-completion/completions/sotto": "# bash completion of sotto",
            "zsh/site-functions/_sotto": "#compdef sotto\n",
            "fish/vendor_completions.d/sotto.fish": "# fish completion of sotto",
        }.items():
            self.assertIn(begins, (share / file).read_text(encoding="utf-8")[:200], file)

    def check_consumer(self, program, **kwargs):
        """The example reads a model and a recording: real ones where they are here, else it must say no and end."""
        model, audio = ROOT / "models" / "tiny.en", ROOT.parent / "shared" / "audio" / "jfk.flac"
        nothing = subprocess.run([program, "/nonexistent", "/nonexistent"], capture_output=True, check=False, **kwargs)
        self.assertEqual((nothing.returncode, nothing.stdout), (1, b""), nothing.stderr)
        if model.is_dir() and audio.is_file():
            result = subprocess.run([program, model, audio], capture_output=True, text=True, check=False, **kwargs)
            self.assertEqual(result.returncode, 0, result.stderr)
            self.assertIn("ask not what your country can do for you", result.stdout)

    def test_files_are_where_they_belong(self):
        for name in (
            "bin/sotto",
            "bin/sottod",
            "bin/sotto-fetch",
            "include/sotto.h",
            "share/sotto/fetch",
            "share/sotto/catalog.json",
            "share/doc/sotto/LICENSE",
        ):
            self.assertTrue((self.prefix / name).is_file(), name)
        internals = [p.name for p in self.prefix.rglob("*.h") if p.name != "sotto.h"]
        self.assertEqual(internals, [], "headers that are not public")
        self.assertEqual([p.name for p in self.prefix.rglob("sotto-dump")], [], "a test tool is installed")

    def test_programs_run_from_the_prefix(self):
        version = cached("CMAKE_PROJECT_VERSION")
        env = {k: v for k, v in os.environ.items() if k != "LD_LIBRARY_PATH"}
        for name in ("sotto", "sottod"):
            self.assertIn(version, self.run_in(self.prefix / "bin" / name, "--version", env=env))
        listed = self.run_in(self.prefix / "bin" / "sotto-fetch", "--list", env=env)
        self.assertIn("tiny.en", listed)

    def test_pkg_config_builds_the_example_in_c(self):
        self.assertNotIn("-lopenblas", self.pkg_config("--libs"), "what libsotto needs is private")
        lib = self.pkg_config("--variable=libdir")[0]
        self.run_in("cc", "-std=c11", "-Wall", "-Wextra", "-Werror", *self.flags, "consumer.c", "-o", "by_pkg_config",
                    *self.pkg_config("--cflags", "--libs"), f"-Wl,-rpath,{lib}")
        self.check_consumer(self.work / "by_pkg_config")

    def test_pkg_config_names_the_installed_version(self):
        self.assertEqual(self.pkg_config("--modversion"), [cached("CMAKE_PROJECT_VERSION")])

    def test_find_package_builds_the_example_in_c_and_cxx(self):
        if not shutil.which("c++"):
            self.skipTest("there is no C++ compiler (Debian: g++)")
        text = CMAKE_CONSUMER.format(version=cached("CMAKE_PROJECT_VERSION"))
        (self.work / "CMakeLists.txt").write_text(text, encoding="utf-8")
        flags = " ".join(self.flags)
        self.run_in("cmake", "-G", "Ninja", "-B", "build", f"-DCMAKE_PREFIX_PATH={self.prefix}",
                    f"-DCMAKE_C_FLAGS={flags}", f"-DCMAKE_CXX_FLAGS={flags}", ".")
        self.run_in("cmake", "--build", "build")
        self.check_consumer(self.work / "build" / "in_c")
        self.check_consumer(self.work / "build" / "in_cxx")

    def test_header_compiles_alone_as_c11_and_cxx17(self):
        include = f"-I{self.prefix / 'include'}"
        strict = ["-Wall", "-Wextra", "-Wpedantic", "-Werror", "-fsyntax-only", include]
        (self.work / "alone.c").write_text("#include <sotto.h>\nint main(void) { return 0; }\n")
        self.run_in("cc", "-std=c11", "-Wstrict-prototypes", *strict, "alone.c")
        if not shutil.which("c++"):
            self.skipTest("there is no C++ compiler (Debian: g++)")
        self.run_in("c++", "-x", "c++", "-std=c++17", *strict, "alone.c")

    def test_library_exports_the_public_functions_and_nothing_else(self):
        library = next(self.prefix.rglob("libsotto.so"))
        lines = self.run_in("nm", "-D", "--defined-only", library).splitlines()
        exported = {line.split()[-1] for line in lines if line.split()[-2] != "A"}  # A: the version's own name
        header = (ROOT / "include" / "sotto.h").read_text(encoding="utf-8")
        header = re.sub(r"/\*.*?\*/", "", header, flags=re.DOTALL)
        declared = set(re.findall(r"SOTTO_API[^;(]*?\b(sotto_\w+)\(", header))
        self.assertGreater(len(declared), 20)
        self.assertEqual(exported, {f"{name}@@SOTTO_0" for name in declared})


if __name__ == "__main__":
    sys.exit(unittest.main())
