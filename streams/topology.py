"""Table of contents: every flow, the topics that it reads and writes, and what it stores.

The code that reads takes its topics from here, so from any topic it can be told who writes it and
who reads it: ``freshgrid topology explore.touched``. In short::

    events.*                                 ─▶ ingest           ─▶ explore.touched, store
    catalog.*                                ─▶ catalog          ─▶ events.* that waited, store
    (what neither can apply)                 ─▶ ingest, catalog  ─▶ explore.dead_letters
    (what says nothing in explore.*)         ─▶ sessions, training ─▶ explore.dead_letters
    explore.touched                          ─▶ sessions         ─▶ explore.sessions, store
    explore.sessions                         ─▶ embeddings       ─▶ explore.embeddings, .versions
    catalog.*, events.*, explore.embeddings  ─▶ ranker's world
    explore.versions                         ─▶ live rankers, live item weights
    explore.touched                          ─▶ ranking          ─▶ store
    (a page is asked for)                    ─▶ lookup           ─▶ explore.impressions, store
    (a grid is made where none is ranked)    ─▶ hand-over        ─▶ explore.touched
    (events and catalogue over HTTP)         ─▶ intake           ─▶ events.*, catalog.*
    catalog.*                                ─▶ take-down        ─▶ store
    (one of many grids, without cuts)        ─▶ sampled grids    ─▶ explore.candidates
    explore.impressions, events.*            ─▶ examples         ─▶ explore.examples
    explore.examples, .candidates, events.*  ─▶ training         ─▶ explore.versions
    (a viewer is to be forgotten)            ─▶ forgetting       ─▶ explore.forgotten, store
    explore.forgotten  ─▶ worker's forgotten, learner's forgotten, ranker's forgotten
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, NamedTuple

from infra.topics import (
    CANDIDATES_TOPIC,
    DEAD_LETTERS_TOPIC,
    EMBEDDINGS_TOPIC,
    EXAMPLES_TOPIC,
    FORGOTTEN_TOPIC,
    IMPRESSIONS_TOPIC,
    SESSIONS_TOPIC,
    TOPICS,
    TOUCHED_TOPIC,
    VERSIONS_TOPIC,
    VIEWER_TOPICS,
)
from models.actions import EVENT_TOPICS, HEADS, MEDIA_EVENT_TOPICS, STRONG_HEADS
from models.events import ACCOUNTS_TOPIC, MEDIA_TOPIC

WORKER: Final = "worker"
LEARNER: Final = "learner"
RANKER: Final = "ranker"
#: The processes of an installation.
ROLES: Final = (WORKER, LEARNER, RANKER)
#: Who sends events and the catalogue: outside of Freshgrid.
OUTSIDE: Final = "outside"
#: A run of ``freshgrid NAME``.
COMMAND: Final = "command"

WORKER_GROUP: Final = "freshgrid-worker"
LEARNER_GROUP: Final = "freshgrid-learner"
#: Named before the role was: its committed offsets stand under this name.
RANKER_GROUP: Final = "freshgrid-ranking"
#: Keeps how far impressions are labelled.
EXAMPLES_GROUP: Final = "freshgrid-examples"

#: Keeps up to where dead letters were sent of what the learner reads whole.
LETTERS_GROUP: Final = "freshgrid-letters"

_EVENTS: Final = EVENT_TOPICS
_ACTIONS: Final = tuple(MEDIA_EVENT_TOPICS)
#: What all events are about.
CATALOG: Final = (MEDIA_TOPIC, ACCOUNTS_TOPIC)
_VIEWER: Final = "viewer:{VIEWER}"
_DAMAGED: Final = "damaged:{VIEWER}"
_PARKED: Final = ("parked:{MEDIA}", "parked")
_SCHEDULE: Final = ("sessions:due", "sessions:clock")
#: What is stored of one viewer.
_OF_VIEWER: Final = (
    _VIEWER, _DAMAGED, "grid:{VIEWER}", "pages:{VIEWER}:SERIES", *_PARKED, "sessions:due",
)  # fmt: skip
#: How far long work is.
_WORK: Final = "work:{freshgrid}"
_EXPERIMENT: Final = ("experiment:{explore}", "experiment:{explore}:history")


class Flow(NamedTuple):
    """One way through the system.

    Attributes:
        name: of the agent, the follower or the command.
        role: the process that it runs in: one of `ROLES`, `OUTSIDE` or `COMMAND`.
        code: the file to read.
        reads: topics.
        group: the consumer group that its offsets are committed for; without one it reads the
            topics whole.
        writes: topics.
        stores: keys that it writes, as ``docs/contracts.md`` names them.
        asked: it runs when somebody asks for it, for the records that it needs then.
    """

    name: str
    role: str
    code: str
    reads: tuple[str, ...] = ()
    group: str | None = None
    writes: tuple[str, ...] = ()
    stores: tuple[str, ...] = ()
    asked: bool = False


FLOWS: Final = (
    Flow("producers", OUTSIDE, "docs/contracts.md", writes=(*_EVENTS, *CATALOG)),
    # Worker.
    Flow(
        "ingest", WORKER, "streams/ingest.py",
        reads=_EVENTS, group=WORKER_GROUP,
        writes=(TOUCHED_TOPIC, DEAD_LETTERS_TOPIC),
        stores=(_VIEWER, _DAMAGED, *_PARKED, "letters:sent:{LOG}"),
    ),
    Flow(
        "catalog", WORKER, "streams/ingest.py",
        reads=CATALOG, group=WORKER_GROUP,
        # Events that waited for their media come back with its author.
        writes=(*_ACTIONS, DEAD_LETTERS_TOPIC),
        stores=("author:{MEDIA}", *_PARKED, "catalog:read", "letters:sent:{LOG}"),
    ),
    Flow(
        "sessions", WORKER, "streams/sessions.py",
        reads=(TOUCHED_TOPIC,), group=WORKER_GROUP,
        writes=(SESSIONS_TOPIC, DEAD_LETTERS_TOPIC),
        stores=(_VIEWER, *_SCHEDULE, "letters:sent:{LOG}"),
    ),
    # Of whom nothing may be known; what the worker keeps of it, it keeps in memory.
    Flow("worker's forgotten", WORKER, "streams/rights/forgotten.py", reads=(FORGOTTEN_TOPIC,)),
    # Learner.
    Flow("learner's forgotten", LEARNER, "streams/rights/forgotten.py", reads=(FORGOTTEN_TOPIC,)),
    Flow(
        "embeddings", LEARNER, "streams/embeddings.py",
        reads=(SESSIONS_TOPIC,), group=LEARNER_GROUP,
        writes=(EMBEDDINGS_TOPIC, VERSIONS_TOPIC, DEAD_LETTERS_TOPIC),
    ),
    Flow(
        # What others made live, which it goes on from, and accounts whose vectors it takes out.
        "embeddings told", LEARNER, "streams/embeddings.py",
        reads=(ACCOUNTS_TOPIC, VERSIONS_TOPIC),
        writes=(EMBEDDINGS_TOPIC, VERSIONS_TOPIC),
    ),
    Flow(
        "examples", LEARNER, "streams/examples.py",
        reads=(IMPRESSIONS_TOPIC, *_ACTIONS), group=EXAMPLES_GROUP,
        writes=(EXAMPLES_TOPIC, DEAD_LETTERS_TOPIC),
    ),
    # What was sent before a crash, so that no page is sent twice.
    Flow("examples sent", LEARNER, "streams/examples.py", reads=(EXAMPLES_TOPIC,)),
    Flow(
        "learner's world", LEARNER, "streams/serving/world_feed.py",
        reads=(*CATALOG, EMBEDDINGS_TOPIC, VERSIONS_TOPIC),
        writes=(DEAD_LETTERS_TOPIC,),
    ),
    Flow(
        "training", LEARNER, "streams/training.py",
        reads=(*_EVENTS, EXAMPLES_TOPIC, CANDIDATES_TOPIC, VERSIONS_TOPIC),
        writes=(VERSIONS_TOPIC, DEAD_LETTERS_TOPIC),
    ),
    Flow(
        "item weights", LEARNER, "streams/learning/item_publishing.py",
        # Fitted on what `training` reads.
        reads=(VERSIONS_TOPIC,),
        writes=(VERSIONS_TOPIC,),
    ),
    Flow(
        # What it reads whole, and up to where it has sent dead letters of that.
        "letters", LEARNER, "streams/letters.py",
        reads=(
            SESSIONS_TOPIC, EMBEDDINGS_TOPIC, IMPRESSIONS_TOPIC, EXAMPLES_TOPIC, CANDIDATES_TOPIC,
            VERSIONS_TOPIC, FORGOTTEN_TOPIC,
        ),
        group=LETTERS_GROUP,
        writes=(DEAD_LETTERS_TOPIC,),
    ),
    Flow(
        # How far it has read, and what stands there now; who is forgotten, before one is used.
        "learner snapshots", LEARNER, "streams/roles/learner_snapshots.py",
        reads=(
            *CATALOG, *_EVENTS, EMBEDDINGS_TOPIC, EXAMPLES_TOPIC, CANDIDATES_TOPIC, SESSIONS_TOPIC,
            FORGOTTEN_TOPIC,
        ),
        asked=True,
    ),
    # Ranker.
    Flow(
        "ranking", RANKER, "streams/ranking.py",
        reads=(TOUCHED_TOPIC,), group=RANKER_GROUP,
        stores=("grid:{VIEWER}",),
    ),
    # Grids are made again for new models, and short ones for new media.
    Flow(
        "ranking again", RANKER, "streams/ranking.py",
        reads=(MEDIA_TOPIC, VERSIONS_TOPIC),
        stores=("grid:{VIEWER}",),
    ),
    Flow(
        "ranker's world", RANKER, "streams/serving/world_feed.py",
        reads=(*CATALOG, *_ACTIONS, EMBEDDINGS_TOPIC, VERSIONS_TOPIC),
    ),
    Flow(
        # How far they have read, and what stands there now; who is forgotten, before one is used.
        "world snapshots", RANKER, "streams/serving/world_snapshots.py",
        reads=(*CATALOG, *_ACTIONS, EMBEDDINGS_TOPIC, FORGOTTEN_TOPIC),
    ),
    Flow(
        "live rankers", RANKER, "streams/serving/live_rankers.py",
        reads=(VERSIONS_TOPIC,),
    ),
    Flow(
        "live item weights", RANKER, "streams/serving/live_items.py",
        reads=(VERSIONS_TOPIC,),
    ),
    Flow(
        "lookup", RANKER, "streams/serving/lookup.py",
        writes=(IMPRESSIONS_TOPIC,),
        stores=("grid:{VIEWER}", "pages:{VIEWER}:SERIES"),
    ),
    # Grids that were made where no touches are read, when somebody asked for them, for who reads
    # touches to look after.
    Flow("hand-over", RANKER, "streams/serving/handover.py", writes=(TOUCHED_TOPIC,), asked=True),
    Flow(
        # What must not be shown any more leaves the grids that are ready.
        "take-down", RANKER, "streams/serving/takedown.py",
        reads=CATALOG,
        stores=("grid:{VIEWER}",),
    ),
    Flow(
        "sampled grids", RANKER, "streams/serving/sampled_grids.py",
        writes=(CANDIDATES_TOPIC,),
    ),
    Flow("map", RANKER, "streams/serving/atlas.py", reads=(VERSIONS_TOPIC,)),
    Flow("ranker's forgotten", RANKER, "streams/rights/forgotten.py", reads=(FORGOTTEN_TOPIC,)),
    Flow(
        "forgetting", RANKER, "streams/rights/forgetting.py",
        writes=(FORGOTTEN_TOPIC,), stores=_OF_VIEWER, asked=True,
    ),
    # Where the settings give no signing secret.
    Flow("access", RANKER, "infra/access/guard.py", stores=("access:{freshgrid}:secret",)),
    Flow("intake", RANKER, "streams/serving/intake.py", writes=(*_EVENTS, *CATALOG)),
    Flow("versions told", RANKER, "streams/serving/office.py", reads=(VERSIONS_TOPIC,)),
    Flow(
        # By a process of its own.
        "outcomes of arms", RANKER, "streams/recorded/shown_and_done.py",
        reads=(IMPRESSIONS_TOPIC, *(head.row.topic for head in STRONG_HEADS)), asked=True,
    ),
    Flow(
        # Dead letters edited and sent again, versions promoted and rolled back, over HTTP.
        "repairs", RANKER, "streams/operations/repairs.py",
        reads=(DEAD_LETTERS_TOPIC, *_EVENTS, *CATALOG, VERSIONS_TOPIC),
        writes=(*_EVENTS, *CATALOG, DEAD_LETTERS_TOPIC, VERSIONS_TOPIC, EMBEDDINGS_TOPIC),
        asked=True,
    ),
    Flow("weights API", RANKER, "streams/serving/weights.py", stores=_EXPERIMENT),
    # Commands.
    Flow(
        "rebuild", COMMAND, "streams/log/rebuild.py",
        reads=(*_EVENTS, *CATALOG, SESSIONS_TOPIC, DEAD_LETTERS_TOPIC, FORGOTTEN_TOPIC),
        writes=(TOUCHED_TOPIC, DEAD_LETTERS_TOPIC),
        stores=(_VIEWER, _DAMAGED, "author:{MEDIA}", *_PARKED, *_SCHEDULE, _WORK),
    ),
    Flow(
        "replay", COMMAND, "streams/log/replay_files.py",
        reads=(*_EVENTS, *CATALOG, SESSIONS_TOPIC, DEAD_LETTERS_TOPIC, FORGOTTEN_TOPIC),
        writes=(*_EVENTS, *CATALOG, TOUCHED_TOPIC),
        stores=(_VIEWER, _DAMAGED, "author:{MEDIA}", *_PARKED, _WORK),
    ),
    Flow(
        "dead-letters", COMMAND, "streams/log/redrive.py",
        reads=(DEAD_LETTERS_TOPIC, *_EVENTS, *CATALOG),
        writes=(*_EVENTS, *CATALOG, DEAD_LETTERS_TOPIC),
    ),
    Flow(
        "versions", COMMAND, "streams/learning/version_list.py",
        reads=(VERSIONS_TOPIC,),
        writes=(VERSIONS_TOPIC, EMBEDDINGS_TOPIC),
    ),
    Flow(
        "experiments", COMMAND, "streams/recorded/shown_and_done.py",
        reads=(IMPRESSIONS_TOPIC, *(head.row.topic for head in STRONG_HEADS)),
    ),
    Flow(
        # Read by `freshgrid tune log`.
        "tune", COMMAND, "streams/recorded/shown_and_done.py",
        reads=(IMPRESSIONS_TOPIC, *(head.row.topic for head in HEADS)),
    ),
    Flow("experiments set", COMMAND, "streams/serving/weights.py", stores=_EXPERIMENT),
    Flow("weights", COMMAND, "streams/serving/weights.py", stores=_EXPERIMENT),
    Flow(
        "inspect index", COMMAND, "streams/cli/inspect.py",
        reads=(ACCOUNTS_TOPIC, EMBEDDINGS_TOPIC, VERSIONS_TOPIC),
    ),
    Flow(
        "evaluate embeddings", COMMAND, "streams/recorded/evaluate_embeddings.py",
        reads=(ACCOUNTS_TOPIC,),
    ),
    Flow(
        "evaluate rankers", COMMAND, "streams/recorded/evaluate_rankers.py",
        reads=(EXAMPLES_TOPIC,),
    ),
    Flow(
        "archive", COMMAND, "streams/log/archive.py",
        reads=(*_EVENTS, *CATALOG, SESSIONS_TOPIC, DEAD_LETTERS_TOPIC, FORGOTTEN_TOPIC),
    ),
    Flow("backup", COMMAND, "streams/log/backup.py", reads=tuple(TOPICS)),
    Flow(
        "restore", COMMAND, "streams/log/backup.py",
        # Whether there are records already.
        reads=tuple(TOPICS),
        writes=tuple(TOPICS),
        stores=(
            _VIEWER, _DAMAGED, "author:{MEDIA}", *_PARKED, "catalog:read", *_SCHEDULE,
            "grid:{VIEWER}", "pages:{VIEWER}:SERIES", *_EXPERIMENT, "letters:sent:{LOG}",
            "access:{freshgrid}:keys", "access:{freshgrid}:secret",
        ),
    ),
    Flow("viewer export", COMMAND, "streams/rights/export.py", reads=VIEWER_TOPICS),
    Flow(
        "viewer forget", COMMAND, "streams/cli/viewer.py",
        writes=(FORGOTTEN_TOPIC,), stores=_OF_VIEWER,
    ),
    Flow("keys", COMMAND, "streams/cli/keys.py", stores=("access:{freshgrid}:keys",)),
    Flow(
        "simulate", COMMAND, "streams/simulated/feed.py",
        writes=(*_EVENTS, *CATALOG),
    ),
    Flow("send", COMMAND, "streams/cli/send.py", writes=_EVENTS),
    Flow("embed-images", COMMAND, "streams/cli/images.py", writes=(MEDIA_TOPIC,)),
)  # fmt: skip

_FLOWS: Final = {flow.name: flow for flow in FLOWS}


def flow(name: str) -> Flow:
    """The flow of this name."""
    return _FLOWS[name]


def followed(role: str) -> tuple[str, ...]:
    """What a role reads whole, besides its consumer groups."""
    flows = [flow for flow in FLOWS if flow.role == role and flow.group is None and not flow.asked]
    return tuple(dict.fromkeys(topic for flow in flows for topic in flow.reads))


#: What is folded into the state of viewers.
FOLDED: Final = (*flow("ingest").reads, *flow("catalog").reads)


def topics_of(flows: Iterable[Flow]) -> dict[str, dict[str, Any]]:
    """Topic → how it is kept, and the flows that write and read it, of those given."""
    given = list(flows)
    return {
        topic: {
            "kept": config["cleanup.policy"],
            "written_by": [_end(flow) for flow in given if topic in flow.writes],
            "read_by": [
                {**_end(flow), "group": flow.group} for flow in given if topic in flow.reads
            ],
        }
        for topic, config in TOPICS.items()
    }


def _end(flow: Flow) -> dict[str, Any]:
    return {"role": flow.role, "flow": flow.name, "code": flow.code}
