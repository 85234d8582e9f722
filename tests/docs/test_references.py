"""Citations in the source have a section, and relative links of the documentation a target."""

import re
from pathlib import Path
from urllib.parse import unquote

import pytest
import yaml

ROOT = Path(__file__).parent.parent.parent
NUMERICS = ROOT / "docs" / "development" / "numerics.md"
CODE_FOLDERS = ("src", "tests", "benchmarks", "recipes", "scripts")
CITATION = re.compile(r"numerics:\s+([^).;]+)")
OLD_CITATION = re.compile(r"\bspec(?:\.md)? (?:section )?§?\d+(?:\.\d+)?\b")
LINK = re.compile(r"!?\[[^\]]*\]\(\s*<?([^)\s>]+)>?(?:\s+\"[^\"]*\")?\s*\)")
HTML_LINK = re.compile(r"(?:src|href)=\"([^\"]+)\"")
HEADING = re.compile(r"^(#+)\s+(.+?)\s*$", re.MULTILINE)


def code_files():
    paths = []
    for folder in CODE_FOLDERS:
        for suffix in ("py", "yaml", "md"):
            paths += (ROOT / folder).rglob(f"*.{suffix}")
    return [path for path in sorted(paths) if path != Path(__file__)]


def pages():
    paths = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "src").rglob("*.md")]
    paths += [*(ROOT / "recipes").rglob("*.md"), *(ROOT / "benchmarks").glob("*.md")]
    paths += (ROOT / "scripts").rglob("*.md")
    return sorted(paths)


def without_code(text):
    """The text without fenced blocks and inline code, whose brackets are no links."""
    text = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    return re.sub(r"`[^`\n]*`", "", text)


def anchors(text):
    """The anchors of a page's headings."""
    names = set()
    for _, title in HEADING.findall(re.sub(r"^```.*?^```", "", text, flags=re.M | re.S)):
        slug = re.sub(r"[^\w\s-]", "", title.replace("`", "").lower()).strip()
        names.add(re.sub(r"\s+", "-", slug))
    return names


def test_every_citation_of_numerics_has_its_section():
    sections = {title for mark, title in HEADING.findall(NUMERICS.read_text()) if mark == "##"}
    found, missing = set(), []
    for path in code_files():
        # a citation may be wrapped over two lines, in a comment too
        text = re.sub(r"\n\s*(?:#\s*)?", " ", path.read_text(encoding="utf-8"))
        for citation in CITATION.findall(text):
            for section in re.split(r",\s*", citation.strip()):
                found.add(section)
                if section not in sections:
                    missing.append(f"{path.relative_to(ROOT)}: numerics: {section}")
    assert not missing, "\n".join(missing)
    assert len(found) >= 15


def test_nothing_cites_a_document_that_is_not_here():
    wrong = []
    for path in code_files():
        for match in OLD_CITATION.finditer(path.read_text(encoding="utf-8")):
            wrong.append(f"{path.relative_to(ROOT)}: {match.group()}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_relative_links_and_images_exist(page):
    text = without_code(page.read_text(encoding="utf-8"))
    dead = []
    for target in [*LINK.findall(text), *HTML_LINK.findall(text)]:
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        path = page.parent / unquote(name) if name else page
        has_anchor = anchor and path.suffix == ".md" and path.exists()
        if not path.exists() or (has_anchor and anchor not in anchors(path.read_text())):
            dead.append(target)
    assert not dead, dead


def nav_pages(entry):
    """The pages of a `nav` in mkdocs.yml."""
    if isinstance(entry, str):
        return [entry]
    entries = entry.values() if isinstance(entry, dict) else entry
    return [page for each in entries for page in nav_pages(each)]


def test_navigation_lists_every_page_once():
    nav = nav_pages(yaml.safe_load((ROOT / "mkdocs.yml").read_text())["nav"])
    docs = ROOT / "docs"
    assert sorted(nav) == sorted(str(page.relative_to(docs)) for page in docs.rglob("*.md"))


def test_files_that_the_contributing_guide_names_exist():
    text = (ROOT / "docs" / "development" / "contributing.md").read_text()
    roots = (ROOT, ROOT / "src", ROOT / "src" / "latentaudio")
    missing = []
    for name in re.findall(r"`([\w/]+\.(?:py|txt|md|yaml))`", text):
        if not any((root / name).is_file() for root in roots):
            missing.append(name)
    assert not missing, missing
