"""The prose linter: reads Markdown, docstrings, comments, messages and names, and reports breaches of the prose rule.

Usage: ``python tools/prose.py [PATH ...]``. Without a path it checks every file that git knows.
CONTRIBUTING.md has the rule. The exit code is 1 when it finds a breach. ``ALLOWED`` lists the phrases that stay.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MOST_WORDS = 25

RULES = {
    'a noun in place of "whoever", "whatever" or "that which"': r"(?:who|what|which)ever|that which|all that is",
    'a noun in place of "what"': r"what(?!-if\b)",
    "return, raise, log, send, receive, read or query": (
        r"say|says|said|saying|tell|tells|told|telling|ask|asks|asked|asking|hear|hears|heard|gives?|gave|giving"
    ),
    "name the thing": (
        r"so many|so much|so long|so far|the others|the former|the latter|(?:this|(?<!so )that|such a) one|the like"
        r"|nobody|somebody|anybody|everybody|those (?:who|that|which|of)|that of"
        r"|(?:these|those)(?= (?:are|were|have|had|do|did|can|must|may|will|would|should|come|go|stay)\b|[.,;:)!?]|$)"
        r"|\A(?:this|that)(?= (?:is|was|has|had|does|did|can|must|may|will|would|should|means)\b)"
    ),
    "a positive predicate": r"(?<!there )(?:is|are|was|were|has|have) none|(?:is|are|was|were) no (?:matter|other)",
    "plain words, no idiom": (
        r"(?<!long )(?<!soon )(?<!far )as (?:it|they) (?:is|are|was|were|stands?|came|comes?)|goes? without saying"
        r"|of (?:its|their|our|one's) own|in vain|once (?:and )?for all|put right|comes? to nothing|be it|all the same"
        r"|by and by|is wanted|for ever"
    ),
}
PATTERN = re.compile("|".join(rf"(?P<r{i}>\b(?:{rule})\b)" for i, rule in enumerate(RULES.values())), re.IGNORECASE)
MESSAGES = list(RULES)

# Phrases that stay: names of the field, and set expressions with one meaning.
ALLOWED = re.compile(r"\b(?:tell (?:\w+ )?apart|(?:give|gives|gave|giving) up|what to do)\b", re.IGNORECASE)
# Names in the output of `--json`, which stays the same: the file and the name.
ALLOWED_NAMES = {("reports.py", "what")}

Text = tuple[int, str]
"""A paragraph, a table cell, a comment or a message, and the number of its first line."""


def plain(text: str) -> str:
    """The text with code, links, quotations and markup reduced to words."""
    text = re.sub(r"<!--.*?-->", " ", text, flags=re.DOTALL)
    text = re.sub(r"(`+).+?\1", "CODE", text, flags=re.DOTALL)
    text = re.sub(r"!?\[([^\]]*)\](?:\([^)]*\)|\[[^\]]*\])", r"\1", text)
    text = re.sub(r'"[^"\n]{1,120}"', "QUOTE", text)
    text = re.sub(r":\w+:|<https?:[^>]*>|https?://\S+|</?\w[^>]*>", "LINK", text)
    return re.sub(r"[*_]{1,2}(?=\w)|(?<=[\w.!?])[*_]{1,2}", "", text)


def sentences(text: str) -> Iterator[str]:
    """The sentences of a plain text."""
    text = re.sub(r"\b(e\.g|i\.e|etc|vs|cf|No|Dr)\.", r"\1", " ".join(text.split()))
    yield from re.split(r"(?<=[.!?])[)\]]?\s+(?=[A-Z(\[\d]|plsync\b)", text)


def problems(text: str, *, counted: bool = True) -> Iterator[str]:
    """Every breach of the rule in one text; ``counted`` is false for a name, which has no sentences."""
    for sentence in sentences(ALLOWED.sub("ALLOWED", plain(text))):
        words = [word for word in sentence.split() if re.search(r"\w", word)]
        if counted and len(words) > MOST_WORDS:
            yield f"{len(words)} words, at most {MOST_WORDS}: {' '.join(words[:8])} ..."
        question = sentence.rstrip(")").endswith("?")
        for found in PATTERN.finditer(sentence):
            if not (question and found[0].lower() == "what"):
                rule = MESSAGES[int((found.lastgroup or "r0")[1:])]
                near = sentence[max(0, found.start() - 30) : found.end() + 30]
                yield f"write {rule}: {found[0]!r} in {near!r}"


def paragraphs(text: str, first: int) -> Iterator[Text]:
    """Paragraphs, list items and table cells of Markdown or of a docstring, without fences, doctests and literals."""
    block: list[str] = []
    start, fence, example, literal = first, "", False, -1
    for number, line in enumerate([*text.splitlines(), ""], first):
        bare = line.strip()
        indent = len(line) - len(line.lstrip())
        if fence or re.match(r"(```|~~~)", bare):
            fence = "" if fence and bare.startswith(fence) else fence or bare[:3]
            bare = ""
        elif bare.startswith(">>>") or (example and bare):
            example, bare = True, ""
        elif literal >= 0 and (not bare or indent > literal):
            bare = ""
        else:
            example, literal = False, -1
        item = re.match(r"(?:[-*+] |\d+\. |#+ |> |\*?\*?[\w.`]+(?: \([^)]*\))?: |\|)", bare)
        if (not bare or item) and block:
            yield start, "\n".join(block)
            block = []
        if bare.startswith("|"):
            cells = re.split(r"(?<!\\)\|", bare)
            yield from ((number, cell) for cell in cells if re.search(r"\w", cell))
        elif bare:
            start = start if block else number
            block.append(bare[item.end() :] if item else bare)
            if bare.endswith("::"):
                literal = indent


def comments(lines: list[str], marks: str) -> Iterator[Text]:
    """Runs of whole-line comments, and comments behind code, of a language whose comments start with ``marks``."""
    block: list[str] = []
    start, last = 0, ""
    pattern = re.compile(rf"^(?P<code>.*?)(?P<mark>{marks})(?: (?P<text>.*)|$)")
    for number, line in enumerate([*lines, ""], 1):
        found = pattern.match(line)
        whole = found is not None and not found["code"].strip()
        if block and not (found and whole and found["mark"] == last):
            yield from paragraphs("\n".join(block), start)
            block = []
        if found and whole:
            start = start if block else number
            block.append(found["text"] or "")
            last = found["mark"]
        elif found and found["code"].count('"') % 2 == 0 and not found["code"].endswith(":"):
            yield number, found["text"] or ""


def python(path: Path) -> Iterator[tuple[int, str, bool]]:
    """Docstrings, comments, names, and (of the package alone) messages of a Python file."""
    source = path.read_text(encoding="utf-8")
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            yield from ((*text, True) for text in paragraphs(node.value.value, node.lineno))
            node.value.value = ""
        elif (path.name, name := name_of(node)) not in ALLOWED_NAMES and name:
            yield getattr(node, "lineno", 1), name.replace("_", " "), False
    if "python" in path.relative_to(ROOT).parts[:1]:
        yield from ((line, text, True) for line, text in messages(tree))
    yield from ((*text, True) for text in comments(without_strings(source, tree), "#(?!!)"))


def without_strings(source: str, tree: ast.AST) -> list[str]:
    """The lines of a source with blanks in place of its strings; a ``#`` that is left starts a comment."""
    lines = [bytearray(line, "utf-8") for line in source.splitlines()]
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Constant) and isinstance(node.value, str)):
            for number in range(node.lineno, node.end_lineno + 1 if node.end_lineno else node.lineno):
                line = lines[number - 1]
                first = node.col_offset if number == node.lineno else 0
                last = node.end_col_offset or 0 if number == node.end_lineno else len(line)
                line[first : max(first, last)] = b" " * max(0, last - first)
    return [line.decode() for line in lines]


def name_of(node: ast.AST) -> str:
    """The name that a definition, an argument or an assignment binds, or nothing."""
    if name := getattr(node, "name", None) or getattr(node, "arg", None):
        return str(name)
    if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
        return node.attr
    return node.id if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) else ""


def messages(tree: ast.AST) -> Iterator[Text]:
    """String literals that read as a sentence. A placeholder of an f-string counts as a word."""
    inside: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            inside.update(id(part) for part in ast.walk(node) if part is not node)
            text = "".join(str(part.value) if isinstance(part, ast.Constant) else "CODE" for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in inside:
            text = node.value
        else:
            continue
        if len(re.findall(r"\b[a-z]+\b ", text)) > 3:
            yield from paragraphs(text, node.lineno)


def rust(path: Path) -> Iterator[tuple[int, str, bool]]:
    """Comments, names of functions and types, and (outside of tests) messages of a Rust file."""
    lines = path.read_text(encoding="utf-8").splitlines()
    yield from ((*text, True) for text in comments(lines, "//[/!]?(?!/)"))
    for number, line in enumerate(lines, 1):
        if name := re.match(r"\s*(?:pub(?:\(\w+\))? )?(?:fn|struct|enum|trait|type) (\w+)", line):
            yield number, name[1].replace("_", " "), False
        elif "tests" not in path.parts and "//" not in line:
            for text in re.findall(r'"([^"\\]+)"', line):
                if len(re.findall(r"\b[a-z]+\b ", text)) > 3:
                    yield number, re.sub(r"\{[^}]*\}", "CODE", text), True


def typescript(path: Path) -> Iterator[tuple[int, str, bool]]:
    """Comments and messages of a file of the front end: strings, and the texts between two tags."""
    lines = path.read_text(encoding="utf-8").splitlines()
    bare = [re.sub(r"^(\s*)/\*\*? (.*?)\*/$", r"\1// \2", line) for line in lines]
    yield from ((*text, True) for text in comments(bare, r"(?<![:\"'`/])//(?!/)"))
    for number, line in enumerate(lines, 1):
        found = re.findall(r'"([^"\\]+)"|`([^`\\]+)`|>([^<>{}()=]+)<|^\s*([A-Z][^<>{}()=;"`]+)$', line)
        for text in (one for groups in found for one in groups if not re.match(r"\s*(?:/?/|\*)", line)):
            if len(re.findall(r"\b[a-z]+\b ", text)) > 3:
                yield number, re.sub(r"\$\{[^}]*\}?", "CODE", text), True


def texts(path: Path) -> Iterator[tuple[int, str, bool]]:
    """The line, the text, and whether its words count, of every text in a file."""
    if path.suffix == ".py":
        yield from python(path)
    elif path.suffix == ".rs":
        yield from rust(path)
    elif path.suffix in {".ts", ".tsx"}:
        yield from typescript(path)
    elif path.suffix == ".md":
        yield from ((*text, True) for text in paragraphs(path.read_text(encoding="utf-8"), 1))
    elif path.suffix in {".toml", ".yml", ".yaml", ".sh", ".pyi"} or path.name == "Makefile":
        lines = path.read_text(encoding="utf-8").splitlines()
        yield from ((*text, True) for text in comments(lines, r"(?<!\S)@?#(?!!)"))


def files(arguments: list[str]) -> Iterator[Path]:
    """The files below the given paths that git tracks or would add."""
    paths = [Path(argument).resolve() for argument in arguments] or [ROOT]
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", *map(str, paths)]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout  # noqa: S603
    yield from (ROOT / name for name in sorted(set(listed.split("\0"))) if name and (ROOT / name).is_file())


def main() -> int:
    """Print each breach as ``path:line: message``."""
    found = 0
    for path in files(sys.argv[1:]):
        for line, text, counted in sorted(texts(path)):
            for problem in problems(text, counted=counted):
                print(f"{path.relative_to(ROOT)}:{line}: {problem}")
                found += 1
    print(f"{found} to rewrite" if found else "Prose: nothing to rewrite")
    return min(found, 1)


if __name__ == "__main__":
    sys.exit(main())
