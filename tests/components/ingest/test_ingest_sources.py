"""Where the files are: folders, patterns, spans, object storage."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from components.runtime.data import endpoints, examples
from components.runtime.data.storage import reading
from components.runtime.errors import InputError, TransientError
from tests.bucket_server import Fault, way
from tests.buckets import GS_SLOW, SCHEMES, Raw, raw_buckets
from tests.components.ingest.ingest_support import ROWS, ingested, run_ingest, tfrecord_bytes, write_files
from tests.components.ingest.tables.table_support import avro_of, parquet_of
from tests.gcs_server import GCS, gcs_server
from tests.image_files import jpeg


def rows_of(start: int, count: int = 10) -> bytes:
    return b"number\n" + b"".join(b"%d\n" % number for number in range(start, start + count))


def numbers(rows: list[dict[str, list[int]]]) -> set[int]:
    return {row["number"][0] for row in rows}


def test_existing_splits_are_kept(tmp_path: Path) -> None:
    files = {"train/a.csv": rows_of(0), "train/b.csv": rows_of(10), "eval/c.csv": rows_of(0), "train/.d.csv": b"no"}
    data = write_files(tmp_path / "data", files)
    result = ingested(tmp_path / "out", data, patterns={"train": "train/*", "eval": "eval/*"})
    assert numbers(result.rows("train")) == set(range(20))
    assert numbers(result.rows("eval")) == set(range(10)), "also where rows are in both"
    assert result.metadata["rows_train"] == 20


def test_splits_are_not_looked_at_where_patterns_are_given(tmp_path: Path) -> None:
    data = write_files(tmp_path / "data", {"a.csv": rows_of(0)})
    assert ingested(tmp_path / "out", data, patterns={"all": "*.csv"}, splits={"": "x"}).metadata["splits"] == ["all"]


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("*.csv", {0}),
        ("x/*", {10}),
        ("./x/*", {10}),
        ("x/**", {10, 20}),
        ("**/*.csv", {0, 10, 20}),
        ("**", {0, 10, 20}),
        ("?.csv", {0}),
        ("x/y/*.csv", {20}),
        ("x/[b].csv", set()),
    ],
)
def test_patterns(tmp_path: Path, pattern: str, expected: set[int]) -> None:
    files = {"a.csv": rows_of(0, 1), "x/b.csv": rows_of(10, 1), "x/y/c.csv": rows_of(20, 1), "_t/d.csv": rows_of(30, 1)}
    data = write_files(tmp_path / "data", files)
    result = run_ingest(tmp_path / "out", data, patterns={"all": pattern})
    if expected:
        assert numbers(ingested(tmp_path / "again", data, patterns={"all": pattern}).rows()) == expected
    assert result.exit_code == (0 if expected else 65)


def test_types_are_the_same_in_all_splits(tmp_path: Path) -> None:
    data = write_files(tmp_path / "data", {"train.csv": b"a\n1\n", "eval.csv": b"a\n1.5\n"})
    result = ingested(tmp_path / "out", data, patterns={"train": "train.csv", "eval": "eval.csv"})
    assert result.metadata["columns"] == {"a": "float32"}
    assert result.rows("train") == [{"a": [1.0]}]


def test_the_newest_span_by_number(tmp_path: Path) -> None:
    files = {f"span-{span}/{split}/a.csv": rows_of(span, 5) for span in (9, 10, 8) for split in ("train", "eval")}
    data = write_files(tmp_path / "data", files | {"span-99x/train/a.csv": ROWS, "span-/train/a.csv": ROWS})
    patterns = {"train": "span-{SPAN}/train/*", "eval": "span-{SPAN}/eval/*"}
    result = ingested(tmp_path / "out", data, patterns=patterns)
    assert result.metadata["spans"] == [10]
    assert numbers(result.rows("train")) == set(range(10, 15))
    result = ingested(tmp_path / "out2", f"{data}/span-{{SPAN}}/train", splits={"all": 1})
    assert result.metadata["spans"] == [10]
    assert numbers(result.rows()) == set(range(10, 15))


def test_a_span_that_lacks_a_split(tmp_path: Path) -> None:
    data = write_files(tmp_path / "data", {"1/train.csv": ROWS, "1/eval.csv": ROWS, "2/train.csv": ROWS})
    result = run_ingest(tmp_path / "out", data, patterns={"train": "{SPAN}/train.csv", "eval": "{SPAN}/eval.csv"})
    assert result.exit_code == 65
    assert "data: no file matches '2/eval.csv', the pattern of the split 'eval'" in result.error


def test_no_span(tmp_path: Path) -> None:
    result = run_ingest(tmp_path / "out", write_files(tmp_path / "data", {"a.csv": ROWS}) / "span-{SPAN}")
    assert result.exit_code == 65
    assert "nothing there has a number in the place of {SPAN}" in result.error


def test_the_content_of_the_raw_data_is_told(tmp_path: Path) -> None:
    files = {"b.csv": rows_of(0), "a.csv": rows_of(30)}
    listing = b"".join(f"{name}\0{hashlib.sha256(files[name]).hexdigest()}\n".encode() for name in sorted(files))
    result = ingested(tmp_path / "out", write_files(tmp_path / "data", files), splits={"all": 1})
    assert result.metadata["content"] == f"sha256:{hashlib.sha256(listing).hexdigest()}"
    assert result.metadata["input_bytes"] == sum(map(len, files.values()))
    assert [row["number"][0] for row in result.rows()] == [*range(30, 40), *range(10)], (
        "files in the order of their names"
    )


def test_tfrecords_that_are_worth_processes_keep_their_order(tmp_path: Path) -> None:
    records = [examples.encode({"number": number, "text": f"{number * 7919 % 10007:x>800}"}) for number in range(2_000)]
    content = tfrecord_bytes(records, compress=False)
    assert len(content) > 1 << 20
    result = ingested(tmp_path / "out", write_files(tmp_path / "data", {"a.tfrecord": content}), splits={"all": 1})
    assert result.records("all") == records
    broken = tfrecord_bytes([*records, b"text"], compress=False)
    failed = run_ingest(tmp_path / "broken", write_files(tmp_path / "worse", {"a.tfrecord": broken}))
    assert failed.exit_code == 65
    assert "a.tfrecord: record 2001 is not a tf.Example" in failed.error


@pytest.mark.parametrize("uri", ["file://{}", "{}/"])
def test_writings_of_a_path(tmp_path: Path, uri: str) -> None:
    data = write_files(tmp_path / "da ta", {"a.csv": ROWS})
    assert ingested(tmp_path / "out", uri.format(data)).metadata["rows"] == 30


@pytest.fixture(params=SCHEMES)
def bucket(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Raw]:
    """A folder served as object storage."""
    with raw_buckets(tmp_path / "storage", request.param, monkeypatch) as found:
        yield found


def test_object_storage(bucket: Raw, tmp_path: Path) -> None:
    root = bucket.root
    write_files(root / "raw" / "taxi", {"a.csv": rows_of(0, 40), "b.csv": rows_of(40, 40), "_SUCCESS": b""})
    remote = ingested(tmp_path / "remote", bucket.uri("raw/taxi"))
    local = ingested(tmp_path / "local", root / "raw" / "taxi")
    assert remote.files() == local.files()
    assert remote.metadata["content"] == local.metadata["content"]


@pytest.mark.parametrize("bucket", GS_SLOW, indirect=True)
def test_images_in_object_storage(bucket: Raw, tmp_path: Path) -> None:
    root = bucket.root
    write_files(
        root / "raw" / "pets", {f"{'cat' if number % 3 else 'dog'}/{number}.jpg": jpeg(number) for number in range(90)}
    )
    remote = ingested(tmp_path / "remote", bucket.uri("raw/pets"))
    local = ingested(tmp_path / "local", root / "raw" / "pets")
    assert remote.files() == local.files()
    assert remote.metadata["content"] == local.metadata["content"]
    (root / "raw" / "pets" / "cat" / "1.jpg").write_bytes(b"")
    result = run_ingest(tmp_path / "out", bucket.uri("raw/pets"))
    assert result.error == f"{bucket.shown('raw/pets')}/cat/1.jpg: is empty (0 bytes): copy it again"


def test_names_in_a_bucket_with_blanks_and_umlauts(bucket: Raw, tmp_path: Path) -> None:
    write_files(bucket.root / "raw" / "trips of März", {"a b.csv": rows_of(0, 40)})
    remote = ingested(tmp_path / "remote", bucket.uri("raw/trips of März"))
    assert remote.files() == ingested(tmp_path / "local", bucket.root / "raw" / "trips of März").files()


@pytest.mark.parametrize("make", [parquet_of, avro_of])
def test_tables_in_object_storage(bucket: Raw, tmp_path: Path, make: Callable[..., bytes]) -> None:
    root = bucket.root
    content = make(list(range(500))) if make is parquet_of else make("long", list(range(500)))
    write_files(root / "raw" / "t", {"part-0": content, "_SUCCESS": b""})
    remote = ingested(tmp_path / "remote", bucket.uri("raw/t"))
    local = ingested(tmp_path / "local", root / "raw" / "t")
    assert remote.files() == local.files()
    assert remote.metadata["content"] == local.metadata["content"]
    assert remote.metadata["input_bytes"] == len(content)
    write_files(root / "raw" / "t", {"part-0": content[:20] + bytes(60) + content[80:]})
    corrupt = run_ingest(tmp_path / "corrupt", bucket.uri("raw/t"))
    assert corrupt.exit_code == 65, corrupt.stderr
    write_files(root / "raw" / "t", {"part-0": content[: len(content) // 2] + content[-4:]})
    broken = run_ingest(tmp_path / "broken", bucket.uri("raw/t"))
    assert broken.exit_code == 65, broken.stderr
    assert broken.error.startswith(f"{bucket.shown('raw/t/part-0')}: ")
    assert "truncated or corrupt" in broken.error


def test_object_storage_without_the_data(bucket: Raw, tmp_path: Path) -> None:
    root = bucket.root
    (root / "raw").mkdir()
    result = run_ingest(tmp_path / "out", bucket.uri("raw/nothing"))
    assert result.exit_code == 65
    assert result.error.startswith(f"{bucket.shown('raw/nothing')}: no such folder or file"), "keys are not told"
    uri = bucket.uri("raw/nothing")
    result = run_ingest(tmp_path / "out", f"{uri}{'&' if '?' in uri else '?'}what=1")
    assert result.exit_code == 65
    assert result.error.startswith(f"{bucket.shown('raw/nothing')}: not a URI of object storage")
    assert "secret" not in result.error
    for place in ("absent", "absent/trips"):
        result = run_ingest(tmp_path / "out", bucket.uri(place))
        assert result.exit_code == 65
        assert result.error.startswith(f"{bucket.shown(place)}: there is no bucket absent: make it, or")


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[GCS]:
    with gcs_server() as server:
        write_files(tmp_path / "storage" / "raw", {"t/a.csv": rows_of(0, 40), "t/b.csv": rows_of(40, 40)})
        server.fill(tmp_path / "storage")
        yield server


def asked(folder: Path, server: GCS | None, monkeypatch: pytest.MonkeyPatch, data: str = "gs://raw/t") -> str:
    """What the stage says that must not end well: with the exit code, in a line."""
    for name, value in (server.variables if server else {}).items():
        monkeypatch.setenv(name, value)
    result = run_ingest(folder, data)
    assert not (folder / "examples").exists()
    assert result.error.startswith("gs://raw/t")
    assert "\n" not in result.error
    return f"{result.exit_code} {result.error}"


def test_what_cloud_storage_does_not_answer_at_first(
    cloud: GCS, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fault = Fault(r"GET .*/a\.csv", times=1, then=503)
    with way(cloud, fault) as bad:
        for name, value in bad.variables.items():
            monkeypatch.setenv(name, value)
        assert ingested(tmp_path / "out", "gs://raw/t").metadata["rows"] == 80
    assert fault.seen == 1


@pytest.mark.slow
def test_a_cloud_storage_that_fails_for_good(cloud: GCS, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for fault, said in (Fault("GET", then=503), "as the test wants it"), (Fault("GET"), "Server returned nothing"):
        with way(cloud, fault) as bad:
            told = asked(tmp_path / "out", bad, monkeypatch, "gs://raw/t?retry_limit_seconds=2")
        assert told.startswith("75 gs://raw/t: cannot be read: ")
        assert said in told
        assert told.endswith("(UNAVAILABLE); run again when it answers")


def test_who_lacks_a_right_on_cloud_storage_is_told(
    cloud: GCS, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with cloud.refusing():
        told = asked(tmp_path / "out", cloud, monkeypatch)
    assert told == (
        "65 gs://raw/t: cannot be read: Permission denied (x@y.iam does not have storage.objects.list access to the "
        "bucket.): check that it is there and may be read"
    )


def test_public_data_needs_nobody(cloud: GCS, tmp_path: Path) -> None:
    reached = f"endpoint_override={cloud.endpoint.removeprefix('http://')}&scheme=http"
    assert ingested(tmp_path / "out", f"gs://anonymous@raw/t?{reached}").metadata["rows"] == 80


def test_nobody_on_cloud_storage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Arrow asks for more than a minute, and a folder in the place of the file ends the process."""
    monkeypatch.setenv("GCE_METADATA_HOST", "127.0.0.1:9")
    endpoints._is_on_google.cache_clear()
    assert asked(tmp_path / "out", None, monkeypatch) == (
        "65 gs://raw/t: cannot be read: there are no credentials: set GOOGLE_APPLICATION_CREDENTIALS, or give the "
        "machine's account the right"
    )
    (tmp_path / "text").write_text("no JSON")
    for file, said in (
        (tmp_path, "which cannot be read: Is a directory"),
        (tmp_path / "none", "which cannot be read: No such file or directory"),
        (tmp_path / "text", "which holds no credentials: name the JSON file of a service account"),
    ):
        monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(file))
        told = asked(tmp_path / "out", None, monkeypatch)
        assert told == f"65 gs://raw/t: cannot be read: GOOGLE_APPLICATION_CREDENTIALS names {file}, {said}"
    (tmp_path / "text").write_text('{"type": "what"}')
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "text"))
    told = asked(tmp_path / "out", None, monkeypatch)
    assert told.startswith("65 gs://raw/t: cannot be read: the credentials are not taken: Unsupported credential type")


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        (
            "AWS Error NETWORK_CONNECTION during HeadObject operation: curlCode: 7, Couldn't connect to server",
            TransientError,
        ),
        ("google::cloud::Status(UNAVAILABLE: Retry policy exhausted)", TransientError),
        ("AWS Error ACCESS_DENIED during ListObjectsV2 operation: Access Denied.", InputError),
        ("AWS Error UNKNOWN (HTTP status 403) during GetObject operation: No response body.", InputError),
    ],
)
def test_what_fails_in_object_storage(text: str, kind: type[Exception]) -> None:
    with pytest.raises(kind, match=r"^s3://raw: cannot be read"), reading("s3://raw"):
        raise OSError(text)
