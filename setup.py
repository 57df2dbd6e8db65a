"""The example models go into the wheel; in a checkout they stay where people look for them."""

from pathlib import Path
from shutil import copytree

from setuptools import setup
from setuptools.command.build_py import build_py


class WithExamples(build_py):
    """Copies ``examples/ipd`` into the package that is built."""

    def run(self) -> None:
        """Build the package, then copy; an editable install reads the checkout."""
        super().run()
        if not self.editable_mode:
            target = Path(self.build_lib) / "circuitgraph" / "examples" / "ipd"
            copytree("examples/ipd", target, dirs_exist_ok=True)


setup(cmdclass={"build_py": WithExamples})
