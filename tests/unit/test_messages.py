"""The grammar of messages: a number, what it counts, and the verb agree, whatever the number is.

Every text with values in it is looked at, in the code itself and in the pages and scripts for other programs.
`errors.counted` and `errors.some_of` say numbers, and ``counted`` of the pages does.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts import bundle_root
from scripts.errors import counted, some_of

SCRIPTS = Path(bundle_root()) / "scripts"
TEMPLATES = Path(bundle_root()) / "templates"
VERBS = "is are has have was were does do lies lie holds hold needs need differs differ belongs belong agrees agree"
VERB = rf"(?:{VERBS.replace(' ', '|')})"
COUNT = re.compile(r"(?:^len\(|(?:^|\.|_)(?:num_\w+|count|total|failures)$)")
NO_COUNT = "pixels px bytes samples components bits is has was as times minutes seconds for"
"""Plural units, of which there is never one, and what else ends with an s."""


def texts(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Lines of the code and their texts; a number is ⟦N⟧, a counted word ⟦word⟧, another value ⟦⟧."""
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            yield node.lineno, "".join(map(_part, node.values))
        elif isinstance(node, ast.Call) and _name(node).startswith(("logger.", "log")) and node.args:
            text = node.args[0]
            if isinstance(text, ast.Constant) and isinstance(text.value, str):
                yield node.lineno, text.value.replace("%d", "⟦N⟧").replace("%s", "⟦⟧")


def _part(node: ast.expr) -> str:
    if isinstance(node, ast.Constant):
        return str(node.value)
    assert isinstance(node, ast.FormattedValue)
    value = node.value
    if isinstance(value, ast.Call) and _name(value) == "counted":
        word = value.args[1]
        return f"⟦{word.value if isinstance(word, ast.Constant) else ''}⟧"
    return "⟦N⟧" if COUNT.search(ast.unparse(value)) else "⟦⟧"


def _name(call: ast.Call) -> str:
    return ast.unparse(call.func)


PLACE = re.compile(r"\$\{((?:[^{}]|\{[^{}]*\})*)\}|\{\{(.*?)\}\}")
"""A value in a text of JavaScript or Groovy, and in one of HTML."""

PAGE_COUNT = re.compile(r"^(?:\w+\.)*(?:num_\w+|num[A-Z]\w*|\w*[cC]ount|totals\.\w+|shown|judged|length|size\(\))$")


def page_texts(content: str) -> Iterator[tuple[int, str]]:
    """What `texts` yields, of a page or a script in another language."""

    def part(match: re.Match[str]) -> str:
        value = (match[1] or match[2]).strip()
        if (word := re.match(r"""counted\([^"']*["']([^"']*)["']\)$""", value)) is not None:
            return f"⟦{word[1]}⟧"
        return "⟦N⟧" if PAGE_COUNT.match(value.replace(" | ", ".").replace("| ", ".")) else "⟦⟧"

    for number, line in enumerate(content.splitlines(), start=1):
        if PLACE.search(line):
            yield number, re.sub(r"<[^>]*>", "; ", PLACE.sub(part, line))


def faults(text: str) -> list[str]:
    """What does not agree for one of the numbers that the text may hold."""
    found = []
    for match in re.finditer(r"⟦N⟧ (?:of ⟦N?⟧ )?((?!(?:of|per|in|for) )(?:[a-zA-Z-]+ ){0,2}?[a-zA-Z]{2,}s)\b", text):
        if not set(match[1].split()) & set(NO_COUNT.split()):
            found.append(match[0])
    for match in re.finditer(rf"⟦N⟧ (?:of ⟦[^⟧]*⟧ )?{VERB}\b", text):
        found.append(match[0])
    for match in re.finditer(rf"⟦([^⟧]+)⟧([^⟦.,;:()]*?) {VERB}\b", text):
        if match[1] != "N" and not re.search(rf"\b{VERB}$", match[1]):
            found.append(match[0])
    return found


@pytest.mark.parametrize(
    ("text", "is_right"),
    [
        ("⟦N⟧ of ⟦slide⟧ have no annotation", False),
        ("⟦slide⟧ of the table have no map", False),
        ("⟦N⟧ slides cannot be read", False),
        ("⟦N⟧ DICOM files hold no image", False),
        ("⟦slide⟧ done, ⟦N⟧ were up to date", False),
        ("⟦slide⟧ failed in inference and are not scored", False),
        ("⟦slide is⟧ of no patient and has no stage", True),
        ("⟦slide⟧ failed, the others are done", True),
        ("⟦⟧ of ⟦⟧ pixels are there", True),
        ("tiles of ⟦N⟧ pixels", True),
    ],
)
def test_the_test_knows_faults(text: str, is_right: bool) -> None:
    assert faults(text) is not is_right


def test_numbers_words_and_verbs_of_messages_agree() -> None:
    found = [
        f"{path.relative_to(SCRIPTS)}:{line}: {fault}"
        for path in sorted(SCRIPTS.rglob("*.py"))
        for line, text in texts(ast.parse(path.read_text(encoding="utf-8")))
        for fault in faults(text)
    ]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    ("line", "is_right"),
    [
        ("`${judged} of ${all.length} detections have a verdict`", False),
        ("`${shown} of ${this.slides.length} slides`", False),
        ('println "${objects.size()} objects saved"', False),
        ("<td>{{ scores.num_slides }} slides</td>", False),
        ("<p>{{ warnings | length }} warnings</p>", False),
        ('`${counted(numFiles, "file")}: done`', True),
        ("`${bar.pixels}px`", True),
    ],
)
def test_the_test_knows_faults_of_pages(line: str, is_right: bool) -> None:
    ((_, text),) = page_texts(line)
    assert (not faults(text)) is is_right, text


def test_pages_count_rightly() -> None:
    pages = [path for path in sorted(TEMPLATES.rglob("*.*")) if path.suffix in (".js", ".html", ".groovy")]
    assert len(pages) > 10
    found = [
        f"{path.relative_to(TEMPLATES)}:{line}: {fault}"
        for path in pages
        if ".min." not in path.name
        for line, text in page_texts(path.read_text(encoding="utf-8"))
        for fault in faults(text)
    ]
    assert not found, "\n".join(found)


def test_words_for_numbers() -> None:
    assert [counted(number, "slide") for number in (0, 1, 2)] == ["0 slides", "1 slide", "2 slides"]
    said = [some_of(number, total, "slide", "has", "have") for number, total in ((0, 1), (1, 1), (1, 3), (2, 3))]
    assert said == ["0 of 1 slide have", "1 of 1 slide has", "1 of 3 slides has", "2 of 3 slides have"]
