"""The documentation is true where a program can tell: commands, links, modules, properties."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from joblet_systemd.commands import cli as jobletd
from rnx.main import root as rnx

PROJECT = Path(__file__).resolve().parents[2]
MANUALS = sorted((PROJECT / "man").glob("*.[0-9]"))
PAGES = [PROJECT / "README.md", PROJECT / "NEWS.md", *sorted((PROJECT / "docs").glob("*.md")), *MANUALS]
PROGRAMS: dict[str, click.Group] = {"rnx": rnx, "jobletd": jobletd}

FENCED = re.compile(r"^```\w*\n(.*?)^```$", re.MULTILINE | re.DOTALL)
INDENTED = re.compile(r"(?:^ {4}.*\n)+", re.MULTILINE)
INLINE = re.compile(r"`([^`\n]+)`")
LINK = re.compile(r"\[[^]\n]*\]\(([^)\s]+)\)")
END_OF_COMMAND = frozenset({"|", ">", ">>", "<", "&&", "||", ";", "&"})
QUOTED = re.compile(r"'[^']*'|\"[^\"]*\"")
SYNOPSIS = re.compile(r"\[|\w\|\w")  # outside of quotes
ASSIGNMENT = re.compile(r"([A-Z_]+)=(.*)")


def page_id(page: Path) -> str:
    return str(page.relative_to(PROJECT))


def lines_of(text: str) -> Iterator[str]:
    """The command lines in a code block, without prompts."""
    joined = re.sub(r"\\\n\s*", " ", text)
    for part in re.split(r"\n| {3,}", joined):  # a synopsis may have two columns
        yield re.sub(r"^\s*[$#] ", "", part).strip()


def commands_in(line: str) -> Iterator[tuple[dict[str, str], list[str]]]:
    """The commands of our programs in a command line, in a pipe or not: variables that are set for it, and words."""
    if not re.search(r"\b(rnx|jobletd) [a-z-]", line):
        return
    try:
        words = shlex.split(line, comments=True)
    except ValueError:  # an apostrophe: a sentence, or some program's output
        return
    command: list[str] = []
    for word in [*words, ";"]:
        if word not in END_OF_COMMAND:
            command.append(word)
            continue
        variables = {}
        while command and (assignment := ASSIGNMENT.fullmatch(command[0])):
            variables[assignment[1]] = assignment[2]
            del command[0]
        if len(command) > 1 and command[0] in PROGRAMS:
            yield variables, command
        command = []


def examples(page: Path) -> Iterator[tuple[dict[str, str], list[str]]]:
    """The commands of a page's code blocks; synopses, with their brackets and bars, are none."""
    text = text_of(page)
    for block in [*FENCED.findall(text), *INDENTED.findall(FENCED.sub("", text))]:
        for line in lines_of(block):
            if not SYNOPSIS.search(QUOTED.sub("''", line)):
                yield from commands_in(line)


def mentions(page: Path) -> Iterator[list[str]]:
    """The commands that a page's sentences name, often without their arguments."""
    text = page.read_text(encoding="utf-8")
    for span in INLINE.findall(FENCED.sub("", text)):
        for line in lines_of(span):
            yield from (words for _, words in commands_in(line))


def text_of(page: Path) -> str:
    """A page; of one in mdoc(7) the examples, as they would be in the others."""
    text = page.read_text(encoding="utf-8")
    if page not in MANUALS:
        return text
    blocks = re.findall(r"^\.Bd -literal.*\n((?:.*\n)*?)^\.Ed$", text.replace("\\e", "\\"), re.MULTILINE)
    return "".join(f"```\n{block}```\n" for block in blocks)


def resolve(words: list[str]) -> tuple[click.Command, click.Context, list[str]]:
    """The command that the words call, its parent's context, and its arguments. Raises click.UsageError."""
    command: click.Command = PROGRAMS[words[0]]
    context = click.Context(command, info_name=words[0])
    arguments = words[1:]
    while isinstance(command, click.Group) and arguments:
        # Options of a group, of which '--node NAME' and '--config FILE' have a value.
        known = {name: option for option in command.params for name in option.opts}
        if arguments[0] == "--help":
            break
        if arguments[0].startswith("-"):
            option = known.get(arguments[0].partition("=")[0])
            if option is None:
                raise click.NoSuchOption(arguments[0], ctx=context)
            takes_value = "=" not in arguments[0] and not getattr(option, "is_flag", False)
            arguments = arguments[2 if takes_value else 1 :]
            continue
        name, *arguments = arguments
        found = command.get_command(context, name)
        if found is None:
            raise click.UsageError(f"{name} is no command of {context.command_path}", ctx=context)
        command, context = found, click.Context(found, info_name=name, parent=context)
    return command, context, arguments


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_examples_parse(page: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for variables, words in examples(page):
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        try:
            command, context, arguments = resolve(words)
            assert not isinstance(command, click.Group) or not arguments
            if not isinstance(command, click.Group):
                command.make_context(words[-1], list(arguments), parent=context.parent)
        except click.exceptions.Exit:
            pass  # --help and --version
        except click.UsageError as error:
            pytest.fail(f"{shlex.join(words)}: {error.format_message()}")


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_commands_and_options_that_are_mentioned_exist(page: Path) -> None:
    for words in mentions(page):
        try:
            command, _, arguments = resolve(
                [word for word in words if word != "…" and word.isascii() and word.islower()]
            )
        except click.UsageError as error:
            pytest.fail(f"{shlex.join(words)}: {error.format_message()}")
        known = {name for option in command.params for name in option.opts} | {"--help", "-h"}
        for argument in arguments:
            if not argument.startswith("-"):
                break  # what follows may be the job's
            assert argument.partition("=")[0] in known, shlex.join(words)


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_a_daemon_that_is_stopped_is_not_started_by_a_client(page: Path) -> None:
    """Each of its sockets starts it again: in the middle of a backup, say."""
    for line in page.read_text(encoding="utf-8").splitlines():
        if "systemctl stop " in line and "joblet.service" in line:
            assert {"joblet.socket", "joblet-http.socket"} <= set(line.split())


def test_there_are_examples() -> None:
    found = [" ".join(words) for page in PAGES for _, words in examples(page)]
    assert {"rnx job run", "jobletd cert issue", "rnx job stop"} <= {" ".join(line.split()[:3]) for line in found}
    # Behind a pipe, behind a variable, and with a bar in quotes.
    assert "rnx job run --stdin sort" in found
    assert "rnx job run --secret-env=API_TOKEN true" in found
    assert "rnx job log --no-follow --stderr --grep fail|error nightly" in found
    assert not [line for line in found if "[" in line]


@pytest.fixture(autouse=True)
def _variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that an example takes from its user's environment."""
    monkeypatch.setenv("SIGNING_KEY", "x")


@pytest.mark.parametrize("page", [PROJECT / "README.md", PROJECT / "man" / "rnx.1"], ids=page_id)
def test_scripts_that_jobs_run_are_uploaded(page: Path) -> None:
    """Of files, a job finds only the host's /usr by itself."""
    lines = re.findall(r"\brnx job run .*", re.sub(r"\\\n\s*", " ", text_of(page)))
    assert lines
    for line in lines:
        uploaded = re.findall(r"--upload[= ](?:\S*/)?(\S+)", line)
        scripts = re.findall(r"(?<=\s)(?:\./[\w-]+|[\w-]+\.py)\b", line)
        assert "--upload-dir" in line or set(scripts) <= set(uploaded), line


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_links_lead_somewhere(page: Path) -> None:
    for target in LINK.findall(page.read_text(encoding="utf-8")):
        if not target.startswith(("http:", "https:", "#")):
            assert (page.parent / target.partition("#")[0]).exists(), target


def test_modules_of_the_architecture_exist() -> None:
    text = (PROJECT / "docs" / "architecture.md").read_text(encoding="utf-8")
    named = {span for span in INLINE.findall(text) if span.startswith("joblet_systemd/")}
    modules = {
        str(path.relative_to(PROJECT))
        for path in (PROJECT / "joblet_systemd").rglob("*.py")
        if path.name not in ("__init__.py", "__main__.py")
    }
    assert named == modules


def test_properties_of_the_isolation_page_are_set() -> None:
    text = (PROJECT / "docs" / "isolation.md").read_text(encoding="utf-8")
    table = text.partition("## Guarantees")[2].partition("\n## ")[0]
    named = set(re.findall(r"`([A-Z][A-Za-z]+)=`", table))
    source = (PROJECT / "joblet_systemd" / "unit.py").read_text(encoding="utf-8")
    set_there = set(re.findall(r'Property\(\s*"(\w+)"', source))
    set_there |= {name.removesuffix("Ex") for name in set_there}
    assert named >= {"PrivatePIDs", "RootDirectory", "MemoryMax"}
    assert named <= set_there


def test_options_of_job_run_in_the_readme() -> None:
    text = (PROJECT / "README.md").read_text(encoding="utf-8")
    command, _, _ = resolve(["rnx", "job", "run"])
    known = {name for option in command.params for name in option.opts}
    assert set(re.findall(r"--(?:max|cpu)-[a-z]+", text)) <= known
