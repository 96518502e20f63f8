"""Stored versions and labels as ``freshgrid evaluate embeddings`` reads them."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest

from infra.artifacts import ArtifactError, ArtifactMissingError, ArtifactStore
from infra.config import Settings
from models.ig2vec.config import Ig2VecConfig
from models.ig2vec.model import Ig2Vec
from streams.cli.evaluate import _print_evaluation
from streams.recorded.evaluate_embeddings import (
    KIND,
    EvaluationError,
    evaluate_versions,
    read_labels,
)

TOPICS = {f"a{n}": f"t{n % 2}" for n in range(60)}


@pytest.fixture(scope="module")
def model() -> Ig2Vec:
    rng = np.random.default_rng(1)
    sentences = [
        [f"a{2 * n + viewer % 2}" for n in rng.integers(0, 30, 12).tolist()]
        for viewer in range(200)
    ]
    return Ig2Vec.fit(sentences, Ig2VecConfig(epochs=5))


@pytest.fixture
def config(tmp_path: Path) -> Settings:
    return Settings(artifacts_url=str(tmp_path / "artifacts"))


def stored(config: Settings, model: Ig2Vec, **noise: float) -> str:
    arrays, meta = model.save_arrays()
    rng = np.random.default_rng(2)
    for name, size in noise.items():
        arrays[name] = arrays[name] + size * rng.standard_normal(arrays[name].shape)
    return ArtifactStore(config.artifacts_url).put(KIND, arrays, meta)


def test_versions_are_compared_on_the_same_accounts_and_judged(
    config: Settings, model: Ig2Vec, capsys: pytest.CaptureFixture[str]
) -> None:
    good = stored(config, model)
    bad = stored(config, model, vectors=100.0)
    report = evaluate_versions(config, TOPICS, None, good)
    assert (report["version"], report["against"]["version"]) == (bad, good)
    assert report["against"]["macro_f1"] > 0.9 > report["macro_f1"]
    assert report["promote"] is False
    assert "more than the margin" in report["reason"]
    assert report["drift"]["accounts"] == 60
    assert evaluate_versions(config, TOPICS, good, bad)["promote"] is True
    assert evaluate_versions(config, TOPICS, good, good)["drift"]["overlap"] == 1.0
    _print_evaluation(report)
    printed = capsys.readouterr().out
    assert f"refuse: {report['reason']}" in printed
    assert bad in printed


def test_what_is_not_there_is_one_sentence(config: Settings, model: Ig2Vec) -> None:
    with pytest.raises(EvaluationError, match="no version of ig2vec is stored"):
        evaluate_versions(config, TOPICS, None, None)
    version = stored(config, model)
    with pytest.raises(ArtifactMissingError, match="nothing"):
        evaluate_versions(config, TOPICS, "nothing", None)
    with pytest.raises(EvaluationError, match="60 accounts with a vector by 1 labelled"):
        evaluate_versions(config, {"stranger": "t0"}, version, None)


def test_a_version_with_nan_or_of_something_else_is_refused(
    config: Settings, model: Ig2Vec
) -> None:
    broken = stored(config, model, vectors=np.nan)
    with pytest.raises(EvaluationError, match="60 accounts hold NaN"):
        evaluate_versions(config, TOPICS, broken, None)
    other = ArtifactStore(config.artifacts_url).put(KIND, {"x": np.zeros(3)}, {})
    with pytest.raises(ArtifactError, match="not a saved ig2vec model"):
        evaluate_versions(config, TOPICS, other, None)


def test_labels_are_the_first_topics_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "labels.jsonl"
    lines = ({"account_id": "a", "topics": ["x", "y"]}, {"account_id": "b", "topics": []})
    path.write_bytes(b"\n\n".join(map(msgspec.json.encode, lines)))
    assert read_labels(path) == {"a": "x"}
    path.write_text('{"account_id": "a", "topics": ["x"]}\n{"account_id": 3}\n')
    with pytest.raises(EvaluationError, match=r"labels\.jsonl:2 is no label: .*account_id"):
        read_labels(path)
    with pytest.raises(EvaluationError, match="cannot read labels"):
        read_labels(tmp_path / "none")
