"""The house keeps its shape: budgets for functions and files, names, docstrings, documents that exist."""

import ast
import re
import statistics
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
SOURCES = sorted((ROOT / "src").rglob("*.py"))
ROOMS_WITHOUT_PURPOSE = {"utils", "util", "helpers", "helper", "common", "misc", "manager", "core", "base"}


def functions() -> Iterator[tuple[str, int]]:
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                assert node.end_lineno is not None
                yield f"{path.relative_to(ROOT)}:{node.name}", node.end_lineno - node.lineno + 1


def test_functions_are_small() -> None:
    lengths = dict(functions())
    assert not {name: size for name, size in lengths.items() if size > 60}
    assert statistics.median(lengths.values()) <= 9
    assert sorted(lengths.values())[int(len(lengths) * 0.9)] <= 30


def test_files_are_small() -> None:
    assert not [path for path in SOURCES if path.read_text().count("\n") > 400]


def test_rooms_have_a_purpose() -> None:
    assert not [path for path in SOURCES if path.stem in ROOMS_WITHOUT_PURPOSE]
    assert not [
        path for path in SOURCES if path.read_text().strip() and not ast.get_docstring(ast.parse(path.read_text()))
    ]


def test_documents_that_are_named_exist() -> None:
    named = set()
    for path in [*SOURCES, *ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]:
        named |= set(re.findall(r"\bdocs/[\w./-]+\.md\b", path.read_text()))
    assert not [name for name in sorted(named) if not (ROOT / name).exists()]


def test_tests_that_are_named_exist() -> None:
    """`tests/x.py::test_y` in a document, and the `::test_z` that follow it."""
    lacking = []
    for page in (ROOT / "docs").rglob("*.md"):
        file = ""
        for named, test in re.findall(r"(tests/[\w/]+\.py)|::(test_\w+)", page.read_text()):
            file = named or file
            if test and f"def {test}(" not in (ROOT / file).read_text():
                lacking.append(f"{page.name}: {file}::{test}")
    assert not lacking


def test_every_dependency_has_its_reason() -> None:
    project = (ROOT / "pyproject.toml").read_text()
    declared = re.findall(r'^    "([a-z-]+)(?:\[\w+\])?[<>=]', project, re.MULTILINE)
    reasons = (ROOT / "docs" / "dependencies.md").read_text()
    assert declared
    assert not [name for name in declared if f"`{name}`" not in reasons]


def test_every_finding_has_its_row() -> None:
    told = (ROOT / "docs" / "findings.md").read_text()
    made = re.compile(r"""(?:Finding|finding|_?critical|_?warning|_remark|_bad|make|yield)\(\s*"([a-z-]+)",""")
    codes = {code for path in (ROOT / "src").rglob("*.py") for code in made.findall(path.read_text())}
    assert {"no-backup", "copy-missing", "destructible", "public"} <= codes
    assert not [code for code in sorted(codes) if f"`{code}`" not in told]


# What is decided purely is tested there purely; it counts only if somebody else provokes it on real parts.
PURE = ("health", "alerting", "scrub", "metrics", "thresholds", "house", "cost", "retention", "schedule", "review")


def test_every_finding_is_provoked_on_real_parts_by_some_test() -> None:
    rows = [line for line in (ROOT / "docs" / "findings.md").read_text().splitlines() if line.startswith("| `")]
    settings = re.compile(r'\| `[a-z_]+` \| ["\d]')  # the table of thresholds
    cells = [line.split("|")[1] for line in rows if not settings.match(line)]
    codes = {code for cell in cells for code in re.findall(r"`([a-z0-9_-]+)`", cell)}
    assert {"no-backup", "same-bucket", "role-missing", "volume-empty"} <= codes
    tests = [path for path in (ROOT / "tests").rglob("test_*.py") if path.stem.removeprefix("test_") not in PURE]
    text = "\n".join(path.read_text() for path in tests)
    assert not [code for code in sorted(codes) if not re.search(rf"[\"'\[ ]{code}[\"'\] ]", text)]
