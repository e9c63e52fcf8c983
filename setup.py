"""The page of a package index, which `setup.cfg` cannot make: there, the README's relative links lead nowhere.

`PROJECT_URL` is the address of the repository's pages, for a release: links and pictures then lead there.
Without it, a link becomes its text and the file's name in the source distribution, and a picture its description.
"""

import os
import re
from pathlib import Path

from setuptools import setup

# A picture or a link: `![text](target)`, `[text](target)`. A text may go over the end of a line.
_LINK = re.compile(r"(!?)\[([^\[\]]+)\]\(([^()\s]+)\)")


def page(readme: str, project: str) -> str:
    """The README as a page of an index."""

    def absolute(found: re.Match[str]) -> str:
        is_picture, text, target = found.groups()
        if re.match(r"[a-z]+:", target):
            return found[0]
        if project:
            file = "README.md" + target if target.startswith("#") else target
            return f"{is_picture}[{text}]({project}/{'raw' if is_picture else 'blob'}/HEAD/{file})"
        if is_picture:
            return f"*{text}: `{target}`*"
        return text if target.startswith("#") else f"{text} (`{target.partition('#')[0]}`)"

    return _LINK.sub(absolute, readme)


if __name__ == "__main__":
    url = os.environ.get("PROJECT_URL", "").rstrip("/")
    places = {"Documentation": "docs/README.md", "Changelog": "CHANGELOG.md"}
    setup(
        long_description=page((Path(__file__).parent / "README.md").read_text(encoding="utf-8"), url),
        project_urls={"Source": url, **{name: f"{url}/blob/HEAD/{file}" for name, file in places.items()}}
        if url
        else {},
    )
