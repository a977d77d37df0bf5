"""Write ``sm_magics/authoring/images.json``: what the SageMaker PyTorch inference images have installed.

Usage::

    git clone https://github.com/aws/deep-learning-containers
    git clone https://github.com/pytorch/serve
    python scripts/refresh_images.py deep-learning-containers serve

AWS publishes no list of the packages in an image, but the Dockerfile that it is built from. For each version of
torch this reads the Dockerfiles as of the last release tag of the image, and has ``uv`` resolve what they install as
of that day: a version that a Dockerfile pins is what the image has; any other is what pip would have installed then.
Needs ``uv`` and an index that says when files were uploaded.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

TARGET = Path(__file__).parent.parent / "sm_magics" / "authoring" / "images.json"
VERSIONS = ("2.0", "2.1", "2.2", "2.3", "2.4", "2.5", "2.6")
# Of conda's packages, and of pip's own, those that are no Python distributions on PyPI or nobody's to import.
LEFT_OUT = {"python", "conda", "mamba", "mkl-include", "ca-certificates", "typing", "conda-content-trust", "opencv"}
TAKES_VALUE = {"-c", "-r", "-f", "--trusted-host", "--extra-index-url", "--index-url", "--find-links", "--channel"}


def main(containers: Path, serve: Path) -> None:
    """Read the Dockerfiles of all versions, and write the table."""
    images = {}
    for minor in VERSIONS:
        version, tag, day = last_release(containers, minor)
        # What is installed later takes the place of what was before.
        paths = dockerfiles(containers, tag, minor)
        wanted = [dict(installed(containers, serve, tag, path)) for path in paths]
        common = [f"{name}{wanted[0][name]}" for name in sorted(set.intersection(*map(set, wanted)))]
        python = python_version(containers, tag, paths[0])
        resolved = resolve(common, python, day)
        pinned = [Requirement(line).name for line in common if "==" in line]
        images[version] = {"python": python, "as_of": day, "tag": tag, "pinned": pinned, "packages": resolved}
        print(f"torch {version}: Python {python}, {len(resolved)} packages as of {day} ({tag})")
    table = {
        "source": "https://github.com/aws/deep-learning-containers, pytorch/inference/docker/*/py3/Dockerfile.*",
        "written_by": "scripts/refresh_images.py",
        "images": images,
    }
    TARGET.write_text(json.dumps(table, indent=1) + "\n")


def git(clone: Path, *arguments: str) -> str:
    """Return what a git command prints."""
    done = subprocess.run(["git", "-C", str(clone), *arguments], check=True, capture_output=True, text=True)
    return done.stdout


def last_release(clone: Path, minor: str) -> tuple[str, str, str]:
    """Return the full version of torch, the tag and the day of an image's last release."""
    tags = git(clone, "tag", "--list", f"v*-pt-sagemaker-{minor}.*-inf-*").split()
    number = re.compile(rf"v(\d+)\.(\d+)-pt-sagemaker-({re.escape(minor)}\.\d+)-inf-")
    found = max(
        (tuple(map(int, match.groups()[:2])), match[3], match.string) for match in map(number.match, tags) if match
    )
    _, version, tag = found
    return version, tag, git(clone, "log", "-1", "--format=%cs", tag).strip()


def dockerfiles(clone: Path, tag: str, minor: str) -> list[str]:
    """Return the Dockerfiles for x86 without a GPU, then for AWS's own processors, and for a GPU."""
    paths = git(clone, "ls-tree", "-r", "--name-only", tag, f"pytorch/inference/docker/{minor}").split()
    found = (path for path in paths if re.search(r"/Dockerfile\.((arm64|graviton)\.)?cpu$|/Dockerfile\.gpu$", path))
    return sorted(found, key=lambda path: (not path.endswith("/Dockerfile.cpu"), path))


def python_version(clone: Path, tag: str, path: str) -> str:
    """Return the version of Python that a Dockerfile installs."""
    return arguments(git(clone, "show", f"{tag}:{path}"))["PYTHON_VERSION"]


def arguments(dockerfile: str) -> dict[str, str]:
    """Return the values of a Dockerfile's build arguments."""
    return dict(re.findall(r"^ARG (\w+)=(\S+)", dockerfile, re.MULTILINE))


def built_with(clone: Path, tag: str, path: str) -> dict[str, str]:
    """Return the build arguments that the image's build specification gives."""
    minor = path.split("/")[3].replace(".", "-")
    kind = next((f"{name}-" for name in ("arm64", "graviton") if name in path), "")
    names = [
        f"buildspec-{kind}{minor}-sm.yml",
        f"buildspec-{minor}-sm.yml",
        f"buildspec-{kind}{minor}.yml",
        "buildspec.yml",
    ]
    paths = git(clone, "ls-tree", "--name-only", tag, "pytorch/inference/").split()
    spec = next(f"pytorch/inference/{name}" for name in names if f"pytorch/inference/{name}" in paths)
    found = re.findall(
        r"^ *(\w+): &(TORCHSERVE_VERSION|SM_TOOLKIT_VERSION) (\S+)", git(clone, "show", f"{tag}:{spec}"), re.MULTILINE
    )
    return {name: value for _, name, value in found}


def installed(clone: Path, serve: Path, tag: str, path: str) -> Iterator[tuple[str, str]]:
    """Yield the distributions that a Dockerfile installs, and which versions it or the image's own test asks for."""
    text = git(clone, "show", f"{tag}:{path}")
    directory, _, file = path.rpartition("/")
    beside = f"{directory}/{file.replace('Dockerfile.', 'Dockerfile.sagemaker.')}.core_packages.json"
    known = arguments(text) | built_with(clone, tag, path)
    core: dict[str, str] = {}
    try:
        for name, entry in json.loads(git(clone, "show", f"{tag}:{beside}")).items():
            core[canonicalize_name(name)] = entry["version_specifier"]
    except subprocess.CalledProcessError:
        pass
    for word in _words(text, known, serve):
        if wheel := re.search(r"/(torch\w*)-([\d.]+)(?:%2B[^-]*)?-[^/]*\.whl$", word):
            yield wheel[1], f"=={wheel[2]}"
            continue
        try:
            requirement = Requirement(re.sub(r"(?<=\w)=(?=\d)", "==", word))
        except InvalidRequirement:
            continue
        name = canonicalize_name(requirement.name)
        if requirement.url or name in LEFT_OUT or (requirement.marker and not requirement.marker.evaluate()):
            continue
        pin = core.get(name, "")
        specifier = pin.partition("+")[0] if pin.startswith("==") else str(requirement.specifier)
        yield name, specifier


def _words(dockerfile: str, known: dict[str, str], serve: Path) -> Iterator[str]:
    lines = [line for line in dockerfile.splitlines() if not line.lstrip().startswith("#")]
    for command in re.split(r"&&|\n|;", re.sub(r"\\\s*\n", " ", "\n".join(lines))):
        found = re.search(r"(?:pip|pip3|conda|mamba)\s+install\s+(.*)", command)
        if not found:
            continue
        words = iter(re.sub(r"\$\{(\w+)\}", lambda match: known.get(match[1], ""), found[1]).replace('"', "").split())
        for word in words:
            if word in TAKES_VALUE:
                value = next(words, "")
                if common := re.search(r"pytorch/serve/v([\d.]+)/(requirements/\w+\.txt)", value):
                    text = git(serve, "show", f"v{common[1]}:{common[2]}")
                    yield from (line.partition("#")[0].strip().replace(" ", "") for line in text.splitlines() if line)
            elif not word.startswith("-"):
                yield word


def resolve(requirements: list[str], python: str, day: str) -> dict[str, str]:
    """Return what installing the requirements that day would have brought, by name."""
    command = ["uv", "pip", "compile", "-", "--python-version", python, "--python-platform", "x86_64-manylinux_2_28"]
    command += ["--exclude-newer", day, "--no-header", "--no-annotate", "--no-python-downloads"]
    done = subprocess.run(command, input="\n".join(requirements), check=False, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{requirements}\n{done.stderr}")
    found = {}
    for line in done.stdout.splitlines():
        name, _, version = line.partition("==")
        # What torch needs on a GPU comes with the image, and is nobody's to import.
        if version and not name.startswith("nvidia-") and name != "triton":
            found[canonicalize_name(name)] = str(Version(version.split()[0]))
    return found


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
