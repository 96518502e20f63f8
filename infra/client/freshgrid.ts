// What the HTTP API takes and answers, and its calls: generated from its OpenAPI document.
// `make generate` writes it (docs/generate_clients.py).

/**
 * What became of a batch of records.
 *
 * Attributes:
 *     accepted: acknowledged by every replica of Kafka that is in step.
 *     refused: never sent; all others were.
 */
export interface Accepted {
  accepted: number;
  refused: Array<Refusal>;
}

/** One account of the catalogue. */
export interface Account {
  account_id: string;
  topics?: Array<string>;
  private?: boolean;
  disabled?: boolean;
  language?: string | null;
}

/** Some accounts; `next` is the `after` of the following ones, null where there are no more. */
export interface AccountList {
  accounts: Array<AccountRecord>;
  next?: string | null;
}

/** An account with some of its posts and the accounts nearest to it, the nearest first. */
export interface AccountProfile {
  account: AccountRecord;
  posts: Array<MediaRecord>;
  neighbours: Array<Neighbour>;
}

/**
 * One account, as this ranker knows it.
 *
 * Attributes:
 *     listed: whether the account catalogue has it; others only post or are acted on.
 *     deleted: it was taken out of the catalogue.
 *     has_vector: whether it has a place among the account vectors, and so neighbours.
 *     counts: decayed counts of what everybody did to its media, by action.
 */
export interface AccountRecord {
  account_id: string;
  topics: Array<string>;
  language: string | null;
  private: boolean;
  disabled: boolean;
  deleted: boolean;
  listed: boolean;
  has_vector: boolean;
  counts: Record<string, number>;
}

/** A viewer who was active of late. */
export interface ActiveViewer {
  viewer_id: string;
  arm: string;
  reflects_ts: number;
  history: HistoryLength;
}

/** A query and for whom to run it. */
export interface Asked {
  viewer_id: string;
  query: string;
}

/** Which version to go back to. */
export interface Back {
  to?: string | null;
}

/** An experiment to put in the place of the one that stands. */
export interface Changed {
  experiment: Record<string, unknown>;
  who?: string;
}

/** New weights of an arm; those not named stay. */
export interface ChangedWeights {
  weights: Record<string, number | string>;
  arm?: string;
  who?: string;
}

/** Something that this process depends on, as ``freshgrid doctor`` checks it. */
export interface Check {
  what: string;
  ok: boolean;
  says: string;
}

/** One action of a viewer that was not taken back; `ts` in epoch ms. */
export interface Done {
  action: string;
  media_id: string;
  author_id: string;
  ts: number;
}

/** A follow, block or mute of an author, as it stands on the wire. */
export interface FollowEvent {
  event_id: string;
  viewer_id: string;
  author_id: string;
  kind: Relation;
  ts: number;
  undo?: boolean;
}

/** Of grids audited: media best by the final pass, and those that an earlier pass had cut. */
export interface Funnel {
  best: number;
  lost: Record<string, number>;
}

/**
 * What this ranker knows of its grids; counts are since it started.
 *
 * Attributes:
 *     event_to_grid: from a viewer's newest event to the stored grid with it, in the last minute;
 *         null where nobody did anything.
 *     making: to make one grid, in the last minute.
 *     by_source: media in the grids, by the source that brought them.
 *     stale_reads: ready grids answered that are not of what is live; null where that is not
 *         counted.
 */
export interface GridFigures {
  made: number;
  failed: number;
  waiting: number;
  event_to_grid: Spread | null;
  making: Spread | null;
  by_source: Record<string, number>;
  funnel: Funnel;
  stale_reads: number | null;
}

/**
 * One media of a grid.
 *
 * Attributes:
 *     seed: the account that led to it, null for a global source.
 *     propensity: probability with which it was shown: below 1 for a new media that was drawn
 *         for its place, or where the grid is in random order, 1 for all that the ranking chose.
 */
export interface GridItem {
  position: number;
  media_id: string;
  author_id: string;
  value: number;
  probabilities: Probabilities;
  source: string;
  seed: string | null;
  stages: ItemStages;
  propensity?: number;
}

/** Records of a topic that a consumer group of a role has not committed. */
export interface GroupLag {
  role: string;
  group: string;
  topic: string;
  records: number;
}

/**
 * How much of a viewer is kept.
 *
 * Attributes:
 *     actions: other than views, undos included.
 *     views: likewise.
 *     older: what fell out of both, of which only the media is known.
 */
export interface HistoryLength {
  actions: number;
  views: number;
  older: number;
}

/** Operators in the order of their declaration, and the live queries: name → text. */
export interface IgqlReference {
  operators: Array<OperatorRecord>;
  queries: Record<string, string>;
}

/**
 * What became of the lines of a file.
 *
 * Attributes:
 *     lines: that were no blank ones.
 *     accepted: acknowledged by every replica of Kafka that is in step.
 *     refused: never sent; all others were.
 *     refusals: the first thousand of those; `index` counts the lines that are not blank, from 0.
 */
export interface Imported {
  lines: number;
  accepted: number;
  refused: number;
  refusals: Array<Refusal>;
}

/** Scores of the integrity classifiers, each in [0, 1]. */
export interface Integrity {
  nsfw?: number;
  spam?: number;
  misinformation?: number;
}

/**
 * How one item came through the passes: scores, and ranks from 0.
 *
 * Attributes:
 *     source_rank: rank within its source.
 *     candidate_rank: rank among all candidates.
 *     penalty: value taken off for see-fewers on the same author.
 */
export interface ItemStages {
  source_rank: number;
  candidate_rank: number;
  first_score: number;
  first_rank: number;
  second_score: number;
  second_rank: number;
  penalty: number;
}

/** The log, as the broker tells of it. */
export interface LogState {
  topics: Array<TopicRecords>;
  lag: Array<GroupLag>;
}

/**
 * A map of the account vectors; columns are of equal length, an account to each position.
 *
 * Attributes:
 *     version: of the map.
 *     ig2vec: the version of the account vectors that it was drawn of.
 *     live: the version of the account vectors that is live.
 *     made_ms: when it was drawn.
 *     before_ms: when the map was drawn that `moved_x` and `moved_y` begin at: a day before, or
 *         the oldest kept; null for the first map.
 *     topics: names of topics; the first one stands for none.
 *     account_id: the accounts, without those that no grid may show.
 *     x: from 0 to 65,535.
 *     y: from 0 to 65,535.
 *     moved_x: how far `x` came since `before_ms`; 0 for accounts that were not on that map.
 *     moved_y: likewise.
 *     topic: position of the account's first topic in `topics`.
 */
export interface MapOfAccounts {
  version: string;
  ig2vec: string;
  live: string;
  made_ms: number;
  before_ms: number | null;
  topics: Array<string>;
  account_id: Array<string>;
  x: Array<number>;
  y: Array<number>;
  moved_x: Array<number>;
  moved_y: Array<number>;
  topic: Array<number>;
}

/** One media of the catalogue; the newest record of a `media_id` replaces the older ones. */
export interface Media {
  media_id: string;
  author_id: string;
  created_ts: number;
  integrity?: Integrity;
  topics?: Array<string>;
  language?: string | null;
  image_url?: string | null;
  image_embedding?: Array<number> | null;
  deleted?: boolean;
}

/** Some media; `next` is the `after` of the following ones, null where there are no more. */
export interface MediaList {
  media: Array<MediaRecord>;
  next?: string | null;
}

/**
 * One media, as this ranker knows it.
 *
 * Attributes:
 *     author_id: null for a media that only events have named so far.
 *     topics: all of the catalogue's.
 *     counts: decayed counts of what everybody did to it, by action; half of it every 3 days.
 *     score: what it is popular by: those counts, weighed.
 *     available: whether a grid may show it at all: not deleted, its author not hidden.
 */
export interface MediaRecord {
  media_id: string;
  author_id: string | null;
  created_ts: number;
  topics: Array<string>;
  language: string | null;
  integrity: Integrity;
  image_url: string | null;
  deleted: boolean;
  available: boolean;
  counts: Record<string, number>;
  score: number;
}

/** Of the store's server, in bytes; `limit_bytes` is null where it has none. */
export interface Memory {
  used_bytes: number;
  limit_bytes: number | null;
}

/** An account near another one; `score` is the cosine of their vectors, at most 1. */
export interface Neighbour {
  account: AccountRecord;
  score: number;
}

/**
 * How the installation is doing, seen from one ranker. What cannot be known is null.
 *
 * Attributes:
 *     at_ms: when it was looked, epoch ms; asked for again at once, the same is answered.
 *     headline: whether anything is wrong, and what to do first.
 *     troubles: worst first.
 *     dead_letters: not redriven yet, of the newest.
 *     work: replays and rebuilds that are under way.
 */
export interface Operations {
  at_ms: number;
  headline: string;
  troubles: Array<Trouble>;
  roles: Array<RoleState>;
  log: LogState | null;
  grids: GridFigures;
  memory: Memory | null;
  dead_letters: number | null;
  work: Array<Work>;
  checks: Array<Check>;
}

/**
 * One operator.
 *
 * Attributes:
 *     takes: types of the sets it may stand after: viewer, accounts, media.
 *     gives: the type it gives; null where it gives the one that it took.
 *     summary: one sentence.
 */
export interface OperatorRecord {
  name: string;
  takes: Array<string>;
  gives: string | null;
  summary: string;
  parameters: Array<ParameterRecord>;
}

/**
 * A page of a viewer's grid, as readers get it.
 *
 * Attributes:
 *     request_id: names the page; events that come of it may carry it. A page that is asked for
 *         again keeps its name, so a retry does not count as another impression.
 *     page: number of the page in its series, from 0.
 *     next: cursor of the page after it.
 */
export interface Page {
  viewer_id: string;
  items: Array<GridItem>;
  generated_at_ms: number;
  reflects_ts: number;
  candidates: number;
  dropped: Record<string, number>;
  versions: Record<string, string>;
  schema?: 1;
  relaxed?: Array<string>;
  reflects_offsets?: Record<string, number>;
  request_id?: string;
  page?: number;
  next?: string | null;
}

/**
 * One parameter of an operator.
 *
 * Attributes:
 *     wants: what it accepts, in words: ``a whole number``.
 *     default: used where it is left out; null for none.
 *     choices: all values it accepts, where they can be told.
 */
export interface ParameterRecord {
  name: string;
  wants: string;
  required: boolean;
  default?: boolean | number | string | null;
  choices?: Array<string>;
}

/**
 * One of several mistakes, and where it is.
 *
 * Attributes:
 *     detail: one sentence.
 *     pointer: JSON Pointer into the body, as a URI fragment: ``#/weights/like``.
 *     parameter: name of a parameter of path or query.
 *     reason: a stable word, where the record's own check gave one.
 */
export interface Place {
  detail: string;
  pointer?: string | null;
  parameter?: string | null;
  reason?: string | null;
}

/** What the final pass predicts for one item, by head. */
export interface Probabilities {
  like?: number;
  save?: number;
  see_fewer?: number;
  long_view?: number;
  share?: number;
  comment?: number;
}

/**
 * Why a request was not answered with what it asked for (RFC 9457).
 *
 * Attributes:
 *     type: names the kind of problem: ``urn:freshgrid:problem:`` and a word.
 *     title: the kind in words, the same for all of a kind.
 *     status: of the response.
 *     detail: one sentence about this request: what is wrong, and what to do.
 *     errors: the places, where there are several or they can be named.
 */
export interface Problem {
  type: string;
  title: string;
  status: number;
  detail: string;
  errors?: Array<Place> | null;
}

/** Why a version is to be live. */
export interface Promote {
  why?: string;
}

/** A record to send again. */
export interface Redrive {
  value?: string | null;
}

/**
 * A record that was not taken.
 *
 * Attributes:
 *     index: which one, from 0 in the order of the body; blank lines do not count.
 *     reason: a stable word, as in dead letters: ``bad_ts``.
 *     detail: one sentence.
 */
export interface Refusal {
  index: number;
  reason: string;
  detail: string;
}

/** What a viewer decided about an author. */
export type Relation = "block" | "follow" | "mute";

/**
 * The grid that a viewer would have by other weights.
 *
 * Attributes:
 *     weights: those that were tried, all of them.
 *     items: in the order that the grid would have.
 *     left: media of the grid by the live weights that would not be in it.
 */
export interface Reranked {
  viewer_id: string;
  arm: string;
  weights: Record<string, number | string>;
  generated_at_ms: number;
  items: Array<RerankedItem>;
  left: Array<string>;
}

/**
 * One media of the grid as it would be.
 *
 * Attributes:
 *     position: from 0.
 *     before: its position in the grid by the live weights, null where that does not show it.
 *     value: what it would be sorted by, before diversity.
 *     terms: what that is made of, by action, signed, and `penalty`, which is taken off.
 */
export interface RerankedItem {
  position: number;
  media_id: string;
  author_id: string | null;
  before: number | null;
  value: number;
  terms: Record<string, number>;
}

/**
 * A role, as far as it can be known from here.
 *
 * Attributes:
 *     state: ``up``: it answers. ``keeps_up``, ``behind``: by what its groups have committed.
 *         ``unknown``: nothing tells.
 */
export interface RoleState {
  role: string;
  state: "behind" | "keeps_up" | "unknown" | "up";
  says: string;
}

/**
 * An event on a media, and which one.
 *
 * Attributes:
 *     action: as `freshgrid send` calls it: ``like``.
 */
export interface SentMediaEvent {
  event_id: string;
  viewer_id: string;
  media_id: string;
  ts: number;
  author_id?: string | null;
  request_id?: string | null;
  undo?: boolean;
  dwell_ms?: number | null;
  long?: boolean;
  action: string;
}

/** What somebody did of late, the oldest first. */
export interface Session {
  actions: Array<SessionAction>;
  limit?: number;
}

/** Something that somebody did; who it was nobody needs to know. */
export interface SessionAction {
  action: string;
  media_id: string;
  author_id?: string | null;
  ts?: number | null;
}

/** Accounts near others, the nearest first. */
export interface SimilarAccountList {
  accounts: Array<Neighbour>;
}

/**
 * A media that is like others.
 *
 * Attributes:
 *     score: of the source; of another source it means something else.
 *     source: the operator of IGQL that found it.
 *     seed: the account that led to it, null where none did.
 */
export interface SimilarMedia {
  media: MediaRecord;
  score: number;
  source: string;
  seed: string | null;
}

/** Media like others, the most alike first. */
export interface SimilarMediaList {
  media: Array<SimilarMedia>;
}

/**
 * Durations of the last minute.
 *
 * Attributes:
 *     count: how many there were, of those that are kept.
 *     p50_ms, p99_ms: in milliseconds.
 */
export interface Spread {
  count: number;
  p50_ms: number;
  p99_ms: number;
}

/** How many media (not deleted) and accounts have a topic as their first one. */
export interface TopicCount {
  topic: string;
  media: number;
  accounts: number;
}

/** Topics that anything has, those with the most media first. */
export interface TopicList {
  topics: Array<TopicCount>;
}

/** Records that were ever appended to a topic: what is more at the next look came meanwhile. */
export interface TopicRecords {
  topic: string;
  records: number;
}

/** A topic, with the media that are popular in it and those posted last. */
export interface TopicShelf {
  topic: TopicCount;
  popular: Array<MediaRecord>;
  fresh: Array<MediaRecord>;
}

/**
 * Something that is not as it should be.
 *
 * Attributes:
 *     severity: ``wrong`` is to be mended now, ``look`` can wait until somebody has time.
 *     what: a stable word.
 *     says: what is so, in a sentence.
 *     remedy: what to do first.
 */
export interface Trouble {
  severity: "look" | "wrong";
  what: string;
  says: string;
  remedy: string;
}

/**
 * What was done to forget a viewer.
 *
 * Attributes:
 *     deleted: keys, and entries in keys that are shared with others.
 *     kept_until_ms: topic → when retention has taken the last record of the viewer from it, epoch
 *         ms; null where it never does, or the broker does not say.
 */
export interface ViewerForgotten {
  viewer_id: string;
  deleted: number;
  kept_until_ms: Record<string, number | null>;
}

/** Viewers who were active of late, the last one first. */
export interface ViewerList {
  viewers: Array<ActiveViewer>;
}

/**
 * What serving knows of a viewer; all is empty for one never heard of.
 *
 * Attributes:
 *     arm: of the experiment.
 *     reflects_ts: event time of the newest thing known, 0 for nothing.
 *     actions: the newest first.
 *     followed, blocked, muted: authors.
 *     suppressed: media the viewer asked to see fewer of.
 *     waits: something happened that the ready grid does not show yet.
 */
export interface ViewerRecord {
  viewer_id: string;
  arm: string;
  reflects_ts: number;
  history: HistoryLength;
  actions: Array<Done>;
  followed: Array<string>;
  blocked: Array<string>;
  muted: Array<string>;
  suppressed: Array<string>;
  waits: boolean;
}

/**
 * A token of one viewer: good for the grid and its stream, and for sending events.
 *
 * Attributes:
 *     scopes: those of the key that it was asked for with, `admin` left out.
 */
export interface ViewerToken {
  token: string;
  viewer_id: string;
  scopes: Array<string>;
  expires_ms: number;
}

/** Whose token is wanted, and for how long. */
export interface Wanted {
  viewer_id: string;
  seconds?: number;
}

/** Weights to try on a viewer's grid; those not named are as in the viewer's arm. */
export interface WhatIf {
  viewer_id: string;
  weights: Record<string, number | string>;
}

/**
 * Long work that is under way, as it told last.
 *
 * Attributes:
 *     what: in words.
 *     done: records, of `total`; null while that is not known.
 *     at_ms: when it told that, epoch ms.
 */
export interface Work {
  what: string;
  done: number | null;
  total: number | null;
  began_ms: number;
  at_ms: number;
}

/** The ranker answered with a problem (RFC 9457). */
export class ProblemError extends Error {
  readonly status: number;
  readonly problem: Problem;

  constructor(status: number, problem: Problem) {
    super(`${status}: ${problem.detail}`);
    this.status = status;
    this.problem = problem;
  }
}

/** Asks a ranker; whatever it answers with that is no success is a ProblemError. */
export class Freshgrid {
  private readonly base: string;
  private readonly key: string | null;
  private readonly fetcher: typeof fetch;

  /**
   * `base`: where the ranker answers, without a slash at the end. `key`: an API key, or a viewer's
   * token; null: none is sent.
   */
  constructor(base: string, key: string | null = null, fetcher: typeof fetch = fetch) {
    this.base = base;
    this.key = key;
    this.fetcher = fetcher;
  }

  /**
   * Events `grid`, whose data is a Page. Ask for it by fetch with the header `Authorization`;
   * where no key is asked for an EventSource does.
   */
  liveUrl(viewer_id: string): string {
    return `${this.base}/v1/live?viewer_id=${encodeURIComponent(viewer_id)}`;
  }

  private async call<T>(
    method: string, path: string, query: Record<string, unknown>, body?: unknown,
  ): Promise<T> {
    const parameters = new URLSearchParams();
    for (const [name, value] of Object.entries(query)) {
      for (const one of Array.isArray(value) ? value : [value]) {
        if (one !== undefined && one !== null) parameters.append(name, String(one));
      }
    }
    const text = parameters.toString();
    const answer = await this.fetcher.call(
      globalThis, `${this.base}${path}${text ? `?${text}` : ""}`, {
        method,
        headers: {
          ...(body === undefined ? {} : { "Content-Type": "application/json" }),
          ...(this.key === null ? {} : { Authorization: `Bearer ${this.key}` }),
        },
        body: body === undefined ? undefined : JSON.stringify(body),
      },
    );
    if (!answer.ok) throw new ProblemError(answer.status, await answer.json());
    return answer.json();
  }

  /** A page of the viewer's Explore grid; an unknown viewer gets a cold-start grid. */
  explore(viewer_id: string, options: { cursor?: string | null; fields?: "all" | "ids" } = {}): Promise<Page> {
    return this.call("GET", `/v1/explore`, { ...options, viewer_id });
  }

  /** Run a query of candidates for a viewer: what it finds, and how it came to that. */
  query(body: Asked): Promise<Record<string, unknown>> {
    return this.call("POST", `/v1/query`, {  }, body);
  }

  /** Why each media of a grid made now is there, or what became of one media. */
  explain(viewer_id: string, options: { media_id?: string | null } = {}): Promise<Record<string, unknown>> {
    return this.call("GET", `/v1/explain`, { ...options, viewer_id });
  }

  /**
   * Send one event, an array of them, or lines; each is in Kafka when this is answered.
   *
   * Beside the fields of its schema an event on a media has `action`: which one. A follow, block
   * or mute is told by its `kind`. An event that is sent again counts once, by its `event_id`:
   * repeat what was not answered. Good records of a batch are taken whatever the others are. W3C
   * `traceparent` of the request goes along with each of them.
   */
  sendEvents(body: SentMediaEvent | FollowEvent | Array<SentMediaEvent | FollowEvent>): Promise<Accepted> {
    return this.call("POST", `/v1/events`, {  }, body);
  }

  /**
   * Insert or replace media, each as a whole; `deleted` takes one out.
   *
   * One record, an array or lines. Rankers know of it a moment after this is answered.
   */
  putMedia(body: Media | Array<Media>): Promise<Accepted> {
    return this.call("PUT", `/v1/catalogue/media`, {  }, body);
  }

  /** Insert or replace accounts, each as a whole; `disabled` takes all of one out of grids. */
  putAccounts(body: Account | Array<Account>): Promise<Accepted> {
    return this.call("PUT", `/v1/catalogue/accounts`, {  }, body);
  }

  /** An account: its record, some of its posts, and the accounts nearest to it. */
  account(account_id: string, options: { posts?: number; popular?: boolean; neighbours?: number } = {}): Promise<AccountProfile> {
    return this.call("GET", `/v1/accounts/${encodeURIComponent(account_id)}`, { ...options });
  }

  /** One media, deleted or not, with what everybody did to it. */
  media(media_id: string): Promise<MediaRecord> {
    return this.call("GET", `/v1/media/${encodeURIComponent(media_id)}`, {  });
  }

  /**
   * Accounts by their ids, or those that fit, the ones told of last first.
   *
   * A page may have fewer than `limit` while there are more: go by `next`. The order is that in
   * which this process was told, so another process has another one.
   */
  accounts(options: { account_id?: Array<string>; topic?: string | null; prefix?: string; after?: string | null; limit?: number } = {}): Promise<AccountList> {
    return this.call("GET", `/v1/accounts`, { ...options });
  }

  /**
   * Media by their ids, or those that fit: an author's newest first, else told of last first.
   *
   * A page may have fewer than `limit` while there are more: go by `next`. The order is that in
   * which this process was told, so another process has another one.
   */
  mediaList(options: { media_id?: Array<string>; topic?: string | null; author_id?: string | null; prefix?: string; after?: string | null; limit?: number } = {}): Promise<MediaList> {
    return this.call("GET", `/v1/media`, { ...options });
  }

  /**
   * All accounts that have a vector, each with a place near those that it is alike.
   *
   * Drawn by the learner, of each new version of the account vectors and once an hour as they
   * learn on, each map laid on the one before. Send `If-None-Match` to be told with 304 that
   * nothing changed.
   */
  accountMap(): Promise<MapOfAccounts> {
    return this.call("GET", `/v1/map`, {  });
  }

  /** Accounts nearest to these by the account vectors, these themselves left out. */
  similarAccounts(account_id: Array<string>, options: { limit?: number } = {}): Promise<SimilarAccountList> {
    return this.call("GET", `/v1/similar/accounts`, { ...options, account_id });
  }

  /** Accounts near those of a session: what somebody did of late, without a viewer's id. */
  sessionAccounts(body: Session): Promise<SimilarAccountList> {
    return this.call("POST", `/v1/similar/accounts`, {  }, body);
  }

  /** Media that who likes these may like: what viewers with the same tastes like, and more. */
  similarMedia(media_id: Array<string>, options: { limit?: number } = {}): Promise<SimilarMediaList> {
    return this.call("GET", `/v1/similar/media`, { ...options, media_id });
  }

  /** Media for a session: what somebody did of late, without an id; nothing is kept. */
  sessionMedia(body: Session): Promise<SimilarMediaList> {
    return this.call("POST", `/v1/similar/media`, {  }, body);
  }

  /**
   * What everybody engages with now, of all media or of those with this first topic.
   *
   * Of a topic those are found that are among the 4,096 most popular media of all.
   */
  popular(options: { topic?: string | null; limit?: number } = {}): Promise<MediaList> {
    return this.call("GET", `/v1/popular`, { ...options });
  }

  /**
   * What was posted last, of all media or of those with this first topic.
   *
   * Of a topic those are found that are among the 4,096 newest media of all.
   */
  fresh(options: { topic?: string | null; limit?: number } = {}): Promise<MediaList> {
    return this.call("GET", `/v1/fresh`, { ...options });
  }

  /** All first topics, with how many media and accounts have them. */
  topics(): Promise<TopicList> {
    return this.call("GET", `/v1/topics`, {  });
  }

  /** A topic: how many have it, and the popular and fresh media of it. */
  topicShelf(topic: string, options: { limit?: number } = {}): Promise<TopicShelf> {
    return this.call("GET", `/v1/topics/${encodeURIComponent(topic)}`, { ...options });
  }

  /** What serving knows of a viewer: newest actions, relations, arm, length of the history. */
  viewer(viewer_id: string, options: { actions?: number } = {}): Promise<ViewerRecord> {
    return this.call("GET", `/v1/viewers/${encodeURIComponent(viewer_id)}`, { ...options });
  }

  /**
   * Forget a viewer: state, grids and pages now, records in Kafka by retention.
   *
   * Events of the viewer are refused from now on, until `freshgrid viewer allow`.
   */
  forgetViewer(viewer_id: string): Promise<ViewerForgotten> {
    return this.call("DELETE", `/v1/viewers/${encodeURIComponent(viewer_id)}`, {  });
  }

  /** Viewers who were active of late, of those that this process ranks. */
  activeViewers(options: { limit?: number } = {}): Promise<ViewerList> {
    return this.call("GET", `/v1/viewers`, { ...options });
  }

  /**
   * A short-lived token with which a browser may ask for one viewer and act as that one.
   *
   * It ends with the key that asked for it.
   */
  createToken(body: Wanted): Promise<ViewerToken> {
    return this.call("POST", `/v1/tokens`, {  }, body);
  }

  /** The grid that a viewer would have by other weights; nothing is stored or logged. */
  rerank(body: WhatIf): Promise<Reranked> {
    return this.call("POST", `/v1/rerank`, {  }, body);
  }

  /** The value's weights as they are served here, by arm. */
  weights(): Promise<Record<string, unknown>> {
    return this.call("GET", `/v1/weights`, {  });
  }

  /** Change weights in Redis; every ranker follows within a second. */
  setWeights(body: ChangedWeights): Promise<Record<string, unknown>> {
    return this.call("PUT", `/v1/weights`, {  }, body);
  }

  /** Every stored version with the figures of its gate, and which ones are live. */
  versions(options: { kind?: string | null } = {}): Promise<Record<string, unknown>> {
    return this.call("GET", `/v1/versions`, { ...options });
  }

  /** The experiment as it is served here, and why a newer one is not, if so. */
  experiments(): Promise<Record<string, unknown>> {
    return this.call("GET", `/v1/experiments`, {  });
  }

  /** Replace the experiment; every ranker follows within a second. */
  setExperiments(body: Changed): Promise<Record<string, unknown>> {
    return this.call("PUT", `/v1/experiments`, {  }, body);
  }

  /** The newest changes of the experiment, its weights included, newest first. */
  experimentsHistory(options: { most?: number } = {}): Promise<Record<string, unknown>> {
    return this.call("GET", `/v1/experiments/history`, { ...options });
  }

  /**
   * What came of what each arm showed in the last 7 days: rates with 95 % intervals.
   *
   * Read from the log behind the answer: ask again while `reading_since_ms` is not null.
   */
  experimentsOutcomes(): Promise<Record<string, unknown>> {
    return this.call("GET", `/v1/experiments/outcomes`, {  });
  }

  /** Operators that queries may use, those added here included, and the live queries. */
  igql(): Promise<IgqlReference> {
    return this.call("GET", `/v1/igql`, {  });
  }

  /** Whether anything is wrong and what to do first, with the figures that say so. */
  operations(): Promise<Operations> {
    return this.call("GET", `/v1/operations`, {  });
  }

  /** The newest records that could not be applied, with reasons, newest first. */
  deadLetters(): Promise<Record<string, unknown>> {
    return this.call("GET", `/v1/dead-letters`, {  });
  }

  /** One dead letter with the record as it was sent. */
  deadLetter(dead_letter_id: string): Promise<Record<string, unknown>> {
    return this.call("GET", `/v1/dead-letters/${encodeURIComponent(dead_letter_id)}`, {  });
  }

  /** Send the record to its topic again, edited or not; what would die again is refused. */
  redriveDeadLetter(dead_letter_id: string, body: Redrive): Promise<Record<string, unknown>> {
    return this.call("POST", `/v1/dead-letters/${encodeURIComponent(dead_letter_id)}/redrive`, {  }, body);
  }

  /** Make a stored version live, whatever the gate said. Running processes follow. */
  promoteVersion(kind: string, version: string, body: Promote): Promise<Record<string, unknown>> {
    return this.call("POST", `/v1/versions/${encodeURIComponent(kind)}/${encodeURIComponent(version)}/promote`, {  }, body);
  }

  /** Make the version live again that was live before. Running processes follow. */
  rollbackVersion(kind: string, body: Back): Promise<Record<string, unknown>> {
    return this.call("POST", `/v1/versions/${encodeURIComponent(kind)}/rollback`, {  }, body);
  }

  /** Versions that are live, and whether the ranker has read all there is. */
  status(): Promise<Record<string, unknown>> {
    return this.call("GET", `/v1/status`, {  });
  }

  /** The account index; processes with equal hashes hold the same accounts and vectors. */
  index(): Promise<Record<string, unknown>> {
    return this.call("GET", `/v1/index`, {  });
  }

  /** That the process runs; it asks nobody else. */
  healthz(): Promise<Record<string, string>> {
    return this.call("GET", `/healthz`, {  });
  }

  /** Able to answer requests for grids, and how far what they are made of is read. */
  readyz(): Promise<Record<string, unknown>> {
    return this.call("GET", `/readyz`, {  });
  }
}
