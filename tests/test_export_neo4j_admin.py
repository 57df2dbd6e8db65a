"""Files for an offline import: what Neo4j's own tool makes of them is the graph."""

from __future__ import annotations

import shlex
import shutil
from pathlib import Path

import pytest
import store_graphs as planted
from neo4j_server import Server
from shell import done
from store_graphs import HOSTILE, same

from circuitgraph.base.errors import InputError
from circuitgraph.export import import_command, write_neo4j_admin
from circuitgraph.store import FILE_NAME, EmbeddedStore, run_tables
from circuitgraph.store.neo4j import Neo4jStore


def with_hostile_names(path: Path) -> EmbeddedStore:
    store = EmbeddedStore(path)
    parts = planted.planted()
    for name in [*HOSTILE, "a\rb", '"', '""', ",", "\\", " x ", "=1+1"]:
        run = planted.run(planted.variant(name, recipe=name), "effect")
        edges = planted.edge_frame("effect", [(name, "L0H0", "all", 0.1, 0.0)])
        parts.append(run_tables(run, edges))
    store.write_all(parts)
    return store


def test_the_files_are_plain_and_typed(tmp_path: Path) -> None:
    files = write_neo4j_admin(planted.planted()[1], tmp_path / "out")
    assert [file.name for file in files] == [
        "Variant.csv",
        "Run.csv",
        "Component.csv",
        "OF.csv",
        "AFFECTS.csv",
    ]
    lines = files[2].read_text("utf-8").splitlines()
    assert lines[0] == (
        "id:ID(Component),name:string,architecture:string,kind:string,layer:long,head:long"
    )
    assert lines[1].endswith(',"EMBED","arch","embed",,')
    header = files[4].read_text("utf-8").splitlines()[0]
    assert header.startswith(":START_ID(Component),:END_ID(Component),key:string,run:string")
    assert ",weight:double,screen:double,low:double" in header


def test_files_of_an_earlier_export_are_gone(tmp_path: Path) -> None:
    write_neo4j_admin(planted.planted()[0], tmp_path)
    (tmp_path / "mine.csv").write_text("kept")
    files = write_neo4j_admin(planted.planted()[1], tmp_path)
    assert {*tmp_path.iterdir()} == {*files, tmp_path / "mine.csv"}


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="file: cannot be written to"):
        write_neo4j_admin(planted.planted()[0], tmp_path / "file")


def test_the_command_is_printed_ready_to_run(study: Path, tmp_path: Path) -> None:
    folder = tmp_path / "it's here"
    answer = done("export", "--format", "neo4j-admin", "-o", folder, "-w", study)
    words = shlex.split(answer.out)
    assert words[:5] == ["neo4j-admin", "database", "import", "full", "neo4j"]
    assert f"--nodes=Variant={folder / 'Variant.csv'}" in words
    assert f"--relationships=REWIRED={folder / 'REWIRED.csv'}" in words
    assert "stop the server" in answer.err


def test_some_variants_and_a_diff_only(study: Path, tmp_path: Path) -> None:
    words = ("--format", "neo4j-admin", "-w", study, "-q")
    done("export", "base", *words, "-o", tmp_path / "one")
    assert (tmp_path / "one" / "Variant.csv").read_text().count("\n") == 2
    assert not (tmp_path / "one" / "Diff.csv").exists()
    done("export", "base:utilitarian", *words, "-o", tmp_path / "two")
    assert (tmp_path / "two" / "Variant.csv").read_text().count("\n") == 3
    assert (tmp_path / "two" / "Diff.csv").read_text().count("\n") == 2


@pytest.mark.neo4j
@pytest.mark.thorough
def test_neo4j_admin_reads_every_name_and_number(neo4j_server: Server, tmp_path: Path) -> None:
    """On a stopped copy of the server's folder; then a server on it answers the same graph."""
    store = with_hostile_names(tmp_path / FILE_NAME)
    command = import_command(write_neo4j_admin(store.read_all(), tmp_path / "files"))
    own = neo4j_server.elsewhere(tmp_path / "home")
    told = own.run("admin", *shlex.split(command)[1:]).stdout
    assert "IMPORT DONE" in told
    with own.running() as address, Neo4jStore(address) as imported:
        assert same(imported.read_all(), store.read_all())
        imported.write_all(planted.planted(), replace=False)
        assert "circuitgraph_affects_key" in set(imported.query("SHOW CONSTRAINTS")["name"])
        imported.write_all(planted.planted())
        assert same(imported.read_all(), store.read_all())
    shutil.rmtree(tmp_path / "home")
