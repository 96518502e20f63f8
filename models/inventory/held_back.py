"""Accounts whose media unusually many viewers asked for fewer of: held back until that is over.

An account that s of its n viewers asked for fewer of is compared with what is usual. See-fewers of
an account are Poisson, at a rate that differs from account to account as a gamma distribution does;
s is then negative binomial (Greenwood and Yule, 1920). An account is held back when at least s has
a chance of `false_alarms` or less over all accounts together (Bonferroni), and more than `handful`
viewers asked.

* The mean rate is that of all other accounts of this log that are not held back, beside the bundled
  log's, which counts as that many viewers more. How widely honest accounts differ cannot be told
  from 76 see-fewers: they fit one rate for all best, and `shape` is the most spread they allow.
* A viewer counts once per account, whatever she does to how many of its media and how often; who
  takes one see-fewer back takes back all that she asked of that account before. So it takes more
  than `handful` viewers, and of an account with more viewers more of them. Who has many viewers at
  his command can do it, which is why operators see who is held back.
* Counts fade. Who is held back is shown to hardly anybody, so s falls, the account is tried again,
  and if it is as bad as before, held back again.

The viewers of an account are those who looked at its media. Robots that like what they never looked
at are none; but where a log has more of other acts than of views, views are not sent, and viewers
are those who did anything else. Robots that look, too, thin out s / n: :data:`HoldingConfig` says
how many viewers it then takes.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple, TypeAlias

import msgspec
import numpy as np
from numpy.typing import NDArray

from models.actions import NEGATIVE, STRONG_POSITIVE, VIEWS, Action
from models.arrays.forward_decay import ForwardDecay
from models.arrays.growing import GrowingColumns
from models.arrays.stored import ANY, Arrays, StoredArraysError, copied, part_of, prefixed, taken
from models.arrays.types import NO_ROWS, UNKNOWN, Mask, Rows
from models.events import MINUTE_MS
from models.inventory.counted_once import CountedOnce
from models.inventory.viewer_marks import ForgottenMarks, ViewerKeys

#: By code, whether a viewer asks for fewer by it.
_ASKS_X: Final = np.array([action in NEGATIVE for action in Action])
_LOOKS_X: Final = np.array([action in VIEWS for action in Action])
#: Columns of counts: viewers who looked, who did anything else, and who asked for fewer.
_LOOKED: Final = 0
_DID: Final = 1
_ASKED: Final = 2
#: Actions that stand for them in the register.
_REGISTERED: Final = np.array([VIEWS[0], STRONG_POSITIVE[0], NEGATIVE[0]], np.int8)

Counts: TypeAlias = NDArray[np.float64]


class HoldingConfig(msgspec.Struct, frozen=True, kw_only=True):
    """When an account is held back.

    Attributes:
        viewers, asked: of the accounts of the bundled log (KuaiRand-Pure) together: viewers, and
            those who asked for fewer.
        shape: of the gamma distribution of accounts' rates; the smallest one (the widest spread)
            within the 95 % likelihood interval of the bundled log.
        false_alarms: of all accounts, how many are held back by chance on average.
        handful: so many viewers are never enough.
    """

    viewers: float = 66_075.0
    asked: float = 76.0
    shape: float = 0.51
    false_alarms: float = 0.05
    handful: int = 5


class Held(NamedTuple):
    """What an account is held back for; numbers of viewers are decayed.

    Attributes:
        viewers: who looked at its media, or where views are not sent, did anything else.
        asked: who asked for fewer of them.
        usual: share of the viewers that is usual.
    """

    viewers: float
    asked: float
    usual: float


class HeldBack:
    """Who asked for fewer of which account, and which are held back.

    Args:
        half_life_ms: of the counts.
        remembered: pairs of viewer and account of which it is known at least that they count. A
            pair beyond it counts once more when it comes again.
    """

    def __init__(self, config: HoldingConfig, half_life_ms: int, remembered: int) -> None:
        self.config = config
        self._decay = ForwardDecay(half_life_ms)
        self._accounts = GrowingColumns(count=(np.float64, 0.0, len(_REGISTERED)))
        self._total = np.zeros(len(_REGISTERED))
        self._once = CountedOnce(remembered)
        # Accounts that were asked fewer of by more than a handful, some of them no longer.
        self._suspects: set[int] = set()
        # Those that may be held back since somebody looked.
        self._asked_lately: set[int] = set()
        self._minute = -1
        self._held: dict[int, Held] = {}
        self._rows = NO_ROWS

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
        count_ac = taken(arrays, "accounts.count", np.float64, ANY, len(_REGISTERED))
        if len(count_ac) > accounts:
            raise StoredArraysError(
                f"{len(count_ac)} accounts were acted on, the catalogue has {accounts}"
            )
        self._accounts.load(part_of(arrays, "accounts"))
        self._total = taken(arrays, "total", np.float64, len(_REGISTERED))
        self._once.load(part_of(arrays, "once"))
        self._decay.load(arrays)
        self._suspects, self._minute = set(np.flatnonzero(count_ac[:, _ASKED]).tolist()), -1

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
        known_n = author_n != UNKNOWN
        # Who takes an act back has seen the media all the same.
        done_n = known_n & ~undo_n
        looks_n = _LOOKS_X[action_n]
        of_columns = [
            np.flatnonzero(of_n)
            for of_n in (done_n & looks_n, done_n & ~looks_n, known_n & _ASKS_X[action_n])
        ]
        at_n = np.concatenate(of_columns)
        if not len(at_n):
            return
        column_n = np.repeat(np.arange(len(_REGISTERED)), [len(at) for at in of_columns])
        author_n = author_n[at_n]
        changes = self._once.take(
            viewer_n[at_n], author_n, _REGISTERED[column_n], ts_n[at_n], undo_n[at_n]
        )
        if not len(changes.at_c):
            return
        if (left := self._decay.advance(int(changes.ts_c.max()))) != 1.0:
            self._accounts["count"][:] *= left
            self._total *= left
        author_c = author_n[changes.at_c]
        column_c = column_n[changes.at_c]
        weight_c = changes.sign_c * self._decay.weights(changes.ts_c)
        self._accounts.grow(int(author_c.max()) + 1)
        np.add.at(self._accounts["count"], (author_c, column_c), weight_c)
        self._total += np.bincount(column_c, weight_c, len(_REGISTERED))
        if len(of_columns[_ASKED]):
            self._asked_lately.update(author_c[column_c == _ASKED].tolist())

    def accounts(self, known: int, now_ms: int) -> Rows:
        """Rows of the accounts that are held back, ascending.

        All are looked at again once a minute, and between that those that were asked fewer of.

        Args:
            known: how many accounts there are.
        """
        minute = now_ms // MINUTE_MS
        if minute != self._minute:
            self._suspects |= self._asked_lately
            self._suspects = self._judge(self._suspects, known, now_ms)
        elif self._asked_lately:
            self._suspects |= self._judge(self._asked_lately | self._held.keys(), known, now_ms)
        self._minute = minute
        self._asked_lately = set()
        return self._rows

    def why(self, row: int, known: int, now_ms: int) -> Held | None:
        """What an account is held back for; None where it is not."""
        self.accounts(known, now_ms)
        return self._held.get(row)

    def _judge(self, suspects: set[int], known: int, now_ms: int) -> set[int]:
        """Look which of these accounts are held back, and no others; returns those that may be."""
        if not suspects:
            self._held, self._rows = {}, NO_ROWS
            return suspects
        config, left = self.config, self._decay.left(now_ms)
        rows = np.array(sorted(suspects), np.int32)
        count_nc = np.maximum(self._accounts["count"][rows], 0.0) * left
        # Half a viewer may have decayed, or an event be a little ahead of the clock. What decays
        # never grows by itself: the others are looked at when they are asked fewer of.
        many_n = count_nc[:, _ASKED] > config.handful + 0.5
        rows, count_nc = rows[many_n], count_nc[many_n]
        total_c = np.maximum(self._total, 0.0) * left
        column = _LOOKED if total_c[_LOOKED] >= total_c[_DID] else _DID
        asked_n = count_nc[:, _ASKED]
        # Some ask without a look that was sent.
        viewers_n = np.maximum(count_nc[:, column], asked_n)
        viewers, asked = total_c[column] + config.viewers, total_c[_ASKED] + config.asked
        held_n = np.zeros(len(rows), np.bool_)
        while True:
            others_asked_n = asked - asked_n @ held_n - np.where(held_n, 0.0, asked_n)
            others_n = viewers - viewers_n @ held_n - np.where(held_n, 0.0, viewers_n)
            usual_n = np.maximum(others_asked_n, config.asked) / np.maximum(
                others_n, config.viewers
            )
            unusual = np.flatnonzero(~held_n & (asked_n > viewers_n * usual_n))
            more_n = held_n.copy()
            for at in unusual.tolist():
                chance = chance_of(float(asked_n[at]), float(viewers_n[at] * usual_n[at]), config)
                more_n[at] = chance * max(known, 1) <= config.false_alarms
            if (more_n == held_n).all():
                break
            # Without these the usual is less, so that more may be held back.
            held_n = more_n
        self._rows = rows[held_n]
        columns = (viewers_n[held_n], asked_n[held_n], usual_n[held_n])
        told = (Held(*of) for of in zip(*(column.tolist() for column in columns), strict=True))
        self._held = dict(zip(self._rows.tolist(), told, strict=True))
        return set(rows.tolist())


def chance_of(asked: float, mean: float, config: HoldingConfig) -> float:
    """Chance that at least so many viewers ask for fewer, negative binomial; 1 for none.

    Summed up here, from 0 on: the library that has it is as large as half of what serves, and a
    chance below 1e-12 is as good as none.

    Args:
        asked: rounded, since counts decay.
        mean: that are usual of so many viewers, above 0.
    """
    shape, below = config.shape, np.arange(max(round(asked), 0))
    if not len(below):
        return 1.0
    share = mean / (shape + mean)
    steps_k = np.log((shape + below[:-1]) / below[1:] * share)
    log_k = shape * np.log1p(-share) + np.append(0.0, steps_k.cumsum())
    return max(1.0 - float(np.exp(log_k).sum()), 0.0)
