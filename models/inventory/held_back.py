"""Accounts whose media unusually many viewers asked for fewer of: held back until that is over.

An account that s viewers asked for fewer of, where n acts on its media were counted, is compared
with what is usual. See-fewers of an account whose media are looked at are Poisson, at a rate that
differs from account to account as a gamma distribution does; s is then negative binomial
(Greenwood and Yule, 1920). An account is held back when at least s has a chance of `false_alarms`
or less over all accounts together (Bonferroni), and more than `handful` viewers asked.

* The mean rate is that of all other accounts of this log that are not held back, beside the bundled
  log's, which counts as that many acts more. How widely honest accounts differ cannot be told from
  76 see-fewers: they fit one rate for all best, and `shape` is the most spread that they allow.
* A viewer counts once per account, whatever she asks of its media and how often; who takes one of
  these back takes back all that she asked of that account before. So it takes more than `handful`
  viewers, and of an account that is looked at more, more of them. Each asks for as little as a look
  at what Freshgrid shows anybody; who has many viewers at his command can do it, and whoever is
  held back is seen by operators.
* Counts halve with popularity's half-life. Who is held back is shown to hardly anybody, so s fades,
  the account is tried again, and if it is as bad as before, held back again.

Acts are those of popularity: of each viewer, media and action one. False ones thin out s / n: it
takes the inverse of the mean rate, about 900 of them, to make up for one see-fewer.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple, TypeAlias

import msgspec
import numpy as np
from numpy.typing import NDArray
from scipy.special import betainc

from models.actions import NEGATIVE, Action
from models.arrays.forward_decay import ForwardDecay
from models.arrays.growing import GrowingColumns
from models.arrays.stored import ANY, Arrays, StoredArraysError, copied, part_of, prefixed, taken
from models.arrays.types import NO_ROWS, UNKNOWN, Mask, Rows
from models.events import MINUTE_MS
from models.inventory.counted_once import CountedOnce
from models.inventory.popularity import Popularity
from models.inventory.viewer_marks import ForgottenMarks, ViewerKeys

#: By code, whether a viewer asks for fewer by it.
_ASKS_X: Final = np.array([action in NEGATIVE for action in Action])


Rates: TypeAlias = NDArray[np.float64]
_NO_RATES: Final = np.zeros(0)


class HoldingConfig(msgspec.Struct, frozen=True, kw_only=True):
    """When an account is held back.

    Attributes:
        asked, acts: of the bundled log (KuaiRand-Pure): viewers who asked for fewer, each once per
            account, and acts.
        shape: of the gamma distribution of accounts' rates; the smallest one (the widest spread)
            within the 95 % likelihood interval of the bundled log.
        false_alarms: of all accounts, how many are held back by chance on average.
        handful: so many viewers are never enough.
    """

    asked: float = 76.0
    acts: float = 68_377.0
    shape: float = 0.54
    false_alarms: float = 0.05
    handful: int = 5


class Held(NamedTuple):
    """What an account is held back for, all of it decayed.

    Attributes:
        asked: viewers who asked for fewer of its media.
        acts: that were counted on its media.
        usual: share of the acts that is usual.
    """

    asked: float
    acts: float
    usual: float


class HeldBack:
    """Who asked for fewer of which account, and which are held back.

    Args:
        half_life_ms: of the counts, that of the acts.
        remembered: pairs of viewer and account of which it is known at least that they count.
    """

    def __init__(self, config: HoldingConfig, half_life_ms: int, remembered: int) -> None:
        self.config = config
        self._decay = ForwardDecay(half_life_ms)
        self._accounts = GrowingColumns(asked=(np.float64, 0.0))
        self._total = np.zeros(1)
        self._once = CountedOnce(remembered)
        # Accounts that were asked fewer of by more than a handful, some of them no longer.
        self._suspects: set[int] = set()
        self._found: tuple[int, int, Rows, Rates] | None = None

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Counts as they are stored, the landmark that they are of, and who was counted."""
        return {
            **prefixed("accounts", self._accounts.to_arrays()),
            "total": copied(self._total),
            **prefixed("once", self._once.to_arrays()),
            **self._decay.to_arrays(),
        }

    def load(self, arrays: Arrays, accounts: int) -> None:
        """Count on from what :meth:`to_arrays` gave; the arrays are kept, not copied.

        Args:
            accounts: known to the catalogue.

        Raises:
            StoredArraysError: these are not such arrays.
        """
        asked_a = taken(arrays, "accounts.asked", np.float64, ANY)
        if len(asked_a) > accounts:
            raise StoredArraysError(
                f"{len(asked_a)} accounts were asked fewer of, the catalogue has {accounts}"
            )
        self._accounts.load(part_of(arrays, "accounts"))
        self._total = taken(arrays, "total", np.float64, 1)
        self._once.load(part_of(arrays, "once"))
        self._decay.load(arrays)
        self._suspects, self._found = set(np.flatnonzero(asked_a).tolist()), None

    @staticmethod
    def without(arrays: Arrays, forgotten: ForgottenMarks) -> dict[str, NDArray[Any]]:
        """The arrays of :meth:`to_arrays` without who of these viewers was counted.

        Raises:
            StoredArraysError: these are not such arrays.
        """
        once = CountedOnce.without(part_of(arrays, "once"), forgotten)
        return dict(arrays) | prefixed("once", once)

    def add(
        self,
        viewer_n: ViewerKeys,
        author_n: Rows,
        action_n: NDArray[np.int8],
        ts_n: NDArray[np.int64],
        undo_n: Mask,
    ) -> None:
        """Take in acts of any kind, in any order and any number of times; all of one length.

        Args:
            author_n: account rows, −1 for those that nobody knows: they are left out.
            ts_n: event times, epoch ms.
        """
        n = np.flatnonzero(_ASKS_X[action_n] & (author_n != UNKNOWN))
        if not len(n):
            return
        author_n = author_n[n]
        changes = self._once.take(viewer_n[n], author_n, action_n[n], ts_n[n], undo_n[n])
        if not len(changes.at_c):
            return
        if (left := self._decay.advance(int(changes.ts_c.max()))) != 1.0:
            self._accounts["asked"][:] *= left
            self._total *= left
        author_c = author_n[changes.at_c]
        weight_c = changes.sign_c * self._decay.weights(changes.ts_c)
        self._accounts.grow(int(author_c.max()) + 1)
        np.add.at(self._accounts["asked"], author_c, weight_c)
        self._total += weight_c.sum()
        self._suspects.update(np.unique(author_c).tolist())
        self._found = None

    def accounts(self, popularity: Popularity, accounts: int, now_ms: int) -> Rows:
        """Rows of the accounts that are held back, ascending; looked at again once a minute.

        Args:
            popularity: the acts.
            accounts: how many there are.
        """
        return self._look(popularity, accounts, now_ms)[0]

    def why(self, popularity: Popularity, accounts: int, now_ms: int, row: int) -> Held | None:
        """What an account is held back for; None where it is not."""
        held, usual_h = self._look(popularity, accounts, now_ms)
        at = np.flatnonzero(held == row)
        if not len(at):
            return None
        rows = np.array([row], np.int32)
        acts = float(popularity.decayed_authors(rows, now_ms).sum())
        return Held(float(self._asked(rows, now_ms)[0]), acts, float(usual_h[at[0]]))

    def _look(self, popularity: Popularity, accounts: int, now_ms: int) -> tuple[Rows, Rates]:
        if not self._suspects:
            return NO_ROWS, _NO_RATES
        key = now_ms // MINUTE_MS, accounts
        if self._found is None or self._found[:2] != key:
            self._found = (*key, *self._judge(popularity, accounts, now_ms))
        return self._found[2:]

    def _judge(self, popularity: Popularity, accounts: int, now_ms: int) -> tuple[Rows, Rates]:
        config = self.config
        rows = np.array(sorted(self._suspects), np.int32)
        asked_n = self._asked(rows, now_ms)
        # Half a viewer may have decayed, or an event be a little ahead of the clock. What decays
        # never grows by itself: the others are looked at when they are asked fewer of.
        many_n = asked_n > config.handful + 0.5
        rows, asked_n = rows[many_n], asked_n[many_n]
        self._suspects = set(rows.tolist())
        # Who asks has acted, too; counts of an account that lost media to another may say less.
        acts_n = np.maximum(popularity.decayed_authors(rows, now_ms).sum(axis=1), asked_n)
        asked = config.asked + max(float(self._total[0]) * self._decay.left(now_ms), 0.0)
        acts = config.acts + float(popularity.decayed_total(now_ms).sum())
        held_n = np.zeros(len(rows), np.bool_)
        while True:
            out_n = held_n[None, :] | np.eye(len(rows), dtype=np.bool_)
            usual_n = (asked - out_n @ asked_n) / (acts - out_n @ acts_n)
            chance_n = betainc(asked_n, config.shape, acts_n / (config.shape / usual_n + acts_n))
            more_n = held_n | (chance_n * max(accounts, 1) <= config.false_alarms)
            if (more_n == held_n).all():
                return rows[held_n], usual_n[held_n]
            # Without these the usual is less, so that more may be held back.
            held_n = more_n

    def _asked(self, rows: Rows, now_ms: int) -> NDArray[np.float64]:
        """Decayed number of viewers who asked for fewer of accounts."""
        asked_a = self._accounts["asked"]
        found_n = np.zeros(len(rows))
        inside_n = rows < len(asked_a)
        found_n[inside_n] = asked_a[rows[inside_n]]
        decayed_n: NDArray[np.float64] = np.maximum(found_n, 0.0) * self._decay.left(now_ms)
        return decayed_n
