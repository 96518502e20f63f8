"""Reading the Open Bandit data."""

from pathlib import Path

import numpy as np
import pytest

from models.off_policy.estimators import ips
from streams.bench.open_bandit import OpenBanditError, Rows, as_logged, read_rows, served_chances


def test_rows_are_read_by_the_names_of_their_columns(tmp_path: Path) -> None:
    folder = tmp_path / "dataset" / "obd" / "random" / "men"
    folder.mkdir(parents=True)
    (folder / "men.csv").write_text(
        ",timestamp,item_id,position,click,propensity_score,x\n"
        "0,t,14,3,0,0.5,a\n1,t,3,1,1,0.25,b\n2,t,3,2,0,0.25,b\n"
    )
    rows = read_rows(tmp_path, "random", "men")
    assert rows.item_n.tolist() == [14, 3, 3]
    assert rows.position_n.tolist() == [2, 0, 1]
    assert rows.click_n.tolist() == [0, 1, 0]
    with pytest.raises(OpenBanditError, match=r"all\.csv"):
        read_rows(tmp_path, "random", "all")


def test_the_uniform_policy_itself_is_the_mean_of_its_log() -> None:
    rng = np.random.default_rng(1)
    item_n, position_n = rng.integers(4, size=500), rng.integers(3, size=500)
    click_n = (rng.random(500) < 0.3).astype(float)
    rows = Rows(item_n, position_n, click_n, np.full(500, 0.25))
    estimate = ips(as_logged(rows, np.full((4, 3), 0.25)))
    assert estimate.value == pytest.approx(click_n.mean())


def test_a_policy_is_what_it_showed_at_each_position() -> None:
    rows = Rows(np.array([0, 2, 2, 1]), np.array([0, 0, 0, 2]), np.zeros(4), np.ones(4))
    chance_ip = served_chances(rows, 3)
    assert chance_ip[:, 0] == pytest.approx([1 / 3, 0.0, 2 / 3])
    assert chance_ip[:, 1].tolist() == [0.0] * 3
    assert chance_ip[:, 2].tolist() == [0.0, 1.0, 0.0]
