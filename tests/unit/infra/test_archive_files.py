"""An archive gives back what was put in, once, and nothing else."""

from __future__ import annotations

import uuid

import msgspec
import pytest

from infra.archive_files import Archive, ArchivedRecord, ArchiveError, Manifest

PLACE = ("events.like", 3)


@pytest.fixture
def archive() -> Archive:
    return Archive(f"memory://{uuid.uuid4().hex}")


def records(start: int, end: int) -> list[ArchivedRecord]:
    """With gaps, as a compacted log has them, tombstones and records without a key."""
    return [
        ArchivedRecord(3, n, 10**12 + n, None if n % 5 else b"k", b"v" if n % 7 else None)
        for n in range(start, end)
        if n % 3
    ]  # fmt: skip


def archived(archive: Archive, *spans: tuple[int, int]) -> Manifest:
    parts = tuple(archive.write(PLACE, start, end, records(start, end)) for start, end in spans)
    manifest = Manifest(log_id="log", parts=parts)
    archive.finish(manifest)
    return manifest


def test_records_come_back_as_they_were_by_offset(archive: Archive) -> None:
    archived(archive, (0, 50_000), (50_000, 50_010), (50_010, 50_011))
    found = archive.manifest("log")
    assert found is not None
    read = [record for part in found.of(PLACE) for some in archive.read(part) for record in some]
    assert read == records(0, 50_011)
    assert found.ends() == {PLACE: 50_011}
    assert found.gaps() == {}


def test_what_the_manifest_does_not_name_is_not_there(archive: Archive) -> None:
    assert archive.manifest("log") is None
    archived(archive, (0, 10))
    archive.write(PLACE, 10, 20, records(10, 20))  # a run that was cut off here
    found = archive.manifest("log")
    assert found is not None
    assert found.ends() == {PLACE: 10}


def test_offsets_that_no_part_covers_are_counted(archive: Archive) -> None:
    assert archived(archive, (4, 10), (13, 20)).gaps() == {PLACE: 7}


def test_another_log_a_newer_schema_and_damage_are_refused(archive: Archive) -> None:
    manifest = archived(archive, (0, 10))
    with pytest.raises(ArchiveError, match="is an archive of log log, and the cluster's is other"):
        archive.manifest("other")
    [part] = manifest.parts
    with pytest.raises(ArchiveError, match="is not as it was written"):
        list(archive.read(msgspec.structs.replace(part, blake2b="0" * 32)))
    with pytest.raises(ArchiveError, match="cannot be read"):
        list(archive.read(msgspec.structs.replace(part, end=11)))
    archive.finish(msgspec.structs.replace(manifest, schema=2))
    with pytest.raises(ArchiveError, match="schema 2, and this release reads 1"):
        archive.manifest("log")


def test_a_manifest_is_replaced_as_a_whole(tmp_path) -> None:
    archive = Archive(str(tmp_path / "archive"))
    archived(archive, (0, 10))
    archived(archive, (0, 10), (10, 20))
    assert sorted(path.name for path in (tmp_path / "archive").iterdir()) == [
        "log", "manifest.json",
    ]  # fmt: skip
    found = archive.manifest("log")
    assert found is not None
    assert found.ends() == {PLACE: 20}
